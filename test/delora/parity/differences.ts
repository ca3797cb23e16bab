import type { Outcome } from "./stage.ts";

/** What we do where PEFT does otherwise, and why: docs/peft-differences.md says the same in words. */
interface Difference {
  readonly why: string;
  /** By the step's place (`2`, or `2.0` inside of another): what is expected instead of PEFT's; null for nothing. */
  readonly steps: Readonly<Record<string, { readonly [key in keyof Outcome]?: Outcome[key] | null }>>;
}

const Q = "layers.*.self_attn.q_proj";
const V = "layers.*.self_attn.v_proj";
const Q0 = "base_model.model.model.layers.0.self_attn.q_proj";
/** First logits on tiny-plain of the scenes' adapter "b", and of the base. */
const ONLY_B = [-1.21303, -0.404192, -0.721662, 1.096873, 0.369751, -0.042825];
const PLAIN = [-0.960147, 0.192036, -0.840855, 0.737925, 0.333338, 0.631269];
/** First logits on tiny-tied of the scenes' adapters of q_proj and the head. */
const TIED_HEAD = [-0.543602, 0.51588, 0.822082, -0.166975, 0.384061, -0.122616];

const error = (text: string): { error: readonly [string, string]; state: null; value: null } => ({
  error: ["", text],
  state: null,
  value: null,
});

const status = (names: readonly string[], rest: Readonly<Record<string, unknown>>): { value: unknown; error: null } => ({
  error: null,
  value: {
    base_model_type: "LlamaForCausalLM",
    adapter_model_type: "DeloraModel",
    peft_types: Object.fromEntries(names.map((name) => [name, "DELORA"])),
    enabled: true,
    active_adapters: names,
    merged_adapters: [],
    requires_grad: Object.fromEntries(names.map((name) => [name, true])),
    available_adapters: [...names].sort(),
    ...rest,
  },
});

const DOTTED = {
  why: "the name is refused in words, before anything is made",
  text: error(`an adapter's name can't be empty or contain "."`),
};
const TIED_WARNING = {
  warnings: ["Model has `tie_word_embeddings=True` and a tied layer is part of the adapter, but no implementation exists to tie"],
};
const TIED_WHY = "PEFT adds to the weight in place and so to the embedding; here the head has a weight of its own when merged";
const UNMERGED = {
  why: "one warning, when nothing was merged; PEFT warns for every module that was not",
  silent: { warnings: null },
};
const NO_SUBSTRINGS = { missing: [], unexpected: [] };
const NAMES_WHY = "missing keys are the adapter's own; PEFT also lists those whose name has this adapter's name anywhere in it";

function mismatch(name: string, stored: string, own: string): { error: readonly [string, string]; state: null } {
  const shapes =
    `copying a param with shape torch.Size([${stored}]) from checkpoint, ` +
    `the shape in current model is torch.Size([${own}]). 7 more tensors do not fit either.`;
  const what = "Error(s) in loading state_dict for PeftModelForCausalLM: size mismatch for";
  return { error: ["", `${what} ${Q0}.delora_A.${name}: ${shapes}`], state: null };
}
const MISMATCH_WHY = "one of the tensors is shown and the others are counted, and an adapter that is refused is not left behind";

