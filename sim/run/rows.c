/* rows.c - fill the columns of results.csv, heads.csv and stages.csv. */
#include "sim/run/rows.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/csv.h"
#include "base/sha256.h"
#include "sim/run/version.h"

/* "key=value; key=value" of every option. */
static void options_text(const struct sps_option *table, const void *values,
                         struct sps_text *text)
{
    char value[SPS_TEXT_MAX];

    for (const struct sps_option *o = table; o && o->name; o++) {
        sps_option_format(o, values, value, sizeof value);
        sps_text_printf(text, "%s%s=%s", text->length ? "; " : "", o->name, value);
    }
}

static void spec_text(const struct sps_data_spec *spec, struct sps_text *text)
{
    sps_text_printf(text, "|%s|%lld %lld %lld",
                    spec->generator ? spec->generator->name : "", (long long)spec->layer,
                    (long long)spec->length, (long long)spec->queries);
    sps_text_printf(text, " %s", sps_cache_name(spec->cache));
    for (int64_t i = 0; i < spec->head_count; i++)
        sps_text_printf(text, ",%lld", (long long)spec->heads[i]);
    if (!spec->generator)
        return;
    options_text(sps_synthetic_options, &spec->synthetic, text);
    options_text(spec->generator->options, spec->generator_options, text);
}

enum sps_status sps_point_id(const struct sps_point *point, const struct sps_measure *m,
                             const char *backend, const char *input_sha256,
                             char id[SPS_ID_SIZE])
{
    struct sps_text text = {0};
    struct sps_sha256 *sha;
    char hex[65];

    options_text(point->method->options, point->options, &text);
    spec_text(point->data, &text);
    sps_text_printf(&text, "|%s|%s|%s|%s|%llu|%s", point->method->name, input_sha256,
                    backend, sps_dtype_name(point->dtype),
                    (unsigned long long)point->seed, sps_phase_name(point->phase));
    sps_text_printf(&text, "|%lld %lld %lld %lld %lld %g %lld %lld %lld %lld %d|%s",
                    (long long)m->quality, (long long)m->rows, (long long)m->rows_last,
                    (long long)m->time, (long long)m->samples, m->seconds,
                    (long long)m->cold, (long long)m->hot, (long long)m->reference,
                    (long long)m->per_row, point->whole, sps_code_version());
    enum sps_status status = sps_text_check(&text);
    if (status == SPS_OK)
        status = sps_sha256_new(&sha);
    if (status == SPS_OK) {
        sps_sha256_add(sha, text.data, text.length);
        sps_sha256_hex(sha, hex);
        snprintf(id, SPS_ID_SIZE, "%.16s", hex);
    }
    sps_text_free(&text);
    return status;
}

