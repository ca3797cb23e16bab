import { spawnSync } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { getPeftModel, PeftModel } from "../../src/delora/index.ts";
import type { LlamaForCausalLM } from "../../src/nn/llama-for-causal-lm.ts";
import { manualSeed } from "../../src/ops/index.ts";
import { relativeError } from "./golden-run.ts";
import { LIVE_CONFIGS } from "./live-configs.ts";
import { fill, move } from "./parity/models.ts";
import { logitsOf, TINY_IDS, tinyLlama } from "./tiny-llama.ts";

const python = process.env.POLARGRAD_ORACLE_PYTHON;
if (!python) {
  const how =
    "build it with ../shared/tools/oracle-venv.sh DIR, then set POLARGRAD_ORACLE_PYTHON=DIR/bin/python";
  console.warn(`not run: the live comparison with PEFT needs its Python environment; ${how}`);
}

const SCRIPT = fileURLToPath(new URL("peft-oracle.py", import.meta.url));
const BASES = { plain: {}, biased: { biased: true }, tied: { tied: true } } as const;

/** What PEFT answers for one config. */
interface Answer {
  readonly adapter: number[];
  readonly merged: number[];
  readonly random: number[];
}

describe.skipIf(!python)("adapters and PEFT itself", () => {
  const names = Object.keys(LIVE_CONFIGS);
  const answers = new Map<string, Answer>();
  const ours = new Map<string, ArrayLike<number>>();
  let dir = "";
  const at = (...parts: string[]): string => join(dir, ...parts);
  const base = (name: string): Promise<LlamaForCausalLM> => Promise.resolve(tinyLlama(BASES[LIVE_CONFIGS[name].base]));

  // PEFT takes long to start: one process answers for all configs.
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), "polargrad-oracle-"));
    for (const [name, options] of Object.entries(BASES)) await tinyLlama(options).savePretrained(at("bases", name));
    for (const [i, name] of names.entries()) {
      manualSeed(i);
      const peft = getPeftModel(await base(name), LIVE_CONFIGS[name].config);
      fill(peft.namedParameters(), "default");
      for (const [key, parameter] of peft.namedParameters())
        if (parameter.requiresGrad && key.endsWith(".bias")) move(key, parameter);
      await peft.savePretrained(at("ours", String(i)));
      ours.set(name, logitsOf(peft));
    }
    const jobs = names.map((name, i) => ({
      base: at("bases", LIVE_CONFIGS[name].base),
      adapter: at("ours", String(i)),
      out: at("theirs", String(i)),
    }));
    const input = JSON.stringify({ ids: TINY_IDS, jobs });
    const run = spawnSync(python ?? "", [SCRIPT], { input, encoding: "utf8", maxBuffer: 2 ** 28 });
    if (run.status !== 0) throw new Error(run.stderr);
    for (const [i, answer] of (JSON.parse(run.stdout) as Answer[]).entries()) answers.set(names[i], answer);
  }, 300_000);
  afterAll(() => rm(dir, { recursive: true }));

  it("has 12 configs or more", () => expect(names.length).toBeGreaterThanOrEqual(12));

  it.each(names)("%s: files go both ways with the same logits, merged too", async (name) => {
    const answer = answers.get(name);
    if (!answer) throw new Error("PEFT gave no answer");
    const there = relativeError(ours.get(name) ?? [], answer.adapter);
    const merged = relativeError(answer.adapter, answer.merged);
    const loaded = await PeftModel.fromPretrained(await base(name), at("theirs", String(names.indexOf(name))));
    const back = relativeError(logitsOf(loaded), answer.random);
    console.log(`${name}: ours in PEFT ${there.toExponential(1)}, PEFT's here ${back.toExponential(1)}`);
    expect(there).toBeLessThanOrEqual(1e-4);
    expect(merged).toBeLessThanOrEqual(1e-4);
    expect(back).toBeLessThanOrEqual(1e-4);
  });
});
