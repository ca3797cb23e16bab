"""What PEFT makes of adapters saved here, and adapters of PEFT's for the way back.

usage: peft-oracle.py     (on standard input: {"ids": rows of token ids, "jobs": [{"base", "adapter", "out"}, …]})
Prints, for every job, the logits of ADAPTER on BASE, alone and merged, and those of a random adapter of the same config, which it
saves in OUT, as JSON. An "energy" in a job asks for the ranks of PEFT's conversion of ADAPTER to LoRA as well.
"""
import json, os, sys, warnings

os.environ["HF_HUB_OFFLINE"] = "1"
import torch
from peft import PeftConfig, PeftModel, convert_to_lora, get_peft_model
from transformers import AutoModelForCausalLM
from transformers.utils import logging

logging.disable_progress_bar()
warnings.simplefilter("ignore")
task = json.load(sys.stdin)
ids = torch.tensor(task["ids"])


def load(base):
    return AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32, attn_implementation="eager")


def logits(model):
    with torch.no_grad():
        return model.eval()(input_ids=ids).logits.flatten().tolist()


def answer(base, adapter, out, energy=None):
    theirs = PeftModel.from_pretrained(load(base), adapter)
    result = {"adapter": logits(theirs)}
    if energy is not None:
        config, _ = convert_to_lora(theirs, energy)
        result["ranks"] = config.rank_pattern
    result["merged"] = logits(theirs.merge_and_unload())
    config = PeftConfig.from_pretrained(adapter)
    config.inference_mode = False
    model = get_peft_model(load(base), config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                parameter.add_(0.3 * torch.randn_like(parameter))
    model.save_pretrained(out)
    return {**result, "random": logits(model)}


torch.manual_seed(0)
print(json.dumps([answer(**job) for job in task["jobs"]]))
