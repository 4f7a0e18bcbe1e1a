# SPDX-License-Identifier: Apache-2.0
"""Gemma 3 (text) in numpy, read from a GGUF file: tokenizer and decoder.

Letters, as everywhere in sparsescope: t tokens, h query heads, g key/value
heads, d head size. Everything is float32. Attention goes over rows in blocks,
so memory grows with t and never with t * t.
"""
import re

import gguf
import numpy as np

ROWS = 128              # query rows per attention block
CHUNK = 2048            # rows per block of the feed-forward part
VOCAB_CHUNK = 16384     # vocabulary rows per block of the loss
GLOBAL_EVERY = 6        # layers 5, 11, 17, ... see the whole context
LOCAL_THETA = 10000.0   # RoPE base of the sliding-window layers; not in the GGUF
NORMAL, USER_DEFINED, BYTE = 1, 4, 6    # token types of the GGUF


class Tokenizer:
    """SentencePiece BPE from the GGUF's own pieces: the best score merges first."""

    def __init__(self, reader):
        pieces, scores, types = (reader.fields["tokenizer.ggml." + key].contents()
                                 for key in ("tokens", "scores", "token_type"))
        self.bos = int(reader.fields["tokenizer.ggml.bos_token_id"].contents())
        self.pieces, self.types = pieces, types
        self.ids = {p: i for i, p in enumerate(pieces) if types[i] == NORMAL}
        self.scores = {p: scores[i] for p, i in self.ids.items()}
        self.bytes = {int(p[1:-1], 16): i for i, p in enumerate(pieces) if types[i] == BYTE}
        self.user = {p: i for i, p in enumerate(pieces) if types[i] == USER_DEFINED}
        longest_first = sorted(self.user, key=len, reverse=True)
        self.split_user = re.compile("(" + "|".join(map(re.escape, longest_first)) + ")")
        # Pieces carry a space only in front; '>▁</' is the one exception.
        self.split_words = re.compile("(?<=[^▁>])(?=▁)")
        self.cache = {}

    def encode(self, text, limit):
        """The first `limit` ids of text, BOS included."""
        ids = [self.bos]
        for part in self.split_user.split(text):
            if part in self.user:
                ids.append(self.user[part])
            elif part:
                for word in self.split_words.split(part.replace(" ", "▁")):
                    if word not in self.cache:
                        self.cache[word] = self._merge(word)
                    ids += self.cache[word]
            if len(ids) >= limit:
                break
        return ids[:limit]

    def _merge(self, word):
        parts = list(word)
        while len(parts) > 1:
            score, i = max((self.scores.get(a + b, -np.inf), -i)
                           for i, (a, b) in enumerate(zip(parts, parts[1:])))
            if score == -np.inf:
                break
            parts[-i:-i + 2] = [parts[-i] + parts[-i + 1]]
        ids = []
        for p in parts:
            ids += [self.ids[p]] if p in self.ids else [self.bytes[b] for b in p.encode()]
        return ids

    def decode(self, ids):
        """The bytes that the ids spell; BOS spells none."""
        out = b""
        for i in ids:
            if self.types[i] == BYTE:
                out += bytes([int(self.pieces[i][1:-1], 16)])
            elif self.types[i] in (NORMAL, USER_DEFINED):
                out += self.pieces[i].replace("▁", " ").encode()
        return out


def rms_norm(x, weight, eps):
    """x [..., n]; the converter to GGUF has already added Gemma's 1 to the weight."""
    return x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + eps) * weight


def gelu_tanh(x):
    return 0.5 * x * (1 + np.tanh(np.float32(np.sqrt(2 / np.pi)) * (x + 0.044715 * x * x * x)))


