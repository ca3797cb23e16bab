"""The DeLoRA step of bench/workloads/delora.ts in PyTorch and PEFT, from the files that it wrote.

usage: python peft-step.py FOLDER
"""
import json, os, sys

import torch
import peft
import transformers
from protocol import serve, timed_steps

folder = sys.argv[1]
with open(os.path.join(folder, "batch.json")) as file:
    batch = json.load(file)
base = transformers.AutoModelForCausalLM.from_pretrained(os.path.join(folder, "base"), dtype=torch.float32)
model = peft.PeftModel.from_pretrained(base, os.path.join(folder, "adapter"), is_trainable=True).train()
trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
optimizer = torch.optim.AdamW(trainable, lr=batch["rate"], weight_decay=0.0)
ids = torch.tensor(batch["ids"])


def step():
    loss = model(input_ids=ids, labels=ids).loss
    loss.backward()
    torch.nn.utils.clip_grad_norm_(trainable, batch["maxNorm"])
    optimizer.step()
    optimizer.zero_grad()
    return loss.item()


serve({"torch": torch.__version__, "transformers": transformers.__version__, "peft": peft.__version__,
       "threads": torch.get_num_threads(), "trainable": sum(parameter.numel() for parameter in trainable)}, timed_steps(step))
