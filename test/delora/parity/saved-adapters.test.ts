import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type AdaptedLinear, getPeftModel, PeftModel, readPeftConfig } from "../../../src/delora/index.ts";
import { decodeFloat32, parseSafetensors, readSafetensors } from "../../../src/io/index.ts";
import type { LlamaForCausalLM } from "../../../src/nn/llama-for-causal-lm.ts";
import { adapters, answer, isAnswered } from "./adapters.ts";
import { base, configOf, fill, logitsOf, relativeError, useGoldens } from "./models.ts";

const FILES = ["adapter_config.json", "adapter_model.safetensors"];
/**
 * How far from PEFT's numbers ours may be, relative: rounding of 32 bits, 2e-7 in a sum of 128 terms, which these random
 * networks amplify up to 100 times (PEFT's own logits are up to 5e-6 from those in 64 bits).
 */
const ROOM = 3e-5;
/** The same where PEFT computed in 16 bits and we in 32. */
const ROUGH = 3e-2;

useGoldens();
let dir = "";
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "polargrad-parity-"));
});
afterEach(() => rm(dir, { recursive: true }));

const silent = (): void => undefined;
const load = async (name: string): Promise<PeftModel<LlamaForCausalLM>> =>
  PeftModel.fromPretrained(await base(adapters[name]?.base ?? "tiny-plain"), `adapters/${name}`, { warn: silent });

const isHalf = (name: string): boolean => adapters[name].base === "tiny-half";

const sets = ["target_modules", "exclude_modules"];
/** A config's text with its sets in order, which is arbitrary in PEFT. */
function sorted(text: string): string {
  const config = JSON.parse(text) as Record<string, unknown>;
  const entries = Object.entries(config).map(([key, value]) => [key, sets.includes(key) && Array.isArray(value) ? [...value].sort() : value]);
  return JSON.stringify(Object.fromEntries(entries));
}

describe("the recorded base models", () => {
  it.each(["tiny-plain", "tiny-biased", "tiny-tied"])("%s gives PEFT's logits", async (name) => {
    expect(relativeError(logitsOf(await base(name)), answer(`base/${name}`))).toBeLessThan(ROOM);
  });
});

describe.each(Object.keys(adapters))("PEFT's adapter %s", (name) => {
  it("gives PEFT's logits", async () => {
    expect(relativeError(logitsOf(await load(name)), answer(isHalf(name) ? `${name}/logits-float32` : `${name}/logits`))).toBeLessThan(ROOM);
  });

  it("has PEFT's update", async () => {
    const adapted = (await load(name)).baseModel.getSubmodule(adapters[name].delta) as AdaptedLinear;
    const delta = adapted.getDeltaWeight("default").dataSync();
    expect(relativeError(delta, answer(`${name}/delta`))).toBeLessThan(ROOM);
  });

  it("gives PEFT's logits when merged, and is taken out again bit for bit", async () => {
    const peft = await load(name);
    const before = logitsOf(peft);
    const weights = [...peft.baseModel.stateDict()].map(([key, value]) => [key, [...value.dataSync()]]);
    await peft.mergeAdapter({ safeMerge: true });
    const merged = logitsOf(peft);
    expect(relativeError(merged, before)).toBeLessThan(isHalf(name) ? ROUGH : ROOM);
    // PEFT's merge into a tied head changes the embedding too.
    if (adapters[name].base !== "tiny-tied")
      expect(relativeError(merged, answer(`${name}/merged`))).toBeLessThan(isHalf(name) ? ROUGH : ROOM);
    peft.unmergeAdapter();
    expect([...peft.baseModel.stateDict()].map(([key, value]) => [key, [...value.dataSync()]])).toEqual(weights);
    expect(logitsOf(peft)).toEqual(before);
    expect(relativeError(logitsOf(await peft.mergeAndUnload()), merged)).toBeLessThan(1e-7);
  });

  it("is saved again byte for byte, with PEFT's front matter on its card", async () => {
    const peft = await load(name);
    await peft.savePretrained(dir);
    for (const file of FILES) {
      const theirs = await readFile(join("adapters", name, file));
      expect((await readFile(join(dir, file))).equals(theirs), file).toBe(true);
    }
    expect((await readFile(join(dir, "README.md"), "utf8")).startsWith(`---\n${adapters[name].card}---\n`)).toBe(true);
  });

  it("is what its config makes here: the same config file, tensors and names", async () => {
    const { base: baseName, type, config, keys } = adapters[name];
    const peft = getPeftModel(await base(baseName), configOf(type, config), "default", { warn: silent });
    await peft.savePretrained(dir);
    const [ours, theirs] = await Promise.all([dir, join("adapters", name)].map((at) => readFile(join(at, FILES[0]), "utf8")));
    expect(sorted(ours)).toBe(sorted(theirs));
    const [made, recorded] = await Promise.all([dir, join("adapters", name)].map((at) => readFile(join(at, FILES[1]))));
    const shapes = (file: Uint8Array): unknown =>
      [...parseSafetensors(file).tensors].map(([key, { dtype, shape }]) => [key, dtype, shape]);
    expect(shapes(made)).toEqual(shapes(recorded));
    expect(made.length).toBe(recorded.length);
    if (keys) expect([...peft.baseModel.stateDict().keys()]).toEqual(keys);
  });
});

