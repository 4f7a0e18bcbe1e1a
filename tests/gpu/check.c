/* check.c - every slot of the cuda backend against the reference, on seeded shapes.
 *
 * usage: check [all|big] [random shapes]
 *        check edge [shapes of its list]
 *        check edge FIRST END
 * One line a check that fails or is worth a figure; "N passed, N failed, N skipped" last.
 * `edge` is small enough for compute-sanitizer, `big` passes 2^31 elements.  FIRST END:
 * shapes [FIRST, END) of edge's list, and what follows it only where END reaches its end.
 */
#include <string.h>

#include "tests/gpu/checks.h"

/* What only `all` and `big` run. */
static void check_more(int randoms)
{
    check_extremes();
    check_gated_refusals();
    check_blocks();
    check_gated_shapes();
    check_gates();
    check_means();
    check_larger();
    for (int i = 0; i < randoms; i++)
        check_random((uint64_t)i + 100);
    check_reruns();
    check_rows_alone();
    check_compressed_reruns();
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "all";
    bool edge = strcmp(what, "edge") == 0, some = edge && argc > 3;
    int number = argc > 2 ? atoi(argv[2]) : 12;

    setvbuf(stdout, NULL, _IOLBF, 0);
    if (!devices_open()) {
        printf("0 passed, 0 failed, 1 skipped: %s\n", sps_error());
        return 77;
    }
    printf("%s\n", gpu.name);
    int64_t end = some ? atoi(argv[3]) : edge && argc > 2 ? number : INT64_MAX;
    bool last = check_edges(some ? number : 0, end);
    if (last || !some) {
        check_nans();
        check_closeness();
        check_long_lists();
    }
    if (!edge)
        check_more(number);
    if (strcmp(what, "big") == 0)
        check_big();
    bool good = summary();
    devices_close();
    return good ? 0 : 1;
}
