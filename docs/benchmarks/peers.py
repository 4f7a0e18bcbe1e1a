#!/usr/bin/env python3
"""peers.py - time what PyPI serves of dense, NSA and MoBA attention, on one GPU in one run.

usage: peers.py OUT.csv [LENGTH...]        default lengths: 8192 16384 32768 65536

Forward only, bf16, head size 128, causal, one sequence, normal inputs, L2 flushed before each
sample, CUDA events, quartiles of up to 20 samples or 3 seconds.  A peer that is missing or fails
is a row with its reason.  Peers: PyTorch's scaled_dot_product_attention (cuDNN and FlashAttention
back ends) and its windowed FlashAttention; flash-linear-attention's NSA (mean compression with
l = stride = block = 64, an easier problem than l 32, stride 16) and MoBA, whose FlashAttention
parts run on PyTorch's copy of that kernel; native-sparse-attention-pytorch's selected attention.
"""
import csv
import importlib.machinery
import importlib.metadata
import sys
import types

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention

from sdpa import sample

DIM, BLOCK, COUNT, WINDOW = 128, 64, 16, 512
SAMPLES, SECONDS = 20, 3.0
COLUMNS = ["device", "torch", "peer", "version", "part", "h", "g", "s", "block", "k", "samples",
           "time_ms_p25", "time_ms_p50", "time_ms_p75", "note"]


def flash_varlen(q, k, v, cu_seqlens_q, cu_seqlens_k, max_seqlen_q, max_seqlen_k, dropout_p=0.0,
                 softmax_scale=None, causal=False, **_):
    """flash_attn's packed forward, by the same kernel inside PyTorch."""
    out = torch.ops.aten._flash_attention_forward(
        q, k, v, cu_seqlens_q, cu_seqlens_k, max_seqlen_q, max_seqlen_k, dropout_p, causal,
        False, scale=softmax_scale)
    return out[0], out[1]


def lend_flash_attn():
    """A module flash_attn for packages that ask for it, where it is not installed."""
    top, inner = types.ModuleType("flash_attn"), types.ModuleType("flash_attn.flash_attn_interface")
    top.flash_attn_varlen_func = lambda *a, **k: flash_varlen(*a, **k)[0]
    top.flash_attn_func = None
    top.__spec__ = importlib.machinery.ModuleSpec("flash_attn", None)
    inner._flash_attn_varlen_forward = lambda **k: (*flash_varlen(**k), None, None)
    inner._flash_attn_varlen_backward = None
    sys.modules["flash_attn"], sys.modules["flash_attn.flash_attn_interface"] = top, inner


def normals(*shape):
    return torch.randn(*shape, device="cuda", dtype=torch.bfloat16)


def sdpa(backend, h, g, s):
    q, k, v = normals(1, h, s, DIM), normals(1, g, s, DIM), normals(1, g, s, DIM)

    def run():
        with sdpa_kernel(backend):
            scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
    return run


def window(h, g, s):
    q, k, v = normals(1, s, h, DIM), normals(1, s, g, DIM), normals(1, s, g, DIM)

    def run():
        torch.ops.aten._flash_attention_forward(q, k, v, None, None, s, s, 0.0, True, False,
                                                window_size_left=WINDOW - 1, window_size_right=0)
    return run


