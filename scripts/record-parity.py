"""Records adapters that PEFT saved and what they do, for test/delora/parity/saved-adapters.test.ts.

usage: PYTHONHASHSEED=0 python scripts/record-parity.py     (the seed orders the sets in configs)

Needs torch, transformers and peft (../shared/tools/oracle-venv.sh builds them). Writes into test/goldens/parity: the base models;
adapters/NAME with PEFT's files; adapters.json with each one's base, its state-dict keys, its card's front matter and its
conversions; answers.safetensors with logits (alone, merged, beside another adapter, converted) and updates.
"""
import json
import os
import shutil

import parity_models as parity
import peft
import torch
from parity_models import base, fill, logits
from peft import PeftModel, convert_to_lora, get_peft_model, set_peft_model_state_dict
from peft.tuners.tuners_utils import BaseTunerLayer
from safetensors.torch import save_file

QV = ["q_proj", "v_proj"]
ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
LM = {"task_type": "CAUSAL_LM"}
ADAPTERS = {
    "delora-defaults": ("tiny-plain", "DELORA", {}),
    "delora-all-linears": ("tiny-plain", "DELORA", {"r": 3, "delora_lambda": 4, "target_modules": ALL, **LM}),
    "delora-all-linear-word": ("tiny-plain", "DELORA", {"r": 1, "target_modules": "all-linear", **LM}),
    "delora-regex": ("tiny-plain", "DELORA", {"r": 2, "target_modules": r".*\.1\.(self_attn\.[qk]|mlp\.down)_proj", "module_dropout": 0.1, **LM}),
    "delora-exclude": ("tiny-plain", "DELORA", {"r": 2, "target_modules": ALL, "exclude_modules": ["mlp", "layers.0.self_attn.o_proj", "up_proj", "gate_proj"], **LM}),
    "delora-patterns": ("tiny-plain", "DELORA", {"r": 2, "delora_lambda": 7.5, "target_modules": QV + ["up_proj"], "layers_to_transform": [1], "layers_pattern": "layers",
                        "rank_pattern": {"q_proj": 3, "^model.layers.1.mlp.*": 1}, "lambda_pattern": {"v_proj": 2, "q": 9}, **LM}),
    "delora-random-init": ("tiny-plain", "DELORA", {"r": 4, "init_weights": False, "revision": "main"}),
    "delora-bias-all": ("tiny-biased", "DELORA", {"r": 2, "bias": "all", **LM}),
    "delora-bias-only": ("tiny-biased", "DELORA", {"r": 2, "bias": "delora_only", "target_modules": ["o_proj", "down_proj"], **LM}),
    "delora-saved-head": ("tiny-plain", "DELORA", {"r": 2, "modules_to_save": ["lm_head"], **LM}),
    "delora-saved-both": ("tiny-plain", "DELORA", {"r": 2, "modules_to_save": ["embed_tokens", "lm_head"], "target_modules": ["v_proj"]}),
    "delora-head": ("tiny-plain", "DELORA", {"r": 2, "target_modules": ["q_proj", "lm_head"], **LM}),
    "delora-head-tied": ("tiny-tied", "DELORA", {"r": 2, "target_modules": ["q_proj", "lm_head"], **LM}),
    "delora-negative": ("tiny-plain", "DELORA", {"r": 2, "delora_lambda": -4, "target_modules": ["k_proj", "gate_proj"], **LM}),
    "delora-half": ("tiny-half", "DELORA", {"r": 2, "delora_lambda": 2.3, **LM}),
    "lora": ("tiny-plain", "LORA", {"r": 3, "lora_alpha": 6, **LM}),
    "lora-rs": ("tiny-plain", "LORA", {"r": 4, "lora_alpha": 6, "use_rslora": True, "lora_dropout": 0.05, **LM}),
    "lora-patterns": ("tiny-plain", "LORA", {"r": 2, "lora_alpha": 4, "target_modules": ALL, "rank_pattern": {"mlp.*": 1, "q_proj": 4},
                      "alpha_pattern": {"layers.0.self_attn.q_proj": 9, "down_proj": 3}, "layers_to_transform": 0, **LM}),
    "lora-gaussian": ("tiny-plain", "LORA", {"r": 4, "init_lora_weights": "gaussian", "target_modules": r".*\.(q|v)_proj"}),
    "lora-bias": ("tiny-biased", "LORA", {"r": 2, "bias": "lora_only", **LM}),
    "dora": ("tiny-plain", "LORA", {"r": 3, "lora_alpha": 5, "use_dora": True, **LM}),
    "dora-all-linears": ("tiny-biased", "LORA", {"r": 2, "use_dora": True, "target_modules": "all-linear", "exclude_modules": r".*k_proj", **LM}),
    "dora-half": ("tiny-half", "LORA", {"r": 2, "use_dora": True, **LM}),
}
# The adapters of which more is recorded.
LISTED = ["delora-defaults", "delora-bias-all", "delora-saved-both", "delora-head-tied", "lora-patterns", "dora"]
CONVERTED = ["delora-defaults", "delora-regex", "delora-patterns", "delora-saved-head", "delora-head", "delora-negative"]
CONVERTED_FIELDS = ["r", "lora_alpha", "rank_pattern", "alpha_pattern", "target_modules", "exclude_modules", "modules_to_save",
                    "layers_to_transform", "layers_pattern", "base_model_name_or_path", "task_type", "bias"]
