/* axes.c - read an entry's options, count and form its variants. */
#include "sim/run/axes.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

enum sps_status sps_axes_begin(struct sps_axes *axes, const struct sps_yaml *entry,
                               const struct sps_option *const table[SPS_PARTS_MAX],
                               const size_t bytes[SPS_PARTS_MAX], struct sps_keep *keep)
{
    *axes = (struct sps_axes){.entry = entry};
    for (int i = 0; i < SPS_PARTS_MAX; i++) {
        axes->part[i].table = table[i];
        axes->part[i].scratch = sps_keep_take(keep, bytes[i]);
        if (!axes->part[i].scratch)
            return SPS_ENOMEM;
    }
    return SPS_OK;
}

/* The option called `name` and its part, or NULL. */
static const struct sps_option *find(const struct sps_axes *axes, const char *name,
                                     int64_t *part)
{
    for (*part = 0; *part < SPS_PARTS_MAX; ++*part) {
        const struct sps_option *o = sps_option_find(axes->part[*part].table, name);
        if (o)
            return o;
    }
    return NULL;
}

/* Check every value in a scratch struct, so that expanding cannot fail. */
static enum sps_status add(struct sps_axes *axes, const struct sps_option *option,
                           int64_t part, const struct sps_yaml *node,
                           struct sps_keep *keep)
{
    struct sps_axis *a = &axes->axis[axes->count];
    const struct sps_yaml *value = sps_yaml_first(node);

    if (node->kind == SPS_YAML_LIST && option->list != SPS_LIST_AXIS)
        return sps_yaml_complain(node, "%s: a list is not allowed here", option->name);
    *a = (struct sps_axis){.option = option, .node = node, .part = part};
    a->leader = axes->count;
    SPS_TRY(sps_yaml_texts(node, keep, &a->text, &a->count));
    for (int64_t i = 0; i < a->count; i++, value = value->next)
        if (sps_option_set(option, axes->part[part].scratch, a->text[i]) != SPS_OK)
            return sps_yaml_complain(value, "%s", sps_error());
    axes->count++;
    return SPS_OK;
}

static enum sps_status unknown_key(const struct sps_axes *axes,
                                   const struct sps_yaml *node, const char *const *others)
{
    const char *names[2 * SPS_AXES_MAX];
    int n = 0;

    for (; others[n]; n++)
        names[n] = others[n];
    for (int i = 0; i < SPS_PARTS_MAX; i++)
        for (const struct sps_option *o = axes->part[i].table; o && o->name; o++) {
            assert(n + 2 < 2 * SPS_AXES_MAX);
            names[n++] = o->name;
        }
    names[n] = NULL;
    return sps_yaml_unknown(node, true, "key", node->key, names);
}

static struct sps_axis *axis_named(struct sps_axes *axes, const char *name)
{
    for (int64_t i = 0; i < axes->count; i++)
        if (strcmp(axes->axis[i].option->name, name) == 0)
            return &axes->axis[i];
    return NULL;
}

/* Tie the axes that one inner list of `zip` names to the first of them. */
static enum sps_status tie(struct sps_axes *axes, const struct sps_yaml *names)
{
    const struct sps_axis *first = NULL;

    if (names->kind != SPS_YAML_LIST || names->count < 2)
        return sps_yaml_complain(names,
                                 "zip: a list of at least two option names is allowed");
    for (const struct sps_yaml *n = names->child; n; n = n->next) {
        const char *name;
        SPS_TRY(sps_yaml_text(n, &name));
        struct sps_axis *a = axis_named(axes, name);
        if (!a)
            return sps_yaml_complain(n, "zip: '%.80s' is not given in this entry", name);
        if (a->node->kind != SPS_YAML_LIST)
            return sps_yaml_complain(n, "zip: '%s' has one value: a list is needed",
                                     name);
        if (!first)
            first = a;
        if (a->count != first->count)
            return sps_yaml_complain(n,
                                     "zip: '%s' has %lld values, '%s' has %lld: equally "
                                     "long lists are needed",
                                     name, (long long)a->count, first->option->name,
                                     (long long)first->count);
        a->leader = first - axes->axis;
    }
    return SPS_OK;
}

