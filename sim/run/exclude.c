/* exclude.c - drop the points that match every key of an `exclude` entry. */
#include "sim/run/config_read.h"

#include <stdio.h>
#include <string.h>

enum { WISHES_MAX = 64, NAMES_MAX = 128 };

/* A point's property as text; NULL where it has none (a synthetic point's layer). */
typedef const char *getter(const struct sps_point *p, char *buffer, size_t size);

static const char *get_method(const struct sps_point *p, char *buffer, size_t size)
{
    (void)buffer, (void)size;
    return p->method->name;
}

static const char *get_phase(const struct sps_point *p, char *buffer, size_t size)
{
    (void)buffer, (void)size;
    return sps_phase_name(p->phase);
}

static const char *get_backend(const struct sps_point *p, char *buffer, size_t size)
{
    (void)buffer, (void)size;
    return p->backend;
}

static const char *get_dtype(const struct sps_point *p, char *buffer, size_t size)
{
    (void)buffer, (void)size;
    return sps_dtype_name(p->dtype);
}

static const char *get_recorded(const struct sps_point *p, char *buffer, size_t size)
{
    (void)buffer, (void)size;
    return p->data->generator ? NULL : p->data->source;
}

static const char *get_synthetic(const struct sps_point *p, char *buffer, size_t size)
{
    (void)buffer, (void)size;
    return p->data->generator ? p->data->generator->name : NULL;
}

static const char *number(int64_t n, char *buffer, size_t size)
{
    snprintf(buffer, size, "%lld", (long long)n);
    return buffer;
}

static const char *get_layer(const struct sps_point *p, char *buffer, size_t size)
{
    return p->data->generator ? NULL : number(p->data->layer, buffer, size);
}

static const char *get_length(const struct sps_point *p, char *buffer, size_t size)
{
    return number(p->data->length, buffer, size);
}

static const char *get_queries(const struct sps_point *p, char *buffer, size_t size)
{
    return number(p->data->queries, buffer, size);
}

static const char *get_cache(const struct sps_point *p, char *buffer, size_t size)
{
    (void)buffer, (void)size;
    return sps_cache_name(p->data->cache);
}

enum form { WORD, METHOD, NUMBER, PATH };

static const struct property {
    const char *name;
    getter *get;
    enum form form;
} properties[] = {
    {"method", get_method, METHOD},   {"phase", get_phase, WORD},
    {"backend", get_backend, WORD},   {"dtype", get_dtype, WORD},
    {"recorded", get_recorded, PATH}, {"synthetic", get_synthetic, WORD},
    {"layer", get_layer, NUMBER},     {"length", get_length, NUMBER},
    {"queries", get_queries, NUMBER}, {"cache", get_cache, WORD},
};
enum { PROPERTIES = sizeof properties / sizeof *properties };

/* One key of an entry: any of these texts, in the form that the getter writes. */
struct wish {
    const char *key;
    getter *get; /* NULL: an option of the point's method */
    const char **text;
    int64_t count;
};

static bool wish_met(const struct wish *w, const struct sps_point *p)
{
    char buffer[SPS_TEXT_MAX];
    const char *text = buffer;

    if (w->get) {
        text = w->get(p, buffer, sizeof buffer);
    } else {
        const struct sps_option *o = sps_option_find(p->method->options, w->key);
        if (!o)
            return false;
        sps_option_format(o, p->options, buffer, sizeof buffer);
    }
    for (int64_t i = 0; text && i < w->count; i++)
        if (strcmp(text, w->text[i]) == 0)
            return true;
    return false;
}

static enum sps_status replace(const char **text, const char *by, struct sps_keep *keep)
{
    *text = sps_keep_text(keep, by, strlen(by));
    return *text ? SPS_OK : SPS_ENOMEM;
}

/* A property's value as its getter would write it. */
static enum sps_status canonical(const struct sps_yaml *at, enum form form,
                                 const char **text, const struct sps_config *config)
{
    char buffer[2 * SPS_TEXT_MAX];
    int64_t n;

    if (form == METHOD) {
        const struct sps_method *method;
        return sps_config_method(at, &method);
    }
    if (form == NUMBER) {
        if (sps_parse_size(*text, &n) != SPS_OK)
            return sps_yaml_complain(at, "exclude: %s", sps_error());
        return replace(text, number(n, buffer, sizeof buffer), config->keep);
    }
    if (form == PATH && (*text)[0] != '/') {
        snprintf(buffer, sizeof buffer, "%s%s", config->folder, *text);
        return replace(text, buffer, config->keep);
    }
    return SPS_OK;
}

static enum sps_status unknown_key(const struct sps_yaml *node,
                                   const struct sps_method *method)
{
    const char *names[NAMES_MAX + 1];
    int n = 0;

    for (; n < PROPERTIES; n++)
        names[n] = properties[n].name;
    for (const struct sps_option *o = method ? method->options : NULL;
         o && o->name && n < NAMES_MAX; o++)
        names[n++] = o->name;
    if (!method)
        names[n++] = "and beside 'method' its options";
    names[n] = NULL;
    return sps_yaml_unknown(node, true, "key", node->key, names);
}

