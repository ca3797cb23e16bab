// What a script outside of the project does with the built package: every public spelling once, on a small random model.
import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { add, defineOp, grad, init, mul, noGrad, sum, tensor } from "polargrad";
import { DeloraConfig, getPeftModel, LoraConfig, PeftModel } from "polargrad/delora";
import { parseSafetensors, SafetensorsError, serializeSafetensors } from "polargrad/io";
import { LlamaForCausalLM } from "polargrad/nn";
import { gradcheck, opLaws } from "polargrad/testing";
import { AdamW, clipGradNorm, getScheduler } from "polargrad/train";

const config = {
  model_type: "llama", vocab_size: 32, hidden_size: 16, intermediate_size: 24, num_hidden_layers: 2, num_attention_heads: 4,
  num_key_value_heads: 2, max_position_embeddings: 64, rms_norm_eps: 1e-5, rope_theta: 10000, tie_word_embeddings: true,
};
const batch = {
  inputIds: [[1, 2, 3, 4, 5], [6, 7, 8, 0, 0]],
  labels: [[1, 2, 3, 4, 5], [6, 7, 8, -100, -100]],
  attentionMask: [[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]],
};

await init({ device: "cpu" });
const x = tensor([1, 2, 3], { requiresGrad: true });
sum(mul(x, x)).backward();
assert.deepEqual([...(await x.grad.data())], [2, 4, 6]);
assert.equal(await grad((t) => mul(mul(t, t), t))(tensor(2)).item(), 12);
assert.equal(noGrad(() => mul(x, x)).requiresGrad, false);

const dir = await mkdtemp(join(tmpdir(), "polargrad-consumer-"));
try {
  const { parseLlamaConfig } = await import("polargrad/io");
  await LlamaForCausalLM.fromConfig(parseLlamaConfig(config), { seed: 1 }).savePretrained(join(dir, "base"));
  const model = await LlamaForCausalLM.fromPretrained(join(dir, "base"), { device: "cpu" });
  const { logits, loss } = model.forward(batch);
  assert.deepEqual(logits.shape, [2, 5, 32]);
  assert.ok((await logits.data()) instanceof Float32Array);
  assert.ok(Math.abs((await loss.item()) - Math.log(32)) < 0.5);

  const peft = getPeftModel(model, new DeloraConfig({ r: 2, deloraLambda: 4, targetModules: ["q_proj", "v_proj"], taskType: "CAUSAL_LM" }));
  peft.train();
  const params = peft.namedParameters().map(([, p]) => p).filter((p) => p.requiresGrad);
  const opt = new AdamW(params, { lr: 1e-2, betas: [0.9, 0.999], eps: 1e-8, weightDecay: 0 });
  const schedule = getScheduler("linear", opt, { numWarmupSteps: 1, numTrainingSteps: 6 });
  const losses = [];
  for (let step = 0; step < 6; step++) {
    const out = peft.forward(batch);
    out.loss.backward();
    assert.ok(params.some((p) => p.grad));
    assert.ok((await clipGradNorm(params, 1)) >= 0);
    opt.step();
    opt.zeroGrad();
    schedule.step();
    losses.push(await out.loss.item());
  }
  assert.ok(losses.at(-1) < losses[0], `the loss falls: ${losses}`);
  peft.eval();
  await peft.savePretrained(join(dir, "adapter"));
  const tuned = await peft.forward(batch).logits.data();
  const again = await PeftModel.fromPretrained(await LlamaForCausalLM.fromPretrained(join(dir, "base"), { device: "cpu" }), join(dir, "adapter"), { isTrainable: true });
  assert.deepEqual([...(await again.forward(batch).logits.data())], [...tuned]);
  assert.ok([...again.stateDict().keys()].includes("base_model.model.model.layers.0.self_attn.q_proj.delora_A.default"));
  assert.ok(new LoraConfig({ r: 4, targetModules: ["q_proj"] }).r === 4);

  const bytes = serializeSafetensors(new Map([["t", { dtype: "F32", shape: [2], data: new Float32Array([1, 2]) }]]), { format: "pt" });
  assert.deepEqual(parseSafetensors(bytes).tensors.get("t").shape, [2]);
  assert.throws(() => parseSafetensors(new Uint8Array(4)), (error) => error instanceof SafetensorsError && typeof error.code === "string");
  await writeFile(join(dir, "weights.safetensors"), bytes);
} finally {
  await rm(dir, { recursive: true });
}

const double = defineOp("double", "x[*] -> y[*]", {
  reference({ x }, y) { for (let i = 0; i < y.length; i++) y[i] = 2 * x[i]; },
  pointwise: "2.0 * x",
  vjp: (_inputs, dy) => ({ x: () => add(dy, dy) }),
});
for (const law of opLaws(double)) await law.run();
assert.equal(await gradcheck((t) => double(t), [tensor([1, 2], { dtype: "f64", requiresGrad: true })]), true);
console.log(`consumer ok on Node ${process.version}`);
