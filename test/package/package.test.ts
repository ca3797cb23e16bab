import { execFile } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, it } from "vitest";

const run = promisify(execFile);
const consumer = join(import.meta.dirname, "consumer.mjs");

/** The Node that runs the tests and, where it is another one, the machine's own. */
async function nodes(): Promise<string[]> {
  const path = (process.env.PATH ?? "").split(":").filter((dir) => !dir.includes("node_modules"));
  const own = path.map((dir) => join(dir, "node")).find((file) => existsSync(file));
  const version = own ? (await run(own, ["--version"])).stdout.trim() : process.version;
  return own && version !== process.version ? [process.execPath, own] : [process.execPath];
}

it("the built package serves a script outside of it, on every Node at hand", { timeout: 120_000 }, async () => {
  expect(existsSync("dist/index.js"), "npm run build makes dist/").toBe(true);
  for (const node of await nodes()) {
    const { stdout } = await run(node, [consumer]);
    expect(stdout).toContain("consumer ok");
  }
});

it("package.json exports name files that the build makes", () => {
  const { exports } = JSON.parse(readFileSync("package.json", "utf8")) as { exports: Record<string, string> };
  for (const file of Object.values(exports)) expect(existsSync(file), file).toBe(true);
});
