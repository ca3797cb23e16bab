"""Records what PEFT makes of a DeLoRA adapter as LoRA, for test/delora/lora-conversion.test.ts.

usage: python scripts/record-lora-conversion.py > test/goldens/lora-conversion.json

Needs torch and peft (../shared/tools/oracle-venv.sh builds them). Three Linears carry an adapter of rank 3: a wide one, a
tall one, and one whose update is zero. Every size is an int (a rank) or a float (a share of the squared singular values).
"""
import json

import peft
import torch
from peft import DeloraConfig, convert_to_lora, get_peft_model

SIZES = [1, 2, 3, 4, 5, 0.3, 0.6, 0.9, 0.99, 1.0]
REFUSED = [0, 0.0, 1.5, -0.5, 6, 7]


class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.wide = torch.nn.Linear(8, 5, bias=False)
        self.tall = torch.nn.Linear(5, 9, bias=False)
        self.idle = torch.nn.Linear(6, 6, bias=False)

    def forward(self, x):
        return self.tall(self.wide(x))


def numbers(tensor):
    return [float(f"{value:.9g}") for value in tensor.detach().double().flatten().tolist()]


def layers_of(model):
    for name in ["wide", "tall", "idle"]:
        yield name, getattr(model.base_model.model, name)


def converted(model, size):
    config, state = convert_to_lora(model, rank=size)
    key = "base_model.model.{}.lora_{}.weight"
    return {
        "config": {"r": config.r, "lora_alpha": config.lora_alpha, "rank_pattern": config.rank_pattern,
                   "alpha_pattern": config.alpha_pattern, "target_modules": sorted(config.target_modules)},
        "layers": {name: {"r": state[key.format(name, "A")].shape[0], "a": numbers(state[key.format(name, "A")]),
                          "b": numbers(state[key.format(name, "B")])} for name, _ in layers_of(model)},
    }


def refusal(model, size):
    try:
        convert_to_lora(model, rank=size)
    except ValueError as error:
        return str(error)
    raise SystemExit(f"{size} was accepted")


torch.manual_seed(4)
model = get_peft_model(Model(), DeloraConfig(r=3, delora_lambda=4, target_modules=["wide", "tall", "idle"], init_weights=False))
torch.nn.init.zeros_(model.base_model.model.idle.delora_B["default"])
given = {
    name: {"out": layer.out_features, "in": layer.in_features, "a": numbers(layer.delora_A["default"]),
           "b": numbers(layer.delora_B["default"]), "lambda": numbers(layer.delora_lambda["default"]),
           "w_norm": numbers(layer.delora_w_norm["default"])}
    for name, layer in layers_of(model)
}
result = {
    "peft": peft.__version__,
    "given": given,
    "converted": [["rank" if isinstance(size, int) else "energy", size, converted(model, size)] for size in SIZES],
    "refused": [["rank" if isinstance(size, int) else "energy", size, refusal(model, size)] for size in REFUSED],
}
print("{\n" + ",\n".join(f'"{key}": {json.dumps(value)}' for key, value in result.items()) + "\n}")
