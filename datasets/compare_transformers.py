#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Check record_gemma3.py against transformers, from the same GGUF and token ids.

A tool for developers; needs torch, transformers, accelerate, sentencepiece and
protobuf besides the recorder's packages. Exit 1 when a figure is out of bounds.
"""
import argparse
import os
import sys

import numpy as np
import sentencepiece
import torch
from sentencepiece import sentencepiece_model_pb2 as spm_pb2
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from gemma3_model import NORMAL, Gemma3
from record_gemma3 import layer_list, load_text, model_path, tokenize

LOSS_BOUND = 0.01           # relative
COSINE_BOUND = 0.999


def sentencepiece_ids(tok, text):
    """Ids by the sentencepiece library, from a BPE model built of the GGUF's pieces."""
    m = spm_pb2.ModelProto()
    m.trainer_spec.model_type = spm_pb2.TrainerSpec.BPE
    m.trainer_spec.byte_fallback = True
    m.trainer_spec.unk_id = tok.pieces.index("<unk>")
    m.trainer_spec.bos_id, m.trainer_spec.eos_id, m.trainer_spec.pad_id = tok.bos, 1, 0
    m.normalizer_spec.add_dummy_prefix = False
    m.normalizer_spec.remove_extra_whitespaces = False
    for i, piece in enumerate(tok.pieces):
        kind = 2 if piece == "<unk>" else tok.types[i]
        text_form = piece if kind == NORMAL else piece.replace(" ", "▁")
        m.pieces.add(piece=text_form, type=kind, score=0.0 if kind != NORMAL else tok.scores[piece])
    sp = sentencepiece.SentencePieceProcessor(model_proto=m.SerializeToString())
    return [tok.bos] + sp.encode(text)


def same_ids(label, ours, theirs):
    n = next((i for i, (a, b) in enumerate(zip(ours, theirs)) if a != b), len(ours))
    same = n == len(ours) <= len(theirs)
    print(f"tokens, {label}: " + (f"the same {n} ids" if same else f"differ from id {n} on, "
          f"ours {ours[n:n + 4]}, theirs {theirs[n:n + 4]}"))
    return same


def their_run(path, ids, layers):
    """({layer: (q [t,h,d], k, v)} as handed to attention, loss)"""
    seen, inner = {}, ALL_ATTENTION_FUNCTIONS["sdpa"]

    def recording(module, q, k, v, *args, **kwargs):        # q [1,h,t,d]
        if module.layer_idx in layers:
            seen[module.layer_idx] = [x[0].transpose(0, 1).numpy().copy() for x in (q, k, v)]
        return inner(module, q, k, v, *args, **kwargs)

    folder, name = os.path.split(os.path.abspath(path))
    net = AutoModelForCausalLM.from_pretrained(folder, gguf_file=name, dtype=torch.float32,
                                               attn_implementation="sdpa").eval()
    c = net.config
    print(f"transformers: {type(net).__name__}, {c.layer_types.count('full_attention')} global "
          f"of {c.num_hidden_layers} layers, window {c.sliding_window}, scale "
          f"{c.query_pre_attn_scalar ** -0.5}, rope {c.rope_parameters}")
    ALL_ATTENTION_FUNCTIONS["sdpa"] = recording
    total, step = 0.0, 512
    with torch.no_grad():
        tokens = torch.tensor([ids])
        states = net.model(tokens).last_hidden_state[0, :-1]        # [t-1, hidden]
        for i in range(0, len(states), step):
            total += torch.nn.functional.cross_entropy(
                net.lm_head(states[i:i + step]), tokens[0, 1:][i:i + step], reduction="sum").item()
    return seen, total / (len(ids) - 1)


def our_run(model, ids, layers):
    seen = {}

    def on_layer(layer, *qkv):
        if layer in layers:
            seen[layer] = qkv

    states = model.run(ids, None, on_layer)
    return seen, model.loss(states, ids)


def cosines(a, b):
    """a, b [t, heads, d] -> cosine of every row"""
    dot, norms = (a * b).sum(-1), np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1)
    return dot / norms


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--text", default="kjv")
    p.add_argument("--tokens", type=int, default=4096)
    p.add_argument("--layers", type=layer_list, default=[5, 11, 17])
    p.add_argument("--model")
    args = p.parse_args()

    path = model_path(args.model)
    model = Gemma3(path)
    text, name = load_text(args.text)
    ids, spelled = tokenize(model, text, args.tokens)
    print(f"text: {name}")
    # a little more text than the ids, so that the last word is whole
    more = text[:len(spelled.decode(errors="ignore")) + 100]
    good = same_ids("sentencepiece", ids, sentencepiece_ids(model.tokenizer, more))
    folder, file = os.path.split(os.path.abspath(path))
    good &= same_ids("transformers", ids,
                     AutoTokenizer.from_pretrained(folder, gguf_file=file)(more)["input_ids"])

    theirs, their_loss = their_run(path, ids, args.layers)
    ours, our_loss = our_run(model, ids, args.layers)
    off = our_loss / their_loss - 1
    print(f"loss over {len(ids) - 1} tokens: ours {our_loss:.6f}, transformers {their_loss:.6f}, "
          f"difference {100 * off:+.4f} %")
    good &= abs(off) < LOSS_BOUND
    for layer in args.layers:
        for x, a, b in zip("qkv", ours[layer], theirs[layer]):
            c = cosines(a, b)
            print(f"layer {layer} {x}: cosine mean {c.mean():.8f}, worst row {c.min():.8f}, "
                  f"largest difference {abs(a - b).max():.2g} of {abs(b).max():.3g}")
            good &= bool(c.min() > COSINE_BOUND)
    print("agree" if good else "DISAGREE")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
