"""The small Llamas, adapter values and digests that record-parity.py and record-scenes.py share.

Everything that a test has to repeat is a formula here: test/delora/parity/values.ts has the same ones.
"""
import math
import os
import re

os.environ["HF_HUB_OFFLINE"] = "1"
import torch
from peft import DeloraConfig, LoraConfig
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM
from transformers.utils import logging

logging.disable_progress_bar()

GOLDENS = os.path.join(os.path.dirname(__file__), "..", "test", "goldens", "parity")
# A row of token ids.
IDS = [[1, 5, 9, 30, 2, 17, 17, 4]]
CONFIGS = {"DELORA": DeloraConfig, "LORA": LoraConfig}
VARIANTS = {
    "tiny-plain": {},
    "tiny-biased": {"attention_bias": True, "mlp_bias": True},
    "tiny-tied": {"tie_word_embeddings": True},
    "tiny-half": {"dtype": torch.bfloat16},
}


def save_bases():
    """Write the base models into the current directory."""
    for name, fields in VARIANTS.items():
        dtype = fields.pop("dtype", torch.float32)
        torch.manual_seed(len(name))
        config = LlamaConfig(vocab_size=32, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4,
                             num_key_value_heads=2, max_position_embeddings=32, initializer_range=0.2, **fields)
        model = LlamaForCausalLM(config)
        with torch.no_grad():
            for key, parameter in model.named_parameters():
                if "norm" in key or key.endswith("bias"):
                    parameter.add_(0.1 * torch.randn_like(parameter))
        model.to(dtype).save_pretrained(name)
        os.remove(f"{name}/generation_config.json")


def base(name, dtype=None):
    """A base model of the current directory, in its own dtype by default."""
    return AutoModelForCausalLM.from_pretrained(name, dtype=dtype or "auto", attn_implementation="eager").eval()


def wave(name, shape):
    """Numbers in -1…1 that depend on a name and a position only."""
    seed = sum(map(ord, name))
    values = [math.sin(seed + 1.7 * k + 0.31 * k * k) for k in range(math.prod(shape))]
    return torch.tensor(values, dtype=torch.float64).reshape(shape).float()


def fill(model, adapter):
    """Give an adapter its values: the matrices are waves, all else of it is moved by a small one."""
    part = re.compile(rf"\.{re.escape(adapter)}(\.|$)")
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if not part.search(name) or "lambda" in name:
                continue
            if re.search(r"\.(delora|lora)_[AB]\.", name):
                parameter.copy_(0.3 * wave(name, parameter.shape))
            else:
                parameter.add_(0.05 * wave(name, parameter.shape))


def logits(model, **inputs):
    """The scores of the row's last three tokens, [3, vocab]."""
    with torch.no_grad():
        return model(input_ids=torch.tensor(IDS), **inputs).logits[0, -3:].float()
