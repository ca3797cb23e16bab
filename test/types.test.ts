import { join } from "node:path";
import ts from "typescript";
import { expect, it } from "vitest";
import { ROOT } from "./sources.ts";

it("types.test-d.ts compiles: declarations and calls are typed, and mistakes are compile errors", {
  timeout: 120_000,
}, () => {
  const config = ts.getParsedCommandLineOfConfigFile(
    join(ROOT, "tsconfig.json"),
    {},
    {
      ...ts.sys,
      onUnRecoverableConfigFileDiagnostic: ({ messageText }) =>
        expect.fail(ts.flattenDiagnosticMessageText(messageText, "\n")),
    },
  );
  const file = join(ROOT, "test/types.test-d.ts");
  const program = ts.createProgram([file], config?.options ?? {});
  const found = program.getSemanticDiagnostics(program.getSourceFile(file));
  expect(
    found.map(({ messageText, start }) => [start, ts.flattenDiagnosticMessageText(messageText, "\n")]),
  ).toEqual([]);
});
