import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import type { Figure } from "../../bench/harness/figure.ts";
import { machine } from "../../bench/harness/machine.ts";
import { keepResults, writeJson } from "../../bench/harness/results.ts";
import type { RowResult } from "../../bench/harness/row.ts";
import { tableOf, totalsOf } from "../../bench/harness/table.ts";
import { listRows, ROWS, selectRows } from "../../bench/rows/index.ts";
import { ROOT } from "../sources.ts";

const folder = mkdtempSync(join(tmpdir(), "polargrad-bench-"));
afterAll(() => rmSync(folder, { recursive: true }));

const FIGURES: readonly Figure[] = [
  {
    name: "step",
    status: "measured",
    value: 61.234,
    unit: "ms",
    peer: { name: "PEFT", value: 5115 },
    targets: { value: { better: "lower", reach: 60, firstLook: 100 } },
    check: "losses 1 | 2",
    details: { median: 70, tokensPerSecond: 4181, firstStepMs: 9 },
    on: "llvmpipe",
  },
  { name: "other", status: "failed", reason: "the loss of step 0 is 7" },
  { name: "third", status: "not run", reason: "no adapter" },
];
const result = (row: string): RowResult => ({ row, about: "a test", machine: machine(), othersCores: 0.05, figures: FIGURES });

describe("the rows", () => {
  it("--list names all, each once, with what it measures", () => {
    const names = listRows().split("\n").map((line) => line.split(/\s/)[0]);
    expect(names).toEqual(ROWS.map(({ name }) => name));
    expect(new Set(names).size).toBe(names.length);
    for (const name of ["cpu-gemm", "cpu-llama", "delora-tiny", "delora-small", "delora-smollm2", "gpu-llama", "gpu-matmul-1024", "gpu-cold-start", "cost-rank"]) expect(names).toContain(name);
  });

  it("--only selects, in the table's order; without it those on request stay out", () => {
    expect(selectRows("gpu-llama, cpu-gemm").map(({ name }) => name)).toEqual(["cpu-gemm", "gpu-llama"]);
    const names = selectRows(undefined).map(({ name }) => name);
    expect(names).toContain("cost-rank");
    for (const name of ["gpu-cost-rank", "peers-cpu-llama"]) expect(names).not.toContain(name);
    expect(selectRows(undefined, true).map(({ name }) => name)).toEqual([...names, ...ROWS.map(({ name }) => name).filter((name) => name.startsWith("peers-"))]);
  });

  it("--only of an unknown row lists the rows", () => {
    expect(() => selectRows("cpu-gemm,cpu-gem")).toThrow('there is no row "cpu-gem"; the rows are cpu-gemm, ');
  });
});

describe("results", () => {
  it("make a table with verdicts, and totals", () => {
    const [, , ...lines] = tableOf([result("a-row")]).split("\n");
    expect(lines).toEqual([
      "| a-row | step | 61.2 ms, median 70.0, 4,181 tokens/s | PEFT 5,115 | 0.0120 | ≤ 60 | ≤ 100 | first look | losses 1 \\| 2 | llvmpipe |",
      "| a-row | other | FAILED |  |  |  |  |  | the loss of step 0 is 7 |  |",
      "| a-row | third | not run |  |  |  |  |  | no adapter |  |",
    ]);
    const busy = { ...result("b-row"), othersCores: 0.5 };
    expect(tableOf([busy])).toContain("| first look (busy machine) |");
    expect(totalsOf([result("a-row"), busy])).toMatch(/; measured while other processes were busy: b-row$/);
    expect(totalsOf([result("a-row")])).toBe("rows: 1, figures: 3: 0 reached, 1 at first look, 0 short, 0 without a target, 1 not run, 1 FAILED");
  });

  it("are kept in JSON with facts of the machine, without paths or names", () => {
    const file = join(folder, "deep", "file.json");
    writeJson(file, [result("a-row")]);
    const text = readFileSync(file, "utf8");
    const [{ row, machine: facts, figures }] = JSON.parse(text) as RowResult[];
    expect([row, figures]).toEqual(["a-row", FIGURES]);
    expect(Object.keys(facts).sort()).toEqual(["cores", "cpu", "memoryGb", "node", "platform"]);
    for (const secret of [ROOT, folder, process.env.HOSTNAME, process.env.HOME]) if (secret && secret.length > 1) expect(text).not.toContain(secret);
  });

  it("of other rows stay when a row is measured again", () => {
    keepResults(folder, [result("a-row"), result("b-row")], ["b-row", "a-row"]);
    keepResults(folder, [{ ...result("b-row"), figures: [FIGURES[2]] }], ["b-row", "a-row"]);
    const rows = readFileSync(join(folder, "table.md"), "utf8").split("\n").slice(2).map((line) => line.split(" ")[1]);
    expect(rows.slice(0, 4)).toEqual(["b-row", "a-row", "a-row", "a-row"]);
  });
});
