import { execFile } from "node:child_process";
import { readdirSync } from "node:fs";
import { promisify } from "node:util";
import { expect, it } from "vitest";

const run = promisify(execFile);
// Node 20 does not run TypeScript; npm scripts run on the Node 24 of node_modules.
const runsTypeScript = Number(process.versions.node.split(".")[0]) >= 24;
if (!runsTypeScript) console.warn(`not run on Node ${process.version}: the examples are TypeScript, which needs Node 24`);

const EXPECTED: Readonly<Record<string, { readonly args: readonly string[]; readonly prints: RegExp }>> = {
  "angle-and-strength.ts": { args: ["2"], prints: /\n {3}2 {2}\d\.\d{4} .*█/ },
  "custom-op.ts": { args: [], prints: /BROKEN: wrongSoftplus: has a wrong gradient/ },
  "gradients.ts": { args: [], prints: /gradcheck of x·sin\(x\): true/ },
};

it("every example is run here", () => {
  expect(readdirSync("examples").sort()).toEqual(Object.keys(EXPECTED).sort());
});

it.runIf(runsTypeScript).each(Object.entries(EXPECTED))("examples/%s does what it says", { timeout: 60_000 }, async (file, { args, prints }) => {
  const { stdout } = await run(process.execPath, [`examples/${file}`, ...args]);
  expect(stdout).toMatch(prints);
});
