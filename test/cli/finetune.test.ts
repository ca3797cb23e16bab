import { spawn } from "node:child_process";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, it } from "vitest";
import { parseSafetensors } from "../../src/io/index.ts";
import { type Outcome, polargrad, STORY, temporaryDirectory, writeTinyModel } from "./tiny-model.ts";

const dir = temporaryDirectory();
const path = (name: string): string => join(dir, name);
const model = path("model");
const story = path("story.txt");
const ROOT = fileURLToPath(new URL("../../", import.meta.url));
// The devDependency: it runs TypeScript, whatever Node started the tests.
const NODE = join(ROOT, "node_modules", "node", "bin", "node");

beforeAll(async () => {
  await writeTinyModel(model);
  writeFileSync(story, STORY);
});

const SETTINGS = [
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
  "--device",
  "cpu",
];

describe("finetune", () => {
  let outcome: Outcome;
  const output = path("out");

  beforeAll(async () => {
    const flags = [
      "--val-set-size",
      "6",
      "--eval-step",
      "5",
      "--save_step",
      "10",
      "--max_steps",
      "20",
      "--learning_rate",
      "1e-2",
    ];
    outcome = await polargrad(
      "finetune",
      ...SETTINGS,
      ...flags,
      "--output_dir",
      output,
      "--target_modules",
      "q_proj,v_proj,nonesuch",
    );
  });

  it("lowers the held-out loss", () => {
    expect(outcome.err).toBe("");
    expect(outcome.code).toBe(0);
    const [, before, after] =
      /held-out loss +([\d.]+) before, ([\d.]+) after \(6 rows\)/.exec(outcome.out) ?? [];
    expect(Number(after)).toBeLessThan(Number(before) - 0.02);
  });

  it("says what it does and did", () => {
    const { out } = outcome;
    expect(out).toContain("Llama, 2 layers of 16");
    expect(out).toContain("cpu (the CPU was asked for)");
    expect(out).toContain("6 rows held out, evaluated every 5 steps");
    expect(out).toContain("20 (8 × 2 rows a step), 2 of them warm-up");
    expect(out).toContain("--target_modules nonesuch: no module has this name");
    expect(out.match(/^step +\d+\/20 .*tokens\/s.*held-out/gm)).toHaveLength(4);
    expect(out.match(/^layers\.\d\.self_attn\.[qv]_proj +1[45]\.\d{4} .* %$/gm)).toHaveLength(4);
    expect(out).toContain(`polargrad generate --base_model ${model} --adapter ${output}`);
    expect(out).not.toContain("\u001b");
  });

  it("saves the adapter, the tokenizer and the checkpoints, and nothing else", () => {
    expect(readdirSync(output).sort()).toEqual([
      "README.md",
      "adapter_config.json",
      "adapter_model.safetensors",
      "checkpoint-10",
      "checkpoint-20",
      "tokenizer.json",
      "tokenizer_config.json",
    ]);
    expect(readdirSync(join(output, "checkpoint-10")).sort()).toEqual([
      "README.md",
      "adapter_config.json",
      "adapter_model.safetensors",
    ]);
    const { tensors } = parseSafetensors(readFileSync(join(output, "adapter_model.safetensors")));
    expect([...tensors.keys()]).toContain("base_model.model.model.layers.1.self_attn.v_proj.delora_lambda");
    expect(JSON.parse(readFileSync(join(output, "adapter_config.json"), "utf8"))).toMatchObject({
      peft_type: "DELORA",
      r: 4,
      delora_lambda: 15,
    });
  });

  it("gives the same adapter again, bit by bit", async () => {
    const again = path("again");
    const flags = [
      "--val_set_size",
      "6",
      "--eval_step",
      "0",
      "--save_step",
      "0",
      "--max_steps",
      "20",
      "--learning_rate",
      "0.01",
    ];
    await polargrad(
      "finetune",
      ...SETTINGS,
      ...flags,
      "--output_dir",
      again,
      "--delora_target_modules",
      "q_proj,v_proj",
    );
    const weights = (from: string): Buffer => readFileSync(join(from, "adapter_model.safetensors"));
    expect(weights(again).equals(weights(output))).toBe(true);
  });

  it("holds out a tenth by default where 500 rows are too many, or nothing when asked", async () => {
    const flags = ["--max_steps", "1", "--output_dir", path("held")];
    expect((await polargrad("finetune", ...SETTINGS, ...flags)).out).toMatch(
      /note: --val_set_size is \d+ here, a tenth of the \d+ rows/,
    );
    const { out } = await polargrad("finetune", ...SETTINGS, ...flags, "--val_set_size", "0");
    expect(out).toContain("no rows are held out, so there is no evaluation");
    expect(out).toContain("not measured");
  });

  it("sharpens generate, which prints the prompt and goes on", async () => {
    const flags = [
      "--base_model",
      model,
      "--device",
      "cpu",
      "--prompt",
      "The whale",
      "--max_new_tokens",
      "12",
    ];
    const plain = await polargrad("generate", ...flags);
    const adapted = await polargrad("generate", ...flags, "--adapter", output);
    expect([plain.code, adapted.code]).toEqual([0, 0]);
    for (const { out } of [plain, adapted]) expect(out.startsWith("The whale")).toBe(true);
    expect(adapted.out).not.toBe(plain.out);
    const withoutBase = await polargrad("generate", ...flags.slice(2), "--adapter", output);
    expect(withoutBase).toEqual(adapted);
    const drawn = (seed: string): Promise<Outcome> =>
      polargrad("generate", ...flags, "--temperature", "1.5", "--seed", seed);
    expect((await drawn("1")).out).toBe((await drawn("1")).out);
    expect((await drawn("1")).out).not.toBe((await drawn("2")).out);
  });
});

