// TensorFlow.js in a contest. usage: node tfjs.mjs matmul|mlp|llama wasm|webgpu SIZE-OR-FILE
import { createRequire } from "node:module";
import { dirname } from "node:path";
import { inputByOutput, offerWebGpu, productError, randomNumbers, readArrays, rotaryTables, serve, timedSteps, timedProducts } from "./protocol.mjs";

const [workload, device, argument] = process.argv.slice(2);
const require = createRequire(import.meta.url);

async function open() {
  const adapter = device === "webgpu" ? await offerWebGpu() : null;
  // The CommonJS builds: the others need a bundler.
  const tf = require("@tensorflow/tfjs");
  const backend = require(`@tensorflow/tfjs-backend-${device}`);
  if (device === "wasm") backend.setWasmPaths(`${dirname(require.resolve("@tensorflow/tfjs-backend-wasm"))}/`);
  await tf.setBackend(device);
  await tf.ready();
  const facts = { tfjs: tf.version_core, backend: tf.getBackend(), ...(adapter ? { adapter } : {}) };
  if (workload === "matmul") return matmul(tf, facts, Number(argument));
  const arrays = readArrays(argument);
  const lossOf = workload === "mlp" ? mlp(tf, arrays) : llama(tf, arrays);
  const optimizer = tf.train.adam(1e-3, 0.9, 0.999, 1e-8);
  const step = async () => {
    const loss = optimizer.minimize(lossOf, true);
    const [value] = await loss.data();
    loss.dispose();
    return value;
  };
  return { facts, run: timedSteps(step) };
}

async function matmul(tf, facts, n) {
  const [a, b] = [randomNumbers(n * n, 1), randomNumbers(n * n, 2)];
  const [x, w] = [tf.tensor(a, [n, n]), tf.tensor(b, [n, n])];
  const product = tf.matMul(x, w);
  const error = productError(a, b, await product.data(), n);
  const work = async (count) => {
    const all = Array.from({ length: count }, () => tf.matMul(x, w));
    await all[count - 1].data();
    tf.dispose(all);
  };
  return { facts: { ...facts, error }, run: timedProducts(work, device) };
}

const variablesOf = (tf, arrays) => (name) => {
  const { shape, data } = inputByOutput(arrays[name]);
  return tf.variable(tf.tensor(data, shape));
};

const crossEntropy = (tf, logits, oneHot) => tf.neg(tf.mean(tf.sum(tf.mul(tf.logSoftmax(logits), oneHot), -1)));

const labels = (tf, { data }, classes) => tf.cast(tf.oneHot(tf.tensor1d(data, "int32"), classes), "float32");

function mlp(tf, arrays) {
  const [w1, b1, w2, b2] = ["w1", "b1", "w2", "b2"].map(variablesOf(tf, arrays));
  const x = tf.tensor(arrays.x.data, arrays.x.shape);
  const y = labels(tf, arrays.y, 10);
  return () => crossEntropy(tf, tf.add(tf.matMul(tf.relu(tf.add(tf.matMul(x, w1), b1)), w2), b2), y);
}

function llama(tf, arrays) {
  const [batch, time] = arrays.x.shape;
  const [vocabulary, width] = arrays["model.embed_tokens.weight"].shape;
  const [heads, layers, size] = [4, 2, width / 4];
  const variable = variablesOf(tf, arrays);
  const names = Object.keys(arrays).filter((name) => name.endsWith("weight") && !name.includes("embed"));
  const weights = Object.fromEntries(names.map((name) => [name.replace(/\.weight$/, ""), variable(name)]));
  const embedding = tf.variable(tf.tensor(arrays["model.embed_tokens.weight"].data, [vocabulary, width]));
  const ids = tf.tensor1d(arrays.x.data, "int32");
  const oneHotIds = labels(tf, arrays.x, vocabulary);
  const targets = labels(tf, arrays.y, vocabulary);
  const tables = rotaryTables(time, size);
  const [cos, sin] = [tables.cos, tables.sin].map((table) => tf.tensor(table, [1, time, 1, size]));
  const mask = tf.tensor(Float32Array.from({ length: time * time }, (_, i) => (i % time > Math.floor(i / time) ? -1e9 : 0)), [1, 1, time, time]);
  const norm = (x, name) => tf.mul(tf.mul(x, tf.rsqrt(tf.add(tf.mean(tf.square(x), -1, true), 1e-5))), weights[name]);
  const project = (x, name) => tf.matMul(x, weights[name]);
  const split = (x) => tf.reshape(x, [batch, time, heads, size]);
  const rotate = (x) => {
    const [first, second] = tf.split(x, 2, 3);
    return tf.add(tf.mul(x, cos), tf.mul(tf.concat([tf.neg(second), first], 3), sin));
  };
  const byHead = (x) => tf.transpose(x, [0, 2, 1, 3]);
  const attend = (x, at) => {
    const [q, k] = ["q", "k"].map((name) => byHead(rotate(split(project(x, `${at}.${name}_proj`)))));
    const v = byHead(split(project(x, `${at}.v_proj`)));
    const shares = tf.softmax(tf.add(tf.mul(tf.matMul(q, k, false, true), 1 / Math.sqrt(size)), mask));
    return project(tf.reshape(byHead(tf.matMul(shares, v)), [batch * time, width]), `${at}.o_proj`);
  };
  const feed = (x, at) => {
    const gate = project(x, `${at}.gate_proj`);
    return project(tf.mul(tf.mul(gate, tf.sigmoid(gate)), project(x, `${at}.up_proj`)), `${at}.down_proj`);
  };
  return () => {
    // The Wasm backend has no gradient of gather.
    let hidden = device === "wasm" ? tf.matMul(oneHotIds, embedding) : tf.gather(embedding, ids);
    for (let layer = 0; layer < layers; layer++) {
      const at = `model.layers.${layer}`;
      hidden = tf.add(hidden, attend(norm(hidden, `${at}.input_layernorm`), `${at}.self_attn`));
      hidden = tf.add(hidden, feed(norm(hidden, `${at}.post_attention_layernorm`), `${at}.mlp`));
    }
    return crossEntropy(tf, project(norm(hidden, "model.norm"), "lm_head"), targets);
  };
}

await serve(open);
