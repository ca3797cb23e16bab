"""Greedy continuation with a cache in transformers, as bench/sides/generation.ts does it.

usage: python transformers-generation.py FOLDER PROMPT-TOKENS
"""
import json, os, sys, time

import torch
import transformers
from protocol import serve

folder, prompt_tokens = sys.argv[1], int(sys.argv[2])
model = transformers.AutoModelForCausalLM.from_pretrained(os.path.join(folder, "base"), dtype=torch.float32).eval()
model.generation_config.eos_token_id = None
with open(os.path.join(folder, "batch.json")) as file:
    prompt = torch.tensor([json.load(file)["ids"][0][:prompt_tokens]])


def run(count):
    start = time.perf_counter()
    with torch.no_grad():
        out = model.generate(prompt, attention_mask=torch.ones_like(prompt), do_sample=False, max_new_tokens=count, pad_token_id=0)
    return [(time.perf_counter() - start) * 1e3 / count], out[0, prompt_tokens:].tolist()


serve({"torch": torch.__version__, "transformers": transformers.__version__, "threads": torch.get_num_threads()}, run)
