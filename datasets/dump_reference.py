#!/usr/bin/env python3
"""dump_reference.py - make golden files of PyTorch code that sparsescope can then verify.

usage: dump_reference.py [FOLDER]        default: tests/golden of this tree

Runs SparseAttention of native-sparse-attention-pytorch (lucidrains) in float64 on the CPU and
writes two files nsa_lucidrains_*.safetensors.  For code of your own keep save() and replace
what follows it: inputs that bf16 holds exactly, the code's outputs, its selection, and its
gradients for a drawn `do`, named as docs/methods.md, "Golden files", has them; in the metadata
the options, the source, and what its rule does differently.  Store only what the two rules
define alike; do not widen a tolerance.

Needs torch (made with 2.15) and native-sparse-attention-pytorch==0.2.3; no GPU.
"""
import json
import pathlib
import struct
import sys

import torch
from native_sparse_attention_pytorch import SparseAttention
from torch import nn

INPUTS = {"q", "k", "v", "do", "gate", "w_k", "w_v", "pe_k", "q_idx", "k_idx", "w_idx"}
SELECTIONS = {"block_indices", "indices"}
STORED = {torch.float32: "F32", torch.int32: "I32", torch.bfloat16: "BF16"}


def type_of(name):
    return (torch.bfloat16 if name in INPUTS else
            torch.int32 if name in SELECTIONS else torch.float32)


def save(path, tensors, meta):
    """Inputs as bf16, checked to be exact; selections as int32; the rest as float32.  The same
    tensors give the same bytes, which the safetensors library does not promise."""
    header, data = {"__metadata__": {key: str(value) for key, value in meta.items()}}, b""
    for name in sorted(tensors, key=lambda name: (-type_of(name).itemsize, name)):
        x = tensors[name].detach().to(type_of(name)).contiguous()
        assert name not in INPUTS or torch.equal(x.to(tensors[name].dtype), tensors[name]), name
        bits = x.view(torch.int16 if x.dtype == torch.bfloat16 else x.dtype)
        end = len(data) + x.numel() * x.itemsize
        header[name] = dict(dtype=STORED[x.dtype], shape=list(x.shape),
                            data_offsets=[len(data), end])
        data += bits.numpy().tobytes()
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    print(path, path.stat().st_size, "bytes")


# -- the reference: heads with keys of their own, so that a group is one head ----------------
HEADS, D, BLOCK, PAST, WINDOW = 2, 16, 32, 3, 24
WIDTH = HEADS * D
SOURCE = "lucidrains/native-sparse-attention-pytorch 0.2.3, SparseAttention.forward, float64"
DIFFERS = ("a compressed key is visible one row later; the window holds one key more than its "
           "name says (window counts them all); the own block is read beside the selected ones "
           "(slc_count counts it); blocks rank by the mean logit of the group, here of one head, "
           "which ranks as its probability does; a learned null key is switched off by its own "
           "logit (channel 0 of q is constant); rotary frequencies are 0; ")


def draw(*shape, by=1.0):
    """Standard normals that bf16 holds exactly."""
    return (torch.randn(*shape) * by).bfloat16().double()


class Pick(nn.Module):
    """Columns [begin, end) of the module's input: stands in for a learned projection."""

    def __init__(self, begin, end, *unflatten):
        super().__init__()
        self.begin, self.end, self.unflatten = begin, end, unflatten

    def forward(self, x):
        x = x[..., self.begin:self.end]
        return x.unflatten(-1, self.unflatten).transpose(1, 2) if self.unflatten else x


class Flat(nn.Module):
    """The paper's map of a flattened block by one matrix a head."""

    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(draw(HEADS, BLOCK * D, D, by=(BLOCK * D) ** -0.5))

    def forward(self, x):
        return torch.einsum("bhwf,hfd->bhwd", x.flatten(-2), self.w)


def build():
    """The published module; what it would learn is put in place of its initial values."""
    attention = SparseAttention(
        dim=3 * WIDTH + 3 * HEADS, dim_head=D, heads=HEADS, kv_heads=HEADS, causal=True, norm=False,
        sliding_window_size=WINDOW, compress_block_size=BLOCK, compress_block_sliding_stride=BLOCK,
        selection_block_size=BLOCK, num_selected_blocks=PAST, compress_mlp=Flat()).double()
    attention.to_qkv = Pick(0, 3 * WIDTH)
    attention.to_strategy_combine = Pick(3 * WIDTH, None, HEADS, 3)
    attention.combine_heads = nn.Identity()
    attention.v_compress.w.data = draw(HEADS, BLOCK * D, D, by=(BLOCK * D) ** -0.5)
    attention.k_intrablock_positions.data = draw(HEADS, BLOCK, D)
    attention.rotary_emb.freqs.data.zero_()
    attention.compress_mem_kv.data[0, ..., 0] = -1e4
    return attention


