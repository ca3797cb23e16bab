"""Records what PEFT says and does in every scene of parity_scenes.py and parity_file_scenes.py, for test/delora/parity/scenes.test.ts.

usage: PYTHONHASHSEED=0 python scripts/record-scenes.py     (after record-parity.py, which writes the base models)

Needs torch, transformers and peft (../shared/tools/oracle-venv.sh builds them). Writes test/goldens/parity/scenes.json. Every step
has what came of it: the error or the value, the warnings, and what changed in the model's state.
"""
import contextlib
import dataclasses
import io
import json
import math
import os
import re
import shutil
import tempfile
import warnings

import parity_file_scenes as files
import parity_models as parity
import parity_scenes as scenes
import peft
import torch
from peft import PeftConfig, PeftModel, convert_to_lora, get_peft_model, inject_adapter_in_model
from peft.tuners.tuners_utils import BaseTunerLayer
from safetensors.torch import load_file, save_file
from transformers import LlamaForCausalLM

PREFIX = "base_model.model."
TABLES = [scenes.ADDING, scenes.ACTIVE, scenes.MERGING, files.CONFIG, files.SAVING, files.LOADING, files.CONVERTING, files.PRINTING]


def short(names):
    """Names without PEFT's prefix, those of both layers as layers.*, those of an adapter's matrices as delora_{A,B,lambda}."""
    names = [name.removeprefix(PREFIX).removeprefix("model.") for name in names]
    found = {}
    for name in names:
        twin = re.sub(r"layers\.[01]\.", lambda layer: layer[0].translate({48: "1", 49: "0"}), name)
        if twin != name and twin in names:
            name = re.sub(r"layers\.[01]\.", "layers.*.", name)
        tensor = re.search(r"lora_(A|B|lambda|w_norm|magnitude_vector)(?=\.|$)", name)
        key = name if tensor is None else name.replace(tensor[0], "lora_{}", 1)
        parts = found.setdefault(key, [])
        if tensor and tensor[1] not in parts:
            parts.append(tensor[1])
    return [key.replace("{}", "{" + ",".join(parts) + "}") for key, parts in found.items()]


def configured(kind, fields):
    return parity.CONFIGS[kind](**{**scenes.DEFAULTS[kind], **fields})


def digits(values):
    """The first six numbers."""
    return ["NaN" if math.isnan(x) else round(x, 6) for x in values[:6].tolist()]


