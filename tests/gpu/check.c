/* check.c - every slot of the cuda backend against the reference, on seeded shapes.
 *
 * usage: check [all|big] [random shapes]
 *        check edge [FIRST END]
 *        check PART...
 * One line a check that fails or is worth a figure, one a part that is done; "N passed, N
 * failed, N skipped" last.  `edge` is small enough for compute-sanitizer, `big` passes
 * 2^31 elements.  FIRST END: shapes [FIRST, END) of edge's list, and what follows it only
 * where END reaches its end.  PART: see the table.
 */
#include <string.h>
#include <time.h>

#include "tests/gpu/checks.h"

static int64_t first_shape, end_shape = INT64_MAX;
static int randoms = 12;
static bool edges_over; /* the list's end was reached */

static void check_shapes(void)
{
    edges_over = check_edges(first_shape, end_shape);
}

static void check_randoms(void)
{
    for (int i = 0; i < randoms; i++)
        check_random((uint64_t)i + 100);
}

enum set { EDGE, ALL, BIG, SETS };
static const char *const set_names[SETS] = {"edge", "all", "big"};

/* In the order in which they run, each with the smallest set that has it. */
static const struct part {
    const char *name;
    enum set set;
    void (*run)(void);
} parts[] = {
    {"shapes", EDGE, check_shapes},
    {"nans", EDGE, check_nans},
    {"closeness", EDGE, check_closeness},
    {"lists", EDGE, check_long_lists},
    {"alone", ALL, check_rows_alone},
    {"reruns", ALL, check_reruns},
    {"compressed-reruns", ALL, check_compressed_reruns},
    {"extremes", ALL, check_extremes},
    {"refusals", ALL, check_gated_refusals},
    {"blocks", ALL, check_blocks},
    {"gated", ALL, check_gated_shapes},
    {"gates", ALL, check_gates},
    {"means", ALL, check_means},
    {"larger", ALL, check_larger},
    {"random", ALL, check_randoms},
    {"huge", BIG, check_big},
};
enum { PARTS = sizeof parts / sizeof *parts };

static void run_part(const struct part *part)
{
    time_t began = time(NULL);

    part->run();
    printf("part %s is done, %.0f s\n", part->name, difftime(time(NULL), began));
}

/* Up to the end of the slice of shapes, if that is not the list's. */
static void run_set(enum set set)
{
    for (int i = 0; i < PARTS; i++)
        if (parts[i].set <= set && (i == 0 || edges_over))
            run_part(&parts[i]);
}

/* False, and a line of what was wrong with the arguments. */
static bool told(const char *what)
{
    fprintf(stderr, "check: %s\n", what);
    return false;
}

/* False, and a line, where no part has the name. */
static bool run_named(const char *name)
{
    for (int i = 0; i < PARTS; i++)
        if (strcmp(parts[i].name, name) == 0) {
            run_part(&parts[i]);
            return true;
        }
    fprintf(stderr, "check: no part '%s'; there are", name);
    for (int i = 0; i < PARTS; i++)
        fprintf(stderr, " %s", parts[i].name);
    fprintf(stderr, "\n");
    return false;
}

static int set_of(const char *name)
{
    int set = 0;

    while (set < SETS && strcmp(set_names[set], name) != 0)
        set++;
    return set;
}

static bool run(int argc, char **argv)
{
    int set = set_of(argc > 1 ? argv[1] : "all");
    bool known = true;

    if (set == EDGE && argc > 3)
        first_shape = atoi(argv[2]), end_shape = atoi(argv[3]);
    else if (set == EDGE && argc > 2)
        return told("edge takes FIRST END, the first shape and the one behind the last");
    else if (set < SETS && argc > 2)
        randoms = atoi(argv[2]);
    if (set < SETS)
        run_set((enum set)set);
    else
        for (int i = 1; i < argc; i++)
            known &= run_named(argv[i]);
    return known;
}

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (!devices_open()) {
        printf("0 passed, 0 failed, 1 skipped: %s\n", sps_error());
        return 77;
    }
    printf("%s\n", gpu.name);
    bool known = run(argc, argv), good = summary();
    devices_close();
    return good && known ? 0 : 1;
}
