#!/usr/bin/env python3
"""sdpa.py - time PyTorch's scaled_dot_product_attention on the shapes of gpu-forward.yaml.

usage: sdpa.py OUT.csv

Causal forward, bf16, one sequence, L2 flushed before each sample, CUDA events, the
median and quartiles of 20 samples; cuDNN and FlashAttention back ends, whichever runs.
"""
import csv
import sys

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention

LAYOUTS = [(64, 4), (32, 8), (16, 16)]
LENGTHS = [8192, 16384, 32768, 65536]
BACKENDS = {"cudnn": SDPBackend.CUDNN_ATTENTION, "flash": SDPBackend.FLASH_ATTENTION}
SAMPLES, DIM = 20, 128


def sample(run, flush):
    flush.zero_()
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    begin.record()
    run()
    end.record()
    end.synchronize()
    return begin.elapsed_time(end)


def time_one(backend, q, k, v, flush):
    with sdpa_kernel(backend):
        def run():
            return scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
        for _ in range(3):
            run()
        return sorted(sample(run, flush) for _ in range(SAMPLES))


def main():
    flush = torch.empty(256 << 20, dtype=torch.uint8, device="cuda")
    with open(sys.argv[1], "w", newline="") as file:
        out = csv.writer(file)
        out.writerow(["device", "torch", "backend", "h", "g", "s", "time_ms_p25", "time_ms_p50",
                      "time_ms_p75", "tflops"])
        for h, g in LAYOUTS:
            for s in LENGTHS:
                q = torch.randn(1, h, s, DIM, device="cuda", dtype=torch.bfloat16)
                k, v = (torch.randn(1, g, s, DIM, device="cuda", dtype=torch.bfloat16)
                        for _ in range(2))
                for name, backend in BACKENDS.items():
                    try:
                        ms = time_one(backend, q, k, v, flush)
                    except RuntimeError as error:
                        print(f"{name} {h}/{g} {s}: {str(error).splitlines()[0]}", file=sys.stderr)
                        continue
                    flop = 4 * DIM * h * s * (s + 1) / 2
                    p25, p50, p75 = (ms[int(x * (SAMPLES - 1))] for x in (0.25, 0.5, 0.75))
                    out.writerow([torch.cuda.get_device_name(), torch.__version__, name, h, g, s,
                                  f"{p25:.4f}", f"{p50:.4f}", f"{p75:.4f}",
                                  f"{flop / p50 * 1e-9:.1f}"])


if __name__ == "__main__":
    main()