/* Each inner list ties its options; an option runs in one tie at most. */
static enum sps_status read_zip(struct sps_axes *axes, const struct sps_yaml *zip)
{
    bool seen[SPS_AXES_MAX] = {false};

    if (!zip)
        return SPS_OK;
    if (zip->kind != SPS_YAML_LIST)
        return sps_yaml_complain(zip, "zip: a list of lists of option names is allowed");
    for (const struct sps_yaml *names = zip->child; names; names = names->next) {
        SPS_TRY(tie(axes, names));
        for (const struct sps_yaml *n = names->child; n; n = n->next) {
            int64_t i = axis_named(axes, n->text) - axes->axis;
            if (seen[i])
                return sps_yaml_complain(n, "zip: '%s' is named twice", n->text);
            seen[i] = true;
        }
    }
    return SPS_OK;
}

static enum sps_status check_required(struct sps_axes *axes)
{
    for (int i = 0; i < SPS_PARTS_MAX; i++)
        for (const struct sps_option *o = axes->part[i].table; o && o->name; o++)
            if (!o->def && !axis_named(axes, o->name)) {
                char range[256];
                sps_option_range(o, range, sizeof range);
                return sps_yaml_complain(axes->entry, "key '%s' is missing: %s", o->name,
                                         range);
            }
    return SPS_OK;
}

static bool listed(const char *name, const char *const *names)
{
    for (; *names; names++)
        if (strcmp(*names, name) == 0)
            return true;
    return false;
}

enum sps_status sps_axes_read(struct sps_axes *axes, const char *const *others,
                              struct sps_keep *keep)
{
    for (const struct sps_yaml *n = axes->entry->child; n; n = n->next) {
        int64_t part;
        if (listed(n->key, others))
            continue;
        const struct sps_option *option = find(axes, n->key, &part);
        if (!option)
            return unknown_key(axes, n, others);
        assert(axes->count < SPS_AXES_MAX);
        SPS_TRY(add(axes, option, part, n, keep));
    }
    SPS_TRY(read_zip(axes, sps_yaml_get(axes->entry, "zip")));
    return check_required(axes);
}

double sps_axes_variants(const struct sps_axes *axes)
{
    double n = 1;

    for (int64_t i = 0; i < axes->count; i++)
        if (axes->axis[i].leader == i && n < 1e200)
            n *= (double)axes->axis[i].count;
    return n;
}

void sps_axes_apply(const struct sps_axes *axes, int64_t i,
                    void *const part[SPS_PARTS_MAX])
{
    int64_t at[SPS_AXES_MAX];

    for (int64_t a = axes->count - 1; a >= 0; a--)
        if (axes->axis[a].leader == a) {
            at[a] = i % axes->axis[a].count;
            i /= axes->axis[a].count;
        }
    for (int p = 0; p < SPS_PARTS_MAX; p++)
        if (part[p])
            sps_options_default(axes->part[p].table, part[p]);
    for (int64_t a = 0; a < axes->count; a++) {
        const struct sps_axis *x = &axes->axis[a];
        enum sps_status status = SPS_OK;
        if (part[x->part])
            status = sps_option_set(x->option, part[x->part], x->text[at[x->leader]]);
        assert(status == SPS_OK);
        (void)status;
    }
}

void sps_axes_label(const struct sps_axes *axes, const void *const part[SPS_PARTS_MAX],
                    bool all, char *label, size_t size)
{
    for (int64_t a = 0; a < axes->count; a++) {
        const struct sps_axis *x = &axes->axis[a];
        size_t used = strlen(label);
        char value[SPS_TEXT_MAX];
        if (!all && x->count == 1 && strcmp(x->option->name, "length") != 0 &&
            strcmp(x->option->name, "cache") != 0)
            continue;
        sps_option_format(x->option, part[x->part], value, sizeof value);
        snprintf(label + used, size - used, " %s=%s", x->option->name, value);
    }
}
