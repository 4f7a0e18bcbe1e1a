/* yaml.c - from libfyaml's events to our tree. */
#include "sim/run/yaml.h"

#include <libfyaml.h>
#include <string.h>

struct reader {
    struct fy_parser *parser;
    struct fy_diag *diag;
    struct sps_keep *keep;
    const struct sps_yaml_source *source;
    struct sps_yaml_mark last; /* of the event read last that has one */
};

/* libfyaml's own complaint, told in our form. */
static enum sps_status syntax_error(const struct reader *r)
{
    void *previous = NULL;
    const struct fy_diag_error *e = fy_diag_errors_iterate(r->diag, &previous);

    if (!e)
        return sps_yaml_complain_mark(r->source, r->last, "not readable as YAML");
    struct sps_yaml_mark at = {e->line, e->column};
    return sps_yaml_complain_mark(r->source, at, "%.300s", e->msg);
}

static struct sps_yaml_mark place(struct reader *r, struct fy_event *event)
{
    const struct fy_mark *mark = fy_event_start_mark(event);

    if (mark)
        r->last = (struct sps_yaml_mark){mark->line + 1, mark->column + 1};
    return r->last;
}

static enum sps_status next_event(struct reader *r, struct fy_event **event)
{
    *event = fy_parser_parse(r->parser);
    return *event ? SPS_OK : syntax_error(r);
}

/* What YAML offers and an experiment file must not use. */
static enum sps_status refuse_features(const struct reader *r, struct fy_event *event,
                                       struct sps_yaml_mark at)
{
    if (event->type == FYET_ALIAS)
        return sps_yaml_complain_mark(r->source, at, "aliases (*name) are not allowed");
    if (fy_event_get_anchor_token(event))
        return sps_yaml_complain_mark(r->source, at, "anchors (&name) are not allowed");
    if (fy_event_get_tag_token(event))
        return sps_yaml_complain_mark(r->source, at, "tags (!name) are not allowed");
    return SPS_OK;
}

/* Bytes of the UTF-8 character at p (n bytes left), 0: not one that a text may hold
 * (broken, or a control character other than tab and line ends). */