static const char *stem(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

void sps_rows_identify(const struct sps_point *point, const char *id, const char *backend,
                       struct sps_record *r)
{
    struct sps_text options = {0};

    options_text(point->method->options, point->options, &options);
    sps_record_number(r, SPS_R_schema_version, SPS_SCHEMA_VERSION);
    sps_record_text(r, SPS_R_point_id, id);
    sps_record_text(r, SPS_R_phase, sps_phase_name(point->phase));
    sps_record_text(r, SPS_R_backend, backend);
    sps_record_text(r, SPS_R_method, point->method->name);
    sps_record_text(r, SPS_R_label, point->label);
    sps_record_text(r, SPS_R_options, sps_text_string(&options));
    sps_record_text(r, SPS_R_data, stem(point->data->source));
    sps_record_text(r, SPS_R_data_label, point->data->label);
    if (!point->data->generator)
        sps_record_number(r, SPS_R_layer, (double)point->data->layer);
    sps_record_text(r, SPS_R_dtype, sps_dtype_name(point->dtype));
    sps_record_text(r, SPS_R_cache, sps_cache_name(point->data->cache));
    sps_record_number(r, SPS_R_seed, (double)point->seed);
    sps_record_text(r, SPS_R_oracle, point->method->oracle ? "true" : "false");
    sps_text_free(&options);
}

void sps_rows_shape(const struct sps_data *data, struct sps_record *r)
{
    sps_record_number(r, SPS_R_n, (double)data->n);
    sps_record_number(r, SPS_R_t, (double)data->t);
    sps_record_number(r, SPS_R_s, (double)data->s);
    sps_record_number(r, SPS_R_h, (double)data->h);
    sps_record_number(r, SPS_R_g, (double)data->g);
    sps_record_number(r, SPS_R_dk, (double)data->dk);
    sps_record_number(r, SPS_R_dv, (double)data->dv);
}

static struct sps_cost sum_costs(const struct sps_cost *cost)
{
    struct sps_cost sum = {0};

    for (int s = 0; s < SPS_STAGE_COUNT; s++) {
        sum.flops += cost[s].flops;
        sum.bytes += cost[s].bytes;
    }
    return sum;
}

static void fill_costs(const struct sps_outcome *out, struct sps_record *r)
{
    struct sps_cost counted = sum_costs(out->counted), model = sum_costs(out->model);
    double density = out->pairs.both / out->causal_pairs;
    char tile[32];

    snprintf(tile, sizeof tile, "%d x %d", SPS_TILE_ROWS, SPS_TILE_KEYS);
    sps_record_number(r, SPS_R_density_pairs, density);
    sps_record_number(r, SPS_R_density_tiles, out->tile_pairs / out->causal_pairs);
    sps_record_text(r, SPS_R_tile, tile);
    sps_record_number(r, SPS_R_density_flops, counted.flops / out->flops_dense);
    sps_record_number(r, SPS_R_density_requested, out->density_requested);
    sps_record_text(r, SPS_R_degenerate, density >= 0.95 ? "true" : "false");
    sps_record_number(r, SPS_R_flops, counted.flops);
    sps_record_number(r, SPS_R_flops_model, model.flops);
    sps_record_number(r, SPS_R_flops_dense, out->flops_dense);
    sps_record_number(r, SPS_R_bytes, counted.bytes);
    sps_record_number(r, SPS_R_bytes_model, model.bytes);
    sps_record_number(r, SPS_R_memory_peak_bytes, out->memory_peak);
    sps_record_number(r, SPS_R_memory_predicted_bytes, out->memory_predicted);
}

/* The five quantiles and their count, from column `first` on, as ms. */
static double fill_quantiles(const double *seconds, int64_t n, size_t first,
                             struct sps_record *r)
{
    double sorted[SPS_SAMPLES_MAX];

    memcpy(sorted, seconds, (size_t)n * sizeof *sorted);
    struct sps_quantiles q = sps_quantiles(sorted, (size_t)n);
    const double values[] = {q.p50, q.p05, q.p25, q.p75, q.p95};
    sps_record_number(r, first, (double)n);
    for (size_t i = 0; i < 5; i++)
        sps_record_number(r, first + 1 + i, 1e3 * values[i]);
    return q.p50;
}

static double median(const double *seconds, int64_t n)
{
    double sorted[SPS_SAMPLES_MAX];

    memcpy(sorted, seconds, (size_t)n * sizeof *sorted);
    return sps_quantile(sorted, (size_t)n, 0.5);
}

static void fill_rates(const struct sps_point *point, const struct sps_outcome *out,
                       const struct sps_samples *samples, const char *l2, double p50,
                       const struct sps_roofs *roofs, struct sps_record *r)
{
    struct sps_cost counted = sum_costs(out->counted);

    if (point->method->idle)
        return;
    sps_record_text(r, SPS_R_speedup_l2, l2);
    if (strcmp(point->method->name, "full") == 0) {
        sps_record_number(r, SPS_R_speedup_dense, 1);
        sps_record_text(r, SPS_R_dense_impl, samples->impl[SPS_STAGE_ATTEND]);
    } else if (samples->dense_n) {
        sps_record_number(r, SPS_R_speedup_dense,
                          median(samples->dense, samples->dense_n) / p50);
        sps_record_text(r, SPS_R_dense_impl, samples->dense_impl);
    }
    sps_record_number(r, SPS_R_tflops_effective, counted.flops / p50 * 1e-12);
    sps_record_number(r, SPS_R_bandwidth_gbps, counted.bytes / p50 * 1e-9);
    if (roofs->matrix_flops > 0)
        sps_record_number(r, SPS_R_roof_frac, counted.flops / p50 / roofs->matrix_flops);
}

/* "power thermal": what held clocks back. */
static void fill_health(const struct sps_samples *samples, struct sps_record *r)
{
    static const struct {
        uint64_t bit;
        const char *name;
    } names[] = {{SPS_HELD_POWER_CAP, "power "},
                 {SPS_HELD_THERMAL, "thermal "},
                 {SPS_HELD_HARDWARE, "hardware "}};
    char text[32] = "";

    if (isnan(samples->sm_mhz[0]))
        return;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (samples->held_back & names[i].bit)
            strcat(text, names[i].name);
    text[strlen(text) ? strlen(text) - 1 : 0] = '\0';
    sps_record_number(r, SPS_R_time_dropped, (double)samples->dropped);
    sps_record_number(r, SPS_R_clock_sm_mhz, median(samples->sm_mhz, samples->n));
    sps_record_text(r, SPS_R_held_back, text);
}

static void fill_times(const struct sps_point *point, const struct sps_outcome *out,
                       const struct sps_roofs *roofs, struct sps_record *r)
{
    const struct {
        const struct sps_samples *samples;
        size_t first;
        const char *l2;
    } modes[] = {{out->cold, SPS_R_time_n_cold, "cold"},
                 {out->hot, SPS_R_time_n_hot, "hot"}};
    bool rated = false;

    for (size_t i = 0; i < 2; i++) {
        const struct sps_samples *samples = modes[i].samples;
        if (!samples || !samples->n)
            continue;
        double p50 = fill_quantiles(samples->total, samples->n, modes[i].first, r);
        if (!rated)
            fill_rates(point, out, samples, modes[i].l2, p50, roofs, r);
        sps_record_number(r, SPS_R_time_sets, (double)samples->sets);
        if (!rated)
            fill_health(samples, r);
        if (samples->energy_j > 0)
            sps_record_number(r, SPS_R_energy_j, samples->energy_j);
        rated = true;
    }
}

static enum sps_status write_heads(const struct sps_group *group,
                                   const struct sps_outcome *out,
                                   const struct sps_record *result, struct sps_text *text)
{
    const struct sps_data *data = &group->data;
    int64_t G = data->h / data->g;

    for (int64_t x = 0; x < out->quality.heads; x++) {
        struct sps_record r;
        SPS_TRY(sps_record_new(SPS_CSV_HEADS, &r));
        sps_record_copy_id(&r, result);
        sps_record_number(&r, SPS_H_head, (double)data->heads[x]);
        sps_record_number(&r, SPS_H_kv_head, (double)(x / G));
        for (size_t q = 0; q < SPS_Q_COUNT; q++)
            sps_record_number(&r, SPS_H_n_rows + q, out->quality.head[x][q]);
        sps_record_write(&r, text);
        sps_record_free(&r);
    }
    return SPS_OK;
}

/* Predicted seconds of each stage; returns their sum, NaN: unknown. */
static double predict(const struct sps_point *point, const struct sps_group *group,
                      const struct sps_outcome *out,
                      const struct sps_calibration *calibration,
                      double seconds[SPS_STAGE_COUNT])
{
    const struct sps_work work = {.method = point->method,
                                  .backward = point->phase == SPS_BACKWARD,
                                  .dtype = group->dev.backend->accepts(point->dtype),
                                  .cost = out->model,
                                  .causal_pairs = out->causal_pairs,
                                  .memory = out->memory_predicted};

    return sps_calibration_predict(calibration, &work, seconds);
}

static void fill_stage(const char *name, const char *impl, const struct sps_cost *counted,
                       const struct sps_cost *model, double seconds, struct sps_record *r)
{
    sps_record_text(r, SPS_S_stage, name);
    if (impl)
        sps_record_text(r, SPS_S_impl, impl);
    sps_record_number(r, SPS_S_flops, counted->flops);
    sps_record_number(r, SPS_S_flops_model, model->flops);
    sps_record_number(r, SPS_S_bytes, counted->bytes);
    sps_record_number(r, SPS_S_bytes_model, model->bytes);
    sps_record_number(r, SPS_S_time_ms_model, 1e3 * seconds);
}

static enum sps_status write_stage(const struct sps_outcome *out, int s, double seconds,
                                   const struct sps_record *result, struct sps_text *text)
{
    const struct sps_samples *any = out->cold ? out->cold : out->hot;
    struct sps_record r;

    if (!out->counted[s].flops && !out->counted[s].bytes && !(any && any->impl[s]))
        return SPS_OK;
    SPS_TRY(sps_record_new(SPS_CSV_STAGES, &r));
    sps_record_copy_id(&r, result);
    fill_stage(sps_stage_name((enum sps_stage)s), any ? any->impl[s] : NULL,
               &out->counted[s], &out->model[s], seconds, &r);
    if (out->cold && out->cold->traced_n)
        fill_quantiles(out->cold->stage[s], out->cold->traced_n, SPS_S_time_n_cold, &r);
    if (out->hot && out->hot->traced_n)
        fill_quantiles(out->hot->stage[s], out->hot->traced_n, SPS_S_time_n_hot, &r);
    sps_record_write(&r, text);
    sps_record_free(&r);
    return SPS_OK;
}

/* `seconds` of each stage as predicted, and of all. */
static enum sps_status write_stages(const struct sps_outcome *out,
                                    const double seconds[SPS_STAGE_COUNT], double all,
                                    const struct sps_record *result,
                                    struct sps_text *text)
{
    struct sps_cost counted = sum_costs(out->counted), model = sum_costs(out->model);
    struct sps_record r;

    for (int s = 0; s < SPS_STAGE_COUNT; s++)
        SPS_TRY(write_stage(out, s, isnan(all) ? NAN : seconds[s], result, text));
    SPS_TRY(sps_record_new(SPS_CSV_STAGES, &r));
    sps_record_copy_id(&r, result);
    fill_stage("total", NULL, &counted, &model, all, &r);
    if (out->cold)
        fill_quantiles(out->cold->total, out->cold->n, SPS_S_time_n_cold, &r);
    if (out->hot)
        fill_quantiles(out->hot->total, out->hot->n, SPS_S_time_n_hot, &r);
    sps_record_write(&r, text);
    sps_record_free(&r);
    return SPS_OK;
}

void sps_rows_detail(const struct sps_data *data, const struct sps_outcome *out,
                     const char *id, struct sps_text *text)
{
    struct sps_csv_row line = {.text = text};

    for (int64_t x = 0; out->row_error && x < out->quality.heads; x++)
        for (int64_t i = 0; i < out->quality.count; i++) {
            int64_t at = x * out->quality.count + i;
            const struct sps_row_quality *row = &out->quality.row[at];
            sps_csv_row_text(&line, id);
            sps_csv_row_count(&line, out->row_of[i]);
            sps_csv_row_count(&line, data->heads[x]);
            sps_csv_row_real(&line, row->recall_mass);
            sps_csv_row_real(&line, row->tokens_read);
            if (isnan(out->row_error[at]))
                sps_csv_row_none(&line);
            else
                sps_csv_row_real(&line, out->row_error[at]);
            sps_csv_row_end(&line);
        }
}

enum sps_status
sps_rows_write(const struct sps_point *point, const struct sps_group *group,
               const struct sps_outcome *out, const struct sps_roofs *roofs,
               const struct sps_calibration *calibration, struct sps_record *result,
               struct sps_text rows[SPS_CSV_COUNT])
{
    double seconds[SPS_STAGE_COUNT];
    double all = predict(point, group, out, calibration, seconds);

    sps_rows_shape(&group->data, result);
    sps_record_number(result, SPS_R_t, (double)out->t);
    sps_record_text(result, SPS_R_status, sps_status_name(SPS_OK));
    sps_record_number(result, SPS_R_n_heads, (double)group->data.h);
    if (out->note[0])
        sps_record_text(result, SPS_R_gate, out->note);
    for (size_t q = 0; out->quality.heads && q < SPS_Q_COUNT; q++)
        sps_record_number(result, SPS_R_n_rows + q, out->quality.all[q]);
    sps_record_number(result, SPS_R_error_full_ref, out->error_full_ref);
    fill_costs(out, result);
    sps_record_number(result, SPS_R_time_ms_model, 1e3 * all);
    fill_times(point, out, roofs, result);
    SPS_TRY(write_heads(group, out, result, &rows[SPS_CSV_HEADS]));
    SPS_TRY(write_stages(out, seconds, all, result, &rows[SPS_CSV_STAGES]));
    sps_record_write(result, &rows[SPS_CSV_RESULTS]);
    return SPS_OK;
}

void sps_rows_fail(enum sps_status status, const char *reason, struct sps_record *result,
                   struct sps_text rows[SPS_CSV_COUNT])
{
    sps_record_text(result, SPS_R_status, sps_status_name(status));
    sps_record_text(result, SPS_R_reason, reason);
    sps_record_write(result, &rows[SPS_CSV_RESULTS]);
}
