import { describe, expect, it } from "vitest";
import { Linear, Module, StateDictError, type TensorModule } from "../../src/nn/index.ts";
import { tensor, zeros } from "../../src/ops/index.ts";
import { Parameter } from "../../src/tensor/parameter.ts";
import { keep } from "../../src/tensor/scope.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";

class Block extends Module {
  selfAttn: TensorModule = new Linear(2, 3, { bias: false });
  outProj: TensorModule = new Linear(3, 2);
  gain = new Parameter(tensor([1, 1]));
}

class Adapter extends Module {
  static override readonly stateNames = { deloraA: "delora_A" };
  static override readonly buffers = ["wNorm", "extra"];
  baseLayer = new Linear(2, 2, { bias: false });
  deloraA = new Map([["default", new Parameter(zeros([1, 2]))]]);
  wNorm: Tensor = keep(tensor([3, 4]));
  extra = new Map([["default", keep(tensor([5]))]]);
  notABuffer = tensor([1]);
  lambda = new Parameter(tensor([2]));
}

class Net extends Module {
  embedTokens = new Linear(2, 2, { bias: false });
  layers = [new Block(), new Block()];
  lmHead = new Linear(2, 2, { bias: false, weight: this.embedTokens.weight });
  nothing: Linear | null = null;
}

const names = (module: Module): string[] => module.namedParameters().map(([name]) => name);
const message = (f: () => unknown): string => {
  try {
    f();
  } catch (error) {
    return (error as Error).message;
  }
  throw new Error("nothing was thrown");
};

describe("Module", () => {
  it("names parameters as PyTorch does: own ones first, then children in order, shared ones once", () => {
    expect(names(new Net())).toEqual([
      "embed_tokens.weight",
      "layers.0.gain",
      "layers.0.self_attn.weight",
      "layers.0.out_proj.weight",
      "layers.0.out_proj.bias",
      "layers.1.gain",
      "layers.1.self_attn.weight",
      "layers.1.out_proj.weight",
      "layers.1.out_proj.bias",
    ]);
    expect([...new Net().stateDict().keys()].at(-1)).toBe("lm_head.weight");
  });

  it("finds Maps, renamed fields and buffers, and saves buffers without training them", () => {
    const adapter = new Adapter();
    expect(names(adapter)).toEqual(["lambda", "base_layer.weight", "delora_A.default"]);
    expect([...adapter.stateDict().keys()]).toEqual([
      "lambda",
      "w_norm",
      "base_layer.weight",
      "delora_A.default",
      "extra.default",
    ]);
  });

  it("lists modules depth first with paths, and replaces one of them", () => {
    const net = new Net();
    expect(net.namedModules().map(([path]) => path)).toEqual([
      "",
      "embed_tokens",
      "layers.0",
      "layers.0.self_attn",
      "layers.0.out_proj",
      "layers.1",
      "layers.1.self_attn",
      "layers.1.out_proj",
      "lm_head",
    ]);
    expect(net.getSubmodule("")).toBe(net);
    expect(net.getSubmodule("layers.1.out_proj")).toBe(net.layers[1].outProj);
    const other = new Adapter();
    net.setSubmodule("layers.1.out_proj", other);
    expect(net.layers[1].outProj).toBe(other);
    const block = new Block();
    net.setSubmodule("layers.0", block);
    expect(net.layers[0]).toBe(block);
    expect(message(() => net.getSubmodule("layers.2"))).toBe(
      'Net has no submodule "layers.2"; it has embed_tokens, layers.0, layers.1, lm_head',
    );
    expect(message(() => net.setSubmodule("layers.0.mlp", block))).toMatch(/^Block has no submodule "mlp"/);
  });

  it("counts and freezes parameters, switches modes and clears gradients", () => {
    const net = new Net();
    expect(net.numParameters()).toBe(4 + 2 * (2 + 6 + 6 + 2));
    net.layers[0].requiresGrad_(false);
    expect(net.numParameters({ onlyTrainable: true })).toBe(4 + 16);
    expect(
      net
        .eval()
        .namedModules()
        .every(([, { training }]) => !training),
    ).toBe(true);
    expect(net.train().layers[1].outProj.training).toBe(true);
    const { weight } = net.embedTokens;
    weight.grad = zeros([2, 2]);
    net.zeroGrad();
    expect(weight.grad).toBeNull();
    expect(net.device).toBe("cpu");
  });

  it("loads a state dict of other tensors, and one key of tied weights is enough", async () => {
    const net = new Net();
    const state = new Map(
      [...new Net().stateDict()].map(([name, { shape }]) => [
        name,
        tensor(new Float64Array(shape.reduce((a, b) => a * b)).fill(7), { shape }),
      ]),
    );
    state.delete("embed_tokens.weight");
    net.loadStateDict(state);
    expect(net.embedTokens.weight.dtype).toBe("f32");
    expect([...(await net.embedTokens.weight.data())]).toEqual([7, 7, 7, 7]);
    expect([...(await net.layers[1].gain.data())]).toEqual([7, 7]);
    const adapter = new Adapter();
    const before = adapter.wNorm;
    adapter.loadStateDict(new Map([["w_norm", tensor([8, 9])]]), { strict: false });
    expect(before.disposed).toBe(true);
    expect([...(await adapter.wNorm.data())]).toEqual([8, 9]);
  });

  it("lists everything that does not fit, and then loads nothing", async () => {
    const block = new Block();
    const state = new Map([
      ["gain", tensor([5, 6])],
      ["self_attn.weight", zeros([2, 3])],
      ["out_proj.scale", zeros([1])],
    ]);
    const load = (): unknown => block.loadStateDict(state);
    expect(load).toThrow(StateDictError);
    expect(message(load)).toBe(
      'the state dict does not fit Block: missing "out_proj.weight", "out_proj.bias"; unexpected "out_proj.scale"; ' +
        'wrong size: "self_attn.weight" is 2×3 but must be 3×2',
    );
    expect(message(() => block.loadStateDict(state, { strict: false }))).toBe(
      'the state dict does not fit Block: wrong size: "self_attn.weight" is 2×3 but must be 3×2',
    );
    expect([...(await block.gain.data())]).toEqual([1, 1]);
    state.delete("self_attn.weight");
    expect(block.loadStateDict(state, { strict: false })).toEqual({
      missing: ["self_attn.weight", "out_proj.weight", "out_proj.bias"],
      unexpected: ["out_proj.scale"],
    });
    expect([...(await block.gain.data())]).toEqual([5, 6]);
  });
});
