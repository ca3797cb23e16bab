import { PEFT_VERSION, type PeftConfig } from "./peft-config.ts";

/** PEFT's name of the file that describes an adapter on the Hub. */
export const CARD_FILE = "README.md";

const METHOD_NAMES: Readonly<Record<string, string>> = { DELORA: "DeLoRA", LORA: "LoRA" };
const VERSIONS = "### Framework versions";

/**
 * The model card of an adapter: front matter as PEFT writes it, and a text that says what the adapter is. Of a card
 * that is there already, the text stays and the front matter keeps what is not PEFT's.
 *
 * @param before the card that is there; null for none
 * @param isTransformers whether the base is a model of transformers
 */
export function modelCard(config: PeftConfig, before: string | null, isTransformers: boolean): string {
  const old = before === null ? null : splitCard(before);
  const data = new Map(old?.data);
  const base = config.baseModelNameOrPath;
  if (base) data.set("base_model", [`base_model: ${yamlText(base)}`]);
  data.set("library_name", ["library_name: peft"]);
  if (config.taskType === "CAUSAL_LM" && !data.has("pipeline_tag"))
    data.set("pipeline_tag", ["pipeline_tag: text-generation"]);
  const tags = [
    ...(isTransformers ? ["transformers"] : []),
    ...(config.peftType === "LORA" ? ["lora"] : []),
    ...(base ? [`base_model:adapter:${base}`] : []),
  ].sort();
  if (tags.length > 0) data.set("tags", ["tags:", ...tags.map((tag) => `- ${yamlText(tag)}`)]);
  const text = withVersion(old?.text ?? description(config));
  return ["---", ...[...data.values()].flat(), "---", text].join("\n");
}

/** The lines of a card's front matter by key, and the text below it. */
function splitCard(card: string): { data: Map<string, string[]>; text: string } {
  const lines = card.split(/\r?\n/);
  const end = lines[0] === "---" ? lines.indexOf("---", 1) : -1;
  const data = new Map<string, string[]>();
  if (end < 0) return { data, text: `\n${card}` };
  let key = "";
  for (const line of lines.slice(1, end)) {
    key = /^([^\s#:-][^:]*):/.exec(line)?.[1] ?? key;
    data.set(key, [...(data.get(key) ?? []), line]);
  }
  return { data, text: lines.slice(end + 1).join("\n") };
}

function withVersion(text: string): string {
  const version = `- PEFT ${PEFT_VERSION}`;
  const lines = text.split("\n");
  if (lines.includes(version)) return text;
  const at = lines.indexOf(VERSIONS);
  if (at < 0) return `${text.trimEnd()}\n\n${VERSIONS}\n\n${version}\n`;
  return [...lines.slice(0, at + 2), version, ...lines.slice(at + 2)].join("\n");
}

function description({ r, baseModelNameOrPath, peftType, targetModules }: PeftConfig): string {
  const base = baseModelNameOrPath ?? "its base model";
  const targets = typeof targetModules === "string" ? `modules that match ${targetModules}` : targetModules?.join(", ");
  return `
# ${METHOD_NAMES[peftType] ?? peftType} adapter for ${base}

An adapter of rank ${r} on ${targets}. It holds what was learned only, not the base model.

\`\`\`python
from peft import PeftModel
from transformers import AutoModelForCausalLM

model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(${JSON.stringify(base)}), "path/to/this/adapter")
\`\`\`
`;
}

/** A text as a YAML scalar: plain where YAML reads it back as that very text. */
function yamlText(text: string): string {
  const isPlain = /^[A-Za-z0-9_./][A-Za-z0-9_./:@+-]*$/.test(text) && !/:$/.test(text);
  const isOther = /^(true|false|null|yes|no|on|off|~|[-+.]?\d[\d._eE+-]*)$/i.test(text);
  return isPlain && !isOther ? text : JSON.stringify(text);
}
