/* config.c - libFuzzer: any bytes are an experiment or one clear message, and what
 * was understood reads the same when it is written out and read again.
 * A first line "#--set PATH=VALUE" is an edit. */
#include "sim/run/config.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool right)
{
    if (!right)
        abort();
}

/* The edit on the first line, or NULL; free() ends it. */
static char *first_line_edit(const uint8_t *data, size_t size)
{
    static const char mark[] = "#--set ";
    size_t skip = sizeof mark - 1;
    const uint8_t *end = size ? memchr(data, '\n', size) : NULL;

    if (!end || (size_t)(end - data) < skip || memcmp(data, mark, skip) != 0)
        return NULL;
    return strndup((const char *)data + skip, (size_t)(end - data) - skip);
}

static void compare(const struct sps_experiment *x, const struct sps_experiment *y)
{
    check(x->count == y->count && strcmp(x->name, y->name) == 0);
    check(memcmp(&x->measure, &y->measure, sizeof x->measure) == 0);
    check(strcmp(x->resolved, y->resolved) == 0);
    for (int64_t i = 0; i < x->count; i++) {
        const struct sps_point *a = &x->points[i], *b = &y->points[i];
        check(a->group == b->group && a->method == b->method && a->seed == b->seed);
        check(strcmp(a->label, b->label) == 0);
        check(strcmp(a->data->label, b->data->label) == 0);
    }
}

/* libfyaml leaks a buffer on a text of many '' (its issue 233), which would hide our own.
 */
static bool many_doubled_quotes(const uint8_t *data, size_t size)
{
    int count = 0;

    for (size_t i = 1; i < size; i++)
        count += data[i] == '\'' && data[i - 1] == '\'';
    return count > 4;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (many_doubled_quotes(data, size))
        return 0;
    char *edit = first_line_edit(data, size);
    const char *const set[] = {edit};
    struct sps_experiment x = {0}, y = {0};
    enum sps_status status = sps_experiment_parse((const char *)data, size, "fuzz.yaml",
                                                  set, edit != NULL, &x);

    if (status == SPS_OK) {
        check(x.count > 0 && x.count <= SPS_POINTS_MAX);
        check(sps_experiment_parse(x.resolved, strlen(x.resolved), "again.yaml", NULL, 0,
                                   &y) == SPS_OK);
        compare(&x, &y);
    } else {
        check(status == SPS_ECONFIG && *sps_error());
    }
    sps_experiment_free(&x);
    sps_experiment_free(&y);
    free(edit);
    return 0;
}
