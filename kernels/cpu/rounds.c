/* rounds.c - every tile of rows against every tile of keys, no two threads on one tile.
 */
#include "kernels/cpu/rounds.h"

#include <stdlib.h>

#include "kernels/ref/ref.h"

static int64_t tiles(int64_t n, int64_t size)
{
    return (n + size - 1) / size;
}

/* Tiles of keys, or of rows of the range, of the sequence that has most. */
static int64_t count_rounds(const struct sps_backward *job)
{
    const struct sps_shape *shape = job->shape;
    int64_t rounds = tiles(job->rows.end - job->rows.begin, SPS_ROUND_ROWS) + 1;

    for (int64_t i = 0; i < shape->n; i++) {
        int64_t n = tiles(job->cu[i + 1] - job->cu[i], job->tile);
        rounds = n > rounds ? n : rounds;
    }
    return rounds;
}

/* The pair of a task in a round; false: its sequence has no such keys. */
static bool find_pair(const struct sps_backward *job, const struct sps_task *task,
                      int64_t round, int64_t rounds, struct sps_pair *pair)
{
    int64_t keys = job->cu[task->sequence + 1] - job->cu[task->sequence];
    int64_t r = (task->rows.begin - job->shape->cu_q[task->sequence]) / SPS_ROUND_ROWS;
    int64_t begin = (r + rounds - round) % rounds * job->tile, end = begin + job->tile;

    *pair = (struct sps_pair){*task, begin, end < keys ? end : keys};
    return begin < keys;
}

static void run_rounds(const struct sps_backward *job, const struct sps_task *tasks,
                       int64_t count, const struct sps_scratch *scratch, int threads,
                       sps_meet *meet)
{
    int64_t rounds = count_rounds(job);

#pragma omp parallel num_threads(threads)
    for (int64_t f = 0; f < rounds; f++) {
#pragma omp for schedule(dynamic, 1)
        for (int64_t i = 0; i < count; i++) {
            struct sps_pair pair;
            if (find_pair(job, &tasks[i], f, rounds, &pair))
                meet(job, &pair, sps_scratch_mine(scratch));
        }
    }
}

static enum sps_status make_delta(const struct sps_backward *job, int threads,
                                  float **delta)
{
    int64_t h = job->shape->h, dv = job->shape->dv, first = job->rows.begin * h;
    int64_t n = (job->rows.end - job->rows.begin) * h;
    void *mem;

    SPS_TRY(sps_calloc((size_t)n * sizeof **delta, &mem));
    *delta = mem;
#pragma omp parallel for num_threads(threads)
    for (int64_t i = 0; i < n; i++)
        (*delta)[i] = (float)sps_ref_dot(job->out->d_o + (first + i) * dv,
                                         job->out->o + (first + i) * dv, dv);
    return SPS_OK;
}

enum sps_status sps_rounds_run(struct sps_device *dev, struct sps_backward *job,
                               size_t bytes, sps_meet *meet)
{
    struct sps_scratch scratch;
    struct sps_task *tasks = NULL;
    int64_t count;

    SPS_TRY(sps_scratch_new(dev, bytes, &scratch));
    enum sps_status status = sps_tasks_new(job->shape, job->rows, SPS_ROUND_ROWS,
                                           job->shape->g, &tasks, &count);
    if (status == SPS_OK)
        status = make_delta(job, dev->threads, &job->delta);
    if (status == SPS_OK) {
        run_rounds(job, tasks, count, &scratch, dev->threads, meet);
        free(job->delta);
        job->delta = NULL;
    }
    free(tasks);
    sps_scratch_free(&scratch);
    return status;
}