def random_blocks(g, s):
    """COUNT blocks a row: the first, the own and its predecessor, the rest drawn from the past."""
    own = torch.arange(s, device="cuda") // BLOCK
    score = torch.rand(s, g, (s + BLOCK - 1) // BLOCK, device="cuda")
    at = torch.arange(score.shape[-1], device="cuda")
    score += 2.0 * ((at == 0) | (at == own[:, None]) | (at == own[:, None] - 1))[:, None]
    score.masked_fill_((at > own[:, None])[:, None], -1)
    best = score.topk(min(COUNT, score.shape[-1]), dim=-1)
    return torch.where(best.values < 0, s, best.indices).sort(-1).values[None]


def nsa_fla(part, h, g, s):
    from fla.ops.nsa import parallel as nsa
    from fla.ops.nsa.compression import parallel_nsa_compression
    from fla.ops.utils.pooling import mean_pooling

    q, k, v = normals(1, s, h, DIM), normals(1, s, g, DIM), normals(1, s, g, DIM)
    if part == "compress":
        return lambda: mean_pooling(k, BLOCK, None)
    k_cmp, v_cmp = mean_pooling(k, BLOCK, None), mean_pooling(v, BLOCK, None)
    if part == "compressed attention":
        return lambda: parallel_nsa_compression(q, k_cmp, v_cmp, s, BLOCK)
    _, lse = parallel_nsa_compression(q, k_cmp, v_cmp, s, BLOCK)
    if part == "top-k":
        return lambda: nsa.parallel_nsa_topk(q, k_cmp, s, lse, COUNT, BLOCK, DIM**-0.5)
    if part == "selected random":
        blocks = random_blocks(g, s)
        return lambda: nsa.ParallelNSAFunction.apply(q, k, v, blocks, COUNT, BLOCK, DIM**-0.5, None)
    gate = torch.rand(1, s, h, device="cuda", dtype=torch.bfloat16)
    near = window(h, g, s)

    def whole():
        nsa.parallel_nsa(q, k, v, gate, gate, None, None, COUNT, BLOCK)
        near()
    return whole


def moba_fla(block, topk, h, g, s):
    from fla.ops.moba import parallel_moba

    q, k, v = (normals(1, s, h, DIM) for _ in range(3))
    cu = torch.tensor([0, s], device="cuda", dtype=torch.int32)
    return lambda: parallel_moba(q, k, v, cu, s, block, topk)


def selected_triton(h, g, s):
    from native_sparse_attention_pytorch.triton_native_sparse_attention import native_sparse_attend

    q, k, v = normals(1, h, s, DIM), normals(1, g, s, DIM), normals(1, g, s, DIM)
    blocks = random_blocks(g, s)[..., :COUNT - 1].permute(0, 2, 1, 3).clamp(max=s // BLOCK - 1)
    blocks, mask = blocks.contiguous(), torch.ones_like(blocks, dtype=torch.bool)
    return lambda: native_sparse_attend(q, k, v, BLOCK, blocks, mask)


def jobs(length):
    """peer, PyPI package, part, heads, kv heads, block, k, what makes the call"""
    torch_, fla, other = "torch", "flash-linear-attention", "native-sparse-attention-pytorch"
    for h, g in [(64, 4), (32, 8), (16, 16)]:
        for name, backend in [("cudnn", SDPBackend.CUDNN_ATTENTION), ("flash", SDPBackend.FLASH_ATTENTION)]:
            yield name, torch_, "full", h, g, "", "", lambda h=h, g=g, b=backend: sdpa(b, h, g, length)
    for h, g in [(64, 4), (32, 8)]:
        yield "flash", torch_, f"window {WINDOW}", h, g, "", "", lambda h=h, g=g: window(h, g, length)
    for part in ["compress", "compressed attention", "top-k", "selected random", "whole"]:
        yield ("fla nsa", fla, part, 64, 4, BLOCK, COUNT,
               lambda part=part: nsa_fla(part, 64, 4, length))
    yield "triton nsa", other, "selected random", 64, 4, BLOCK, COUNT, lambda: selected_triton(64, 4, length)
    for block, topk in [(512, 8), (128, 8), (512, 3), (2048, 3)]:
        yield ("fla moba", fla, "whole", 16, 16, block, topk,
               lambda b=block, k=topk: moba_fla(b, k, 16, 16, length))


def time_call(run, flush):
    times, spent = [], 0.0
    for _ in range(3):
        sample(run, flush)
    while len(times) < SAMPLES and (spent < 1e3 * SECONDS or len(times) < 3):
        times.append(sample(run, flush))
        spent += times[-1]
    return sorted(times)


def main():
    lengths = [int(x) for x in sys.argv[2:]] or [8192, 16384, 32768, 65536]
    lend_flash_attn()
    flush = torch.empty(256 << 20, dtype=torch.uint8, device="cuda")
    with open(sys.argv[1], "w", newline="", encoding="utf-8") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow(COLUMNS)
        for s in lengths:
            for peer, package, part, h, g, block, k, make in jobs(s):
                row = [torch.cuda.get_device_name(), torch.__version__, peer, "", part, h, g, s, block, k]
                try:
                    row[3] = importlib.metadata.version(package)
                    times = time_call(make(), flush)
                    quart = [f"{times[int(x * (len(times) - 1))]:.4f}" for x in (0.25, 0.5, 0.75)]
                    out.writerow([*row, len(times), *quart, ""])
                except Exception as error:  # a peer's failure is a result
                    lines = [x for x in str(error).splitlines() if x.strip()] or [""]
                    note = f"{type(error).__name__}: {lines[-1].strip()[:120]}"
                    out.writerow([*row, 0, "", "", "", note])
                torch.cuda.empty_cache()
                file.flush()


if __name__ == "__main__":
    main()
