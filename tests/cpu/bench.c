/* bench.c - speed of the cpu backend as ratios: every line of a table runs once a round,
 * one after the other, so that what else the machine does falls on all of them.
 * usage: bench [small]: an eighth of the length, two rounds, no goals: to see that it
 * works.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/stats.h"
#include "sim/run/group.h"

#define SHAPE "synthetic: diffuse, head_dim: 128, q_heads: 16, "
#define ONE   "measure: {quality: {rows: 1}}\n"

enum { ROUNDS = 7, SMALL_ROUNDS = 2, LINES_MAX = 8 };

/* What a line is held against; of the first two, which line that is. */
enum against {
    PRODUCT, /* rate over that of sgemm */
    FULL,    /* times as fast as full attention */
    FORWARD  /* backward: time over forward's, divided by flops over forward's */
};

static const struct table {
    const char *title, *config;
    int64_t length;
    enum against against;
    const char *ratio;
} tables[] = {
    {"full attention against sgemm, 8k, 16/16 heads, d 128",
     "name: dense\ndata: [{" SHAPE "kv_heads: 16, length: 8k}]\n"
     "methods: [{method: full}]\n" ONE,
     8192, PRODUCT, "rate/sgemm"},
    {"sparse methods against full attention, 32k, 16/1 heads, d 128",
     "name: sparse\ndata: [{" SHAPE "kv_heads: 1, length: 32k}]\nmethods:\n"
     "  [{method: full}, {method: nsa}, {method: moba, block: 512, topk: 3}]\n" ONE,
     32768, FULL, "x full"},
    {"backward against forward, 8k, 16/1 heads, d 128",
     "name: backward\ndata: [{" SHAPE "kv_heads: 1, length: 8k}]\nmethods:\n"
     "  [{method: full}, {method: nsa}, {method: moba, block: 512, topk: 3}]\n"
     "phases: [backward]\n" ONE,
     8192, FORWARD, "t / flops"},
};

/* The goals: at least, but at most for backward. */
static const struct {
    enum against against;
    const char *method;
    double goal;
} goals[] = {{PRODUCT, "full", 0.55}, {FULL, "nsa", 3.9},    {FULL, "moba", 7.8},
             {FORWARD, "full", 2.5},  {FORWARD, "nsa", 2.5}, {FORWARD, "moba", 2.5}};

struct line {
    const char *method; /* "sgemm", or a method's name */
    bool backward;
    struct sps_pass *pass; /* NULL: sgemm */
    double flops;
    double seconds[ROUNDS];
};

struct bench {
    const struct table *table;
    struct sps_group group;
    struct sps_pass pass[LINES_MAX];
    struct line line[LINES_MAX];
    int lines, rounds;
};

#define MUST(call)                                                                       \
    do {                                                                                 \
        if ((call) != SPS_OK) {                                                          \
            fprintf(stderr, "%s\n", sps_error());                                        \
            exit(1);                                                                     \
        }                                                                                \
    } while (0)

/* Predicted operations, forward or backward. */
static double plan_flops(const struct sps_pass *pass, bool backward)
{
    struct sps_problem problem = *pass->plan.problem;
    struct sps_plan plan;
    double flops = 0;

    problem.backward = backward;
    MUST(sps_plan_make(pass->plan.method, pass->plan.options, &problem, pass->plan.dev,
                       &plan));
    for (int i = 0; i < SPS_STAGE_COUNT; i++)
        flops += plan.cost[i].flops;
    sps_plan_free(&plan);
    return flops;
}

static void add_line(struct bench *b, struct sps_pass *pass, bool backward)
{
    b->line[b->lines++] =
        (struct line){.method = pass ? pass->plan.method->name : "sgemm",
                      .backward = backward,
                      .pass = pass,
                      .flops = pass ? plan_flops(pass, backward) : 1};
}

/* Sgemm, then each point forward and, where wanted, backward. */
static void add_lines(struct bench *b, const struct sps_experiment *e)
{
    add_line(b, NULL, false);
    for (int64_t i = 0; i < e->count; i++) {
        const struct sps_point *point = &e->points[i];
        MUST(sps_pass_open(point->method, point->options, &b->group.part[0].input.problem,
                           &b->group.dev, &b->pass[i]));
        add_line(b, &b->pass[i], false);
        if (point->phase == SPS_BACKWARD)
            add_line(b, &b->pass[i], true);
    }
}

static double run_line(struct bench *b, const struct line *line)
{
    struct sps_device *dev = &b->group.dev;
    struct sps_roofs roofs;
    double seconds;

    if (!line->pass) {
        MUST(dev->backend->roofs(dev, &roofs));
        return 1 / roofs.matrix_flops;
    }
    MUST(dev->backend->mark(dev, 2));
    MUST(line->backward ? sps_pass_backward(line->pass, NULL)
                        : sps_pass_run(line->pass, NULL));
    MUST(dev->backend->mark(dev, 3));
    MUST(dev->backend->elapsed(dev, 2, 3, &seconds));
    return seconds;
}

