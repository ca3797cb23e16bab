"""What PEFT makes of an adapter saved here, and an adapter of PEFT's for the way back.

usage: peft-oracle.py BASE ADAPTER OUT     (token ids as JSON rows on standard input)
Prints the logits of ADAPTER on BASE and those of a random adapter of the same config, which it saves in OUT, as JSON.
"""
import json, os, sys

os.environ["HF_HUB_OFFLINE"] = "1"
import torch
from peft import PeftConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM

base, adapter, out = sys.argv[1:]
ids = torch.tensor(json.load(sys.stdin))
load = lambda: AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32, attn_implementation="eager")


def logits(model):
    with torch.no_grad():
        return model.eval()(input_ids=ids).logits.flatten().tolist()


torch.manual_seed(0)
theirs = logits(PeftModel.from_pretrained(load(), adapter))
config = PeftConfig.from_pretrained(adapter)
config.inference_mode = False
model = get_peft_model(load(), config)
with torch.no_grad():
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            parameter.add_(0.3 * torch.randn_like(parameter))
model.save_pretrained(out)
print(json.dumps({"adapter": theirs, "random": logits(model)}))
