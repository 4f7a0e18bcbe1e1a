/* setting.c - which entries can be compared, and what entries are called. */
#include <stdlib.h>
#include <string.h>

#include "sim/report/view.h"

/* The word " length=N" of a data label, and its size; 0: there is none. */
static const char *length_word(const char *data, size_t *size)
{
    const char *word = strstr(data, " length=");

    *size = word ? 1 + strcspn(word + 1, " ") : 0;
    return word ? word : data + strlen(data);
}

/* "8192 keys", "1 row" */
static void put_count(const char *count, const char *what, struct sps_text *text)
{
    sps_text_printf(text, ", %s %s%s", count, what, strcmp(count, "1") == 0 ? "" : "s");
}

/* The data without its layer and, in the family's name, without its length; the title
 * leaves the length out when the number of keys says the same. */
static enum sps_status describe(const struct sps_entry *e, struct sps_text *title,
                                struct sps_text *family)
{
    struct sps_text data = {0}, rest = {0};
    const char *s = sps_entry_text(e, SPS_R_s);
    size_t size, mark = strlen(" length=");

    sps_text_append(&data, sps_entry_text(e, SPS_R_data_label),
                    (size_t)sps_source_data_length(e->source, SPS_CSV_RESULTS, e->row));
    const char *whole = sps_text_string(&data), *word = length_word(whole, &size);
    bool same = size == mark + strlen(s) && strncmp(word + mark, s, strlen(s)) == 0;
    sps_text_printf(&rest, ", %s, %s, %s", sps_entry_text(e, SPS_R_phase),
                    sps_entry_text(e, SPS_R_backend), sps_entry_text(e, SPS_R_dtype));
    sps_text_printf(family, "%.*s%s%s", (int)(word - whole), whole, word + size,
                    sps_text_string(&rest));
    sps_text_append(title, whole, (size_t)(word - whole));
    sps_text_put(title, same ? word + size : word);
    put_count(s, "key", title);
    put_count(sps_entry_text(e, SPS_R_t), "row", title);
    sps_text_put(title, sps_text_string(&rest));
    bool failed = data.failed || rest.failed || title->failed || family->failed;
    sps_text_free(&data);
    sps_text_free(&rest);
    return failed ? sps_fail(SPS_ENOMEM, "no memory for the names of settings") : SPS_OK;
}

enum sps_status sps_entry_place(struct sps_view *view, struct sps_entry *e)
{
    struct sps_text title = {0}, family = {0};
    enum sps_status status = describe(e, &title, &family);

    for (int64_t i = 0; i < view->setting_count && status == SPS_OK; i++)
        if (strcmp(view->settings[i].title, title.data) == 0)
            e->setting = i;
    if (status == SPS_OK && e->setting < 0) {
        e->setting = view->setting_count++;
        view->settings[e->setting] =
            (struct sps_setting){title.data, family.data, e->value[SPS_R_s]};
        return SPS_OK;
    }
    sps_text_free(&title);
    sps_text_free(&family);
    return status;
}

void sps_entry_plain(char *name)
{
    for (char *c = name; c && *c; c++)
        if (*c == '"' || (unsigned char)*c < ' ')
            *c = *c == '"' ? '\'' : ' ';
}

enum sps_status sps_entry_name(const struct sps_view *view, struct sps_entry *e)
{
    struct sps_text name = {0};

    if (view->source_count > 1)
        sps_text_printf(&name, "%s: ", e->source->name);
    sps_text_put(&name, sps_entry_text(e, SPS_R_label));
    e->name = name.data;
    sps_entry_plain(e->name);
    return sps_text_check(&name);
}
