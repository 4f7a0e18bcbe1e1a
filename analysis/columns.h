/* columns.h - every column of every CSV file: one table per file.
 *
 * The CSV header, docs/columns.md, the report and the resume code read these
 * tables and nothing else.  X(name, unit, kind, range, help): kind is TEXT (quoted),
 * COUNT (whole number) or REAL; range is what a finished row may hold.
 * Metrics are defined in analysis/quality.c and docs/columns.md.
 */
#ifndef SPS_ANALYSIS_COLUMNS_H
#define SPS_ANALYSIS_COLUMNS_H

#include <stddef.h>

/* What identifies a point; first in every file. */
#define SPS_ID_COLUMNS(X)                                                                \
    X(schema_version, "", COUNT, "1", "version of these columns")                        \
    X(point_id, "", TEXT, "", "hash of resolved point, input and code version")          \
    X(phase, "", TEXT, "prefill|decode|backward", "what was run")                        \
    X(backend, "", TEXT, "ref|cpu|cuda", "where it was run")                             \
    X(method, "", TEXT, "", "registered method")                                         \
    X(label, "", TEXT, "", "method and the options that its config names")               \
    X(options, "", TEXT, "", "every option of the method, key=value; ...")               \
    X(data, "", TEXT, "", "recording's file name or generator")                          \
    X(data_label, "", TEXT, "", "data and the options that its config names")            \
    X(layer, "", COUNT, ">= 0", "layer of a recording, empty for generated data")        \
    X(dtype, "", TEXT, "fp32|fp16|bf16", "type the inputs were rounded to")              \
    X(cache, "", TEXT, "contiguous|paged", "how keys and values lie in memory")          \
    X(seed, "", COUNT, "", "seed of generators and of the random method")                \
    X(n, "sequences", COUNT, ">= 1", "sequences packed together")                        \
    X(t, "rows", COUNT, ">= 1", "query rows that were run, all sequences")               \
    X(s, "tokens", COUNT, ">= 1", "keys, all sequences")                                 \
    X(h, "heads", COUNT, ">= 1", "query heads")                                          \
    X(g, "heads", COUNT, ">= 1", "key/value heads")                                      \
    X(dk, "", COUNT, ">= 1", "size of a query and key row")                              \
    X(dv, "", COUNT, ">= 1", "size of a value and output row")

/* Quality of one head, or the mean over heads. */
#define SPS_QUALITY_COLUMNS(X)                                                           \
    X(n_rows, "rows", COUNT, ">= 0", "measured rows")                                    \
    X(recall_mass, "", REAL, "0..1", "true attention mass of the tokens read: mean")     \
    X(recall_mass_min, "", REAL, "0..1", "least of any measured row")                    \
    X(recall_mass_p01, "", REAL, "0..1", "1st percentile over rows")                     \
    X(recall_mass_p05, "", REAL, "0..1", "5th percentile over rows")                     \
    X(recall_mass_p50, "", REAL, "0..1", "median over rows")                             \
    X(recall_mass_slc, "", REAL, "0..1", "mass of the selected units alone")             \
    X(recall_mass_win, "", REAL, "0..1", "mass of the window and sink alone")            \
    X(recall_mass_nosink, "", REAL, "0..1",                                              \
      "recall_mass with block 0 left out of both sides")                                 \
    X(recall_mass_rel, "", REAL, "0..1",                                                 \
      "recall_mass / mass of the token oracle that reads as many tokens")                \
    X(recall_set, "", REAL, "0..1",                                                      \
      "chosen units that the oracle of the same k and sharing chooses")                  \
    X(recall_set_free, "", REAL, "0..1",                                                 \
      "recall_set with forced units removed from both")                                  \
    X(recall_set_tie, "", REAL, "0..1",                                                  \
      "recall_set counting units within 1e-6 of the k-th mass")                          \
    X(recall_set_head, "", REAL, "0..1",                                                 \
      "recall_set against each query head's own oracle")                                 \
    X(n_rows_set, "rows", COUNT, ">= 0",                                                 \
      "rows that see more than k units: those recall_set is over")                       \
    X(mass_oracle_k, "", REAL, "0..1",                                                   \
      "mass of the k best units: what any choice of k could reach")                      \
    X(budget_90, "units", REAL, ">= 1", "fewest units that hold 90 % of the mass, mean") \
    X(budget_95, "units", REAL, ">= 1", "fewest units that hold 95 % of the mass, mean") \
    X(tokens_read, "tokens", REAL, ">= 0", "tokens read per row, mean")                  \
    X(density_row, "", REAL, "0..1", "tokens read / tokens visible, over measured rows") \
    X(error_rel_l2, "", REAL, ">= 0",                                                    \
      "norm(o_full - o) / norm(o_full), all rows together")                              \
    X(error_rel_l2_p50, "", REAL, ">= 0", "the same per row: median")                    \
    X(error_rel_l2_p95, "", REAL, ">= 0", "the same per row: 95th percentile")           \
    X(error_rel_l2_max, "", REAL, ">= 0", "the same per row: largest")                   \
    X(error_rel_l1, "", REAL, ">= 0", "sum |o_full - o| / sum |o_full|")                 \
    X(error_cos, "", REAL, "-1..1", "cosine of o_full and o")                            \
    X(error_max_abs, "", REAL, ">= 0", "largest |o_full - o|")                           \
    X(entropy, "nats", REAL, ">= 0", "entropy of the attention over tokens, mean")       \
    X(gini, "", REAL, "0..1", "Gini coefficient of the attention over units, mean")      \
    X(sink_mass, "", REAL, "0..1", "mass of the first 4 tokens, mean")                   \
    X(distant_mass, "", REAL, "0..1",                                                    \
      "mass outside the first 4 and the last 64 tokens, mean")                           \
    X(overlap_lag1, "", REAL, "0..1", "Jaccard overlap of the choices of rows 1 apart")  \
    X(overlap_lag8, "", REAL, "0..1", "the same, 8 apart")                               \
    X(overlap_lag64, "", REAL, "0..1", "the same, 64 apart")                             \
    X(overlap_chance, "", REAL, "0..1",                                                  \
      "overlap of two random choices of as many units")                                  \
    X(needle_hit, "", REAL, "0..1", "probing rows that read their planted key")          \
    X(needle_rank, "units", REAL, ">= 1", "rank of the planted unit by true mass, mean")

