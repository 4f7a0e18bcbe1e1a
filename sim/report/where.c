/* where.c - what ran where, from the manifests. */
#include <string.h>

#include "sim/report/page.h"

/* The string at a path of keys; "" when it is not there. */
static const char *string_at(const json_t *json, const char *key, const char *inner)
{
    const json_t *value = json_object_get(json, key);
    const char *text = json_string_value(inner ? json_object_get(value, inner) : value);

    return text ? text : "";
}

static double number_at(const json_t *json, const char *key, const char *inner)
{
    const json_t *value = json_object_get(json, key);
    return json_number_value(inner ? json_object_get(value, inner) : value);
}

static void put_points(const struct sps_view *view, struct sps_text *html)
{
    int64_t total = 0;

    for (int64_t i = 0; i < view->source_count; i++)
        total += view->sources[i].table[SPS_CSV_RESULTS].rows;
    sps_text_printf(html, "%lld points", (long long)total);
    if (view->failure_count)
        sps_text_printf(html, ", <a href=\"#failed\">%lld of them did not run</a>",
                        (long long)view->failure_count);
}

void sps_page_subtitle(const struct sps_view *view, struct sps_text *html)
{
    for (int64_t i = 0; i < view->source_count; i++) {
        const struct sps_source *source = &view->sources[i];
        const json_t *backend;
        size_t b;

        sps_html_printf(html, "<b>%s</b>", source->name);
        json_array_foreach(json_object_get(source->manifest, "backends"), b, backend)
            sps_html_printf(html, ", %s", string_at(backend, "device", NULL));
        if (source->manifest)
            sps_html_printf(html, ", %s", string_at(source->manifest, "started", NULL));
        sps_text_put(html, ". ");
    }
    put_points(view, html);
    sps_text_put(html, ".");
}

static void put_text(const char *name, const char *value, struct sps_text *html)
{
    if (value[0])
        sps_html_printf(html,
                        "<tr><th scope=\"row\">%s</th><td class=\"text\">%s</td></tr>\n",
                        name, value);
}

/* A scalar as text, a list word by word, an object as "key value, ...". */
static void put_json(const json_t *json, struct sps_text *text)
{
    const char *key;
    json_t *value;
    size_t i;
    int parts = 0;

    if (json_is_string(json))
        sps_text_put(text, json_string_value(json));
    else if (json_is_integer(json))
        sps_text_printf(text, "%" JSON_INTEGER_FORMAT, json_integer_value(json));
    else if (json_is_real(json))
        sps_text_printf(text, "%.4g", json_real_value(json));
    else if (json_is_boolean(json))
        sps_text_put(text, json_is_true(json) ? "true" : "false");
    json_array_foreach(json, i, value)
    {
        sps_text_put(text, i ? " " : "");
        put_json(value, text);
    }
    json_object_foreach((json_t *)json, key, value)
    {
        sps_text_printf(text, "%s%s ", parts++ ? ", " : "", key);
        put_json(value, text);
    }
}

static void put_member(const char *name, const json_t *json, struct sps_text *html)
{
    struct sps_text text = {0};

    put_json(json, &text);
    put_text(name, sps_text_string(&text), html);
    sps_text_free(&text);
}

static void put_program(const json_t *manifest, struct sps_text *html)
{
    const json_t *program = json_object_get(manifest, "program"), *value;
    struct sps_text text = {0};

    sps_text_printf(&text, "%s %s %s", string_at(program, "name", NULL),
                    string_at(program, "version", NULL),
                    string_at(program, "code", NULL));
    value = json_object_get(program, "dirty");
    if (json_is_true(value))
        sps_text_put(&text, " (with changes that are in no commit)");
    put_text("program", sps_text_string(&text), html);
    sps_text_free(&text);
}

static void put_host(const json_t *manifest, struct sps_text *html)
{
    struct sps_text text = {0};

    sps_text_printf(&text, "%s, %.0f cores, %.0f GiB, %s",
                    string_at(manifest, "host", "cpu"),
                    number_at(manifest, "host", "cores"),
                    number_at(manifest, "host", "memory_bytes") / (1 << 30),
                    string_at(manifest, "host", "os"));
    put_text("host", sps_text_string(&text), html);
    sps_text_free(&text);
}

static void put_manifest(const json_t *manifest, struct sps_text *html)
{
    static const struct {
        const char *key, *name;
    } rest[] = {{"seed", "seed"},
                {"points", "points"},
                {"wall_s", "wall time, s"},
                {"argv", "command"},
                {"config_sha256", "SHA-256 of the config"}};
    const json_t *item;
    size_t i;

    put_program(manifest, html);
    put_text("started", string_at(manifest, "started", NULL), html);
    put_text("finished", string_at(manifest, "finished", NULL), html);
    put_host(manifest, html);
    json_array_foreach(json_object_get(manifest, "backends"), i, item)
        put_member("backend", item, html);
    json_array_foreach(json_object_get(manifest, "inputs"), i, item)
        put_member("input", item, html);
    for (size_t k = 0; k < sizeof rest / sizeof *rest; k++)
        put_member(rest[k].name, json_object_get(manifest, rest[k].key), html);
}

void sps_page_manifests(const struct sps_view *view, struct sps_text *html)
{
    for (int64_t i = 0; i < view->source_count; i++) {
        const struct sps_source *source = &view->sources[i];

        if (!source->manifest) {
            sps_html_printf(html, "<h3>%s</h3><p>The folder has no manifest.json.</p>\n",
                            source->name);
            continue;
        }
        sps_html_printf(
            html, "<h3>%s</h3>\n<div class=\"scroll\"><table class=\"texts\"><tbody>\n",
            source->name);
        put_manifest(source->manifest, html);
        sps_text_put(html, "</tbody></table></div>\n");
    }
}
