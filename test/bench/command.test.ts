import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";
import type { RowResult } from "../../bench/harness/row.ts";
import { listRows } from "../../bench/rows/index.ts";
import { ROOT } from "../sources.ts";

const run = promisify(execFile);
const bench = (...args: string[]) => run(process.execPath, [join(ROOT, "bench", "run.ts"), ...args]);
// Node 20 does not run TypeScript; npm scripts run on the Node 24 of node_modules.
const runsTypeScript = Number(process.versions.node.split(".")[0]) >= 24;
if (!runsTypeScript) console.warn(`not run on Node ${process.version}: the benchmark's command is TypeScript, which needs Node 24`);

describe.runIf(runsTypeScript)("npm run bench", () => {
  it("--list prints the rows and measures nothing", async () => {
    expect((await bench("--list")).stdout).toBe(`${listRows()}\n`);
  });

  it.each([
    [["--only", "cpu-gem"], /^there is no row "cpu-gem"; the rows are cpu-gemm, .*\n$/],
    [["--quick"], /^Unknown option '--quick'/],
  ])("%j is refused in one line", async (args, message) => {
    await expect(bench(...args)).rejects.toMatchObject({ code: 2, stdout: "", stderr: expect.stringMatching(message) });
  });

  it("--only measures a row in processes of its own, and --json keeps it", { timeout: 60_000 }, async () => {
    const folder = await mkdtemp(join(tmpdir(), "polargrad-bench-"));
    try {
      const file = join(folder, "mlp.json");
      const { stdout } = await bench("--only", "cpu-mlp", "--json", file);
      expect(stdout).toMatch(/^\| cpu-mlp \| step \| \S+ ms, median .*losses 2\.39828, 0\.64597, 0\.02334 \(steps 0, 3, 10\)/m);
      expect(stdout).toMatch(/^rows: 1, figures: 1: .* 0 FAILED/m);
      const text = await readFile(file, "utf8");
      const [{ row, machine, figures }] = JSON.parse(text) as RowResult[];
      expect([row, machine.node, figures.length]).toEqual(["cpu-mlp", process.version, 1]);
      expect(figures[0]).toMatchObject({ name: "step", status: "measured", unit: "ms", details: { coresBusy: expect.any(Number) } });
      for (const path of [ROOT, folder]) expect(text).not.toContain(path);
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});
