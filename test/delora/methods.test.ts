import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import {
  AdapterLayer,
  COMMON_FIELDS,
  type ConfigSchema,
  configFields,
  getPeftModel,
  PeftConfig,
  PeftModel,
  type PeftConfigOptions,
  registerMethod,
} from "../../src/delora/index.ts";
import { linear, mul, ones, sub, unsqueeze } from "../../src/ops/index.ts";
import { Parameter } from "../../src/tensor/parameter.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { relativeError } from "./golden-run.ts";
import { logitsOf, TINY_IDS, tinyLlama } from "./tiny-llama.ts";

/** A method that nobody has: each output is scaled by a learned factor. All it takes is what stands here. */
class GainLayer extends AdapterLayer {
  static override readonly stateNames = { gain: "gain_vector" };
  override readonly r = 1;
  override readonly dropout = 0;
  readonly gain: Parameter;
  readonly #weight: Tensor;

  constructor(weight: Tensor, start: number) {
    super();
    this.#weight = weight;
    this.gain = new Parameter(mul(ones([weight.shape[0]]), start));
  }

  override forward(x: Tensor): Tensor {
    return mul(linear(x, this.#weight), sub(this.gain, 1));
  }

  override deltaWeight(): Tensor {
    return mul(this.#weight, unsqueeze(sub(this.gain, 1), { axis: 1 }));
  }
}

class GainConfig extends PeftConfig {
  static override readonly schema: ConfigSchema = {
    peftType: "GAIN",
    className: "GainConfig",
    modelType: "GainModel",
    moduleType: "gain.Linear",
    prefix: "gain_",
    fields: { ...COMMON_FIELDS, start: configFields.finite(1.5) },
    unsupported: {},
    warnedPatterns: [],
  };
  declare readonly start: number;

  override createLayer(weight: Tensor): GainLayer {
    return new GainLayer(weight, this.start);
  }

  override with(changes: PeftConfigOptions & { readonly start?: number }): this {
    return super.with(changes);
  }
}
registerMethod(GainConfig);

it("a method of one's own is one config class and one layer class", async () => {
  const dir = await mkdtemp(join(tmpdir(), "polargrad-method-"));
  try {
    const peft = getPeftModel(tinyLlama(), new GainConfig({ targetModules: ["v_proj", "up_proj"] }));
    const { loss } = peft.forward({ inputIds: TINY_IDS, labels: TINY_IDS });
    loss?.backward();
    const trained = peft.namedParameters().filter(([, { grad }]) => grad);
    expect(trained.map(([name]) => name)).toHaveLength(4);
    expect(peft.getModelStatus()).toMatchObject({ adapterModelType: "GainModel", peftTypes: { default: "GAIN" } });
    const expected = logitsOf(peft);
    expect(relativeError(expected, logitsOf(tinyLlama()))).toBeGreaterThan(1e-2);
    await peft.savePretrained(dir);
    const loaded = await PeftModel.fromPretrained(tinyLlama(), dir);
    expect(loaded.peftConfig.default).toBeInstanceOf(GainConfig);
    expect(logitsOf(loaded)).toEqual(expected);
    expect(relativeError(logitsOf(await loaded.mergeAndUnload()), expected)).toBeLessThan(1e-6);
  } finally {
    await rm(dir, { recursive: true });
  }
});