static size_t character(const unsigned char *p, size_t n)
{
    size_t size = p[0] < 0x80   ? 1
                  : p[0] < 0xc2 ? 0
                  : p[0] < 0xe0 ? 2
                  : p[0] < 0xf0 ? 3
                                : 4;

    if (size == 1)
        return p[0] >= 0x20 ? p[0] != 0x7f : p[0] == '\t' || p[0] == '\n' || p[0] == '\r';
    if (size > n || p[0] > 0xf4)
        return 0;
    for (size_t i = 1; i < size; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    bool control = p[0] == 0xc2 && p[1] < 0xa0;
    bool overlong = (p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xf0 && p[1] < 0x90);
    bool beyond = (p[0] == 0xed && p[1] >= 0xa0) || (p[0] == 0xf4 && p[1] >= 0x90);
    return control || overlong || beyond ? 0 : size;
}

/* The scalar's text into *text, NUL-terminated and free of control characters. */
static enum sps_status scalar(struct reader *r, struct fy_event *event,
                              struct sps_yaml_mark at, const char **text)
{
    size_t size = 0;
    struct fy_token *token = fy_event_get_token(event);
    const char *raw = token ? fy_token_get_text(token, &size) : NULL;

    for (size_t i = 0, n; i < size; i += n) {
        n = character((const unsigned char *)raw + i, size - i);
        if (n == 0 || raw[i] == '\n' || raw[i] == '\r' || raw[i] == '\t')
            return sps_yaml_complain_mark(
                r->source, at,
                "control character 0x%02x in a text: one line of "
                "printable characters is allowed",
                (unsigned char)raw[i]);
    }
    *text = sps_keep_text(r->keep, raw, size);
    return *text ? SPS_OK : SPS_ENOMEM;
}

/* Read the children of `node` up to the event `end`. */
static enum sps_status read_children(struct reader *r, int depth, struct sps_yaml *node);

/* The node that starts with `event`. */
static enum sps_status read_node(struct reader *r, struct fy_event *event, int depth,
                                 struct sps_yaml *node)
{
    node->at = place(r, event);
    node->source = r->source;
    SPS_TRY(refuse_features(r, event, node->at));
    if (event->type == FYET_SCALAR)
        return scalar(r, event, node->at, &node->text);
    if (depth == SPS_YAML_DEPTH_MAX)
        return sps_yaml_complain(node, "nested deeper than %d levels",
                                 SPS_YAML_DEPTH_MAX);
    node->kind = event->type == FYET_SEQUENCE_START ? SPS_YAML_LIST : SPS_YAML_MAP;
    return read_children(r, depth + 1, node);
}

static enum sps_status check_key(const struct sps_yaml *map, const struct sps_yaml *child)
{
    if (strcmp(child->key, "<<") == 0)
        return sps_yaml_complain_key(child, "merge keys (<<) are not allowed");
    if (map->count == SPS_YAML_KEYS_MAX)
        return sps_yaml_complain_key(child, "more than %d keys in one mapping",
                                     SPS_YAML_KEYS_MAX);
    const struct sps_yaml *twin = sps_yaml_get(map, child->key);
    if (twin)
        return sps_yaml_complain_key(child, "key '%.80s' repeated, first on line %lld",
                                     child->key, (long long)twin->key_at.line);
    return SPS_OK;
}

/* `event` is a mapping's key: keep it, and check it against those before. */
static enum sps_status read_key(struct reader *r, struct fy_event *event,
                                const struct sps_yaml *map, struct sps_yaml *child)
{
    child->source = r->source;
    child->key_at = place(r, event);
    SPS_TRY(refuse_features(r, event, child->key_at));
    if (event->type != FYET_SCALAR)
        return sps_yaml_complain_mark(r->source, child->key_at, "a key must be a text");
    SPS_TRY(scalar(r, event, child->key_at, &child->key));
    return check_key(map, child);
}

/* One item, or one key with its value; *done at the parent's end. */
static enum sps_status read_child(struct reader *r, int depth, struct sps_yaml *parent,
                                  struct sps_yaml **last, bool *done)
{
    struct fy_event *event;
    enum sps_status status;

    SPS_TRY(next_event(r, &event));
    *done = event->type == FYET_SEQUENCE_END || event->type == FYET_MAPPING_END;
    struct sps_yaml *child = *done ? NULL : sps_keep_take(r->keep, sizeof *child);
    if (!child) {
        fy_parser_event_free(r->parser, event);
        return *done ? SPS_OK : SPS_ENOMEM;
    }
    if (parent->kind == SPS_YAML_MAP) {
        status = read_key(r, event, parent, child);
        fy_parser_event_free(r->parser, event);
        SPS_TRY(status);
        SPS_TRY(next_event(r, &event));
    }
    status = read_node(r, event, depth, child);
    fy_parser_event_free(r->parser, event);
    SPS_TRY(status);
    if (*last)
        (*last)->next = child;
    else
        parent->child = child;
    *last = child;
    parent->count++;
    return SPS_OK;
}

static enum sps_status read_children(struct reader *r, int depth, struct sps_yaml *node)
{
    struct sps_yaml *last = NULL;
    bool done = false;

    while (!done)
        SPS_TRY(read_child(r, depth, node, &last, &done));
    return SPS_OK;
}

/* The whole stream: exactly one document. */
static enum sps_status read_stream(struct reader *r, struct sps_yaml **root)
{
    enum fy_event_type type;

    do {
        struct fy_event *event;
        enum sps_status status = SPS_OK;

        SPS_TRY(next_event(r, &event));
        type = event->type;
        struct sps_yaml_mark at = place(r, event);
        if (type == FYET_DOCUMENT_START && *root)
            status = sps_yaml_complain_mark(r->source, at,
                                            "a second document: one is allowed");
        else if (type == FYET_SCALAR || type == FYET_ALIAS ||
                 type == FYET_SEQUENCE_START || type == FYET_MAPPING_START) {
            *root = sps_keep_take(r->keep, sizeof **root);
            status = *root ? read_node(r, event, 0, *root) : SPS_ENOMEM;
        }
        fy_parser_event_free(r->parser, event);
        SPS_TRY(status);
    } while (type != FYET_STREAM_END);
    return *root ? SPS_OK : sps_fail(SPS_ECONFIG, "%s: no YAML in it", r->source->name);
}

/* libfyaml says nothing about these, or stops reading at them without a word. */
static enum sps_status check_text(const char *text, size_t size, const char *name)
{
    for (size_t i = 0, n; i < size; i += n) {
        n = character((const unsigned char *)text + i, size - i);
        if (n == 0)
            return sps_fail(SPS_ECONFIG, "%s: not a text file: byte 0x%02x at offset %zu",
                            name, (unsigned char)text[i], i);
    }
    return size ? SPS_OK : sps_fail(SPS_ECONFIG, "%s: empty file", name);
}

enum sps_status sps_yaml_parse(const char *text, size_t size,
                               const struct sps_yaml_source *source,
                               struct sps_keep *keep, struct sps_yaml **root)
{
    struct reader r = {.keep = keep, .source = source, .last = {1, 1}};
    struct fy_diag_cfg quiet;
    enum sps_status status;

    SPS_TRY(check_text(text, size, source->name));
    fy_diag_cfg_default(&quiet);
    quiet.fp = NULL;
    quiet.level = FYET_ERROR;
    r.diag = fy_diag_create(&quiet);
    if (!r.diag)
        return sps_fail(SPS_ENOMEM, "cannot set up libfyaml");
    fy_diag_set_collect_errors(r.diag, true);
    r.parser =
        fy_parser_create(&(struct fy_parse_cfg){.flags = FYPCF_QUIET, .diag = r.diag});
    *root = NULL;
    if (r.parser && fy_parser_set_string(r.parser, text, size) == 0)
        status = read_stream(&r, root);
    else
        status = sps_fail(SPS_ENOMEM, "cannot set up libfyaml");
    fy_diag_destroy(r.diag);
    fy_parser_destroy(r.parser);
    return status;
}

struct sps_yaml *sps_yaml_get(const struct sps_yaml *map, const char *key)
{
    for (struct sps_yaml *c = map->child; c; c = c->next)
        if (c->key && strcmp(c->key, key) == 0)
            return c;
    return NULL;
}
