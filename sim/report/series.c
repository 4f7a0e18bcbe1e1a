/* series.c - which entries one line joins: those whose labels differ in one option.
 *
 * That option is the last one of the label that takes several values among the labels
 * of the method: "moba block=128 topk=3" belongs to the series "moba block=128".
 */
#include <stdlib.h>
#include <string.h>

#include "sim/report/view.h"

struct labels {
    const struct sps_entry **of; /* one entry for each distinct label */
    int64_t count;
};

/* The value of option `key` (of `size` bytes, "=" included) in a label; "" if absent. */
static const char *value_of(const char *label, const char *key, size_t size)
{
    for (const char *at = strchr(label, ' '); at; at = strchr(at + 1, ' '))
        if (strncmp(at + 1, key, size) == 0)
            return at + 1 + size;
    return "";
}

static bool same_word(const char *a, const char *b)
{
    size_t n = strcspn(a, " ");
    return n == strcspn(b, " ") && strncmp(a, b, n) == 0;
}

/* Whether another label of the method gives the option that starts at `word` another value. */
static bool varies(const struct labels *labels, const struct sps_entry *e, const char *word)
{
    const char *equals = memchr(word, '=', strcspn(word, " "));
    size_t size = equals ? (size_t)(equals - word) + 1 : 0;

    for (int64_t i = 0; size && i < labels->count; i++) {
        const struct sps_entry *other = labels->of[i];
        if (strcmp(sps_entry_text(other, SPS_R_method), sps_entry_text(e, SPS_R_method)) == 0 &&
            !same_word(value_of(sps_entry_text(other, SPS_R_label), word, size), word + size))
            return true;
    }
    return false;
}

static enum sps_status name(const struct sps_view *view, const struct labels *labels,
                            struct sps_entry *e)
{
    const char *label = sps_entry_text(e, SPS_R_label), *cut = NULL;
    struct sps_text series = {0};

    for (const char *at = strchr(label, ' '); at; at = strchr(at + 1, ' '))
        if (varies(labels, e, at + 1))
            cut = at;
    if (view->source_count > 1)
        sps_text_printf(&series, "%s: ", e->source->name);
    sps_text_append(&series, label, cut ? (size_t)(cut - label) : strlen(label));
    if (cut)
        sps_text_put(&series, cut + 1 + strcspn(cut + 1, " "));
    e->series = series.data;
    return sps_text_check(&series);
}

static int by_label(const void *a, const void *b)
{
    return strcmp(sps_entry_text(*(const struct sps_entry *const *)a, SPS_R_label),
                  sps_entry_text(*(const struct sps_entry *const *)b, SPS_R_label));
}

enum sps_status sps_view_name_series(struct sps_view *view)
{
    struct labels labels = {malloc((size_t)(view->entry_count + 1) * sizeof *labels.of), 0};
    enum sps_status status = SPS_OK;

    if (!labels.of)
        return sps_fail(SPS_ENOMEM, "no memory for the names of series");
    for (int64_t i = 0; i < view->entry_count; i++)
        labels.of[i] = &view->entries[i];
    qsort(labels.of, (size_t)view->entry_count, sizeof *labels.of, by_label);
    for (int64_t i = 0; i < view->entry_count; i++)
        if (i == 0 || by_label(&labels.of[labels.count - 1], &labels.of[i]) != 0)
            labels.of[labels.count++] = labels.of[i];
    for (int64_t i = 0; i < view->entry_count && status == SPS_OK; i++)
        status = name(view, &labels, &view->entries[i]);
    free(labels.of);
    return status;
}