class Listen:
    """The branches' outputs, compressed keys and choice, heard while the module runs."""

    def __init__(self, attention):
        self.heard = {}
        attention.k_compress.register_forward_hook(self.hear("k_cmp"))
        attention.v_compress.register_forward_hook(self.hear("v_cmp"))
        self.parts, self.choice = [], None

    def hear(self, name):
        def hook(_, __, out):
            self.heard[name] = out[0].transpose(0, 1)
        return hook

    def __enter__(self):
        self.stack, self.topk = torch.stack, torch.Tensor.topk
        module = sys.modules[SparseAttention.__module__]

        def stack(tensors, *rest):
            self.parts = [x[0].transpose(0, 1) for x in tensors]
            return self.stack(tensors, *rest)

        def topk(x, *rest, **named):
            values, units = self.topk(x, *rest, **named)
            self.choice = torch.where(values > 1e-10, units, -1)[0].transpose(0, 1)
            return values, units

        module.stack, torch.Tensor.topk = stack, topk
        return self

    def __exit__(self, *_):
        sys.modules[SparseAttention.__module__].stack = self.stack
        torch.Tensor.topk = self.topk


def run(attention, s, rows, compressed):
    """Every tensor of a golden file for the last `rows` of s rows."""
    q, k, v = draw(s, HEADS, D), draw(s, HEADS, D), draw(s, HEADS, D)
    gate = torch.sigmoid(torch.randn(s, HEADS, 3)).bfloat16().double()
    q[..., 0] = 4
    gate[..., 0] *= compressed
    inputs = torch.cat([x.flatten(1) for x in (q, k, v, gate)], -1).requires_grad_()
    with Listen(attention) as listen:
        o = attention(inputs[None])[0].unflatten(-1, (HEADS, D))
    do = draw(rows, HEADS, D)
    attention.zero_grad()
    (o[-rows:] * do).sum().backward()
    dq, dk, dv = (x.unflatten(-1, (HEADS, D))
                  for x in inputs.grad[:, :3 * WIDTH].split(WIDTH, -1))
    dgate = inputs.grad[:, 3 * WIDTH:].unflatten(-1, (HEADS, 3))
    own = (torch.arange(s) // BLOCK)[:, None, None].expand(s, HEADS, 1)
    choice = torch.cat((listen.choice, own), -1)
    return dict(listen.heard, q=q[-rows:], k=k, v=v, gate=gate[-rows:], do=do,
                w_k=attention.k_compress.w, w_v=attention.v_compress.w,
                pe_k=attention.k_intrablock_positions, block_indices=choice[-rows:],
                o=o[-rows:], **{name: x[-rows:] for name, x in
                                zip(("o_cmp", "o_slc", "o_win"), listen.parts)},
                dq=dq[-rows:], dk=dk, dv=dv, dgate=dgate[-rows:],
                dw_k=attention.k_compress.w.grad, dw_v=attention.v_compress.w.grad)


def main():
    here = pathlib.Path(__file__).resolve().parents[1] / "tests/golden"
    folder = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else here
    torch.manual_seed(1)
    attention = build()
    meta = dict(kind="nsa", source=SOURCE, scale=D ** -0.5, compress="linear", cmp_block=BLOCK,
                cmp_stride=BLOCK, slc_block=BLOCK, slc_count=PAST + 1, init_blocks=0,
                local_blocks=1, window=WINDOW + 1, gate_order="cmp,slc,win")
    # Every row, but without the compressed branch, which sees a key one row later.
    whole = run(attention, 10 * BLOCK, 10 * BLOCK, 0)
    for name in ("o_cmp", "dgate", "dw_k", "dw_v"):
        del whole[name]
    save(folder / "nsa_lucidrains_s4_w25.safetensors", whole,
         dict(meta, differs=DIFFERS + "so the compressed branch has gate 0 and is not stored"))
    # All branches, in the rows of an unfinished block: no compressed key ends at any of them.
    save(folder / "nsa_lucidrains_tail_s4_w25.safetensors",
         run(attention, 10 * BLOCK - 1, BLOCK - 1, 1),
         dict(meta, differs=DIFFERS + "so only rows are stored at which no compressed key ends"))


if __name__ == "__main__":
    main()
