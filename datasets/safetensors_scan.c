/* safetensors_scan.c - one cheap pass over a header before JSON is parsed.
 *
 * A JSON parser spends up to 75 bytes of memory on each byte of text.  This pass
 * needs none, and lets through only what has the shape of a header: an object
 * of objects of strings and lists of whole numbers.
 */
#include "datasets/safetensors_header.h"

#include <string.h>

enum {
    DEPTH_MAX = 3,    /* header { entry { shape [ */
    TENSOR_BYTES = 48 /* "":{"dtype":"U8","shape":[],"data_offsets":[0,0]} */
};

struct scan {
    const char *json;
    size_t size, at;
    int depth;
    size_t objects, lists;
    int64_t items; /* commas of the list being read */
};

/* Step over a string; quotes and backslashes only, the parser checks the rest. */
static enum sps_status string(struct scan *s)
{
    for (s->at++; s->at < s->size && s->json[s->at] != '"'; s->at++)
        if (s->json[s->at] == '\\')
            s->at++;
    if (s->at >= s->size)
        return sps_fail(SPS_ECONFIG, "header ends inside a string");
    return SPS_OK;
}

static enum sps_status open(struct scan *s, char c)
{
    if (++s->depth > DEPTH_MAX)
        return sps_fail(SPS_ECONFIG, "header byte %zu: nested deeper than %d", s->at,
                        DEPTH_MAX);
    s->items = 0;
    if (c == '{')
        s->objects++;
    else
        s->lists++;
    return SPS_OK;
}

static enum sps_status step(struct scan *s)
{
    char c = s->json[s->at];

    if (c == '"')
        return string(s);
    if (c == '{' || c == '[')
        return open(s, c);
    if (c == '}' || c == ']')
        s->depth--;
    else if (c == ',' && s->depth == DEPTH_MAX && ++s->items >= SAFETENSORS_RANK_MAX)
        return sps_fail(SPS_ECONFIG, "header byte %zu: a list of more than %d numbers",
                        s->at, SAFETENSORS_RANK_MAX);
    else if (!c || !strchr(",: \t\r\n0123456789", c))
        return sps_fail(SPS_ECONFIG,
                        "header byte %zu: %s0x%02x where only whole numbers, strings, "
                        "{} and [] may stand",
                        s->at, c == '-' ? "a minus sign, " : "", (unsigned char)c);
    return SPS_OK;
}

enum sps_status sps_safetensors_scan(const char *json, size_t size)
{
    struct scan s = {.json = json, .size = size};

    if (size == 0 || json[0] != '{')
        return sps_fail(SPS_ECONFIG, "header does not start with {");
    do {
        SPS_TRY(step(&s));
        s.at++;
    } while (s.depth > 0 && s.at < size);
    if (s.depth > 0)
        return sps_fail(SPS_ECONFIG, "header ends before its last }");
    for (; s.at < size; s.at++)
        if (json[s.at] != ' ')
            return sps_fail(SPS_ECONFIG,
                            "header byte %zu: 0x%02x after the last }, where "
                            "only spaces may stand",
                            s.at, (unsigned char)json[s.at]);
    if (s.objects > size / TENSOR_BYTES + 2 || s.lists > 2 * s.objects)
        return sps_fail(SPS_ECONFIG,
                        "header of %zu bytes holds %zu objects and %zu lists, "
                        "too many for tensors",
                        size, s.objects, s.lists);
    return SPS_OK;
}
