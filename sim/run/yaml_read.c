/* yaml_read.c - texts out of a tree, and what to say about a wrong name. */
#include "sim/run/axes.h"

#include <stdio.h>
#include <string.h>

enum sps_status sps_yaml_text(const struct sps_yaml *node, const char **text)
{
    if (node->kind != SPS_YAML_TEXT)
        return sps_yaml_complain(node, "%s%sone value is allowed, not a %s",
                                 node->key ? node->key : "", node->key ? ": " : "",
                                 node->kind == SPS_YAML_LIST ? "list" : "mapping");
    if (!*node->text)
        return sps_yaml_complain_key(node, "%s%sno value", node->key ? node->key : "",
                                     node->key ? ": " : "");
    *text = node->text;
    return SPS_OK;
}

enum sps_status sps_yaml_texts(const struct sps_yaml *node, struct sps_keep *keep,
                               const char ***text, int64_t *count)
{
    bool list = node->kind == SPS_YAML_LIST;
    const struct sps_yaml *value = list ? node->child : node;
    int64_t n = list ? node->count : 1;

    if (n == 0)
        return sps_yaml_complain(node, "%s%san empty list", node->key ? node->key : "",
                                 node->key ? ": " : "");
    const char **all = sps_keep_take(keep, (size_t)n * sizeof *all);
    if (!all)
        return SPS_ENOMEM;
    for (int64_t i = 0; i < n; i++, value = value->next)
        SPS_TRY(sps_yaml_text(value, &all[i]));
    *text = all;
    *count = n;
    return SPS_OK;
}

enum sps_status sps_yaml_unknown(const struct sps_yaml *node, bool at_key,
                                 const char *what, const char *name,
                                 const char *const *names)
{
    const char *nearest = sps_nearest(name, names);
    char allowed[900] = "", guess[128] = "";

    if (nearest)
        snprintf(guess, sizeof guess, " (did you mean '%s'?)", nearest);
    for (size_t used = 0; *names && used < sizeof allowed; names++)
        used += (size_t)snprintf(allowed + used, sizeof allowed - used, "%s%s",
                                 used ? ", " : "", *names);
    return (at_key ? sps_yaml_complain_key : sps_yaml_complain)(
        node, "unknown %s '%.80s'%s; allowed: %s", what, name, guess, allowed);
}