/* Line i against what the table names; NaN: nothing to hold it against. */
static double ratio(const struct bench *b, int i, int round)
{
    enum against against = b->table->against;
    const struct line *a = &b->line[i],
                      *of = against == FORWARD ? a - 1 : &b->line[against];

    if (!a->pass || a == of || (against == FORWARD && !a->backward))
        return NAN;
    double faster = of->seconds[round] / a->seconds[round], work = a->flops / of->flops;
    return against == PRODUCT ? faster * work
           : against == FULL  ? faster
                              : 1 / faster / work;
}

/* Over the rounds: of the line's ratio, or of its seconds. */
static struct sps_quantiles over_rounds(const struct bench *b, int i, bool of_ratio)
{
    double x[ROUNDS];

    for (int r = 0; r < b->rounds; r++)
        x[r] = of_ratio ? ratio(b, i, r) : b->line[i].seconds[r];
    return sps_quantiles(x, (size_t)b->rounds);
}

static void print_goal(const struct bench *b, const struct line *line, double got)
{
    if (b->rounds < ROUNDS)
        return;
    for (size_t i = 0; i < sizeof goals / sizeof *goals; i++)
        if (goals[i].against == b->table->against &&
            strcmp(goals[i].method, line->method) == 0) {
            bool most = b->table->against == FORWARD;
            bool met = most ? got <= goals[i].goal : got >= goals[i].goal;
            printf("  goal %s %.2f: %s", most ? "<=" : ">=", goals[i].goal,
                   met ? "met" : "missed");
        }
}

static void print_line(const struct bench *b, int i)
{
    const struct line *line = &b->line[i];
    struct sps_quantiles t = over_rounds(b, i, false), x = over_rounds(b, i, true);
    char name[32];

    snprintf(name, sizeof name, "%s%s", line->method, line->backward ? " backward" : "");
    printf("%-16s", name);
    if (line->pass)
        printf(" %10.1f (%.1f..%.1f) ms", 1e3 * t.p50, 1e3 * t.p05, 1e3 * t.p95);
    printf(" %8.1f GFLOP/s", line->flops / t.p50 * 1e-9);
    if (!isnan(x.p50)) {
        printf("  %s %.2f (%.2f..%.2f)", b->table->ratio, x.p50, x.p05, x.p95);
        if (line->backward)
            printf(" = %.2f / %.2f", x.p50 * line->flops / (line - 1)->flops,
                   line->flops / (line - 1)->flops);
        print_goal(b, line, x.p50);
    }
    printf("\n");
}

static void run_table(const struct table *table, bool small)
{
    struct bench *b = calloc(1, sizeof *b);
    struct sps_experiment e = {0};
    char length[64];
    const char *set[] = {length};

    snprintf(length, sizeof length, "data[0].length=%lld",
             (long long)(small ? table->length / 8 : table->length));
    b->table = table;
    b->group.id = -1;
    b->rounds = small ? SMALL_ROUNDS : ROUNDS;
    MUST(sps_experiment_parse(table->config, strlen(table->config), "bench", set, 1, &e));
    for (int64_t i = 0; i < e.count; i++)
        snprintf(e.points[i].backend, sizeof e.points[i].backend, "cpu");
    MUST(sps_group_enter(&b->group, &e.points[0], &e.measure, 0));
    MUST(sps_part_enter(&b->group, 0));
    add_lines(b, &e);
    printf("\n%s (%s; %d rounds)\n", table->title, length, b->rounds);
    for (int r = -1; r < b->rounds; r++)
        for (int i = 0; i < b->lines; i++)
            b->line[i].seconds[r < 0 ? 0 : r] = run_line(b, &b->line[i]);
    for (int i = 0; i < b->lines; i++)
        print_line(b, i);
    fflush(stdout);
    for (int i = 0; i < LINES_MAX; i++)
        sps_pass_close(&b->pass[i]);
    sps_group_close(&b->group);
    sps_experiment_free(&e);
    free(b);
}

int main(int argc, char **argv)
{
    struct sps_device dev;

    MUST(sps_device_open("cpu", 0, &dev));
    printf(
        "%s\nmedian (5 %% .. 95 %%) of the rounds, a warm-up round dropped; ratios are "
        "taken within a round\n",
        dev.name);
    sps_device_close(&dev);
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++)
        run_table(&tables[i], argc > 1 && strcmp(argv[1], "small") == 0);
    return 0;
}
