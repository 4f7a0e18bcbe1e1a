/* progress.c - one line on stderr, rewritten on a terminal. */
#include "sim/run/progress.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>

enum { BAR = 24, SECONDS_BETWEEN_LINES = 60 };

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void sps_progress_start(struct sps_progress *p, int64_t total, bool quiet)
{
    *p = (struct sps_progress){.quiet = quiet,
                               .terminal = isatty(STDERR_FILENO),
                               .total = total,
                               .began = now()};
    p->said = p->began;
}

static void draw_bar(const struct sps_progress *p, const char *what)
{
    int full = p->total ? (int)(BAR * p->done / p->total) : BAR;

    fprintf(stderr, "\r\033[K[%.*s%.*s] %lld/%lld %.60s", full,
            "########################", BAR - full, "........................",
            (long long)p->done, (long long)p->total, what);
    fflush(stderr);
}

void sps_progress_step(struct sps_progress *p, const char *what)
{
    if (p->quiet)
        return;
    if (p->terminal) {
        draw_bar(p, what);
    } else if (now() - p->said >= SECONDS_BETWEEN_LINES) {
        p->said = now();
        fprintf(stderr, "%lld of %lld points done after %.0f s, now %s\n",
                (long long)p->done, (long long)p->total, p->said - p->began, what);
    }
    p->done++;
}

void sps_progress_finish(struct sps_progress *p)
{
    if (!p->quiet && p->terminal)
        fprintf(stderr, "\r\033[K");
}
