/* page.h - the parts of report.html; each appends HTML. */
#ifndef SPS_SIM_REPORT_PAGE_H
#define SPS_SIM_REPORT_PAGE_H

#include "sim/report/figure.h"
#include "sim/report/html.h"

/* Who draws, and where the files go. */
struct sps_drawing {
    const char *folder;  /* of report.html; slices and figures go to its plots/ */
    const char *datadir; /* holds plots/ */
    const char *gnuplot;
    bool missing; /* set when gnuplot could not be run: no figure is tried again */
};

/* One line: version, device, time, points (where.c); then the whole manifests. */
void sps_page_subtitle(const struct sps_view *view, struct sps_text *html);
void sps_page_manifests(const struct sps_view *view, struct sps_text *html);

/* For each setting what the numbers say, and the table of its entries. */
void sps_page_answers(const struct sps_view *view, struct sps_text *html);
void sps_page_verdict(const struct sps_view *view, int64_t setting,
                      struct sps_text *html);
void sps_page_bands(const struct sps_view *view, int64_t setting, struct sps_text *html);
void sps_page_entries(const struct sps_view *view, int64_t setting,
                      struct sps_text *html);

/* The points that did not run, with the reason. */
void sps_page_failures(const struct sps_view *view, struct sps_text *html);

/* Draw all figures and append them. */
enum sps_status sps_page_figures(const struct sps_view *view, struct sps_drawing *drawing,
                                 struct sps_text *html);

#endif