def rope(x, theta):
    """x [t, heads, d], token i at position i; halves rotate against each other."""
    t, _, d = x.shape
    angle = np.outer(np.arange(t), theta ** (-np.arange(0, d, 2) / d))   # float64 [t, d/2]
    cos, sin = (f(angle).astype(np.float32)[:, None, :] for f in (np.cos, np.sin))
    a, b = x[..., :d // 2], x[..., d // 2:]
    return np.concatenate([a * cos - b * sin, b * cos + a * sin], axis=-1)


def attention(q, k, v, scale, window):
    """Causal softmax attention, q [t,h,d], k and v [t,g,d] -> [t,h,d]; window 0: none."""
    t, h, d = q.shape
    g = k.shape[1]
    out = np.empty_like(q)
    for r0 in range(0, t, ROWS):
        r1 = min(r0 + ROWS, t)
        c0 = max(0, r0 - window + 1) if window else 0       # first key that a row may see
        ahead = np.arange(r0, r1)[:, None] - np.arange(c0, r1)      # [rows, keys]
        hidden = (ahead < 0) | (ahead >= window) if window else ahead < 0
        for x in range(g):
            heads = slice(x * h // g, (x + 1) * h // g)
            rows = (q[r0:r1, heads] * np.float32(scale)).reshape(-1, d)     # [rows*G, d]
            p = rows @ k[c0:r1, x].T                                # [rows*G, keys]
            by_row = p.reshape(r1 - r0, -1, r1 - c0)
            np.copyto(by_row, -np.inf, where=hidden[:, None, :])
            p -= p.max(axis=1, keepdims=True)
            np.exp(p, out=p)
            o = (p @ v[c0:r1, x]) / p.sum(axis=1, keepdims=True)
            out[r0:r1, heads] = o.reshape(r1 - r0, -1, d)
    return out


class Gemma3:
    """Weights stay quantized in the mapped file and are dequantized when used."""

    def __init__(self, path):
        try:
            reader = gguf.GGUFReader(path)
        except ValueError as e:
            raise ValueError(f"{path}: {e}") from e
        self.tensors = {t.name: t for t in reader.tensors}

        def field(key):
            if key not in reader.fields:
                raise ValueError(f"{path}: not a Gemma 3 GGUF, {key} is missing")
            return reader.fields[key].contents()

        if field("general.architecture") != "gemma3":
            raise ValueError(f"{path}: architecture {field('general.architecture')}, "
                             "this recorder knows gemma3 only")
        if "gemma3.rope.scaling.type" in reader.fields:
            raise ValueError(f"{path}: scaled RoPE (Gemma 3 4B and larger) is not supported")
        self.name = field("general.name")
        self.layers = int(field("gemma3.block_count"))
        self.context = int(field("gemma3.context_length"))
        self.hidden = int(field("gemma3.embedding_length"))
        self.heads = int(field("gemma3.attention.head_count"))
        self.kv_heads = int(field("gemma3.attention.head_count_kv"))
        self.head_size = int(field("gemma3.attention.key_length"))
        self.eps = np.float32(field("gemma3.attention.layer_norm_rms_epsilon"))
        self.global_theta = float(field("gemma3.rope.freq_base"))
        self.local_window = int(field("gemma3.attention.sliding_window"))
        self.scale = self.head_size ** -0.5
        if field("tokenizer.ggml.model") != "llama":
            raise ValueError(f"{path}: the tokenizer is not SentencePiece")
        self.tokenizer = Tokenizer(reader)

    def weight(self, name, rows=slice(None)):
        """Tensor as float32; a matrix comes as [out, in]."""
        t = self.tensors[name + ".weight"]
        return gguf.dequantize(t.data[rows], t.tensor_type).astype(np.float32, copy=False)

    def theta(self, layer):
        return LOCAL_THETA if self.window(layer) else self.global_theta

    def window(self, layer):
        return 0 if layer % GLOBAL_EVERY == GLOBAL_EVERY - 1 else self.local_window

    def qkv(self, x, layer):
        """x [t, hidden] -> q [t,h,d], k and v [t,g,d], normalized and rotated."""
        w = lambda name: self.weight(f"blk.{layer}.{name}")
        t, d, theta = len(x), self.head_size, self.theta(layer)
        x = rms_norm(x, w("attn_norm"), self.eps)
        q = (x @ w("attn_q").T).reshape(t, self.heads, d)
        k = (x @ w("attn_k").T).reshape(t, self.kv_heads, d)
        v = (x @ w("attn_v").T).reshape(t, self.kv_heads, d)
        q = rope(rms_norm(q, w("attn_q_norm"), self.eps), theta)
        k = rope(rms_norm(k, w("attn_k_norm"), self.eps), theta)
        return q, k, v

    def rest_of_layer(self, x, q, k, v, layer):
        """Attention and feed-forward of one layer; x [t, hidden] is changed in place."""
        w = lambda name: self.weight(f"blk.{layer}.{name}")
        o = attention(q, k, v, self.scale, self.window(layer)).reshape(len(x), -1)
        x += rms_norm(o @ w("attn_output").T, w("post_attention_norm"), self.eps)
        gate, up, down = w("ffn_gate").T, w("ffn_up").T, w("ffn_down").T
        norm, post = w("ffn_norm"), w("post_ffw_norm")
        for r in range(0, len(x), CHUNK):
            y = rms_norm(x[r:r + CHUNK], norm, self.eps)
            y = (gelu_tanh(y @ gate) * (y @ up)) @ down
            x[r:r + CHUNK] += rms_norm(y, post, self.eps)

    def run(self, ids, last_layer, on_layer):
        """Decode ids; on_layer(layer, q, k, v) sees every layer. Stops at the q, k, v
        of last_layer, or with last_layer None after all layers: then returns the
        final states [t, hidden]."""
        x = self.weight("token_embd", np.asarray(ids)) * np.float32(self.hidden ** 0.5)
        for layer in range(self.layers):
            q, k, v = self.qkv(x, layer)
            on_layer(layer, q, k, v)
            if layer == last_layer:
                return None
            self.rest_of_layer(x, q, k, v, layer)
        return rms_norm(x, self.weight("output_norm"), self.eps)

    def loss(self, x, ids):
        """Mean next-token cross-entropy in nats; x [t, hidden] from run, output tied
        to the embedding. The vocabulary goes by in blocks."""
        x, target = x[:-1], np.asarray(ids)[1:]
        peak = np.full(len(x), -np.inf)
        total, hit = np.zeros(len(x)), np.zeros(len(x))
        for v0 in range(0, len(self.tokenizer.pieces), VOCAB_CHUNK):
            w = self.weight("token_embd", slice(v0, v0 + VOCAB_CHUNK)).T
            for r0 in range(0, len(x), CHUNK):
                r = slice(r0, min(r0 + CHUNK, len(x)))
                logits = x[r] @ w                               # [rows, vocabulary block]
                top = np.maximum(peak[r], logits.max(axis=1))
                here = np.nonzero((target[r] >= v0) & (target[r] < v0 + w.shape[1]))[0]
                hit[r0 + here] = logits[here, target[r][here] - v0]
                part = np.exp(logits - top[:, None].astype(np.float32)).sum(axis=1)
                total[r] = total[r] * np.exp(peak[r] - top) + part
                peak[r] = top
        return float(np.mean(np.log(total) + peak - hit))
