/* series.c - which entries one line joins: those whose labels differ in one option.
 *
 * That option is the last one for which such another label exists: "moba block=128
 * topk=3" is of the series "moba block=128 topk=*" when there is "moba block=128 topk=8",
 * too.
 */
#include <stdlib.h>
#include <string.h>

#include "sim/report/view.h"

struct labels {
    const char **text; /* each distinct label once, sorted */
    char **series;     /* [count] */
    int64_t count;
};

/* Whether another label is the same but for the value of the option that starts at
 * `word`, a number: a line over names would mean nothing. */
static bool varies(const struct labels *labels, const char *label, const char *word)
{
    const char *equals = word + strcspn(word, "= "), *tail = word + strcspn(word, " ");
    size_t head = (size_t)(equals - label) + 1;

    if (equals == tail || strspn(equals + 1, "0123456789.") == 0)
        return false;
    for (int64_t i = 0; i < labels->count; i++) {
        const char *other = labels->text[i];
        if (strcmp(other, label) != 0 && strncmp(other, label, head) == 0 &&
            strcmp(other + head + strcspn(other + head, " "), tail) == 0)
            return true;
    }
    return false;
}

/* The label with a star for the value that varies. */
static enum sps_status starred(const struct labels *labels, const char *label,
                               char **series)
{
    struct sps_text text = {0};
    const char *cut = NULL;

    for (const char *at = strchr(label, ' '); at; at = strchr(at + 1, ' '))
        if (varies(labels, label, at + 1))
            cut = at + 1 + strcspn(at + 1, "=");
    if (cut)
        sps_text_printf(&text, "%.*s=*%s", (int)(cut - label), label,
                        cut + strcspn(cut, " "));
    else
        sps_text_put(&text, label);
    *series = text.data;
    return sps_text_check(&text);
}

/* Labels may share options with several others: one that is left alone in its series is
 * called by its label. */
static const char *series_of(const struct labels *labels, int64_t at)
{
    for (int64_t i = 0; i < labels->count; i++)
        if (i != at && strcmp(labels->series[i], labels->series[at]) == 0)
            return labels->series[at];
    return labels->text[at];
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static enum sps_status collect(const struct sps_view *view, struct labels *labels)
{
    size_t room = (size_t)view->entry_count + 1;

    labels->text = malloc(room * sizeof *labels->text);
    labels->series = calloc(room, sizeof *labels->series);
    if (!labels->text || !labels->series)
        return sps_fail(SPS_ENOMEM, "no memory for the names of series");
    for (int64_t i = 0; i < view->entry_count; i++)
        labels->text[i] = sps_entry_text(&view->entries[i], SPS_R_label);
    qsort(labels->text, (size_t)view->entry_count, sizeof *labels->text, by_text);
    for (int64_t i = 0; i < view->entry_count; i++)
        if (labels->count == 0 ||
            strcmp(labels->text[labels->count - 1], labels->text[i]) != 0)
            labels->text[labels->count++] = labels->text[i];
    for (int64_t i = 0; i < labels->count; i++)
        SPS_TRY(starred(labels, labels->text[i], &labels->series[i]));
    return SPS_OK;
}

static enum sps_status name(const struct sps_view *view, const struct labels *labels,
                            struct sps_entry *e)
{
    struct sps_text series = {0};
    const char *label = sps_entry_text(e, SPS_R_label);
    const char **found = bsearch(&label, labels->text, (size_t)labels->count,
                                 sizeof *labels->text, by_text);

    if (view->source_count > 1)
        sps_text_printf(&series, "%s: ", e->source->name);
    sps_text_put(&series, series_of(labels, found - labels->text));
    e->series = series.data;
    return sps_text_check(&series);
}

enum sps_status sps_view_name_series(struct sps_view *view)
{
    struct labels labels = {0};
    enum sps_status status = collect(view, &labels);

    for (int64_t i = 0; i < view->entry_count && status == SPS_OK; i++)
        status = name(view, &labels, &view->entries[i]);
    for (int64_t i = 0; labels.series && i < labels.count; i++)
        free(labels.series[i]);
    free(labels.series);
    free(labels.text);
    return status;
}
