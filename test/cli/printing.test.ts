import { describe, expect, it } from "vitest";
import { inFlags } from "../../src/cli/errors.ts";
import { FINETUNE_FLAGS } from "../../src/cli/finetune-flags.ts";
import { adapterTable } from "../../src/cli/adapter-table.ts";
import { bytes, decimal, duration } from "../../src/cli/format.ts";
import { Progress } from "../../src/cli/progress.ts";
import { table } from "../../src/cli/table.ts";
import { harmless, oneLine } from "../../src/cli/terminal.ts";

const ESC = "\u001b";

describe("text from outside", () => {
  it("cannot steer the terminal", () => {
    expect(harmless(`a${ESC}[2Jb\r\u0007\u202ec\nd\te\u009b1m`)).toBe("a[2Jbc\nd\te1m");
    expect(oneLine(`a\n\n b${ESC}\t c`)).toBe("a b c");
    expect(oneLine("abcdef", 4)).toBe("abc…");
  });
});

describe("messages of the library", () => {
  it("name flags as people type them, and leave names of tensors and paths alone", () => {
    const flags = Object.keys(FINETUNE_FLAGS);
    expect(inFlags("raise cutoffLen. target_modules: none", flags)).toBe(
      "raise --cutoff_len. --target_modules: none",
    );
    const name = "base_model.model.model.norm, /data/base_model/x, data/base_model";
    expect(inFlags(name, flags)).toBe(name);
  });
});

describe("numbers", () => {
  it("are short and honest", () => {
    expect([decimal(2.34567), decimal(0), decimal(0.000012)]).toEqual(["2.3457", "0.0000", "1.2e-5"]);
    expect([duration(3.21), duration(42), duration(185), duration(7805)]).toEqual([
      "3.2 s",
      "42 s",
      "3 min 05 s",
      "2 h 10 min",
    ]);
    expect([bytes(0), bytes(32768), bytes(1.5 * 2 ** 30)]).toEqual(["0 B", "32 KiB", "1.5 GiB"]);
  });
});

describe("tables", () => {
  it("align names left and numbers right", () => {
    expect(
      table(
        ["name", "x"],
        [
          ["a", "1.5"],
          ["long name", "12"],
        ],
      ),
    ).toEqual(["name         x", "──────────────", "a          1.5", "long name   12"]);
  });

  const modules = (n: number) =>
    Array.from({ length: n }, (_, i) => ({
      name: `model.layers.${i >> 1}.self_attn.${i % 2 === 0 ? "q" : "v"}_proj`,
      lambda: 15 + i,
      deltaNorm: 1,
      bound: 4,
      share: 0.25,
    }));

  it("show up to 40 modules one by one", () => {
    const lines = adapterTable(modules(40), 15, false);
    expect(lines).toHaveLength(42);
    expect(lines[2]).toMatch(/^layers\.0\.self_attn\.q_proj +15\.0000 +1\.0000 +4\.0000 +25\.0 %$/);
  });

  it("sum more modules up by kind and say how to see them all", () => {
    const lines = adapterTable(modules(42), 15, false);
    expect(lines).toHaveLength(5);
    expect(lines[2]).toMatch(/^q_proj +21 +15\.0000 … 35\.0000 … 55\.0000 +25\.0 % … 25\.0 % … 25\.0 %$/);
    expect(lines[4]).toContain("--all_modules");
    expect(adapterTable(modules(42), 15, true)).toHaveLength(44);
  });
});

describe("progress", () => {
  const run = (totalSteps: number, evalSteps: number): string[] => {
    const lines: string[] = [];
    const terminal = {
      isTTY: false,
      print: (line = "") => void lines.push(line),
      write: (text: string) => void lines.push(text),
    };
    const progress = new Progress({ totalSteps, evalSteps }, terminal);
    for (let step = 1; step <= totalSteps; step++) {
      const report = {
        step,
        totalSteps,
        epoch: 0,
        loss: 2,
        gradNorm: 1,
        learningRate: 1,
        tokens: 100,
        seconds: step,
      };
      progress.step(report);
      if (evalSteps > 0 && (step % evalSteps === 0 || step === totalSteps)) progress.evaluated(report, 3);
    }
    progress.stop();
    return lines;
  };

  it("prints at most about 20 lines where nobody watches", () => {
    for (const [total, every] of [
      [7, 10],
      [100, 10],
      [1000, 10],
      [1000, 0],
      [999, 7],
      [30, 1],
    ]) {
      const lines = run(total, every);
      expect(lines.length).toBeGreaterThan(0);
      expect(lines.length).toBeLessThanOrEqual(21);
      expect(lines.at(-1)).toContain(`step ${total}/${total}  loss 2.0000`);
      expect(lines.every((line) => line.includes("held-out 3.0000"))).toBe(every > 0);
      expect(lines.join("")).not.toContain(ESC);
    }
  });
});
