/* group.c - enter and leave groups and their parts. */
#include "sim/run/group.h"

#include <stdlib.h>
#include <string.h>

#include "base/rng.h"

/* The last so many rows of each sequence; 0: all. */
static int64_t last_rows(int64_t queries, enum sps_phase phase)
{
    return phase == SPS_DECODE ? 1 : queries;
}

static struct sps_synthetic synthetic_of(const struct sps_data_spec *spec,
                                         enum sps_phase phase)
{
    struct sps_synthetic synthetic = spec->synthetic;

    synthetic.queries = last_rows(synthetic.queries, phase);
    return synthetic;
}

enum sps_status sps_data_sketch(const struct sps_data_spec *spec, enum sps_phase phase,
                                struct sps_data *data)
{
    struct sps_synthetic synthetic = synthetic_of(spec, phase);

    return spec->generator ? sps_synthetic_shape(&synthetic, data)
                           : sps_data_load(spec, phase, data);
}

enum sps_status sps_data_load(const struct sps_data_spec *spec, enum sps_phase phase,
                              struct sps_data *data)
{
    struct sps_synthetic synthetic = synthetic_of(spec, phase);
    struct sps_recording *rec;

    if (spec->generator)
        return sps_generate(spec->generator, &synthetic, spec->generator_options, data);
    SPS_TRY(sps_recording_open(spec->source, &rec));
    struct sps_slice slice = {.layer = spec->layer,
                              .heads = spec->head_count ? spec->heads : NULL,
                              .head_count = spec->head_count,
                              .length = spec->length,
                              .queries = last_rows(spec->queries, phase)};
    enum sps_status status = sps_recording_load(rec, &slice, data);
    sps_recording_close(rec);
    return status;
}

