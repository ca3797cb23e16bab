// jax-js in a contest. usage: node jax-js.mjs matmul|mlp|llama wasm|webgpu SIZE-OR-FILE
// An array is used up by the call that takes it: `.ref` keeps it for another.
import { inputByOutput, offerWebGpu, productError, randomNumbers, readArrays, rotaryTables, serve, timedSteps, timedProducts } from "./protocol.mjs";

const [workload, device, argument] = process.argv.slice(2);
const ADAM = { rate: 1e-3, beta1: 0.9, beta2: 0.999, eps: 1e-8 };

async function open() {
  const adapter = device === "webgpu" ? await offerWebGpu() : null;
  const jax = await import("@jax-js/jax");
  await jax.init(device);
  jax.defaultDevice(device);
  const facts = adapter ? { adapter } : {};
  if (workload === "matmul") return matmul(jax, facts, Number(argument));
  const arrays = readArrays(argument);
  const problem = workload === "mlp" ? mlp(jax, arrays) : llama(jax, arrays);
  return { facts, run: timedSteps(trainer(jax, problem)) };
}

async function matmul({ numpy: np, blockUntilReady }, facts, n) {
  const [a, b] = [randomNumbers(n * n, 1), randomNumbers(n * n, 2)];
  const [x, w] = [a, b].map((data) => np.array(data).reshape([n, n]));
  const error = productError(a, b, await np.matmul(x.ref, w.ref).data(), n);
  const work = async (count) => {
    const all = Array.from({ length: count }, () => np.matmul(x.ref, w.ref));
    await blockUntilReady(all);
    for (const y of all) y.dispose();
  };
  return { facts: { ...facts, error }, run: timedProducts(work, device) };
}

/** One step of Adam, compiled as a whole. */
function trainer({ numpy: np, jit, tree, valueAndGrad }, { parameters, x, y, lossOf }) {
  const { rate, beta1, beta2, eps } = ADAM;
  const update = jit((weights, means, squares, factors, x, y) => {
    const [loss, gradients] = valueAndGrad(lossOf)(tree.ref(weights), x, y);
    const [scale, correction] = [factors.ref.slice(0), factors.slice(1)];
    const next = { weights: {}, means: {}, squares: {} };
    for (const name of Object.keys(weights)) {
      const mean = means[name].mul(beta1).add(gradients[name].ref.mul(1 - beta1));
      const square = squares[name].mul(beta2).add(np.square(gradients[name]).mul(1 - beta2));
      const move = scale.ref.mul(mean.ref).div(np.sqrt(square.ref.mul(correction.ref)).add(eps));
      next.weights[name] = weights[name].sub(move);
      next.means[name] = mean;
      next.squares[name] = square;
    }
    for (const used of [scale, correction]) used.dispose();
    return [loss, next.weights, next.means, next.squares];
  });
  const zeros = () => tree.map((array) => np.zeros(array.shape), tree.ref(parameters));
  let state = [parameters, zeros(), zeros()];
  let count = 0;
  return async () => {
    count++;
    const factors = np.array(new Float32Array([rate / (1 - beta1 ** count), 1 / (1 - beta2 ** count)]));
    const [loss, ...next] = update(...state, factors, x.ref, y.ref);
    state = next;
    return (await loss.data())[0];
  };
}

const crossEntropy = ({ nn }, logits, y, classes) => nn.logSoftmax(logits, -1).mul(nn.oneHot(y, classes)).sum().mul(-1 / y.shape[0]);

const arrayOf = (np, { shape, data }) => np.array(data).reshape(shape);

function mlp(jax, arrays) {
  const { numpy: np, nn } = jax;
  const parameters = Object.fromEntries(["w1", "b1", "w2", "b2"].map((name) => [name, arrayOf(np, inputByOutput(arrays[name]))]));
  const lossOf = ({ w1, b1, w2, b2 }, x, y) => crossEntropy(jax, np.matmul(nn.relu(np.matmul(x, w1).add(b1)), w2).add(b2), y, 10);
  return { parameters, x: arrayOf(np, arrays.x), y: np.array(arrays.y.data, { dtype: np.int32 }), lossOf };
}

function llama(jax, arrays) {
  const { numpy: np, nn } = jax;
  const [batch, time] = arrays.x.shape;
  const [vocabulary, width] = arrays["model.embed_tokens.weight"].shape;
  const [heads, layers, size] = [4, 2, width / 4];
  const names = Object.keys(arrays).filter((name) => name.endsWith("weight"));
  const layout = (name) => (name.includes("embed") ? arrays[name] : inputByOutput(arrays[name]));
  const parameters = Object.fromEntries(names.map((name) => [name.replace(/\.weight$/, ""), arrayOf(np, layout(name))]));
  const tables = rotaryTables(time, size);
  const [cos, sin] = [tables.cos, tables.sin].map((data) => np.array(data).reshape([1, time, 1, size]));
  const norm = (x, weight) => {
    const mean = np.square(x.ref).mean(-1, { keepdims: true });
    return x.mul(np.reciprocal(np.sqrt(mean.add(1e-5)))).mul(weight);
  };
  const rotate = (x) => {
    const [first, second] = [[0, size / 2], [size / 2, size]].map((range) => x.ref.slice([], [], [], range));
    return x.mul(cos.ref).add(np.concatenate([second.neg(), first], -1).mul(sin.ref));
  };
  const attend = (x, weights, at) => {
    const split = (name) => np.matmul(x.ref, weights[`${at}.${name}_proj`]).reshape([batch, time, heads, size]);
    const [q, k, v] = [rotate(split("q")), rotate(split("k")), split("v")];
    x.dispose();
    const mixed = nn.dotProductAttention(q, k, v, { isCausal: true }).reshape([batch, time, width]);
    return np.matmul(mixed, weights[`${at}.o_proj`]);
  };
  const feed = (x, weights, at) => {
    const gate = nn.silu(np.matmul(x.ref, weights[`${at}.gate_proj`]));
    return np.matmul(gate.mul(np.matmul(x, weights[`${at}.up_proj`])), weights[`${at}.down_proj`]);
  };
  const lossOf = (weights, x, y) => {
    // A product with one-hot ids: the gradient of gather does not compile in 0.1.25.
    let hidden = np.matmul(nn.oneHot(x, vocabulary), weights["model.embed_tokens"]).reshape([batch, time, width]);
    for (let layer = 0; layer < layers; layer++) {
      const at = `model.layers.${layer}`;
      hidden = hidden.ref.add(attend(norm(hidden, weights[`${at}.input_layernorm`]), weights, `${at}.self_attn`));
      hidden = hidden.ref.add(feed(norm(hidden, weights[`${at}.post_attention_layernorm`]), weights, `${at}.mlp`));
    }
    const logits = np.matmul(norm(hidden, weights["model.norm"]), weights.lm_head).reshape([batch * time, vocabulary]);
    return crossEntropy(jax, logits, y, vocabulary);
  };
  const [x, y] = ["x", "y"].map((name) => np.array(arrays[name].data, { dtype: np.int32 }));
  return { parameters, x, y, lossOf };
}

await serve(open);