/** By scene. */
export const DIFFERENCES: Readonly<Record<string, Difference>> = {
  "add: while another is merged": {
    why: "the new adapter's column norms come from the base, not from the merged weight",
    steps: { 5: { value: ONLY_B } },
  },
  "name: with a dot": { why: DOTTED.why, steps: { 0: DOTTED.text } },
  "name: with a dot, added": { why: DOTTED.why, steps: { 1: DOTTED.text } },
  "wrap: a wrapped model": {
    why: "an adapter that is made anew is on the modules of its new config; PEFT leaves the old one's layers on the others",
    steps: {
      2: { state: { trainable: [`${V}.delora_{A,B,lambda}.default`] } },
      3: { value: [-0.426383, -0.377469, -0.061936, 0.978674, 0.482885, 0.156601] },
      4: status(["default"], { trainable_params: 50, total_params: 4994, num_adapter_layers: 4 }),
    },
  },
  "wrap: a wrapped model, another name": {
    why: "an adapter that is no longer active is frozen; PEFT leaves both trainable",
    steps: {
      1: {
        state: {
          trainable: [`${Q}.delora_{A,B,lambda}.b`, `${V}.delora_{A,B,lambda}.b`],
          adapters: ["default", "b"],
          active: ["b"],
        },
      },
      3: status(["b"], {
        peft_types: { default: "DELORA", b: "DELORA" },
        trainable_params: 116,
        total_params: 5288,
        num_adapter_layers: 4,
        requires_grad: { default: false, b: true },
        available_adapters: ["b", "default"],
      }),
    },
  },
  "tied: the head": {
    why: TIED_WHY,
    steps: { 0: TIED_WARNING, 3: { warnings: null }, 4: { value: TIED_HEAD } },
  },
  "tied: the head saved": { why: "the warning is said shorter", steps: { 0: TIED_WARNING } },
  "merge_and_unload: tied head": {
    why: TIED_WHY,
    steps: {
      0: TIED_WARNING,
      1: { warnings: null },
      2: { value: [-0.586468, 1.391646, 1.050072, -0.176665, 0.636229, -0.323039] },
    },
  },
  "target: a module that is no Linear": {
    why: "the module is named by its class and path, PEFT prints all of it",
    steps: {
      0: error("Target module Embedding (model.embed_tokens) is not supported. Currently, only `torch.nn.Linear` is supported."),
      1: error("Target module LlamaMLP (model.layers.0.mlp) is not supported. Currently, only `torch.nn.Linear` is supported."),
    },
  },
  "set: unknown in a list": {
    why: "PEFT checks a single name only, and makes the unknown one active",
    steps: { 1: error("Adapter c not found.") },
  },
  "set: two with a saved module": {
    why: "the module is named by its path, PEFT prints all of it",
    steps: { 4: error("Only one adapter can be set at a time for lm_head (modules_to_save), got 2") },
  },
  "delete: all": {
    why: "in PEFT the model is broken where the active adapter's modules are not those of the next",
    steps: {
      2: { state: { trainable: [`${V}.delora_{A,B,lambda}.b`, "layers.*.mlp.up_proj.delora_{A,B,lambda}.b"], adapters: ["b"], active: ["b"] } },
      3: { value: ONLY_B, error: null },
      4: { state: { trainable: [], adapters: [], active: [] } },
      5: { value: PLAIN, error: null },
      6: status([], { adapter_model_type: "None", trainable_params: 0, total_params: 4944, num_adapter_layers: 6 }),
    },
  },
  "delete: while merged": { why: UNMERGED.why, steps: { 7: UNMERGED.silent, 9: { value: PLAIN, error: null } } },
  "merge: an inactive one": { why: UNMERGED.why, steps: { 4: UNMERGED.silent } },
  "disable: several active": {
    why: "which parameters are trained is nobody's business but setAdapter's; PEFT freezes them while adapters are disabled",
    steps: {
      "3.1": status(["default", "b"], { enabled: false, trainable_params: 360, total_params: 5304, num_adapter_layers: 6 }),
    },
  },
  "disable: a frozen adapter": {
    why: "leaving restores what was; PEFT makes the active adapter trainable",
    steps: { 1: { state: null } },
  },
  "disable: a merged adapter": {
    why: "leaving restores what was; in PEFT a forward inside takes the adapter out for good",
    steps: {
      "2.0": { state: null },
      2: { state: null },
      4: status(["default"], { merged_adapters: ["default"], trainable_params: 228, total_params: 5172, num_adapter_layers: 4 }),
    },
  },
  "adapter_names: in forward": {
    why: "PEFT drops the argument in silence for DeLoRA",
    steps: { 2: error("adapterNames is not supported"), 3: error("adapterNames is not supported") },
  },
  "merge: an unknown name": { why: "PEFT merges nothing in silence", steps: { 1: error("Adapter c not found.") } },
  "merge: NaN in the second, safely": {
    why: "nothing is merged when anything is refused; PEFT leaves the modules and adapters before it merged",
    steps: {
      3: { state: null },
      4: status(["default"], {
        peft_types: { default: "DELORA", b: "DELORA" },
        trainable_params: 228,
        total_params: 5304,
        num_adapter_layers: 6,
        requires_grad: { default: true, b: false },
        available_adapters: ["b", "default"],
      }),
    },
  },
  "unload: what is merged": {
    why: "the model without adapters is the base; PEFT leaves what was merged in the weights",
    steps: { 3: { value: PLAIN } },
  },
  "config: invalid": {
    why: "a rank is checked in every config; PEFT checks LoRA's when it is put on a model",
    steps: { 11: error("`r` must be a positive integer; got 0.") },
  },
  "file: no weights": {
    why: "adapters are not looked for on the network, and one that is refused is not left behind",
    steps: { 3: error("Can't find 'adapter_model.safetensors' at 'a'") },
  },
  "file: unknown keys": {
    why: "the advice behind the texts is ours",
    steps: {
      3: { warnings: ["Unexpected keyword arguments ['alpha', 'bogus'] for class DeloraConfig, these are ignored. This probably means that"] },
    },
  },
  "save: to a file": { why: "said as for all other files", steps: { 2: error("a: should be a directory to write into, found a file") } },
  "load: over one of another rank": {
    why: MISMATCH_WHY,
    steps: { 4: mismatch("default", "3, 16", "2, 16") },
  },
  "load: mismatched": { why: MISMATCH_WHY, steps: { 3: mismatch("default", "2, 16", "3, 16") } },
  "load: one more, mismatched": { why: MISMATCH_WHY, steps: { 3: mismatch("second", "2, 16", "3, 16") } },
  "load: a name within all others": { why: NAMES_WHY, steps: { 2: { value: NO_SUBSTRINGS } } },
  "load: a name within others": {
    why: NAMES_WHY,
    steps: { 2: { value: NO_SUBSTRINGS }, 4: { value: NO_SUBSTRINGS } },
  },
  "load: biases": {
    why: "an adapter that is loaded frozen is frozen, its biases too",
    steps: { 4: { state: { trainable: [] } } },
  },
  "load: biases of the adapted": {
    why: "an adapter that is loaded frozen is frozen, its biases too",
    steps: { 4: { state: { trainable: [] } } },
  },
  "convert: LoRA": { why: "it is asked for, and nothing is lost", steps: { 1: { warnings: null } } },
  "convert: DoRA": {
    why: "what is converted is all that DoRA does; PEFT leaves its magnitudes out",
    steps: { 1: { warnings: null } },
  },
  "convert: an adapter of other modules": {
    why: "the modules that the adapter has are converted; PEFT refuses where another adapter has one that it has not",
    steps: {
      2: {
        error: null,
        value: {
          ranks: Object.fromEntries([0, 1].flatMap((i) => ["self_attn.v", "mlp.up"].map((part) => [`model.layers.${i}.${part}_proj`, 1]))),
          modules_to_save: null,
          keys: [`${V}.lora_{A,B}.weight`, "layers.*.mlp.up_proj.lora_{A,B}.weight"],
        },
      },
    },
  },
};
