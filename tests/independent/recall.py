#!/usr/bin/env python3
"""recall.py - recompute recall from a recording in numpy, sharing no code with the program.

usage: recall.py SPARSESCOPE RECORDING.safetensors LAYER

Runs the program on twenty lengths of the recording, measuring the last row of each, and
compares recall_mass of every (row, head) of seven methods with its own: selection, softmax
and sums written from docs/methods.md in float64.  Exit status 1 beyond 1e-5.
"""
import csv
import json
import struct
import subprocess
import sys
import tempfile

import numpy as np

METHODS = """
  - {method: window, window: 512, sink: 4}
  - {method: moba, block: 128, topk: 8}
  - {method: oracle_topk, block: 64, topk: 16}
  - {method: oracle_topp, block: 64, p: 0.9}
  - {method: quest, page: 16, topk: 64}
  - {method: msa, block: 128, topk: 4}
  - {method: nsa, select_count: 16}
"""


def load(path, name):
    with open(path, "rb") as file:
        size = struct.unpack("<Q", file.read(8))[0]
        header = json.loads(file.read(size))
        entry = header[name]
        begin, end = entry["data_offsets"]
        file.seek(8 + size + begin)
        raw = file.read(end - begin)
    assert entry["dtype"] == "BF16", entry["dtype"]
    bits = np.frombuffer(raw, "<u2").astype(np.uint32) << 16
    return bits.view(np.float32).reshape(entry["shape"]).astype(np.float64), header


def softmax(x):
    e = np.exp(x - x.max())
    return e / e.sum()


def best(scores, count, forced):
    """The `count` best units, forced ones first, the more recent of equals first."""
    order = sorted(range(len(scores)), key=lambda b: (b not in forced, -scores[b], -b))
    return set(order[:count])


def tokens_of(blocks, size, seen):
    return {j for b in blocks for j in range(b * size, min((b + 1) * size, seen))}


def choose_moba(q, k, p):
    own = (len(k) - 1) // 128
    means = [k[b * 128:(b + 1) * 128].mean(0) for b in range(own)]
    scores = [float(q @ m) for m in means] + [0.0]
    return tokens_of(best(scores, 8, {own}), 128, len(k))


def choose_oracle(q, k, p):
    own = (len(k) - 1) // 64
    scores = [p[b * 64:(b + 1) * 64].sum() for b in range(own + 1)]
    return tokens_of(best(scores, 16, {own}), 64, len(k))


def choose_topp(q, k, p):
    own = (len(k) - 1) // 64
    mass = [p[b * 64:(b + 1) * 64].sum() for b in range(own + 1)]
    order = sorted(range(own + 1), key=lambda b: (b != own, -mass[b], -b))
    count = next(n for n in range(1, own + 2) if sum(mass[b] for b in order[:n]) >= 0.9)
    return tokens_of(order[:count], 64, len(k))


def choose_quest(q, k, p):
    own = (len(k) - 1) // 16
    pages = k[:own * 16].reshape(own, 16, -1)
    bound = np.maximum(q * pages.max(1), q * pages.min(1)).sum(1)
    return tokens_of(best([float(x) for x in bound] + [0.0], 64, {own}), 16, len(k))


def msa_blocks(group, k):
    """One choice for all heads of the group: the largest product decides."""
    own = (len(k) - 1) // 128
    product = (group @ k.T).max(0)
    scores = [float(product[b * 128:(b + 1) * 128].max()) for b in range(own + 1)]
    return best(scores, 4, {own})


def choose_window(q, k, p):
    return set(range(4)) | set(range(max(0, len(k) - 512), len(k)))


def nsa_blocks(group, k, scale):
    """One choice for all heads of the group (arXiv 2502.11089 eq. 8-12)."""
    own = (len(k) - 1) // 64
    count = (len(k) - 32) // 16 + 1
    means = np.stack([k[m * 16:m * 16 + 32].mean(0) for m in range(count)])
    scores = np.zeros(own + 1)
    for q in group:
        p = softmax(scale * means @ q)
        for m in range(count):
            for stride in (m, m + 1):
                if stride // 4 <= own:
                    scores[stride // 4] += p[m]
    return best(scores, 16, {0, own, own - 1})


def rows_of(program, recording, layer, lengths):
    with tempfile.TemporaryDirectory() as folder:
        config = f"{folder}/c.yaml"
        with open(config, "w") as file:
            file.write(f"name: check\ndata:\n  - recorded: {recording}\n    layers: [{layer}]\n"
                       f"    length: {lengths}\nmethods:{METHODS}"
                       "measure: {quality: {rows: 'last:1'}, time: false}\n")
        subprocess.run([program, "run", config, "-o", f"{folder}/out", "-q", "--backend", "cpu"],
                       check=True)
        with open(f"{folder}/out/heads.csv", newline="") as file:
            return list(csv.DictReader(file))


def main():
    program, recording, layer = sys.argv[1:]
    q, header = load(recording, f"layers.{layer}.q")
    k, _ = load(recording, f"layers.{layer}.k")
    scale = float(header["__metadata__"]["scale"])
    first = len(k) - len(q)
    lengths = [int(x) for x in np.linspace(first + 1, len(k), 20)]
    worst, compared = 0.0, 0
    for row in rows_of(program, recording, layer, lengths):
        seen, head = int(row["s"]), int(row["head"])
        keys, query = k[:seen, 0], q[seen - 1 - first]
        p = softmax(scale * keys @ query[head])
        choose = {"moba": choose_moba, "oracle_topk": choose_oracle,
                  "oracle_topp": choose_topp, "quest": choose_quest, "window": choose_window}
        if row["method"] == "nsa":
            read = tokens_of(nsa_blocks(query, keys, scale), 64, seen)
            read |= set(range(max(0, seen - 512), seen))
        elif row["method"] == "msa":
            read = tokens_of(msa_blocks(query, keys), 128, seen)
        else:
            read = choose[row["method"]](query[head], keys, p)
        difference = abs(p[sorted(read)].sum() - float(row["recall_mass"]))
        worst, compared = max(worst, difference), compared + 1
        if not difference <= 1e-5:
            print(f"{row['label']}, {seen} keys, head {head}: off by {difference:.2e}")
    print(f"{compared} recalls of {len(lengths)} rows: largest difference {worst:.1e}")
    return 0 if worst <= 1e-5 and compared == 7 * 4 * len(lengths) else 1


if __name__ == "__main__":
    sys.exit(main())