describe("an adapter on a base of 16 bits", () => {
  it.each(["delora-half", "dora-half"])("%s: is near PEFT's logits in 16 bits, and PEFT's to f32 in f32", async (name) => {
    const ours = logitsOf(await load(name));
    expect(relativeError(ours, answer(`${name}/logits`))).toBeLessThan(ROUGH);
    expect(relativeError(ours, answer(`${name}/logits-float32`))).toBeLessThan(ROOM);
  });

  it.each(["delora-half", "dora-half"])("%s: is merged into PEFT's very weight", async (name) => {
    const merged = (await (await load(name)).mergeAndUnload()).stateDict().get("model.layers.0.self_attn.q_proj.weight");
    const expected = answer(`${name}/merged-weight`);
    const ours = Float32Array.from(merged?.dataSync() ?? []);
    const differing = ours.filter((value, i) => value !== expected[i]);
    console.log(`${name}: ${differing.length} of ${ours.length} merged weights round the other way`);
    expect(relativeError(ours, expected)).toBeLessThan(1e-3);
    expect(differing.length).toBeLessThanOrEqual(ours.length / 50);
  });

  it("starts as PEFT's: column norms and λ rounded to 16 bits, the same bits", async () => {
    const { base: baseName, type, config } = adapters["delora-half"];
    const state = getPeftModel(await base(baseName), configOf(type, config)).getPeftModelStateDict();
    const { tensors: first } = await readSafetensors("adapters/delora-half/first/adapter_model.safetensors");
    expect([...state.keys()].sort()).toEqual([...first.keys()].sort());
    for (const [name, stored] of first) {
      const ours = Float32Array.from(state.get(name)?.dataSync() ?? []);
      // A is random: what is the same is that no number has more bits than the base's.
      if (name.endsWith("delora_A")) {
        const bits = new Uint32Array(ours.buffer);
        expect(bits.every((word) => (word & 0xffff) === 0), name).toBe(true);
      } else {
        expect(ours, name).toEqual(decodeFloat32(stored));
      }
    }
    expect(state.get("base_model.model.model.layers.0.self_attn.q_proj.delora_lambda")?.dataSync()[0]).toBe(2.296875);
  });
});

describe("two adapters of a config", () => {
  const recorded = Object.keys(adapters).filter((name) => isAnswered(`${name}/both`));
  it("are recorded for many", () => expect(recorded.length).toBeGreaterThanOrEqual(12));

  it.each(recorded)("%s: add up", async (name) => {
    const peft = await load(name);
    peft.addAdapter("second", (await readPeftConfig(`adapters/${name}`)).with({ inferenceMode: true }));
    fill(peft.namedParameters(), "second");
    peft.setAdapter(["default", "second"]);
    expect(relativeError(logitsOf(peft), answer(`${name}/both`))).toBeLessThan(isHalf(name) ? ROUGH : ROOM);
  });
});

describe("two adapters saved together", () => {
  it("are loaded from their folders, take turns, add up, and are saved again byte for byte", async () => {
    const peft = await load("pair");
    expect(await peft.loadAdapter("adapters/pair/other-one", "other-one")).toEqual({ missingKeys: [], unexpectedKeys: [] });
    for (const name of ["default", "other-one"]) {
      peft.setAdapter(name);
      expect(relativeError(logitsOf(peft), answer(`pair/${name}`)), name).toBeLessThan(ROOM);
    }
    peft.setAdapter(["default", "other-one"]);
    expect(relativeError(logitsOf(peft), answer("pair/both"))).toBeLessThan(ROOM);
    await peft.savePretrained(dir);
    for (const file of FILES.flatMap((one) => [one, join("other-one", one)])) {
      expect((await readFile(join(dir, file))).equals(await readFile(join("adapters/pair", file))), file).toBe(true);
    }
  });
});
