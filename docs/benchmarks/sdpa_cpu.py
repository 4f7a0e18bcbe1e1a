#!/usr/bin/env python3
"""sdpa_cpu.py - full attention of the cpu backend beside PyTorch's CPU SDPA.

usage: sdpa_cpu.py SPARSESCOPE [small]

Causal forward, float32, one sequence of 8k, 16/16 heads, d 128; both take turns,
as many threads each; median, least and largest of the rounds, a round's ratio taken within it.
"""
import subprocess
import sys
import time

import torch
from torch.nn.functional import scaled_dot_product_attention

HEADS, DIM = 16, 128


def ours(program, length):
    """Milliseconds, from the column of that name."""
    words = [program, "bench", "--backend", "cpu", "--set", f"data[0].length={length}",
             "--set", f"data[0].kv_heads={HEADS}", "--set", "methods=[{method: full}]",
             "--set", "measure.time.samples=1"]
    text = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    header, row = (line.lstrip("# ").split() for line in text.splitlines()[1:3])
    return float(row[header.index("p50_ms")])


def theirs(q, k, v):
    begin = time.perf_counter()
    scaled_dot_product_attention(q, k, v, is_causal=True)
    return 1e3 * (time.perf_counter() - begin)


def spread(x):
    x = sorted(x)
    return f"{x[len(x) // 2]:.2f} ({x[0]:.2f}..{x[-1]:.2f})"


def main():
    small = "small" in sys.argv[2:]
    length, rounds = (1024, 3) if small else (8192, 7)
    q, k, v = (torch.randn(1, HEADS, length, DIM) for _ in range(3))
    theirs(q, k, v)
    pairs = [(ours(sys.argv[1], length), theirs(q, k, v)) for _ in range(rounds)]
    print(f"\nfull attention beside PyTorch {torch.__version__}'s, {length} keys, "
          f"{HEADS}/{HEADS} heads, d {DIM}, {torch.get_num_threads()} threads ({rounds} rounds)")
    print(f"cpu backend      {spread([a for a, _ in pairs])} ms")
    print(f"PyTorch          {spread([b for _, b in pairs])} ms")
    print(f"PyTorch / ours   {spread([b / a for a, b in pairs])}")


if __name__ == "__main__":
    main()
