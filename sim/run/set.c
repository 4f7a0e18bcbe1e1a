/* set.c - apply "path=value" to the tree: "methods[1].topk=[4,8]". */
#include "sim/run/config_read.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* An edit under way; `path` is followed from the left. */
struct edit {
    const char *text;                     /* "methods[1].topk=8" */
    const char *at;                       /* what is still to be followed */
    const char *equals;                   /* where the path ends */
    const struct sps_yaml_source *source; /* "--set methods[1].topk=8" */
    struct sps_keep *keep;
};

/* The path up to where the edit stands, for messages. */
#define SO_FAR(e) (int)((e)->at - (e)->text), (e)->text

static enum sps_status malformed(const struct edit *e)
{
    return sps_fail(
        SPS_ECONFIG,
        "--set %.200s: a path like measure.time.samples=5 or methods[0].topk=8 is "
        "needed",
        e->text);
}

/* Follow "[3]". */
static enum sps_status follow_index(struct edit *e, struct sps_yaml **node)
{
    char *end;
    struct sps_yaml *list = *node;
    const char *digits = e->at + 1;
    long long n = strtoll(digits, &end, 10);

    if (*digits < '0' || *digits > '9' || *end != ']')
        return malformed(e);
    if (list->kind != SPS_YAML_LIST)
        return sps_fail(SPS_ECONFIG, "--set %.200s: %.*s is not a list", e->text,
                        SO_FAR(e));
    if (n >= list->count)
        return sps_fail(SPS_ECONFIG,
                        "--set %.200s: %.*s[%lld] does not exist: %.*s has %lld "
                        "entries, counted from 0",
                        e->text, SO_FAR(e), n, SO_FAR(e), (long long)list->count);
    for (*node = list->child; n > 0; n--)
        *node = (*node)->next;
    e->at = end + 1;
    return SPS_OK;
}

/* A new last key of `map`, an empty mapping until a value replaces it. */
static struct sps_yaml *append(struct sps_yaml *map, const char *key,
                               const struct edit *e)
{
    struct sps_yaml *child = sps_keep_take(e->keep, sizeof *child), **end = &map->child;

    if (!child)
        return NULL;
    while (*end)
        end = &(*end)->next;
    *end = child;
    map->count++;
    child->key = key;
    child->kind = SPS_YAML_MAP;
    child->source = e->source;
    return child;
}

/* A list that is not there cannot be added by naming one of its entries. */
static enum sps_status no_list(const struct edit *e, const struct sps_yaml *map,
                               const char *key)
{
    const char *names[SPS_YAML_KEYS_MAX + 1];
    int n = 0;

    for (const struct sps_yaml *c = map->child; c && n < SPS_YAML_KEYS_MAX; c = c->next)
        names[n++] = c->key;
    names[n] = NULL;
    const char *nearest = sps_nearest(key, names);
    return sps_fail(SPS_ECONFIG, "--set %.200s: '%.80s' does not exist%s%s%s", e->text,
                    key, nearest ? " (did you mean '" : "", nearest ? nearest : "",
                    nearest ? "'?)" : "");
}

/* Follow "name" or ".name"; a key that the file leaves out is added. */
static enum sps_status follow_name(struct edit *e, struct sps_yaml **node)
{
    const char *name = e->at + (*e->at == '.');
    size_t n = strcspn(name, ".[=");
    struct sps_yaml *map = *node;

    if (n == 0 || memchr(name, ']', n))
        return malformed(e);
    if (map->kind != SPS_YAML_MAP)
        return sps_fail(SPS_ECONFIG, "--set %.200s: '%.*s' does not exist: %.*s is a %s",
                        e->text, (int)n, name, SO_FAR(e),
                        map->kind == SPS_YAML_LIST ? "list, write [0] for its first entry"
                                                   : "single value");
    char *key = sps_keep_text(e->keep, name, n);
    if (!key)
        return SPS_ENOMEM;
    *node = sps_yaml_get(map, key);
    if (!*node && name[n] == '[')
        return no_list(e, map, key);
    if (!*node)
        *node = append(map, key, e);
    e->at = name + n;
    return *node ? SPS_OK : SPS_ENOMEM;
}

/* Put the parsed value in the place of *node, which keeps its key and neighbours. */
static enum sps_status put(struct sps_yaml *node, const struct edit *e)
{
    struct sps_yaml *value;

    if (!e->equals[1])
        return sps_fail(SPS_ECONFIG, "%s: no value", e->source->name);
    SPS_TRY(
        sps_yaml_parse(e->equals + 1, strlen(e->equals + 1), e->source, e->keep, &value));
    value->key = node->key;
    value->next = node->next;
    *node = *value;
    return SPS_OK;
}

enum sps_status sps_config_set(struct sps_yaml *root, const char *edit,
                               struct sps_keep *keep)
{
    struct edit e = {.text = edit, .at = edit, .equals = strchr(edit, '='), .keep = keep};
    struct sps_yaml_source *source = sps_keep_take(keep, sizeof *source);
    size_t room = strlen(edit) + sizeof "--set ";
    char *name = sps_keep_take(keep, room);

    if (!source || !name)
        return SPS_ENOMEM;
    snprintf(name, room, "--set %s", edit);
    source->name = name;
    e.source = source;
    if (!e.equals || e.equals == edit || *edit == '.')
        return malformed(&e);
    while (e.at < e.equals) {
        if (*e.at == '[')
            SPS_TRY(follow_index(&e, &root));
        else if (*e.at == '.' || e.at == edit)
            SPS_TRY(follow_name(&e, &root));
        else
            return malformed(&e);
    }
    return put(root, &e);
}
