// ONNX Runtime's product in a contest. usage: node onnx-runtime.mjs matmul cpu|webgpu SIZE
import { createRequire } from "node:module";
import { productError, randomNumbers, serve, timedProducts } from "./protocol.mjs";

const [, device, size] = process.argv.slice(2);

async function open() {
  const { InferenceSession, Tensor } = createRequire(import.meta.url)("onnxruntime-node");
  const n = Number(size);
  const session = await InferenceSession.create(productModel(n), { executionProviders: [device], logSeverityLevel: 3 });
  const [a, b] = [randomNumbers(n * n, 1), randomNumbers(n * n, 2)];
  const feeds = { a: new Tensor("float32", a, [n, n]), b: new Tensor("float32", b, [n, n]) };
  const { y } = await session.run(feeds);
  const error = productError(a, b, y.data, n);
  const work = async (count) => {
    for (let i = 0; i < count; i++) await session.run(feeds);
  };
  return { facts: { error }, run: timedProducts(work, device) };
}

/** An ONNX file (protocol buffers) of one MatMul of two n x n matrices: y = a · b. */
function productModel(n) {
  const varint = (value) => (value < 128 ? [value] : [(value & 127) | 128, ...varint(value >>> 7)]);
  const number = (field, value) => [...varint(field << 3), ...varint(value)];
  const bytes = (field, content) => [...varint((field << 3) | 2), ...varint(content.length), ...content];
  const text = (field, content) => bytes(field, [...Buffer.from(content)]);
  const dimension = bytes(1, number(1, n));
  const float = 1;
  const type = bytes(1, [...number(1, float), ...bytes(2, [...dimension, ...dimension])]);
  const matrix = (field, name) => bytes(field, [...text(1, name), ...bytes(2, type)]);
  const node = [...text(1, "a"), ...text(1, "b"), ...text(2, "y"), ...text(3, "product"), ...text(4, "MatMul")];
  const graph = [...bytes(1, node), ...text(2, "graph"), ...matrix(11, "a"), ...matrix(11, "b"), ...matrix(12, "y")];
  const [irVersion, opset] = [8, 17];
  return Uint8Array.from([...number(1, irVersion), ...bytes(7, graph), ...bytes(8, [...text(1, ""), ...number(2, opset)])]);
}

await serve(open);
