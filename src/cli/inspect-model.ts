import { matrixOf } from "../delora/index.ts";
import { joinPath, parseLlamaConfig, readJson } from "../io/index.ts";
import { topSvd } from "../linalg/top-svd.ts";
import { noGrad, norm, zeros } from "../ops/index.ts";
import { count, decimal } from "./format.ts";
import { facts, table } from "./table.ts";
import { oneLine, type Terminal } from "./terminal.ts";
import { WeightReader } from "./weight-reader.ts";

/** Elements of the largest matrix that is decomposed: 2048 × 8192. */
const LARGEST = 2 ** 24;

/** What is told of one matrix of a model. */
interface MatrixReport {
  readonly name: string;
  readonly shape: readonly number[];
  /** As stored: `F32`, `BF16`. */
  readonly dtype: string;
  /** ‖W‖_F */
  readonly norm: number;
  /** Lengths of the columns, DeLoRA's w. */
  readonly columnNorms: { readonly min: number; readonly mean: number; readonly max: number };
  readonly singularValues: readonly number[];
}

/** Tell the config of a Llama and the size of every matrix. */
export async function inspectModel(
  dir: string,
  options: { readonly count: number; readonly json: boolean },
  terminal: Terminal,
): Promise<void> {
  const raw = await readJson(joinPath(dir, "config.json"));
  const config = parseLlamaConfig(raw);
  const reader = await WeightReader.open(dir);
  const parameters = reader.entries.reduce((sum, [, { shape }]) => sum + shape.reduce((a, b) => a * b, 1), 0);
  const matrices: MatrixReport[] = [];
  for (const [name, { shape, dtype }] of reader.entries) {
    if (shape.length !== 2) continue;
    if (terminal.isTTY && !options.json) terminal.write(`\r\x1b[K  measuring ${oneLine(name)}`);
    matrices.push({ name, shape, dtype, ...(await measured(reader, name, options.count)) });
  }
  if (terminal.isTTY && !options.json) terminal.write("\r\x1b[K");
  if (options.json) {
    terminal.print(JSON.stringify({ config: raw, parameters, matrices }, null, 2));
    return;
  }
  const { numHiddenLayers, hiddenSize, intermediateSize, numAttentionHeads, numKeyValueHeads, vocabSize } = config;
  terminal.print(`polargrad inspect ${oneLine(dir)}`);
  const known: [string, string][] = [
    ["model", `Llama, ${numHiddenLayers} layers of ${hiddenSize}, ${count(parameters)} parameters`],
    ["heads", `${numAttentionHeads}, ${numKeyValueHeads} of keys and values, ${config.headDim} wide`],
    ["feed-forward", `${intermediateSize} wide`],
    ["vocabulary", `${count(vocabSize)} tokens${config.tieWordEmbeddings ? ", the head tied to the embedding" : ""}`],
  ];
  for (const line of facts(known)) terminal.print(line);
  terminal.print();
  const head = ["matrix", "shape", "dtype", "‖W‖_F", "columns: min … mean … max", "singular values"];
  const rows = matrices.map((matrix) => [
    oneLine(matrix.name.replace(/^model\./, "").replace(/\.weight$/, "")),
    matrix.shape.join("×"),
    matrix.dtype,
    decimal(matrix.norm),
    [matrix.columnNorms.min, matrix.columnNorms.mean, matrix.columnNorms.max].map((x) => decimal(x, 3)).join(" … "),
    matrix.singularValues.map((value) => decimal(value, 3)).join(" ") || "–",
  ]);
  for (const line of table(head, rows)) terminal.print(line);
  const isLeftOut = options.count > 0 && matrices.some(({ singularValues }) => singularValues.length === 0);
  if (isLeftOut) terminal.print(`– : of more than ${count(LARGEST)} elements, not decomposed`);
}

async function measured(
  reader: WeightReader,
  name: string,
  wanted: number,
): Promise<Pick<MatrixReport, "norm" | "columnNorms" | "singularValues">> {
  const weight = reader.read(name) ?? zeros([0, 0]);
  const columns = noGrad(() => norm(weight, { axes: 0 }));
  const lengths = Float64Array.from(await columns.data());
  const total = Math.sqrt(lengths.reduce((sum, value) => sum + value * value, 0));
  const mean = lengths.reduce((sum, value) => sum + value, 0) / lengths.length;
  const spread = lengths.reduce(
    ({ min, max }, value) => ({ min: Math.min(min, value), max: Math.max(max, value) }),
    { min: Number.POSITIVE_INFINITY, max: 0 },
  );
  const values = wanted > 0 && weight.size <= LARGEST ? [...topSvd(await matrixOf(weight), wanted).values] : [];
  columns.dispose();
  weight.dispose();
  return { norm: total, columnNorms: { ...spread, mean }, singularValues: values };
}
