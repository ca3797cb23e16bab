import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { condenseTargets, moduleSelector, patternValue } from "../../src/delora/select-modules.ts";

interface Recorded {
  readonly type: "DELORA" | "LORA";
  readonly layers: number;
  readonly config: {
    readonly target_modules?: string[] | string | null;
    readonly exclude_modules?: string[] | string;
    readonly layers_to_transform?: number[] | number;
    readonly layers_pattern?: string[] | string;
    readonly rank_pattern?: Record<string, number>;
    readonly lambda_pattern?: Record<string, number>;
  };
  readonly answer: { adapted?: Record<string, [number, number]>; target_modules: string[] | string; error?: string };
}

const file = new URL("../goldens/injection.json", import.meta.url);
const { cases } = JSON.parse(readFileSync(file, "utf8")) as { cases: Recorded[] };
const recorded = cases.filter(({ answer }) => answer.adapted);

const ATTENTION = ["q_proj", "k_proj", "v_proj", "o_proj"].map((name) => `self_attn.${name}`);
const MLP = ["gate_proj", "up_proj", "down_proj", "act_fn"].map((name) => `mlp.${name}`);
const PARTS = ["self_attn", ...ATTENTION, "mlp", ...MLP, "input_layernorm", "post_attention_layernorm"];

/** Module names of PEFT's base model, in its order. */
const namesOf = (layers: number): string[] => {
  const blocks = Array.from({ length: layers }, (_, i) => `model.layers.${i}`);
  const inner = blocks.flatMap((block) => [block, ...PARTS.map((part) => `${block}.${part}`)]);
  return ["model", "model.embed_tokens", "model.layers", ...inner, "model.norm", "model.rotary_emb", "lm_head"];
};

describe("modules that PEFT adapts", () => {
  it("are recorded for 25 configs or more", () => expect(recorded.length).toBeGreaterThanOrEqual(25));

  it.each(recorded.map((one) => [`${one.type} ${JSON.stringify(one.config)}`, one] as const))(
    "%s",
    (_, { type, layers, config, answer }) => {
      const names = namesOf(layers);
      const given = config.target_modules ?? ["q_proj", "v_proj"];
      const isAll = typeof given === "string" && given.toLowerCase() === "all-linear";
      const targets = isAll ? names.filter((name) => /_proj$/.test(name)) : given;
      const targetModules = typeof targets === "string" ? targets : condenseTargets(targets, names);
      const sorted = typeof targetModules === "string" ? targetModules : [...targetModules].sort();
      expect(sorted).toEqual(answer.target_modules);
      const verdict = moduleSelector({
        targetModules,
        excludeModules: config.exclude_modules ?? null,
        modulesToSave: null,
        layersToTransform: config.layers_to_transform ?? null,
        layersPattern: config.layers_pattern ?? null,
      });
      const adapted = names.filter((name) => verdict(name) === "target");
      expect(adapted).toEqual(Object.keys(answer.adapted ?? {}));
      const rank = patternValue(config.rank_pattern ?? {});
      const lambda = patternValue(config.lambda_pattern ?? {});
      for (const name of adapted) {
        const [r, strength] = answer.adapted?.[name] ?? [];
        expect(rank(name) ?? 8, name).toBe(r);
        if (type === "DELORA") expect(lambda(name) ?? 15, name).toBe(strength);
      }
    },
  );
});
