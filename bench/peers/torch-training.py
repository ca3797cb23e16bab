"""The training steps of bench/workloads/mlp.ts and llama.ts in plain PyTorch, from the arrays that trainingFiles wrote.

usage: python torch-training.py mlp|llama FILE
"""
import sys

import torch
from safetensors.torch import load_file
from torch.nn import functional as F
from protocol import serve, timed_steps

LAYERS, HEADS, EPS, THETA = 2, 4, 1e-5, 10000.0

workload, path = sys.argv[1:]
arrays = load_file(path)
x, y = arrays.pop("x"), arrays.pop("y").long()
weights = {name: value.requires_grad_() for name, value in arrays.items()}
linear = lambda value, name: F.linear(value, weights[name + ".weight"])


def mlp_loss():
    hidden = F.relu(F.linear(x, weights["w1"], weights["b1"]))
    return F.cross_entropy(F.linear(hidden, weights["w2"], weights["b2"]), y)


def rms_norm(value, name):
    return F.rms_norm(value, value.shape[-1:], weights[name + ".weight"], EPS)


def rotations(time, size):
    """Cosine and sine of the angle of every position and channel: [time, size]."""
    frequencies = THETA ** (-torch.arange(0, size, 2, dtype=torch.float64) / size)
    angles = torch.outer(torch.arange(time, dtype=torch.float64), frequencies).repeat(1, 2)
    return angles.cos().float(), angles.sin().float()


def rotate(value, cos, sin):
    first, second = value.chunk(2, -1)
    return value * cos + torch.cat([-second, first], -1) * sin


def attend(value, at, cos, sin):
    batch, time, width = value.shape
    heads = lambda name: linear(value, f"{at}.{name}_proj").view(batch, time, HEADS, -1).transpose(1, 2)
    q, k, v = heads("q"), heads("k"), heads("v")
    mixed = F.scaled_dot_product_attention(rotate(q, cos, sin), rotate(k, cos, sin), v, is_causal=True)
    return linear(mixed.transpose(1, 2).reshape(batch, time, width), f"{at}.o_proj")


def llama_loss():
    ids = x.long()
    hidden = weights["model.embed_tokens.weight"][ids]
    cos, sin = rotations(ids.shape[1], hidden.shape[2] // HEADS)
    for layer in range(LAYERS):
        at = f"model.layers.{layer}"
        hidden = hidden + attend(rms_norm(hidden, f"{at}.input_layernorm"), f"{at}.self_attn", cos, sin)
        normed = rms_norm(hidden, f"{at}.post_attention_layernorm")
        gated = F.silu(linear(normed, f"{at}.mlp.gate_proj")) * linear(normed, f"{at}.mlp.up_proj")
        hidden = hidden + linear(gated, f"{at}.mlp.down_proj")
    logits = linear(rms_norm(hidden, "model.norm"), "lm_head")
    return F.cross_entropy(logits.flatten(0, 1), y.flatten())


loss_of = {"mlp": mlp_loss, "llama": llama_loss}[workload]
optimizer = torch.optim.Adam(weights.values(), lr=1e-3)


def step():
    loss = loss_of()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


serve({"torch": torch.__version__, "threads": torch.get_num_threads()}, timed_steps(step))
