/* plate.h - one drawing of a figure, and its place on the page. */
#ifndef SPS_SIM_REPORT_PLATE_H
#define SPS_SIM_REPORT_PLATE_H

#include "sim/report/figure.h"

struct sps_plate {
    const struct sps_figure *figure;
    int64_t cut;           /* rows left out */
    struct sps_text title; /* of the setting, cut to fit */
    struct sps_text name;  /* recall-tokens-1 */
    struct sps_text csv, svg;
};

void sps_plate_free(struct sps_plate *plate); /* tolerates a zeroed one */

/* Append the drawing with its rows and the command that makes it. */
void sps_plate_put(const struct sps_plate *plate, struct sps_text *html);

#endif
