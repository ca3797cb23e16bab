import { expect, it } from "vitest";
import { AdaptedLinear, DeloraConfig } from "../../src/delora/index.ts";
import { Linear } from "../../src/nn/linear.ts";
import { manualSeed, mean, noGrad, norm, randn, square, sub } from "../../src/ops/index.ts";
import { AdamW } from "../../src/train/adamw.ts";

/** ‖ΔW‖_F / ‖W‖_F of an adapter of rank 32 and λ 15 on a 512 → 256 Linear, before and after one step of Adam. */
async function sizes(variant: "peft" | "paper", lr: number): Promise<[before: number, after: number]> {
  manualSeed(1);
  const linear = new Linear(512, 256, { bias: false });
  linear.requiresGrad_(false);
  const adapted = new AdaptedLinear(linear);
  const layer = new DeloraConfig({ r: 32, variant }).createLayer(linear.weight, "linear");
  adapted.adapters.set("default", layer);
  adapted.activeAdapters = ["default"];
  const share = async (): Promise<number> => {
    const [change, weight] = noGrad(() => [norm(layer.deltaWeight()), norm(linear.weight)]);
    return (await change.item()) / (await weight.item());
  };
  const before = await share();
  mean(square(sub(adapted.forward(randn([64, 512])), randn([64, 256])))).backward();
  new AdamW(layer.parameters(), { lr, weightDecay: 0 }).step();
  return [before, await share()];
}

it("PEFT's start is no change, and one step jumps to full strength at any learning rate", async () => {
  for (const lr of [1e-3, 1e-4, 1e-5]) {
    const [before, after] = await sizes("peft", lr);
    expect(before).toBe(0);
    // |λ| / √(r·n), what near-orthogonal directions give.
    expect(after).toBeCloseTo(15 / Math.sqrt(32 * 512), 2);
  }
});

it("the paper's start is no change either, and a step moves as far as the learning rate says", async () => {
  const [start, large] = await sizes("paper", 1e-3);
  const [, small] = await sizes("paper", 1e-5);
  expect(start).toBeLessThan(1e-6);
  expect(large).toBeLessThan(0.03);
  expect(small).toBeLessThan(3e-4);
  expect(large / small).toBeGreaterThan(50);
});
