import {
  cpSync,
  existsSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { parseSafetensors, serializeSafetensors } from "../../src/io/index.ts";
import {
  type Outcome,
  polargrad,
  STORY,
  temporaryDirectory,
  TINY_CONFIG,
  writeTinyModel,
} from "./tiny-model.ts";

const dir = temporaryDirectory();
const path = (name: string): string => join(dir, name);
const model = path("model");
const story = path("story.txt");
const output = path("out");

beforeAll(async () => {
  await writeTinyModel(model);
  writeFileSync(story, STORY);
});

/** A copy of the model with something wrong. */
function brokenModel(name: string, breakIt: (copy: string) => void): string {
  const copy = path(name);
  cpSync(model, copy, { recursive: true });
  breakIt(copy);
  return copy;
}

function dataFile(name: string, text: string): string {
  writeFileSync(path(name), text);
  return path(name);
}

const BASICS = [
  "--cutoff_len",
  "32",
  "--max_steps",
  "1",
  "--rank",
  "2",
  "--device",
  "cpu",
  "--batch_size",
  "4",
];
const finetune = (...flags: readonly string[]): Promise<Outcome> => {
  const given = (flag: string): boolean => flags.includes(flag);
  const base = given("--base_model") ? [] : ["--base_model", model];
  const data = given("--data_path") ? [] : ["--data_path", story];
  const out = given("--output_dir") ? [] : ["--output_dir", output];
  return polargrad("finetune", ...BASICS, ...base, ...data, ...out, ...flags);
};

/** One sentence on standard error, exit code 1, nothing written. */
async function mustRefuse(outcome: Promise<Outcome>, message: string | RegExp): Promise<void> {
  const before = readdirSync(dir).sort();
  const { code, err } = await outcome;
  expect(err).toMatch(message);
  expect(err).toMatch(/^polargrad: [^\n]+$/);
  expect(code).toBe(1);
  expect(existsSync(output)).toBe(false);
  expect(readdirSync(dir).sort()).toEqual(before);
}

describe("a base model that cannot be used", () => {
  it("is not there", () =>
    mustRefuse(
      finetune("--base_model", path("none")),
      `--base_model: there is no directory ${path("none")}`,
    ));

  it("is no directory of a model", () =>
    mustRefuse(finetune("--base_model", dir), `${dir} has no config.json`));

  it("is no Llama", async () => {
    const gpt2 = brokenModel("gpt2", (copy) =>
      writeFileSync(join(copy, "config.json"), JSON.stringify({ ...TINY_CONFIG, model_type: "gpt2" })),
    );
    await mustRefuse(finetune("--base_model", gpt2), /gpt2.*llama/i);
  });

  it("has a truncated safetensors file", async () => {
    const short = brokenModel("short", (copy) => truncateSync(join(copy, "model.safetensors"), 5000));
    await mustRefuse(finetune("--base_model", short), /model\.safetensors/);
  });

  it("has no weights", async () => {
    const empty = brokenModel("empty", (copy) => writeFileSync(join(copy, "model.safetensors"), ""));
    await mustRefuse(finetune("--base_model", empty), /model\.safetensors/);
  });

  it("has no tokenizer", async () => {
    const mute = brokenModel("mute", (copy) => writeFileSync(join(copy, "tokenizer.json"), "{}"));
    await mustRefuse(finetune("--base_model", mute), /tokenizer\.json/);
  });

  it.each([["12"], ["0"]])("holds NaN, with %s rows held out", async (held) => {
    const nan = path(`nan-${held}`);
    brokenModel(`nan-${held}`, (copy) => {
      const file = join(copy, "model.safetensors");
      const { tensors } = parseSafetensors(readFileSync(file));
      for (const [name, tensor] of tensors) if (name.endsWith("norm.weight")) tensor.data.fill(0xff);
      writeFileSync(file, serializeSafetensors(tensors, { format: "pt" }));
    });
    await mustRefuse(finetune("--base_model", nan, "--val_set_size", held), /loss .*is NaN/);
  });
});

describe("data that cannot be used", () => {
  it("is not named", async () => {
    const outcome = polargrad("finetune", "--base_model", model, "--output_dir", output);
    await mustRefuse(outcome, "--data_path is missing");
  });

  it("is not there", () =>
    mustRefuse(finetune("--data_path", path("none.txt")), `${path("none.txt")}: no such file`));

  it("is of another kind", () =>
    mustRefuse(finetune("--data_path", path("x.csv")), "expected a data set ending in .txt or .jsonl"));

  it("is empty", () =>
    mustRefuse(finetune("--data_path", dataFile("empty.txt", " \n")), "the data set is empty"));

  it("has a bad JSON line", () =>
    mustRefuse(
      finetune("--data_path", dataFile("bad.jsonl", '{"text": "a b c"}\n{"text": \n')),
      /bad\.jsonl, line 2/,
    ));

  it("has rows of another form", () =>
    mustRefuse(finetune("--data_path", dataFile("other.jsonl", '{"body": "a"}\n')), /line 1.*"body"/));

  it("is shorter than one sequence", () =>
    mustRefuse(
      finetune("--data_path", dataFile("short.txt", "The whale.")),
      /fewer than one sequence of --cutoff_len \(32\).*lower --cutoff_len to \d+/,
    ));

  it("has fewer rows than are to be held out", () =>
    mustRefuse(
      finetune("--val_set_size", "5000"),
      /--val_set_size 5000 leaves nothing to train on: the data has \d+ rows; hold out \d+ or fewer/,
    ));
});

describe("other flags that do not fit", () => {
  it("target modules that match nothing", () =>
    mustRefuse(finetune("--target_modules", "c_attn"), /'c_attn'.*q_proj/));

  it("an output directory that is a file", async () => {
    const file = dataFile("file", "mine");
    await mustRefuse(
      finetune("--output_dir", file),
      `${file}: --output_dir should be a directory, found a file`,
    );
    await mustRefuse(
      finetune("--output_dir", join(file, "below")),
      `${file}: --output_dir lies below it, but it is a file`,
    );
    expect(readFileSync(file, "utf8")).toBe("mine");
  });

  it("an output directory behind a link to nothing", async () => {
    const link = path("dangling");
    symlinkSync(path("nowhere"), link);
    for (const below of [link, join(link, "a", "b")])
      await mustRefuse(finetune("--output_dir", below), `${link}: --output_dir leads to a link whose target`);
  });

  it.each([["0"], ["12"]])("a learning rate that breaks the last step, with %s rows held out", async (held) => {
    const flags = ["--learning_rate", "1e300", "--max_steps", "2", "--val_set_size", held, "--eval_step", "0"];
    await mustRefuse(
      finetune(...flags),
      /^polargrad: training diverged: after step 2 base_model\.model\.\S+ holds \S+; lower --learning_rate \(1e\+300\)$/m,
    );
    const evaluated = finetune(...flags.slice(0, -1), "2");
    await mustRefuse(evaluated, "training diverged: after step 2");
  });

  it("generate without a prompt, with contradicting flags, without its adapter", async () => {
    await mustRefuse(polargrad("generate", "--base_model", model), "--prompt is missing");
    await mustRefuse(
      polargrad("generate", "--base_model", model, "--prompt", "a", "--top_p", "1.5"),
      "--top_p must be a number above 0 and at most 1",
    );
    await mustRefuse(
      polargrad("generate", "--prompt", "a", "--greedy", "--top_k", "3"),
      "--greedy and --top_k contradict each other",
    );
    const lost = polargrad(
      "generate",
      "--base_model",
      model,
      "--device",
      "cpu",
      "--prompt",
      "a",
      "--adapter",
      path("none"),
    );
    await mustRefuse(lost, /none/);
  });
});