answers, index = {}, {}


def perturb(model, adapter="default"):
    """Values that an adapter could have after training."""
    fill(model, adapter)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "delora_lambda" in name:
                parameter.add_(0.37)
            if name.endswith(".bias") and parameter.requires_grad:
                parameter.add_(0.05 * parity.wave(name, parameter.shape))


def record(name, base_name, kind, fields):
    torch.manual_seed(1)
    model = get_peft_model(base(base_name), parity.CONFIGS[kind](**fields)).eval()
    row = index[name] = {"base": base_name, "type": kind, "config": fields}
    if name == "delora-half":
        model.save_pretrained(f"adapters/{name}/first")
    perturb(model)
    model.save_pretrained(f"adapters/{name}")
    with open(f"adapters/{name}/README.md") as card:
        row["card"] = card.read().split("---\n", 2)[1]
    os.remove(f"adapters/{name}/README.md")
    if os.path.exists(f"adapters/{name}/first"):
        os.remove(f"adapters/{name}/first/README.md")
    if name in LISTED:
        row["keys"] = [key.removeprefix("base_model.model.") for key in model.state_dict()]
    answers[f"{name}/logits"] = logits(model)
    path, layer = [each for each in model.named_modules() if isinstance(each[1], BaseTunerLayer)][-1]
    row["delta"] = path.removeprefix("base_model.model.")
    answers[f"{name}/delta"] = layer.get_delta_weight("default").detach().float().clone()
    if base_name == "tiny-half":
        single = PeftModel.from_pretrained(base(base_name, torch.float32), f"adapters/{name}")
        answers[f"{name}/logits-float32"] = logits(single)
    if name in CONVERTED:
        convert(name, base_name, model, row)
    merge(name, base_name)


def convert(name, base_name, model, row):
    """The LoRA adapters that PEFT makes of it: of rank 1, of its own, and of nine tenths of the energy."""
    row["conversions"] = []
    own = max(layer.r["default"] for layer in model.modules() if isinstance(layer, BaseTunerLayer))
    for rank in sorted({1, own}) + [0.9]:
        config, state = convert_to_lora(model, rank)
        text = {key: getattr(config, key) for key in CONVERTED_FIELDS}
        text = {key: sorted(value) if isinstance(value, set) else value for key, value in text.items()}
        lora = get_peft_model(base(base_name), config).eval()
        set_peft_model_state_dict(lora, state)
        label = f"{name}/converted-{rank}"
        row["conversions"].append({"rank": rank, "config": text, "shapes": {k: list(v.shape) for k, v in state.items()}})
        answers[label] = logits(lora)


def merge(name, base_name):
    """Its logits when merged, and beside a second adapter of the same config."""
    merged = PeftModel.from_pretrained(base(base_name), f"adapters/{name}").merge_and_unload()
    answers[f"{name}/merged"] = logits(merged)
    if base_name == "tiny-half":
        answers[f"{name}/merged-weight"] = merged.model.layers[0].self_attn.q_proj.weight.detach().float()
    both = PeftModel.from_pretrained(base(base_name), f"adapters/{name}")
    second = peft.PeftConfig.from_pretrained(f"adapters/{name}")
    if second.bias != "none" or second.modules_to_save:
        return
    both.add_adapter("second", second)
    fill(both, "second")
    both.base_model.set_adapter(["default", "second"])
    answers[f"{name}/both"] = logits(both.eval())


def record_pair():
    """Two adapters that are saved together."""
    model = get_peft_model(base("tiny-plain"), parity.CONFIGS["DELORA"](r=2, **LM))
    model.add_adapter("other-one", parity.CONFIGS["DELORA"](r=1, delora_lambda=5, target_modules=["up_proj"], **LM))
    for adapter in ("default", "other-one"):
        fill(model, adapter)
    model.eval().save_pretrained("adapters/pair")
    os.remove("adapters/pair/README.md")
    for adapter in ("default", "other-one"):
        model.set_adapter(adapter)
        answers[f"pair/{adapter}"] = logits(model)
    model.base_model.set_adapter(["default", "other-one"])
    answers["pair/both"] = logits(model)


os.makedirs(parity.GOLDENS, exist_ok=True)
os.chdir(parity.GOLDENS)
shutil.rmtree("adapters", ignore_errors=True)
parity.save_bases()
for variant in parity.VARIANTS:
    answers[f"base/{variant}"] = logits(base(variant))
for adapter_name, case in ADAPTERS.items():
    record(adapter_name, *case)
record_pair()
save_file({key: value.contiguous() for key, value in answers.items()}, "answers.safetensors")
rows = ",\n".join(f"{json.dumps(key)}: {json.dumps(value)}" for key, value in index.items())
with open("adapters.json", "w") as file:
    file.write('{\n"peft": ' + json.dumps(peft.__version__) + ',\n"adapters": {\n' + rows + "\n}\n}\n")