static int compare(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* `wanted` of t rows, evenly spaced or the last ones, and every probing row. */
static enum sps_status choose_rows(struct sps_group *group)
{
    const struct sps_data *data = &group->data;
    int64_t t = data->t, wanted = group->measure.rows ? group->measure.rows : t;
    int64_t count = wanted < t ? wanted : t, kept = 0;
    void *mem;

    SPS_TRY(sps_calloc((size_t)(count + data->probe_count) * sizeof(int64_t), &mem));
    group->rows = mem;
    for (int64_t i = 0; i < count; i++)
        group->rows[i] =
            group->measure.rows_last ? t - count + i : (i + 1) * t / count - 1;
    for (int64_t i = 0; i < data->probe_count; i++)
        group->rows[count++] = data->probes[i].row;
    qsort(group->rows, (size_t)count, sizeof *group->rows, compare);
    for (int64_t i = 0; i < count; i++)
        if (i == 0 || group->rows[i] != group->rows[kept - 1])
            group->rows[kept++] = group->rows[i];
    group->count = kept;
    SPS_TRY(sps_calloc((size_t)kept * sizeof(int64_t), &mem));
    group->at = mem;
    for (int64_t i = 0; i < kept; i++)
        group->at[i] = group->whole ? group->rows[i] : i;
    return SPS_OK;
}

/* The data's gradient of the output, or standard normals. */
static enum sps_status have_gradient(struct sps_group *group)
{
    const uint64_t stream = UINT64_C(0x646f) << 48; /* "do": no generator's */
    struct sps_data *data = &group->data;

    if (data->d_o.data)
        return SPS_OK;
    SPS_TRY(sps_tensor_new(SPS_F32, data->t, data->h, data->dv, 1, &data->d_o));
    sps_normals(group->seed, stream, 0, sps_tensor_count(&data->d_o), data->d_o.data);
    return SPS_OK;
}

/* dq of the method and of dense attention beside it, d_o of NSA's branches, gates; dk and
 * dv of the method, of its compressed keys and of dense attention. */
static size_t backward_bytes(const struct sps_data *data)
{
    int64_t row = data->h * (2 * data->dk + 3 * data->dv + 4);
    int64_t key = 3 * data->g * (data->dk + data->dv);

    return (size_t)(data->t * row + data->s * key) * sizeof(float);
}

/* Inputs and the widest method's workspace (NSA's three branches, output, gates). */
static size_t whole_bytes(const struct sps_group *group)
{
    const struct sps_data *data = &group->data;
    bool backward = group->phase == SPS_BACKWARD;
    struct sps_take all = {
        .kv_heads = data->g, .backward = backward, .paged = group->paged};
    size_t row = (size_t)(data->h * (data->dv + 4)) * sizeof(float);

    return sps_input_bytes(data, &all, group->dtype, &group->dev) +
           5 * row * (size_t)data->t + (backward ? backward_bytes(data) : 0);
}

static enum sps_status make_parts(struct sps_group *group)
{
    const struct sps_data *data = &group->data;
    bool fits = whole_bytes(group) <= group->dev.memory_bytes;
    void *mem;

    group->parts = fits ? 1 : data->g;
    SPS_TRY(sps_calloc((size_t)group->parts * sizeof *group->part, &mem));
    group->part = mem;
    for (int64_t i = 0; i < group->parts; i++)
        group->part[i].take = (struct sps_take){.kv_head = i,
                                                .kv_heads = fits ? data->g : 1,
                                                .backward = group->phase == SPS_BACKWARD,
                                                .decode = group->phase == SPS_DECODE,
                                                .paged = group->paged};
    return SPS_OK;
}

static enum sps_status open_device(struct sps_group *group, const char *backend,
                                   int threads)
{
    if (group->open && strcmp(group->dev.backend->name, backend) == 0)
        return SPS_OK;
    if (group->open)
        sps_device_close(&group->dev);
    group->open = false;
    SPS_TRY(sps_device_open(backend, threads, &group->dev));
    group->open = true;
    return SPS_OK;
}

static enum sps_status enter(struct sps_group *group, const struct sps_point *point,
                             int threads)
{
    SPS_TRY(open_device(group, point->backend, threads));
    SPS_TRY(sps_data_load(point->data, point->phase, &group->data));
    SPS_TRY(sps_data_check_finite(&group->data));
    SPS_TRY(choose_rows(group));
    if (group->phase == SPS_BACKWARD)
        SPS_TRY(have_gradient(group));
    return make_parts(group);
}

enum sps_status sps_group_enter(struct sps_group *group, const struct sps_point *point,
                                const struct sps_measure *measure, int threads)
{
    if (group->id == point->group)
        return SPS_OK;
    sps_group_leave(group);
    group->measure = *measure;
    group->dtype = point->dtype;
    group->phase = point->phase;
    group->paged = point->data->cache == SPS_PAGED;
    group->seed = point->seed;
    group->whole = point->whole;
    enum sps_status status = enter(group, point, threads);
    if (status != SPS_OK)
        sps_group_leave(group);
    else
        group->id = point->group;
    return status;
}

static void part_close(struct sps_part *part)
{
    if (part->dense_open)
        sps_pass_close(&part->dense);
    if (part->measured.dev)
        sps_input_free(&part->measured);
    if (part->input.dev)
        sps_input_free(&part->input);
    part->dense_open = part->open = false;
}

void sps_group_leave(struct sps_group *group)
{
    for (int64_t i = 0; i < group->parts; i++) {
        part_close(&group->part[i]);
        free(group->part[i].o_full);
    }
    free(group->part);
    free(group->rows);
    free(group->at);
    sps_data_free(&group->data);
    group->part = NULL;
    group->parts = group->count = 0;
    group->rows = group->at = NULL;
    group->id = -1;
}

void sps_group_close(struct sps_group *group)
{
    sps_group_leave(group);
    if (group->open)
        sps_device_close(&group->dev);
    group->open = false;
}

static enum sps_status open_dense(const struct sps_problem *problem,
                                  struct sps_device *dev, struct sps_pass *pass)
{
    enum sps_status status =
        sps_pass_open(sps_method_find("full"), NULL, problem, dev, pass);

    if (status != SPS_OK)
        sps_pass_close(pass);
    return status;
}

static enum sps_status full_output(const struct sps_problem *problem,
                                   struct sps_device *dev, float *o)
{
    struct sps_pass pass;

    SPS_TRY(open_dense(problem, dev, &pass));
    enum sps_status status = sps_pass_run(&pass, NULL);
    if (status == SPS_OK)
        status = sps_pass_output(&pass, o);
    sps_pass_close(&pass);
    return status;
}

/* The problem whose rows are the measured ones. */
const struct sps_problem *sps_part_measured(const struct sps_group *group, int64_t i)
{
    const struct sps_part *part = &group->part[i];

    return group->whole ? &part->measured.problem : &part->input.problem;
}

static enum sps_status measure_full(struct sps_group *group, struct sps_part *part,
                                    const struct sps_problem *problem)
{
    const struct sps_data *data = &group->data;
    int64_t h = part->take.kv_heads * (data->h / data->g);
    void *o;

    SPS_TRY(sps_calloc((size_t)(group->count * h * data->dv) * sizeof(float), &o));
    part->o_full = o;
    return full_output(problem, &group->dev, o);
}

/* All rows, and the measured ones gathered into a problem of their own. */
static enum sps_status make_inputs(struct sps_group *group, struct sps_part *part)
{
    struct sps_take some = part->take;

    some.rows = group->rows;
    some.count = group->count;
    if (!group->whole)
        return sps_input_make(&group->data, &some, group->dtype, group->seed, &group->dev,
                              &part->input);
    SPS_TRY(sps_input_make(&group->data, &part->take, group->dtype, group->seed,
                           &group->dev, &part->input));
    some.keys = &part->input;
    some.backward = false;
    return sps_input_make(&group->data, &some, group->dtype, group->seed, &group->dev,
                          &part->measured);
}

static enum sps_status part_open(struct sps_group *group, int64_t i)
{
    struct sps_part *part = &group->part[i];

    part->open = true;
    SPS_TRY(make_inputs(group, part));
    if (!part->o_full && group->phase != SPS_BACKWARD)
        SPS_TRY(measure_full(group, part, sps_part_measured(group, i)));
    if (!group->measure.time)
        return SPS_OK;
    SPS_TRY(open_dense(&part->input.problem, &group->dev, &part->dense));
    part->dense_open = true;
    return group->phase == SPS_BACKWARD ? sps_pass_run(&part->dense, NULL) : SPS_OK;
}

enum sps_status sps_part_enter(struct sps_group *group, int64_t i)
{
    struct sps_part *part = &group->part[i];

    if (part->open)
        return SPS_OK;
    enum sps_status status = part_open(group, i);
    if (status != SPS_OK)
        part_close(part);
    return status;
}

void sps_part_leave(struct sps_group *group, int64_t i)
{
    if (group->parts > 1)
        part_close(&group->part[i]);
}