class Stage:
    """The model that a scene is played on, and its directory."""

    def __init__(self, variant):
        self.variant = f"tiny-{variant}"
        self.model = parity.base(self.variant)

    def state(self):
        model = self.model
        llama = next(module for module in model.modules() if isinstance(module, LlamaForCausalLM))
        trainable = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
        answer = {"trainable": "all" if len(trainable) == len(list(model.parameters())) else short(trainable), "training": llama.training}
        if isinstance(model, PeftModel):
            layers = [layer for layer in model.modules() if isinstance(layer, BaseTunerLayer)]
            answer["adapters"] = list(model.peft_config)
            answer["active"] = list(model.active_adapters)
            answer["merged"] = sorted({name for layer in layers for name in layer.merged_adapters})
        return answer

    def play(self, op, *args):
        return getattr(self, op)(*args)

    def config(self, kind, fields):
        return parity.CONFIGS[kind](**fields) and None

    def wrap(self, kind, fields, name):
        config = configured(kind, fields)
        self.model = get_peft_model(parity.base(self.variant), config, name)
        parity.fill(self.model, name)

    def rewrap(self, kind, fields, name):
        self.model = get_peft_model(self.model.base_model.model, configured(kind, fields), name)
        parity.fill(self.model, name)

    def inject(self, kind, fields, name):
        self.model = inject_adapter_in_model(configured(kind, fields), self.model, name)
        parity.fill(self.model, name)

    def add(self, name, kind, fields):
        self.model.add_adapter(name, configured(kind, fields))
        parity.fill(self.model, name)

    def set(self, names, options=None):
        (self.model if isinstance(names, str) else self.model.base_model).set_adapter(names, **(options or {}))

    def delete(self, name):
        self.model.delete_adapter(name)

    def merge(self, options=None):
        self.model.merge_adapter(**(options or {}))

    def unmerge(self):
        self.model.unmerge_adapter()

    def merge_and_unload(self, options=None):
        self.model = self.model.merge_and_unload(**(options or {}))

    def unload(self):
        self.model = self.model.unload()

    def disable(self, steps):
        with self.model.disable_adapter():
            return [record_step(self, step) for step in steps]

    def requires_grad(self, names, flag):
        self.model.set_requires_grad(names, flag)

    def fresh(self):
        self.model = parity.base(self.variant)

    def forward(self, inputs=None):
        return digits(parity.logits(self.model, **(inputs or {}))[-1])

    def delta(self, path, name):
        layer = self.model.get_submodule(f"{PREFIX}model.{path}")
        return digits(layer.get_delta_weight(name).flatten())

    def status(self):
        status = dataclasses.asdict(self.model.get_model_status())
        return {key: value for key, value in status.items() if key not in ("quantization_backend", "devices")}

    def layers(self):
        """The first and the last layer's status."""
        layers = self.model.get_layer_status()
        shown = [dataclasses.asdict(layer) for layer in (layers[0], layers[-1])]
        return [len(layers), *({key: value for key, value in layer.items() if key != "quantization_backend"} for layer in shown)]

    def print(self):
        with contextlib.redirect_stdout(io.StringIO()) as out:
            self.model.print_trainable_parameters()
        return out.getvalue().rstrip("\n")

    def trainable(self):
        return None

    def keys(self):
        return short(self.model.state_dict())

    def freeze(self, part):
        for name, parameter in self.model.named_parameters():
            if part in name:
                parameter.requires_grad = False

    def waves(self, part):
        """Move the parameters of these names by a wave."""
        with torch.no_grad():
            for name, parameter in self.model.named_parameters():
                if part in name:
                    parameter.add_(0.05 * parity.wave(name, parameter.shape))

    def zero(self, name):
        with torch.no_grad():
            for key, parameter in self.model.named_parameters():
                if f"_B.{name}" in key:
                    parameter.zero_()

    def __getattr__(self, name):
        return {"break": self.damage}[name]

    def damage(self, name, value):
        """Put NaN or an infinity into the adapter's first B."""
        with torch.no_grad():
            next(p for key, p in self.model.named_parameters() if f"_B.{name}" in key)[0] = float(value)

    def save(self, folder, options=None):
        self.model.save_pretrained(folder, **(options or {}))

    def load(self, folder, name, options=None):
        result = self.model.load_adapter(folder, name, **(options or {}))
        return {"missing": short(result.missing_keys), "unexpected": sorted(short(result.unexpected_keys))}

    def from_pretrained(self, folder, options=None):
        self.model = PeftModel.from_pretrained(parity.base(self.variant), folder, **(options or {}))

    def list(self, folder):
        return sorted(os.path.relpath(os.path.join(at, name), folder) for at, _, names in os.walk(folder) for name in names)

    def tensors(self, folder):
        return short(load_file(f"{folder}/adapter_model.safetensors"))

    def remove(self, path):
        os.remove(path)

    def touch(self, path):
        with open(path, "w"):
            pass

    def edit(self, folder, fields):
        path = f"{folder}/adapter_config.json"
        with open(path) as file:
            config = {**json.load(file), **fields}
        with open(path, "w") as file:
            json.dump({key: value for key, value in config.items() if value != "$absent"}, file)

    def retensor(self, folder, change):
        path = f"{folder}/adapter_model.safetensors"
        save_file(change(load_file(path)), path, {"format": "pt"})

    def drop(self, folder, names):
        self.retensor(folder, lambda state: {key: value for key, value in state.items() if key not in names})

    def rename(self, folder, changes):
        [(old, new)] = changes.items()
        self.retensor(folder, lambda state: {key.replace(old, new, 1): value for key, value in state.items()})

    def extend(self, folder, names):
        self.retensor(folder, lambda state: {**state, **{name: torch.zeros(2, 2) for name in names}})

    def convert(self, options):
        rank = options["rank"] if "rank" in options else options["energy"]
        config, state = convert_to_lora(self.model, rank, adapter_name=options.get("adapter_name", "default"))
        assert config.r == config.lora_alpha and config.rank_pattern == config.alpha_pattern
        ranks = {key.removeprefix(PREFIX).removesuffix(".lora_A.weight"): len(value) for key, value in state.items() if "lora_A" in key}
        return {"ranks": ranks, "modules_to_save": config.modules_to_save, "keys": short(state)}


def record_step(stage, step):
    before = stage.state()
    answer = {"step": step}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            value = stage.play(*step)
            if value is not None:
                answer["value"] = value
        except Exception as error:
            text = error.args[0] if isinstance(error, KeyError) and error.args else str(error)
            answer["error"] = [type(error).__name__, text.replace(os.getcwd(), "$DIR")]
    texts = [str(w.message).replace(os.getcwd(), "$DIR") for w in caught]
    if texts:
        answer["warnings"] = list(dict.fromkeys(texts))
    after = stage.state()
    changes = {key: value for key, value in after.items() if before.get(key) != value}
    if changes:
        answer["state"] = changes
    return answer


def play(name, variant, steps):
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(f"{goldens}/tiny-{variant}", f"{folder}/tiny-{variant}")
        os.chdir(folder)
        stage = Stage(variant)
        row = {"name": name, "base": f"tiny-{variant}", "steps": [record_step(stage, step) for step in steps]}
        os.chdir(goldens)
    return json.dumps(row)


goldens = os.path.abspath(parity.GOLDENS)
rows = [play(*scene) for table in TABLES for scene in table]
with open(f"{goldens}/scenes.json", "w") as file:
    file.write('{\n"peft": ' + json.dumps(peft.__version__) + ',\n"defaults": ' + json.dumps(scenes.DEFAULTS) + ',\n"scenes": [\n' + ",\n".join(rows) + "\n]\n}\n")
