/* config_methods.c - the `methods` section: a method, its options, their axes. */
#include "sim/run/config_read.h"

#include <stdio.h>
#include <string.h>

enum { METHODS_MAX = 128 };

enum sps_status sps_config_method(const struct sps_yaml *node,
                                  const struct sps_method **method)
{
    const char *names[METHODS_MAX + 1], *name;
    int n = 0;

    SPS_TRY(sps_yaml_text(node, &name));
    *method = sps_method_find(name);
    if (*method)
        return SPS_OK;
    for (; n < METHODS_MAX && sps_methods[n]; n++)
        names[n] = sps_methods[n]->name;
    names[n] = NULL;
    return sps_yaml_unknown(node, false, "method", name, names);
}

static enum sps_status read_entry(struct sps_method_entry *e, struct sps_config *config)
{
    static const char *const others[] = {"method", "zip", NULL};

    const struct sps_yaml *name = sps_yaml_get(e->node, "method");

    if (!name)
        return sps_yaml_complain(e->node, "methods: key 'method' is missing");
    SPS_TRY(sps_config_method(name, &e->method));
    const struct sps_option *table[SPS_PARTS_MAX] = {e->method->options};
    size_t bytes[SPS_PARTS_MAX] = {e->method->options_size};

    SPS_TRY(sps_axes_begin(&e->axes, e->node, table, bytes, config->keep));
    return sps_axes_read(&e->axes, others, config->keep);
}

enum sps_status sps_config_methods(void *into, const struct sps_yaml *list,
                                   struct sps_config *config)
{
    const struct sps_yaml *node = list->child;

    (void)into;
    SPS_TRY(sps_entries_check(list, "methods"));
    config->methods = sps_keep_take(config->keep, (size_t)list->count * sizeof(void *));
    if (!config->methods)
        return SPS_ENOMEM;
    for (; node; node = node->next) {
        struct sps_method_entry *e = sps_keep_take(config->keep, sizeof *e);
        if (!e)
            return SPS_ENOMEM;
        e->node = node;
        config->methods[config->method_count++] = e;
        SPS_TRY(read_entry(e, config));
    }
    return SPS_OK;
}
