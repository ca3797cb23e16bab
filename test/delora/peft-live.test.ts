import { spawnSync } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import {
  DeloraConfig,
  getPeftModel,
  LoraConfig,
  type PeftConfig,
  PeftModel,
} from "../../src/delora/index.ts";
import { manualSeed } from "../../src/ops/index.ts";
import { relativeError } from "./golden-run.ts";
import { ALL_TARGETS, logitsOf, TINY_IDS, tinyLlama } from "./tiny-llama.ts";

const python = process.env.POLARGRAD_ORACLE_PYTHON;
if (!python) {
  const how =
    "build it with ../shared/tools/oracle-venv.sh DIR, then set POLARGRAD_ORACLE_PYTHON=DIR/bin/python";
  console.warn(`not run: the live comparison with PEFT needs its Python environment; ${how}`);
}

const SCRIPT = fileURLToPath(new URL("peft-oracle.py", import.meta.url));
const CONFIGS: [string, PeftConfig][] = [
  [
    "DeLoRA on all projections",
    new DeloraConfig({
      r: 3,
      deloraLambda: 4,
      targetModules: ALL_TARGETS,
      initWeights: false,
      taskType: "CAUSAL_LM",
    }),
  ],
  [
    "DeLoRA on the head, negative λ",
    new DeloraConfig({ r: 1, deloraLambda: -2.5, targetModules: ["q_proj", "lm_head"], initWeights: false }),
  ],
  [
    "rsLoRA",
    new LoraConfig({
      r: 4,
      loraAlpha: 6,
      useRslora: true,
      targetModules: ["q_proj", "v_proj"],
      initLoraWeights: false,
    }),
  ],
];

describe.skipIf(!python)("adapters and PEFT itself", () => {
  it.each(CONFIGS)(
    "%s: files go both ways with the same logits",
    async (name, config) => {
      manualSeed(3);
      const dir = await mkdtemp(join(tmpdir(), "polargrad-oracle-"));
      const [base, ours, theirs] = ["base", "ours", "theirs"].map((part) => join(dir, part));
      try {
        await tinyLlama().savePretrained(base);
        const peft = getPeftModel(tinyLlama(), config);
        await peft.savePretrained(ours);
        const run = spawnSync(python ?? "", [SCRIPT, base, ours, theirs], {
          input: JSON.stringify(TINY_IDS),
          encoding: "utf8",
        });
        expect(run.status, run.stderr).toBe(0);
        const answer = JSON.parse(run.stdout) as { adapter: number[]; random: number[] };
        const there = relativeError(logitsOf(peft), answer.adapter);
        const back = relativeError(
          logitsOf(await PeftModel.fromPretrained(tinyLlama(), theirs)),
          answer.random,
        );
        console.log(`${name}: ours in PEFT ${there.toExponential(1)}, PEFT's here ${back.toExponential(1)}`);
        expect(there).toBeLessThanOrEqual(1e-4);
        expect(back).toBeLessThanOrEqual(1e-4);
      } finally {
        await rm(dir, { recursive: true });
      }
    },
    180_000,
  );
});
