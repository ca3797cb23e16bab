import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { doctor } from "../../src/cli/doctor.ts";
import { add, defineOp } from "../../src/ops/index.ts";
import { polargrad, STORY, temporaryDirectory, writeTinyModel } from "./tiny-model.ts";

const dir = temporaryDirectory();
const model = join(dir, "model");
const story = join(dir, "story.txt");

beforeAll(async () => {
  await writeTinyModel(model);
  writeFileSync(story, STORY);
});

/** Every loss that a run printed. */
const losses = (out: string): number[] =>
  [...out.matchAll(/(?:loss|held-out) +(\d+\.\d+)/g)].map(([, loss]) => Number(loss));

describe("finetune on webgpu", () => {
  it("prints the losses of the CPU to 1e-3", async () => {
    const flags = [
      "--base_model",
      model,
      "--data_path",
      story,
      "--cutoff_len",
      "32",
      "--rank",
      "4",
      "--batch_size",
      "8",
    ];
    const run = async (device: string): Promise<number[]> => {
      const outcome = await polargrad(
        "finetune",
        ...flags,
        "--max_steps",
        "10",
        "--eval_step",
        "5",
        "--val_set_size",
        "6",
        "--device",
        device,
        "--output_dir",
        join(dir, device),
      );
      expect(outcome.err).toBe("");
      return losses(outcome.out);
    };
    const [cpu, webgpu] = [await run("cpu"), await run("webgpu")];
    expect(cpu.length).toBeGreaterThan(4);
    expect(webgpu).toHaveLength(cpu.length);
    const apart = webgpu.map((loss, i) => Math.abs(loss - cpu[i]));
    expect(Math.max(...apart)).toBeLessThan(1e-3);
  });
});

describe("doctor", () => {
  it("describes the GPU and finds its kernels right", async () => {
    const { code, out } = await polargrad("doctor");
    expect(out).toMatch(/^ {2}CPU +variant (off|128|relaxed|256): .*; \d+ threads?$/m);
    expect(out).toMatch(/auto +picks (cpu: no hardware GPU|webgpu: hardware adapter)/);
    expect(out).toMatch(/features +f16 (yes|no), subgroups/);
    expect(out).toMatch(/\d\d kernels right, 0 wrong \(/);
    expect(out).not.toContain("\u001b");
    expect(code).toBe(0);
  });

  it("names wrong kernels, and those that the driver refuses", async () => {
    const crooked = defineOp("crooked", "x[*] -> y[*]", {
      reference({ x }, y) {
        for (let i = 0; i < y.length; i++) y[i] = 2 * x[i];
      },
      pointwise: "V(2.01) * x",
      vjp: () => ({ x: null }),
    });
    const refused = defineOp("refused", "x[*] -> y[*]", {
      reference({ x }, y) {
        y.set(x);
      },
      pointwise: "no_such_function(x)",
      vjp: () => ({ x: null }),
    });
    const lines: string[] = [];
    const terminal = {
      isTTY: false,
      print: (line = "") => void lines.push(line),
      write: (text: string) => void lines.push(text),
    };
    expect(await doctor({}, terminal, [add, crooked, refused])).toBe(false);
    const out = lines.join("\n");
    expect(out).toContain("WRONG crooked: ");
    expect(out).toContain("WRONG refused: ");
    expect(out).toContain("1 kernel right, 2 wrong: crooked, refused (");
  });
});