/* Counts and costs of a point. */
#define SPS_COST_COLUMNS(X)                                                              \
    X(density_pairs, "", REAL, "0..1",                                                   \
      "(query, key) pairs read / causal pairs, all rows")                                \
    X(density_tiles, "", REAL, "0..1",                                                   \
      "causal pairs inside touched tiles / causal pairs")                                \
    X(tile, "", TEXT, "", "rows x keys of a tile of density_tiles")                      \
    X(density_flops, "", REAL, ">= 0",                                                   \
      "flops / flops_dense; above 1 where the method costs more than full")              \
    X(density_requested, "", REAL, "0..1",                                               \
      "min(1, k B / s): the papers' nominal figure")                                     \
    X(degenerate, "", TEXT, "true|false", "density_pairs is 0.95 or more")               \
    X(flops, "flop", REAL, ">= 0",                                                       \
      "counted from the index; multiply-add is 2, softmax not counted")                  \
    X(flops_model, "flop", REAL, ">= 0", "predicted before the run")                     \
    X(flops_dense, "flop", REAL, ">= 0", "full attention, same rows")                    \
    X(bytes, "byte", REAL, ">= 0", "counted; each operand crosses memory once per use")  \
    X(bytes_model, "byte", REAL, ">= 0", "predicted before the run")                     \
    X(memory_peak_bytes, "byte", REAL, ">= 0", "most memory in use during the point")    \
    X(memory_predicted_bytes, "byte", REAL, ">= 0", "predicted before the run")          \
    X(time_ms_model, "ms", REAL, ">= 0",                                                 \
      "predicted from flops_model and info --calibrate; empty without one")

/* Wall time of a point or stage; cold: caches flushed before each sample. */
#define SPS_TIME_COLUMNS(X)                                                              \
    X(time_n_cold, "samples", COUNT, ">= 0", "samples kept, cold")                       \
    X(time_ms_p50_cold, "ms", REAL, ">= 0", "median, cold")                              \
    X(time_ms_p05_cold, "ms", REAL, ">= 0", "5th percentile, cold")                      \
    X(time_ms_p25_cold, "ms", REAL, ">= 0", "lower quartile, cold")                      \
    X(time_ms_p75_cold, "ms", REAL, ">= 0", "upper quartile, cold")                      \
    X(time_ms_p95_cold, "ms", REAL, ">= 0", "95th percentile, cold")                     \
    X(time_n_hot, "samples", COUNT, ">= 0", "samples kept, hot")                         \
    X(time_ms_p50_hot, "ms", REAL, ">= 0", "median, hot")                                \
    X(time_ms_p05_hot, "ms", REAL, ">= 0", "5th percentile, hot")                        \
    X(time_ms_p25_hot, "ms", REAL, ">= 0", "lower quartile, hot")                        \
    X(time_ms_p75_hot, "ms", REAL, ">= 0", "upper quartile, hot")                        \
    X(time_ms_p95_hot, "ms", REAL, ">= 0", "95th percentile, hot")

#define SPS_RATE_COLUMNS(X)                                                              \
    X(speedup_dense, "", REAL, "> 0",                                                    \
      "median of full / median of this, interleaved in this process; empty for oracles") \
    X(speedup_l2, "", TEXT, "cold|hot",                                                  \
      "which times speedup_dense and the rates compare")                                 \
    X(dense_impl, "", TEXT, "", "kernel that full attention ran")                        \
    X(tflops_effective, "TFLOP/s", REAL, ">= 0", "flops / median time")                  \
    X(bandwidth_gbps, "GB/s", REAL, ">= 0", "bytes / median time")                       \
    X(roof_frac, "", REAL, ">= 0", "tflops_effective / matrix rate measured here")       \
    X(time_sets, "sets", COUNT, ">= 1",                                                  \
      "equal inputs at other addresses that timed passes read in turn")                  \
    X(time_dropped, "samples", COUNT, ">= 0",                                            \
      "samples dropped: clocks held back by heat or a fault")                            \
    X(clock_sm_mhz, "MHz", REAL, "> 0", "processor clock after a sample, median")        \
    X(held_back, "", TEXT, "power|thermal|hardware",                                     \
      "what held clocks back while sampling")                                            \
    X(energy_j, "J", REAL, ">= 0", "energy per pass, idle subtracted")

