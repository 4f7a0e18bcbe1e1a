/* table.c - results on a terminal: aligned columns, numbers to the right. */
#include "sim/report/table.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sim/report/glance.h"

/* What a terminal is told; all empty without colour. */
struct ink {
    const char *strong, *faint, *bad, *plain;
};

static struct ink ink_for(FILE *out)
{
    const char *no_color = getenv("NO_COLOR");

    if (!isatty(fileno(out)) || (no_color && *no_color))
        return (struct ink){"", "", "", ""};
    return (struct ink){"\033[1m", "\033[2m", "\033[31m", "\033[0m"};
}

/* Characters of a UTF-8 text. */
static int width(const char *text)
{
    int n = 0;

    for (; *text; text++)
        n += ((unsigned char)*text & 0xc0) != 0x80;
    return n;
}

static void put_left(const char *text, int columns, FILE *out)
{
    fprintf(out, "%s%*s", text, columns > width(text) ? columns - width(text) : 0, "");
}

static void put_right(const char *text, int columns, FILE *out)
{
    fprintf(out, "  %*s%s", columns > width(text) ? columns - width(text) : 0, "", text);
}

static int max(int a, int b)
{
    return a > b ? a : b;
}

/* What is shown of a setting, and how wide; 0: the column is left out. */
struct layout {
    int name, value[SPS_GLANCE_COUNT];
};

static void lay_out(const struct sps_view *view, int64_t setting, struct layout *layout)
{
    bool used[SPS_GLANCE_COUNT], means;
    struct sps_text cell = {0};

    *layout = (struct layout){.name = width("method")};
    sps_glance_used(view, setting, used, &means);
    for (int64_t i = 0; i < view->entry_count; i++) {
        const struct sps_entry *e = &view->entries[i];
        if (e->setting != setting)
            continue;
        layout->name = max(layout->name, width(e->name));
        for (size_t c = 0; c < SPS_GLANCE_COUNT; c++) {
            if (!used[c])
                continue;
            sps_text_clear(&cell);
            sps_glance_put(view, e, c, &cell);
            layout->value[c] = max(layout->value[c], max(width(sps_text_string(&cell)),
                                                         width(sps_glances[c].title)));
        }
    }
    sps_text_free(&cell);
}

static void put_entry(const struct sps_view *view, const struct sps_entry *e,
                      const struct layout *layout, const struct ink *ink, FILE *out)
{
    struct sps_text cell = {0};
    const char *tag = sps_glance_tag(e);

    fputs(tag[0] ? ink->faint : "", out);
    put_left(e->name, layout->name, out);
    for (size_t c = 0; c < SPS_GLANCE_COUNT; c++) {
        if (!layout->value[c])
            continue;
        sps_text_clear(&cell);
        sps_glance_put(view, e, c, &cell);
        put_right(sps_text_string(&cell), layout->value[c], out);
    }
    fprintf(out, "%s%s%s\n", tag[0] ? "  " : "", tag, tag[0] ? ink->plain : "");
    sps_text_free(&cell);
}

static void put_setting(const struct sps_view *view, int64_t setting,
                        const struct ink *ink, FILE *out)
{
    struct layout layout;

    lay_out(view, setting, &layout);
    fprintf(out, "%s%s%s\n", ink->strong, view->settings[setting].title, ink->plain);
    put_left("method", layout.name, out);
    for (size_t c = 0; c < SPS_GLANCE_COUNT; c++)
        if (layout.value[c])
            put_right(sps_glances[c].title, layout.value[c], out);
    fputc('\n', out);
    for (int64_t i = 0; i < view->entry_count; i++)
        if (view->entries[i].setting == setting)
            put_entry(view, &view->entries[i], &layout, ink, out);
    fputc('\n', out);
}

static void put_failure(const struct sps_failure *f, const struct ink *ink, FILE *out)
{
    static const enum sps_result_column shown[] = {SPS_R_data_label, SPS_R_phase,
                                                   SPS_R_backend};

    fprintf(out, "%s%s%s", ink->bad,
            sps_source_text(f->source, SPS_CSV_RESULTS, f->row, SPS_R_label), ink->plain);
    for (size_t i = 0; i < sizeof shown / sizeof *shown; i++)
        fprintf(out, ", %s",
                sps_source_text(f->source, SPS_CSV_RESULTS, f->row, shown[i]));
    fprintf(out, ": %s\n",
            sps_source_text(f->source, SPS_CSV_RESULTS, f->row, SPS_R_reason));
}

enum sps_status sps_report_table(const char *folder, FILE *out)
{
    struct ink ink = ink_for(out);
    struct sps_source source;
    struct sps_view view;

    SPS_TRY(sps_source_read(folder, &source));
    enum sps_status status = sps_view_build(&source, 1, &view);
    if (status == SPS_OK) {
        for (int64_t i = 0; i < view.setting_count; i++)
            put_setting(&view, i, &ink, out);
        if (view.failure_count)
            fprintf(out, "did not run:\n");
        for (int64_t i = 0; i < view.failure_count; i++)
            put_failure(&view.failures[i], &ink, out);
        sps_view_free(&view);
    }
    sps_source_free(&source);
    return status;
}