/** Run the program as people do; `whileRunning` is called every 20 ms until it says that it is done. */
function spawned(
  args: readonly string[],
  whileRunning?: (kill: (signal: NodeJS.Signals) => void) => boolean,
): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const child = spawn(NODE, [join(ROOT, "src", "cli", "main.ts"), ...args], { cwd: dir });
    const timer = setInterval(() => {
      if (whileRunning?.((signal) => child.kill(signal))) clearInterval(timer);
    }, 20);
    let [out, err] = ["", ""];
    child.stdout.on("data", (chunk) => (out += String(chunk)));
    child.stderr.on("data", (chunk) => (err += String(chunk)));
    child.on("error", reject);
    child.on("close", (code) => {
      clearInterval(timer);
      resolve({ code: code ?? -1, out, err });
    });
  });
}

describe("the process", () => {
  it("stops at Ctrl-C after the step at hand and says what is saved", async () => {
    const output = path("stopped");
    const flags = [
      "--output_dir",
      output,
      "--max_steps",
      "100000",
      "--val_set_size",
      "0",
      "--save_step",
      "2",
    ];
    const { code, err } = await spawned(["finetune", ...SETTINGS, ...flags], (kill) => {
      const isRunning = existsSync(join(output, "checkpoint-2"));
      if (isRunning) kill("SIGINT");
      return isRunning;
    });
    expect(code).toBe(130);
    const [, step, checkpoint] =
      /^polargrad: stopped after step (\d+) of 100000; the checkpoint .*checkpoint-(\d+) is complete\n$/.exec(
        err,
      ) ?? [];
    expect(Number(checkpoint)).toBeGreaterThanOrEqual(Number(step) - 2);
    expect(readdirSync(output).every((name) => name.startsWith("checkpoint-"))).toBe(true);
    expect(readdirSync(join(output, `checkpoint-${checkpoint}`)).sort()).toEqual([
      "README.md",
      "adapter_config.json",
      "adapter_model.safetensors",
    ]);
  });

  it("ends with code 1 and one sentence on standard error for bad input", async () => {
    const { code, out, err } = await spawned(["finetune", "--base_model", "none", "--data_path", story]);
    expect([code, out]).toEqual([1, ""]);
    expect(err).toMatch(/^polargrad: --base_model: there is no directory none[^\n]*\n$/);
    expect(existsSync(path("polargrad-adapter"))).toBe(false);
  });
});