/* results.csv: one row a point and phase, all heads together. */
#define SPS_RESULT_COLUMNS(X)                                                            \
    SPS_ID_COLUMNS(X)                                                                    \
    X(status, "", TEXT, "ok|config|notsup|nomem|...", "ok, or why there are no figures") \
    X(reason, "", TEXT, "", "the message behind a status that is not ok")                \
    X(oracle, "", TEXT, "true|false", "reads the answer; never competes on time")        \
    X(gate, "", TEXT, "",                                                                \
      "where nsa's gates came from: file, equal or fit with its constants")              \
    X(n_heads, "heads", COUNT, ">= 1", "query heads that the means are over")            \
    SPS_QUALITY_COLUMNS(X)                                                               \
    X(error_full_ref, "", REAL, ">= 0",                                                  \
      "relative L2 error of this backend's full attention against ref")                  \
    SPS_COST_COLUMNS(X)                                                                  \
    SPS_TIME_COLUMNS(X)                                                                  \
    SPS_RATE_COLUMNS(X)

/* heads.csv: quality of one query head. */
#define SPS_HEAD_COLUMNS(X)                                                              \
    SPS_ID_COLUMNS(X)                                                                    \
    X(head, "", COUNT, ">= 0", "query head, as the recording numbers it")                \
    X(kv_head, "", COUNT, ">= 0", "its key/value head, from 0 among those kept")         \
    SPS_QUALITY_COLUMNS(X)

/* stages.csv: one stage of one point; `total` is timed as one. */
#define SPS_STAGE_COLUMNS(X)                                                             \
    SPS_ID_COLUMNS(X)                                                                    \
    X(stage, "", TEXT, "compress|score|select|invert|attend|window|combine|total",       \
      "part of the method")                                                              \
    X(impl, "", TEXT, "", "kernel that ran")                                             \
    X(flops, "flop", REAL, ">= 0", "counted from the index")                             \
    X(flops_model, "flop", REAL, ">= 0", "predicted before the run")                     \
    X(bytes, "byte", REAL, ">= 0", "counted")                                            \
    X(bytes_model, "byte", REAL, ">= 0", "predicted")                                    \
    X(time_ms_model, "ms", REAL, ">= 0", "predicted; empty without a calibration")       \
    SPS_TIME_COLUMNS(X)

/* rows.csv.gz, on request: one line a measured row and query head. */
#define SPS_ROW_COLUMNS(X)                                                               \
    X(point_id, "", TEXT, "", "the point's id in results.csv")                           \
    X(row, "", COUNT, ">= 0", "packed query row of the data")                            \
    X(head, "", COUNT, ">= 0", "query head, as the recording numbers it")                \
    X(recall_mass, "", REAL, "0..1", "true attention mass of the tokens read")           \
    X(tokens_read, "tokens", COUNT, ">= 0", "tokens read")                               \
    X(error_rel_l2, "", REAL, ">= 0",                                                    \
      "norm(o_full - o) / norm(o_full); empty where o_full is 0")

enum sps_column_kind { SPS_TEXT, SPS_COUNT, SPS_REAL };

struct sps_column {
    const char *name, *unit;
    enum sps_column_kind kind;
    const char *range, *help;
};

enum sps_result_column {
#define X(name, ...) SPS_R_##name,
    SPS_RESULT_COLUMNS(X)
#undef X
        SPS_R_COUNT
};

enum sps_head_column {
#define X(name, ...) SPS_H_##name,
    SPS_HEAD_COLUMNS(X)
#undef X
        SPS_H_COUNT
};

enum sps_stage_column {
#define X(name, ...) SPS_S_##name,
    SPS_STAGE_COLUMNS(X)
#undef X
        SPS_S_COUNT
};

enum sps_quality_metric {
#define X(name, ...) SPS_Q_##name,
    SPS_QUALITY_COLUMNS(X)
#undef X
        SPS_Q_COUNT
};

struct sps_csv_file {
    const char *name, *help; /* "results.csv" */
    const struct sps_column *columns;
    size_t count;
};

extern const struct sps_csv_file sps_csv_files[]; /* ends with a zero entry */
/* SPS_CSV_ROWS stands apart: compressed, and there on request only. */
enum sps_csv {
    SPS_CSV_RESULTS,
    SPS_CSV_HEADS,
    SPS_CSV_STAGES,
    SPS_CSV_COUNT,
    SPS_CSV_ROWS = SPS_CSV_COUNT
};

#endif
