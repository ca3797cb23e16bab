// What DeLoRA learns, seen from inside: the strength λ, the angle by which the directions a_i turn, and the share of its bound that
// the update uses, step by step. Run: npm run example examples/angle-and-strength.ts [steps]
import { init, noGrad } from "polargrad";
import { DeloraConfig, getPeftModel } from "polargrad/delora";
import { encodeRows } from "polargrad/io";
import { AutoTokenizer, LlamaForCausalLM } from "polargrad/nn";
import { Trainer } from "polargrad/train";

const STEPS = Number(process.argv[2] ?? 12);
const TEXT = "Call me Ishmael. Some years ago, never mind how long precisely, having little or no money in my purse, and nothing " +
  "particular to interest me on shore, I thought I would sail about a little and see the watery part of the world. ";

await init({ device: "cpu" });
const base = new URL("../models/sotu-1m", import.meta.url).pathname;
const tokenizer = await AutoTokenizer.fromPretrained(base);
const model = await LlamaForCausalLM.fromPretrained(base);
const peft = getPeftModel(model, new DeloraConfig({ r: 4, deloraLambda: 15, targetModules: ["q_proj", "v_proj", "down_proj"] }));
peft.printTrainableParameters();

/** The rows a_i of every adapted module. */
async function directions(): Promise<Float32Array[]> {
  const rows: Float32Array[] = [];
  for (const [name, a] of peft.namedParameters()) {
    if (!name.includes("delora_A")) continue;
    const values = (await a.data()) as Float32Array;
    const [r, n] = a.shape;
    for (let i = 0; i < r; i++) rows.push(values.slice(i * n, (i + 1) * n));
  }
  return rows;
}

/** Angle between two vectors, in degrees. */
function angle(a: Float32Array, b: Float32Array): number {
  const dot = (x: Float32Array, y: Float32Array): number => x.reduce((sum, value, i) => sum + value * y[i], 0);
  return (Math.acos(Math.min(1, dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b)))) * 180) / Math.PI;
}

const mean = (values: number[]): number => values.reduce((a, b) => a + b, 0) / values.length;
const start = await directions();
const rows = encodeRows([{ kind: "document", text: TEXT.repeat(8) }], tokenizer, { cutoffLen: 64 });

console.log("\nstep    loss   mean λ   angle of a_i to its start   mean ‖ΔW‖_F   share of the bound");
await new Trainer(peft, rows, { batchSize: 4, maxSteps: STEPS, learningRate: 3e-3, schedule: "constant" }).train({
  async onStep({ step, loss }) {
    const report = await noGrad(() => peft.adapterReport());
    const turned = mean((await directions()).map((a, i) => angle(a, start[i])));
    const lambda = mean(report.map((row) => row.lambda ?? 0));
    const norm = mean(report.map((row) => row.deltaNorm ?? 0));
    const share = mean(report.map((row) => row.share ?? 0));
    const bar = "█".repeat(Math.round(40 * share));
    console.log(`${String(step).padStart(4)}  ${loss.toFixed(4)}  ${lambda.toFixed(4)}  ${turned.toFixed(2).padStart(21)}°  ${norm.toFixed(4).padStart(14)}     ${(100 * share).toFixed(1)} % ${bar}`);
  },
});
