/* config_measure.c - the `measure` section. */
#include "sim/run/config_read.h"

#include <string.h>

#define AT(field) offsetof(struct sps_measure, field)
static const struct sps_option table[] = {
    {"rows", SPS_OPT_INT, SPS_LIST_NONE, AT(rows), "1024", 1, 1 << 30, NULL, NULL,
     "measured rows"},
    {"reference", SPS_OPT_BOOL, SPS_LIST_NONE, AT(reference), "false", 0, 0, NULL, NULL,
     "error of full attention against the reference"},
    {"per_row", SPS_OPT_BOOL, SPS_LIST_NONE, AT(per_row), "false", 0, 0, NULL, NULL,
     "write rows.csv.gz: one line a measured row and head"},
    {"samples", SPS_OPT_INT, SPS_LIST_NONE, AT(samples), "30", 1, 1000000, NULL, NULL,
     "timed passes at most"},
    {"seconds", SPS_OPT_REAL, SPS_LIST_NONE, AT(seconds), "10", 0.001, 86400, NULL, NULL,
     "seconds of timed passes at most"},
    {0},
};
#undef AT

/* A scalar of the table above, named like its key. */
static enum sps_status read_option(void *into, const struct sps_yaml *value,
                                   struct sps_config *config)
{
    const char *text;

    (void)config;
    SPS_TRY(sps_yaml_text(value, &text));
    if (sps_option_set(sps_option_find(table, value->key), into, text) != SPS_OK)
        return sps_yaml_complain(value, "%s", sps_error());
    return SPS_OK;
}

/* all, N, or last:N. */
static enum sps_status read_rows(void *into, const struct sps_yaml *value,
                                 struct sps_config *config)
{
    struct sps_measure *m = into;
    const char *text;

    (void)config;
    SPS_TRY(sps_yaml_text(value, &text));
    m->rows_last = strncmp(text, "last:", 5) == 0;
    if (strcmp(text, "all") == 0)
        m->rows = 0;
    else if (sps_option_set(&table[0], m, m->rows_last ? text + 5 : text) != SPS_OK)
        return sps_yaml_complain(value,
                                 "rows: %.80s is not allowed: all, a number from 1 to "
                                 "%.0f, or last:NUMBER",
                                 text, table[0].max);
    return SPS_OK;
}

static enum sps_status read_l2(void *into, const struct sps_yaml *value,
                               struct sps_config *config)
{
    static const char *const words[] = {"cold", "hot", NULL};
    struct sps_measure *m = into;
    const struct sps_yaml *item = sps_yaml_first(value);
    const char **text;
    int64_t count;

    m->cold = m->hot = 0;
    SPS_TRY(sps_yaml_texts(value, config->keep, &text, &count));
    for (int64_t i = 0; i < count; i++, item = item->next) {
        if (strcmp(text[i], words[0]) == 0)
            m->cold = 1;
        else if (strcmp(text[i], words[1]) == 0)
            m->hot = 1;
        else
            return sps_yaml_unknown(item, false, "cache state", text[i], words);
    }
    return SPS_OK;
}

/* false, true, or a mapping read by `sections`: the answer into *on. */
static enum sps_status read_part(struct sps_measure *m, const struct sps_yaml *value,
                                 const struct sps_section *sections, int64_t *on,
                                 struct sps_config *config)
{
    if (value->kind != SPS_YAML_TEXT)
        return sps_sections_read(sections, value, value->key, m, config);
    if (strcmp(value->text, "true") != 0 && strcmp(value->text, "false") != 0)
        return sps_yaml_complain(value,
                                 "%s: %.80s is not allowed: true, false or a mapping",
                                 value->key, value->text);
    *on = value->text[0] == 't';
    return SPS_OK;
}

static enum sps_status read_quality(void *into, const struct sps_yaml *value,
                                    struct sps_config *config)
{
    static const struct sps_section sections[] = {{"rows", false, read_rows},
                                                  {"reference", false, read_option},
                                                  {"per_row", false, read_option},
                                                  {0}};
    struct sps_measure *m = into;

    return read_part(m, value, sections, &m->quality, config);
}

static enum sps_status read_time(void *into, const struct sps_yaml *value,
                                 struct sps_config *config)
{
    static const struct sps_section sections[] = {{"samples", false, read_option},
                                                  {"seconds", false, read_option},
                                                  {"l2", false, read_l2},
                                                  {0}};
    struct sps_measure *m = into;

    return read_part(m, value, sections, &m->time, config);
}

enum sps_status sps_config_measure(void *into, const struct sps_yaml *value,
                                   struct sps_config *config)
{
    static const struct sps_section sections[] = {
        {"quality", false, read_quality}, {"time", false, read_time}, {0}};
    struct sps_measure *m = into;

    sps_options_default(table, m);
    m->quality = m->time = m->cold = m->hot = 1;
    if (!value)
        return SPS_OK;
    SPS_TRY(sps_sections_read(sections, value, "measure", m, config));
    if (!m->quality && !m->time)
        return sps_yaml_complain(value,
                                 "measure: quality and time are both false: nothing "
                                 "would be measured");
    return SPS_OK;
}
