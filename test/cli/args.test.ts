import { describe, expect, it } from "vitest";
import { normaliseArgs } from "../../src/cli/args.ts";
import { DEFAULTS, FINETUNE_FLAGS, settingsOf } from "../../src/cli/finetune-flags.ts";
import { polargrad } from "./tiny-model.ts";

const normal = (...args: string[]): string[] => normaliseArgs(args, FINETUNE_FLAGS);

describe("flags", () => {
  it("may be written with - or _, with = or a space", () => {
    expect(normal("--base-model", "a-b", "--learning-rate=1e-3", "--all-modules")).toEqual([
      "--base_model",
      "a-b",
      "--learning_rate=1e-3",
      "--all_modules",
    ]);
    expect(normal("--delora_target_modules", "v_proj", "--delora-target-modules=o_proj")).toEqual([
      "--target_modules",
      "v_proj",
      "--target_modules=o_proj",
    ]);
  });

  it("leave values alone, those that look like flags too", () => {
    expect(normal("--output_dir", "--base-model", "--batch-size", "-1")).toEqual([
      "--output_dir",
      "--base-model",
      "--batch_size",
      "-1",
    ]);
  });

  it.each([
    [["--rank", "0"], '--rank must be a whole number of at least 1, got "0"'],
    [["--rank", "two"], '--rank must be a whole number of at least 1, got "two"'],
    [["--batch_size", "-1"], '--batch_size must be a whole number of at least 1, got "-1"'],
    [["--batch_size", "1e400"], "--batch_size must be a whole number of at least 1"],
    [["--learning-rate=-0.1"], '--learning_rate must be a number above 0, got "-0.1"'],
    [["--learning_rate", "NaN"], '--learning_rate must be a number above 0, got "NaN"'],
    [["--delora_lambda", "0"], '--delora_lambda must be a number above 0, got "0"'],
    [["--module_dropout", "1"], '--module_dropout must be a number of at least 0 and below 1, got "1"'],
    [["--seed", "0x10"], '--seed must be a whole number of at least 0, got "0x10"'],
    [["--device", "gpu"], '--device must be one of auto, cpu, webgpu, got "gpu"'],
    [["--quantize", "q5_0"], '--quantize must be one of q8_0, q4_0, q4_1, got "q5_0"'],
    [["--target_modules", ","], '--target_modules must be names between commas, got ","'],
    [["--base_model", ""], '--base_model must be text that is not empty, got ""'],
    [["--rnk", "3"], "unknown option '--rnk' (Did you mean --rank?)"],
    [["--learning_rat", "3"], "(Did you mean --learning_rate?)"],
    [["--rank"], "option '--rank <r>' argument missing"],
    [["extra"], "too many arguments"],
  ])("refuses %j in one sentence", async (args, message) => {
    const { code, out, err } = await polargrad("finetune", ...args);
    expect(err.split("\n")[0]).toMatch(/^polargrad: /);
    expect(err).toContain(message);
    expect([code, out]).toEqual([1, ""]);
  });

  it("keep 16 rows a step whatever the batch size, unless told otherwise", () => {
    expect(settingsOf({}, DEFAULTS).gradient_accumulation_steps).toBe(16);
    expect(settingsOf({ batch_size: 6 }, DEFAULTS).gradient_accumulation_steps).toBe(3);
    expect(settingsOf({ batch_size: 64 }, DEFAULTS).gradient_accumulation_steps).toBe(1);
    expect(
      settingsOf({ batch_size: 4, gradient_accumulation_steps: 2 }, DEFAULTS).gradient_accumulation_steps,
    ).toBe(2);
  });
});

describe("help", () => {
  it("shows every flag with its default, and what differs from PEFT's script", async () => {
    const { code, out } = await polargrad("finetune", "--help");
    expect(code).toBe(0);
    for (const flag of Object.keys(FINETUNE_FLAGS)) expect(out).toContain(`--${flag}`);
    expect(out.replace(/\s+/g, " ")).toContain("(default: 0.003)");
    expect(out).toContain("the script's 640");
  });

  it("knows the version, and commands that are nearly right", async () => {
    expect((await polargrad("--version")).out).toMatch(/^\d+\.\d+\.\d+\n$/);
    const { code, err } = await polargrad("finetun");
    expect([code, err]).toEqual([1, "polargrad: unknown command 'finetun' (Did you mean finetune?)"]);
  });
});
