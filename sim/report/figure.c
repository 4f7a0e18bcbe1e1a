/* figure.c - the table of figures: what each shows and how to read it. */
#include "sim/report/figure.h"

const struct sps_figure sps_figures[] = {
    {.name = "recall-tokens",
     .common = "curves",
     .title = "Attention mass kept for the tokens read",
     .caption =
         "Higher and further left is better. A point is one configuration; a line joins "
         "those that differ in one option only. The oracle (thin line) picks the units "
         "that "
         "hold most mass: no choice of the same units and as many tokens does better. "
         "random is what a choice without any knowledge keeps.",
     .lacking = "recall_mass was not measured",
     .x = SPS_R_tokens_read,
     .y = SPS_R_recall_mass,
     .slice = sps_slice_curves},
    {.name = "recall-rel",
     .common = "curves",
     .title = "How near to the best choice of as many tokens",
     .caption =
         "1 means: no choice of as many single tokens could keep more. Methods of "
         "different block size can be compared here: large blocks pay for the tokens "
         "that they must read along.",
     .lacking = "recall_mass_rel was not measured",
     .x = SPS_R_tokens_read,
     .y = SPS_R_recall_mass_rel,
     .slice = sps_slice_curves},
    {.name = "error-density",
     .common = "curves",
     .title = "Error of the output for the pairs read",
     .caption =
         "Lower and further left is better. The error is the norm of the difference "
         "from full attention over the norm of full attention's output, all measured "
         "rows together. A method that blends branches (nsa with equal gates) can have "
         "a large error at a high recall.",
     .lacking = "error_rel_l2 was not measured",
     .x = SPS_R_density_pairs,
     .y = SPS_R_error_rel_l2,
     .slice = sps_slice_curves},
    {.name = "heads",
     .title = "Which heads lose what",
     .caption =
         "A row is a configuration, a column a query head; dark cells lose most "
         "attention mass. A dark column is a head that no method serves well: it spreads "
         "its attention wide.",
     .lacking = "heads.csv has no recall_mass",
     .x = SPS_R_recall_mass,
     .y = SPS_R_recall_mass,
     .slice = sps_slice_heads},
    {.name = "recall-time",
     .common = "curves",
     .title = "Attention mass kept for the time spent",
     .caption =
         "Higher and further left is better; points right of full (black star) save "
         "nothing. Oracles are left out: they read the answer.",
     .lacking = "time or recall_mass was not measured",
     .x = SPS_R_time_ms_p50_cold,
     .y = SPS_R_recall_mass,
     .timed = true,
     .slice = sps_slice_curves},
    {.name = "stages-time",
     .common = "bars",
     .title = "Where the time goes",
     .caption =
         "Bars stack the medians of the stages, each timed alone; the diamond is the "
         "whole pass timed as one, so a gap between the two is what timing by stage adds "
         "or "
         "hides. The dashed line is full attention.",
     .lacking = "the stages were not timed",
     .x = SPS_R_time_ms_p50_cold,
     .y = SPS_R_time_ms_p50_cold,
     .timed = true,
     .slice = sps_slice_stages},
    {.name = "stages-flops",
     .common = "bars",
     .title = "Where the arithmetic goes",
     .caption =
         "Operations counted from what was really read. A bar as long as the dashed "
         "line costs as much arithmetic as full attention, however few pairs it reads.",
     .lacking = "no operations were counted",
     .x = SPS_R_flops,
     .y = SPS_R_flops,
     .timed = true,
     .slice = sps_slice_stages},
    {.name = "time-length",
     .common = "curves",
     .title = "How the time grows with the length",
     .caption =
         "Both axes are logarithmic: a straight line is a power of the length, and its "
         "slope is the exponent. Where a line crosses full's is the length from which "
         "the "
         "method pays.",
     .lacking = "only one length was timed",
     .x = SPS_R_s,
     .y = SPS_R_time_ms_p50_cold,
     .timed = true,
     .slice = sps_slice_lengths},
    {0},
};
