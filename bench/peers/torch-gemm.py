"""The products of bench/sides/gemm.ts in PyTorch.

usage: python torch-gemm.py OPTIONS-AS-JSON THREADS     (0 threads: as many as PyTorch takes)
"""
import json, sys, time

import torch
from protocol import serve

options, threads = json.loads(sys.argv[1]), int(sys.argv[2])
if threads > 0:
    torch.set_num_threads(threads)
torch.manual_seed(1)
m, n, k, backward = options["m"], options["n"], options["k"], options.get("backward", False)
is_linear = options["mode"] == "NT"
a = torch.randn(m, k, requires_grad=backward)
b = torch.randn(*((n, k) if is_linear else (k, n)), requires_grad=backward)
dy = torch.randn(m, n)


def work():
    y = torch.nn.functional.linear(a, b) if is_linear else a @ b
    if backward:
        a.grad = b.grad = None
        y.backward(dy)


def run(count):
    times = []
    for _ in range(count):
        start = time.perf_counter()
        work()
        times.append((time.perf_counter() - start) * 1e3)
    return times, []


serve({"torch": torch.__version__, "threads": torch.get_num_threads()}, run)
