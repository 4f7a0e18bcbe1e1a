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
    const struct sps_entry **of; /* one entry for each distinct label */
    int64_t count;
};

/* Whether another label is the same but for the value of the option that starts at
 * `word`. */
static bool varies(const struct labels *labels, const char *label, const char *word)
{
    size_t head = (size_t)(word - label) + strcspn(word, "= ") + 1;
    const char *tail = word + strcspn(word, " ");

    if (!strchr("0123456789.", label[head]))
        return false;

    for (int64_t i = 0; i < labels->count; i++) {
        const char *other = sps_entry_text(labels->of[i], SPS_R_label);
        if (strcmp(other, label) != 0 && strncmp(other, label, head) == 0 &&
            strcmp(other + head + strcspn(other + head, " "), tail) == 0)
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
        if (varies(labels, label, at + 1))
            cut = at + 1 + strcspn(at + 1, "= ");
    if (view->source_count > 1)
        sps_text_printf(&series, "%s: ", e->source->name);
    if (cut && *cut == '=')
        sps_text_printf(&series, "%.*s=*%s", (int)(cut - label), label,
                        cut + strcspn(cut, " "));
    else
        sps_text_put(&series, label);
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
    struct labels labels = {malloc((size_t)(view->entry_count + 1) * sizeof *labels.of),
                            0};
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
