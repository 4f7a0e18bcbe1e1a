/* draw.c - make the figures: slice, gnuplot, and the page's part about each. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "sim/report/gnuplot.h"
#include "sim/report/page.h"
#include "sim/report/plate.h"

enum { FILE_BYTES_MAX = 1 << 26, TITLE_MAX = 66 };

/* FOLDER/plots/NAME, or DATADIR/plots/NAME. */
static enum sps_status path_of(const char *folder, const char *name, const char *end,
                               struct sps_text *path)
{
    sps_text_clear(path);
    sps_text_printf(path, "%s/plots/%s%s", folder, name, end);
    return sps_text_check(path);
}

static enum sps_status copy_script(const struct sps_drawing *drawing, const char *name)
{
    struct sps_text path = {0}, script = {0};
    enum sps_status status = path_of(drawing->datadir, name, ".gp", &path);

    if (status == SPS_OK)
        status = sps_text_read(&script, path.data, FILE_BYTES_MAX);
    if (status == SPS_OK)
        status = path_of(drawing->folder, name, ".gp", &path);
    if (status == SPS_OK)
        status = sps_text_save(&script, path.data);
    sps_text_free(&path);
    sps_text_free(&script);
    return status;
}

/* The scripts stand beside the slices, so that the command shown works there. */
static enum sps_status copy_scripts(const struct sps_drawing *drawing,
                                    const struct sps_figure *figure)
{
    SPS_TRY(copy_script(drawing, "style"));
    SPS_TRY(copy_script(drawing, "frame"));
    if (figure->common)
        SPS_TRY(copy_script(drawing, figure->common));
    return copy_script(drawing, figure->name);
}

static enum sps_status make_folder(const struct sps_drawing *drawing)
{
    struct sps_text path = {0};
    enum sps_status status = SPS_OK;

    sps_text_printf(&path, "%s/plots", drawing->folder);
    status = sps_text_check(&path);
    if (status == SPS_OK && mkdir(path.data, 0777) != 0 && errno != EEXIST)
        status = sps_fail(SPS_EIO, "%s: %s", path.data, strerror(errno));
    sps_text_free(&path);
    return status;
}

/* Run gnuplot in the report's folder; plate->svg is what it drew. */
static enum sps_status draw(struct sps_drawing *drawing, struct sps_plate *plate)
{
    struct sps_text script = {0}, in = {0}, out = {0}, path = {0};

    sps_text_printf(&script, "plots/%s.gp", plate->figure->name);
    sps_text_printf(&in, "plots/%s.csv", sps_text_string(&plate->name));
    sps_text_printf(&out, "plots/%s.svg", sps_text_string(&plate->name));
    const char *argv[] = {"gnuplot",
                          "-d",
                          "-c",
                          sps_text_string(&script),
                          sps_text_string(&in),
                          sps_text_string(&out),
                          sps_text_string(&plate->title),
                          NULL};
    enum sps_status status = sps_gnuplot_run(drawing->gnuplot, drawing->folder, argv);
    if (status == SPS_OK)
        status = path_of(drawing->folder, sps_text_string(&plate->name), ".svg", &path);
    if (status == SPS_OK)
        status = sps_text_read(&plate->svg, path.data, FILE_BYTES_MAX);
    drawing->missing = status == SPS_ENOTSUP;
    sps_text_free(&script);
    sps_text_free(&in);
    sps_text_free(&out);
    sps_text_free(&path);
    return drawing->missing ? SPS_OK : status;
}

/* At most TITLE_MAX bytes, never within a character. */
static void cut_title(const char *title, struct sps_text *out)
{
    size_t n = strlen(title);

    if (n > TITLE_MAX) {
        n = TITLE_MAX - 3;
        while (n > 0 && ((unsigned char)title[n] & 0xc0) == 0x80)
            n--;
        sps_text_append(out, title, n);
        sps_text_put(out, "...");
        return;
    }
    sps_text_put(out, title);
}