/* The option `node->key` of a method: check its values, put them in its form. */
static enum sps_status read_option(const struct sps_yaml *node,
                                   const struct sps_yaml *method_node, struct wish *w,
                                   struct sps_keep *keep)
{
    const struct sps_method *method;
    const struct sps_yaml *value = sps_yaml_first(node);
    char text[SPS_TEXT_MAX];

    SPS_TRY(sps_config_method(method_node, &method));
    const struct sps_option *o = sps_option_find(method->options, node->key);
    if (!o)
        return unknown_key(node, method);
    void *scratch = sps_keep_take(keep, method->options_size);
    if (!scratch)
        return SPS_ENOMEM;
    for (int64_t i = 0; i < w->count; i++, value = value->next) {
        if (sps_option_set(o, scratch, w->text[i]) != SPS_OK)
            return sps_yaml_complain(value, "exclude: %s", sps_error());
        sps_option_format(o, scratch, text, sizeof text);
        SPS_TRY(replace(&w->text[i], text, keep));
    }
    return SPS_OK;
}

static enum sps_status read_property(const struct property *p,
                                     const struct sps_yaml *node, struct wish *w,
                                     const struct sps_config *config)
{
    const struct sps_yaml *value = sps_yaml_first(node);

    w->get = p->get;
    for (int64_t i = 0; i < w->count; i++, value = value->next)
        SPS_TRY(canonical(value, p->form, &w->text[i], config));
    return SPS_OK;
}

static enum sps_status read_wish(const struct sps_yaml *node,
                                 const struct sps_yaml *methods, struct wish *w,
                                 const struct sps_config *config)
{
    w->key = node->key;
    SPS_TRY(sps_yaml_texts(node, config->keep, &w->text, &w->count));
    for (int i = 0; i < PROPERTIES; i++)
        if (strcmp(properties[i].name, node->key) == 0)
            return read_property(&properties[i], node, w, config);
    if (!methods)
        return unknown_key(node, NULL);
    const struct sps_yaml *m = sps_yaml_first(methods);
    for (; m; m = methods->kind == SPS_YAML_LIST ? m->next : NULL)
        SPS_TRY(read_option(node, m, w, config->keep));
    return SPS_OK;
}

static enum sps_status read_entry(const struct sps_yaml *entry, struct wish *wishes,
                                  const struct sps_config *config)
{
    const struct sps_yaml *methods = sps_yaml_get(entry, "method");
    int64_t n = 0;

    if (entry->count < 1 || entry->count > WISHES_MAX)
        return sps_yaml_complain(entry, "exclude: 1 to %d keys in an entry", WISHES_MAX);
    for (const struct sps_yaml *c = entry->child; c; c = c->next)
        SPS_TRY(read_wish(c, methods, &wishes[n++], config));
    return SPS_OK;
}

/* Mark what an entry matches. */
static enum sps_status apply(const struct sps_yaml *entry,
                             const struct sps_config *config, bool *dropped)
{
    struct wish wishes[WISHES_MAX] = {0};
    const struct sps_experiment *x = config->experiment;
    bool any = false;

    SPS_TRY(read_entry(entry, wishes, config));
    for (int64_t i = 0; i < x->count; i++) {
        int64_t met = 0;
        while (met < entry->count && wish_met(&wishes[met], &x->points[i]))
            met++;
        if (met == entry->count)
            any = dropped[i] = true;
    }
    return any ? SPS_OK
               : sps_yaml_complain(entry, "exclude: this entry matches no point");
}

/* Close the gaps, in points and in group numbers. */
static void compact(struct sps_experiment *x, const bool *dropped)
{
    int64_t kept = 0, group = -1, last = -1;

    for (int64_t i = 0; i < x->count; i++) {
        if (dropped[i])
            continue;
        group += x->points[i].group != last;
        last = x->points[i].group;
        x->points[kept] = x->points[i];
        x->points[kept++].group = group;
    }
    x->count = kept;
}

enum sps_status sps_points_exclude(struct sps_config *config, const struct sps_yaml *list)
{
    struct sps_experiment *x = config->experiment;

    if (!list)
        return SPS_OK;
    bool *dropped = sps_keep_take(config->keep, (size_t)x->count * sizeof *dropped);
    if (!dropped)
        return SPS_ENOMEM;
    SPS_TRY(sps_entries_check(list, "exclude"));
    for (const struct sps_yaml *entry = list->child; entry; entry = entry->next)
        SPS_TRY(apply(entry, config, dropped));
    compact(x, dropped);
    if (x->count == 0)
        return sps_yaml_complain(list, "exclude: no point is left");
    return SPS_OK;
}
