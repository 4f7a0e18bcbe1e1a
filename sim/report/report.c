/* report.c - read the folders, fill the template, write the page. */
#include "sim/report/report.h"

#include <stdlib.h>
#include <string.h>

#include "sim/report/page.h"

enum { TEMPLATE_BYTES_MAX = 1 << 20 };

/* The parts that fill plots/report/page.html. */
struct page {
    struct sps_text title, style, script, subtitle, answers, failures, figures, manifests;
    struct sps_text template, html;
};

static void page_free(struct page *page)
{
    struct sps_text *all[] = {&page->title,    &page->style,     &page->script,
                              &page->subtitle, &page->answers,   &page->failures,
                              &page->figures,  &page->manifests, &page->template,
                              &page->html};

    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        sps_text_free(all[i]);
}

static enum sps_status read_part(const char *datadir, const char *name,
                                 struct sps_text *text)
{
    struct sps_text path = {0};

    sps_text_printf(&path, "%s/plots/report/%s", datadir, name);
    enum sps_status status = sps_text_check(&path);
    if (status == SPS_OK)
        status = sps_text_read(text, path.data, TEMPLATE_BYTES_MAX);
    sps_text_free(&path);
    return status;
}

static enum sps_status fill(struct page *page)
{
    const struct sps_field fields[] = {
        {"title", sps_text_string(&page->title), false},
        {"style", sps_text_string(&page->style), true},
        {"script", sps_text_string(&page->script), true},
        {"subtitle", sps_text_string(&page->subtitle), true},
        {"answers", sps_text_string(&page->answers), true},
        {"failures", sps_text_string(&page->failures), true},
        {"figures", sps_text_string(&page->figures), true},
        {"manifests", sps_text_string(&page->manifests), true},
        {0},
    };
    const struct sps_text *all[] = {&page->title,    &page->subtitle, &page->answers,
                                    &page->failures, &page->figures,  &page->manifests};

    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        SPS_TRY(sps_text_check(all[i]));
    return sps_html_fill(&page->html, sps_text_string(&page->template), "page.html",
                         fields);
}

/* The folder of a path: "a/b.html" -> "a", "b.html" -> "." */
static void put_folder(const char *path, struct sps_text *folder)
{
    const char *slash = strrchr(path, '/');

    if (!slash)
        sps_text_put(folder, ".");
    else
        sps_text_append(folder, path, slash == path ? 1 : (size_t)(slash - path));
}

static enum sps_status build(const struct sps_view *view, struct sps_drawing *drawing,
                             struct page *page)
{
    for (int64_t i = 0; i < view->source_count; i++)
        sps_text_printf(&page->title, "%s%s", i ? ", " : "", view->sources[i].name);
    SPS_TRY(read_part(drawing->datadir, "page.html", &page->template));
    SPS_TRY(read_part(drawing->datadir, "style.css", &page->style));
    SPS_TRY(read_part(drawing->datadir, "page.js", &page->script));
    sps_page_subtitle(view, &page->subtitle);
    sps_page_answers(view, &page->answers);
    sps_page_failures(view, &page->failures);
    SPS_TRY(sps_page_figures(view, drawing, &page->figures));
    sps_page_manifests(view, &page->manifests);
    return fill(page);
}

static enum sps_status write_page(const struct sps_view *view, const char *out_html,
                                  const char *datadir, const char *gnuplot)
{
    struct sps_text folder = {0};
    struct page page = {0};

    put_folder(out_html, &folder);
    enum sps_status status = sps_text_check(&folder);
    struct sps_drawing drawing = {sps_text_string(&folder), datadir, gnuplot, false};
    if (status == SPS_OK)
        status = build(view, &drawing, &page);
    if (status == SPS_OK)
        status = sps_text_save(&page.html, out_html);
    page_free(&page);
    sps_text_free(&folder);
    return status;
}

/* Folders go by their whole paths where the last parts do not tell them apart. */
static enum sps_status tell_apart(struct sps_source *sources, int64_t count)
{
    bool same = false;

    for (int64_t i = 0; i < count; i++)
        for (int64_t j = 0; j < i; j++)
            same = same || strcmp(sources[i].name, sources[j].name) == 0;
    for (int64_t i = 0; i < count && same; i++) {
        char *whole = strdup(sources[i].folder);
        if (!whole)
            return sps_fail(SPS_ENOMEM, "no memory for a folder's name");
        free(sources[i].name);
        sources[i].name = whole;
    }
    return SPS_OK;
}

enum sps_status sps_report_write(const char *const *folders, int64_t count,
                                 const char *out_html, const char *datadir,
                                 const char *gnuplot)
{
    struct sps_source *sources = calloc((size_t)count + 1, sizeof *sources);
    struct sps_view view;
    enum sps_status status = SPS_OK;

    if (!sources)
        return sps_fail(SPS_ENOMEM, "no memory for %lld folders", (long long)count);
    for (int64_t i = 0; i < count && status == SPS_OK; i++)
        status = sps_source_read(folders[i], &sources[i]);
    if (status == SPS_OK)
        status = tell_apart(sources, count);
    if (status == SPS_OK)
        status = sps_view_build(sources, count, &view);
    if (status == SPS_OK) {
        status = write_page(&view, out_html, datadir, gnuplot);
        sps_view_free(&view);
    }
    for (int64_t i = 0; i < count; i++)
        sps_source_free(&sources[i]);
    free(sources);
    return status;
}
