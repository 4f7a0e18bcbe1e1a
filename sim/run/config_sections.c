/* config_sections.c - read a mapping by a table of its keys. */
#include "sim/run/config_read.h"

#include <assert.h>
#include <string.h>

static enum sps_status check_keys(const struct sps_section *table,
                                  const struct sps_yaml *map)
{
    const char *names[32];
    size_t n = 0;

    for (; table[n].name; n++) {
        assert(n + 1 < sizeof names / sizeof *names);
        names[n] = table[n].name;
    }
    names[n] = NULL;
    for (const struct sps_yaml *c = map->child; c; c = c->next) {
        size_t i = 0;
        while (i < n && strcmp(names[i], c->key) != 0)
            i++;
        if (i == n)
            return sps_yaml_unknown(c, true, "key", c->key, names);
    }
    return SPS_OK;
}

enum sps_status sps_sections_read(const struct sps_section *table,
                                  const struct sps_yaml *map, const char *what,
                                  void *into, struct sps_config *config)
{
    if (map->kind != SPS_YAML_MAP)
        return sps_yaml_complain(map, "%s: a mapping (key: value) is needed", what);
    SPS_TRY(check_keys(table, map));
    for (const struct sps_section *s = table; s->name; s++) {
        const struct sps_yaml *value = sps_yaml_get(map, s->name);
        if (value)
            SPS_TRY(s->read(into, value, config));
        else if (s->required)
            return sps_yaml_complain(map, "%s: key '%s' is missing", what, s->name);
    }
    return SPS_OK;
}

enum sps_status sps_entries_check(const struct sps_yaml *list, const char *what)
{
    if (list->kind != SPS_YAML_LIST)
        return sps_yaml_complain(list, "%s: a list is needed", what);
    if (list->count < 1 || list->count > SPS_ENTRIES_MAX)
        return sps_yaml_complain(list, "%s: %lld entries: 1 to %d are allowed", what,
                                 (long long)list->count, SPS_ENTRIES_MAX);
    for (const struct sps_yaml *e = list->child; e; e = e->next)
        if (e->kind != SPS_YAML_MAP)
            return sps_yaml_complain(e, "%s: each entry is a mapping (key: value)", what);
    return SPS_OK;
}
