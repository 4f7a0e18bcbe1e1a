#!/usr/bin/env python3
"""rounding.py - what rounding to bf16 or fp16 costs attention, against the bound of verify.

usage: rounding.py FILE.safetensors...

Causal attention over each file's q, k and v (one sequence) in float64, again with one thing
rounded: probabilities exp(x - max), as tensor cores take them, under an unrounded sum; the
output.  Then normals with everything rounded, q and k ever larger.  Prints the relative L2 of
the output in units of u, 2^-8 (bf16) or 2^-11 (fp16); docs/methods.md, "Precision", derives
0.42 for each and 0.42 sqrt(2 + 2 s^2) for inputs and probabilities together, s the deviation
of the logits.  Exit status 1 when the probabilities of a file cost more than 1.
"""
import json
import struct
import sys

import numpy as np

DIGITS = {"bf16": 8, "fp16": 11}


def load(path, name):
    with open(path, "rb") as file:
        size = struct.unpack("<Q", file.read(8))[0]
        entry = json.loads(file.read(size))[name]
        begin, end = entry["data_offsets"]
        file.seek(8 + size + begin)
        bits = np.frombuffer(file.read(end - begin), "<u2").astype(np.uint32) << 16
    assert entry["dtype"] == "BF16", entry["dtype"]
    return bits.view(np.float32).reshape(entry["shape"]).astype(np.float64)


def rounded(x, digits):
    """To the nearest number of so many binary digits, ties to even."""
    fraction, exponent = np.frexp(x)
    return np.ldexp(np.rint(np.ldexp(fraction, digits)), exponent - digits)


def logits(q, k):
    """[h,t,s], causal: the queries are the last rows."""
    group = q.shape[1] // k.shape[1]
    x = np.einsum("thd,shd->hts", q, k.repeat(group, 1)) / np.sqrt(q.shape[2])
    later = np.arange(len(k)) > np.arange(len(q))[:, None] + len(k) - len(q)
    return np.where(later, -np.inf, x)


def attend(q, k, v, digits=None):
    x = logits(q, k)
    p = np.exp(x - x.max(-1, keepdims=True))
    total = p.sum(-1, keepdims=True)
    p = p if digits is None else rounded(p, digits)
    return np.einsum("hts,shd->htd", p / total, v.repeat(q.shape[1] // v.shape[1], 1))


def cost(got, want, digits):
    return np.sqrt(((got - want) ** 2).sum() / (want ** 2).sum()) * 2 ** digits


def main():
    worst = 0
    for path in sys.argv[1:]:
        q, k, v = (load(path, name) for name in "qkv")
        want = attend(q, k, v)
        for name, digits in DIGITS.items():
            p = cost(attend(q, k, v, digits), want, digits)
            o = cost(rounded(want, digits), want, digits)
            worst = max(worst, p)
            print(f"{path.split('/')[-1]:40} {name}  probabilities {p:.3f}  output {o:.3f}")
    draw = np.random.default_rng(1).standard_normal
    for s in (0.5, 1, 2, 4):
        q, k, v = s * draw((1024, 4, 64)), draw((1024, 2, 64)), draw((1024, 2, 64))
        low = [rounded(x, 8) for x in (q, k, v)]
        both = cost(attend(*low, 8), attend(q, k, v), 8)
        print(f"normals, logits' deviation {s:<3}  bf16  inputs and probabilities {both:.3f}  "
              f"derived {0.42 * np.sqrt(2 + 2 * s * s):.3f}")
    return int(not worst <= 1)


if __name__ == "__main__":
    sys.exit(main())
