import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { AdaptedLinear, DeloraLayer, getPeftModel, LoraLayer } from "../../../src/delora/index.ts";
import { parseLlamaConfig } from "../../../src/io/index.ts";
import { LlamaForCausalLM } from "../../../src/nn/llama-for-causal-lm.ts";
import { configOf } from "./models.ts";

interface Recorded {
  readonly type: "DELORA" | "LORA";
  readonly layers: number;
  readonly config: Readonly<Record<string, unknown>>;
  readonly answer: {
    /** Rank and first strength, or scaling, by module. */
    readonly adapted?: Readonly<Record<string, readonly [number, number]>>;
    readonly target_modules?: readonly string[] | string;
    readonly warnings?: readonly string[];
    readonly error?: string;
  };
}

const { cases } = JSON.parse(readFileSync(new URL("../../goldens/injection.json", import.meta.url), "utf8")) as {
  readonly cases: readonly Recorded[];
};

const llama = (layers: number): LlamaForCausalLM =>
  LlamaForCausalLM.fromConfig(
    parseLlamaConfig({
      model_type: "llama",
      vocab_size: 32,
      hidden_size: 16,
      intermediate_size: 24,
      num_hidden_layers: layers,
      num_attention_heads: 4,
      num_key_value_heads: 2,
    }),
    { seed: 1, device: "cpu" },
  );

/** Rank and strength of an adapter's layer. */
function told(module: AdaptedLinear): [number, number] {
  const layer = module.adapters.get("default");
  if (layer instanceof DeloraLayer) return [layer.r, layer.lambda.dataSync()[0]];
  if (layer instanceof LoraLayer) return [layer.r, layer.scaling];
  throw new Error("neither DeLoRA nor LoRA");
}

function thrown(f: () => unknown): Error {
  try {
    f();
  } catch (error) {
    if (error instanceof Error) return error;
  }
  throw new Error("nothing was thrown");
}

/** A text with the names of every set in order, which is arbitrary in Python. */
const ordered = (text: string): string =>
  text.replace(/\{('[^{}]*')\}/g, (_, names: string) => `{${names.split(", ").sort().join(", ")}}`).trim();

/** Python shows all of a module, we its path: texts are compared without it. */
const withoutModule = (text: string): string => text.replace(/Target module .* is not supported/s, "Target module is not supported");

const shown = (text: string): string => withoutModule(ordered(text));

describe("putting an adapter on a Llama, as PEFT", () => {
  it("is recorded for many configs, with errors and warnings among them", () => {
    expect(cases.length).toBeGreaterThanOrEqual(60);
    expect(cases.filter(({ answer }) => answer.error).length).toBeGreaterThanOrEqual(12);
    expect(cases.filter(({ answer }) => answer.warnings?.length).length).toBeGreaterThanOrEqual(5);
  });

  it.each(cases.map((one) => [`${one.type} on ${one.layers} layers, ${JSON.stringify(one.config)}`, one] as const))(
    "%s",
    (_, { type, layers, config, answer }) => {
      const model = llama(layers);
      const names = [...model.stateDict().keys()];
      const warnings: string[] = [];
      const wrap = () =>
        getPeftModel(model, configOf(type, config), "default", { warn: (text) => void warnings.push(text) });
      if (answer.error !== undefined) {
        const error = thrown(wrap);
        expect(shown(error.message)).toContain(shown(answer.error));
        expect([...model.stateDict().keys()]).toEqual(names);
        expect(model.parameters().every(({ requiresGrad }) => requiresGrad)).toBe(true);
        return;
      }
      const peft = wrap();
      const adapted = model.namedModules().filter((one): one is [string, AdaptedLinear] => one[1] instanceof AdaptedLinear);
      expect(adapted.map(([path]) => path)).toEqual(Object.keys(answer.adapted ?? {}));
      for (const [path, module] of adapted) {
        const [r, strength] = answer.adapted?.[path] ?? [];
        expect(told(module), path).toEqual([r, expect.closeTo(strength ?? Number.NaN, 6)]);
      }
      const targets = peft.peftConfig.default.targetModules;
      expect(typeof targets === "string" ? targets : [...(targets ?? [])].sort()).toEqual(answer.target_modules);
      expect(warnings.map(ordered)).toEqual((answer.warnings ?? []).map((text) => expect.stringContaining(ordered(text))));
      for (const [name, { requiresGrad }] of peft.namedParameters()) {
        expect(requiresGrad, name).toBe(/\.(delora|lora)_\w+\.default/.test(name));
      }
    },
  );
});