/* Slice and draw one setting; *drawn grows when there was something. */
static enum sps_status make_plate(const struct sps_view *view,
                                  struct sps_drawing *drawing, struct sps_plate *plate,
                                  int64_t setting, int64_t *drawn, struct sps_text *html)
{
    struct sps_text path = {0};
    int64_t rows;

    SPS_TRY(plate->figure->slice(view, plate->figure, setting, &plate->csv, &rows,
                                 &plate->cut));
    if (rows == 0)
        return SPS_OK;
    ++*drawn;
    sps_text_printf(&plate->name, "%s-%lld", plate->figure->name, (long long)*drawn);
    cut_title(plate->figure->slice == sps_slice_lengths ? view->settings[setting].family
                                                        : view->settings[setting].title,
              &plate->title);
    enum sps_status status =
        path_of(drawing->folder, sps_text_string(&plate->name), ".csv", &path);
    if (status == SPS_OK)
        status = sps_text_save(&plate->csv, path.data);
    if (status == SPS_OK && !drawing->missing)
        status = draw(drawing, plate);
    if (status == SPS_OK)
        sps_plate_put(plate, html);
    sps_text_free(&path);
    return status;
}

/* The section of a figure; one with several plates takes the whole width. */
static void put_section(const struct sps_view *view, const struct sps_figure *figure,
                        int64_t drawn, int64_t left, const struct sps_text *plates,
                        struct sps_text *html)
{
    sps_html_printf(html, "<section class=\"figure%s\"><h3>%s</h3>\n<p>%s</p>\n",
                    drawn > 1 ? " wide" : "", figure->title, figure->caption);
    if (drawn == 0)
        sps_html_printf(html, "<p class=\"note\">Nothing to draw: %s.</p>\n",
                        figure->lacking);
    else
        sps_text_printf(html, "<div class=\"plates\">\n%s</div>\n",
                        sps_text_string(plates));
    if (left > 0)
        sps_text_printf(
            html, "<p class=\"note\">The last %lld of %lld settings are not shown.</p>\n",
            (long long)left, (long long)view->setting_count);
    sps_text_put(html, "</section>\n");
}

static enum sps_status make_figure(const struct sps_view *view,
                                   struct sps_drawing *drawing,
                                   const struct sps_figure *figure, struct sps_text *html)
{
    enum { SHOWN = 12 };
    int64_t drawn = 0, setting = 0;
    struct sps_text plates = {0};
    enum sps_status status = copy_scripts(drawing, figure);

    for (; setting < view->setting_count && drawn < SHOWN && status == SPS_OK;
         setting++) {
        struct sps_plate plate = {.figure = figure};
        status = make_plate(view, drawing, &plate, setting, &drawn, &plates);
        sps_plate_free(&plate);
    }
    if (status == SPS_OK)
        status = sps_text_check(&plates);
    if (status == SPS_OK)
        put_section(view, figure, drawn, view->setting_count - setting, &plates, html);
    sps_text_free(&plates);
    return status;
}

enum sps_status sps_page_figures(const struct sps_view *view, struct sps_drawing *drawing,
                                 struct sps_text *html)
{
    struct sps_text figures = {0};
    enum sps_status status = make_folder(drawing);

    for (const struct sps_figure *f = sps_figures; f->name && status == SPS_OK; f++)
        status = make_figure(view, drawing, f, &figures);
    if (drawing->missing)
        sps_html_printf(
            html,
            "<p class=\"note\">The figures are missing: they need gnuplot, and '%s' "
            "could not be run. Their rows are here; install gnuplot and make "
            "the report again.</p>\n",
            drawing->gnuplot);
    sps_text_put(html, "<div class=\"figures\">\n");
    sps_text_put(html, sps_text_string(&figures));
    sps_text_put(html, "</div>\n");
    if (status == SPS_OK)
        status = sps_text_check(&figures);
    sps_text_free(&figures);
    return status;
}
