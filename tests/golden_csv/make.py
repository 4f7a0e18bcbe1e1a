#!/usr/bin/env python3
"""make.py - write the fixed result folder that tests/report.sh draws.

usage: make.py (from the top of the source tree), after analysis/columns.h changed.
The numbers are made up, and round; the columns are those of analysis/columns.h.
"""
import csv
import pathlib
import re

HERE = pathlib.Path(__file__).parent


def columns(table, text):
    """The names of one X-macro table, the tables that it includes expanded."""
    body = re.search(r"#define SPS_%s_COLUMNS\(X\)((?:.*\\\n)*.*\n)" % table, text).group(1)
    names = []
    for inner, name in re.findall(r"SPS_(\w+)_COLUMNS\(X\)|\bX\((\w+),", body):
        names += columns(inner, text) if inner else [name]
    return names


def write(name, table, rows):
    text = (HERE / "../../analysis/columns.h").read_text()
    with open(HERE / name, "w", newline="") as file:
        writer = csv.DictWriter(file, columns(table, text))
        writer.writeheader()
        writer.writerows(rows)


# label, recall by head, tokens read, relative error, time in ms, flops as a share of full's
METHODS = [
    ("full", (1, 1), 512, 0, 8, 1),
    ("nsa select_count=2", (0.8, 0.6), 128, 0.4, 3, 0.3),
    ("nsa select_count=4", (0.99, 0.99), 256, 0.1, 5, 0.5),
    ("nsa select_count=8", (1, 1), 448, 0.02, 7, 0.9),
    ("moba block=64 topk=2", (0.6, 0.5), 96, 0.6, 1.5, 0.2),
    ("moba block=64 topk=4", (0.7, 0.8), 192, 0.3, 2.5, 0.4),
    ("moba block=128 topk=2", (0.5, 0.7), 192, 0.5, 2.25, 0.4),
    ("oracle_topk topk=4", (1, 0.96), 192, 0.05, 9, 0.9),
    ("random topk=4", (0.3, 0.2), 192, 0.9, 2, 0.35),
]
STAGES = {"full": [("attend", 1)], "moba": [("compress", 0.125), ("score", 0.25), ("attend", 0.5)],
          "nsa": [("compress", 0.125), ("score", 0.25), ("attend", 0.375), ("combine", 0.125)]}
DENSE = 1 << 30


def point(number, label, layer):
    method = label.split()[0]
    return dict(schema_version=1, point_id=f"{number:016x}", phase="prefill", backend="cpu",
                method=method, label=label, options="; ".join(label.split()[1:]),
                data="made-up.safetensors", data_label=f"made-up layer={layer}", layer=layer,
                dtype="bf16", cache="contiguous", seed=1, n=1, t=512, s=1024, h=2, g=1, dk=64, dv=64)


def results(identity, recall, tokens, error, time, share):
    oracle = identity["method"] == "oracle_topk"
    density = tokens / 512
    row = dict(identity, status="ok", oracle=str(oracle).lower(), n_heads=2, n_rows=512,
               recall_mass=sum(recall) / 2, recall_mass_p05=(sum(recall) / 2) ** 2,
               recall_mass_rel=min(1, sum(recall) / 2 + 0.01), recall_set=min(recall),
               tokens_read=tokens, density_pairs=density, error_rel_l2=error,
               density_flops=share, flops=share * DENSE, flops_dense=DENSE,
               degenerate=str(density >= 0.95).lower(), time_n_cold=10, time_ms_p50_cold=time,
               time_ms_p25_cold=time * 0.875, time_ms_p75_cold=time * 1.125, speedup_l2="cold")
    if not oracle:
        row["speedup_dense"] = 8 / time
    return row


def stages(identity, time, share):
    parts = STAGES.get(identity["method"], STAGES["moba"])
    for stage, part in parts + [("total", 1)]:
        yield dict(identity, stage=stage, impl="" if stage == "total" else f"plain_{stage}",
                   flops=part * share * DENSE, bytes=part * share * DENSE / 64,
                   time_n_cold=10, time_ms_p50_cold=part * time)


def main():
    tables = {"results.csv": [], "heads.csv": [], "stages.csv": []}
    for layer in (3, 7):
        for number, (label, recall, tokens, error, time, share) in enumerate(METHODS):
            identity = point(16 * layer + number, label, layer)
            # The second layer is a little harder.
            recall = [r if layer == 3 or r == 1 else r - 0.0625 for r in recall]
            tables["results.csv"].append(results(identity, recall, tokens, error, time, share))
            tables["stages.csv"] += stages(identity, time, share)
            for head, r in enumerate(recall):
                tables["heads.csv"].append(
                    dict(identity, head=head, kv_head=0, n_rows=512, recall_mass=r))
    refused = dict(point(255, "given", 3), status="notsup", oracle="false",
                   reason='given: the data has no index <b>&"quoted"</b>')
    tables["results.csv"].append(refused)
    for name, table in zip(tables, ("RESULT", "HEAD", "STAGE")):
        write(name, table, tables[name])


main()
