# curves.gp - a line with markers for each series; set X and Y to column names first.
# Columns read: series (1, 2, ...), name, method, dash, and those that X and Y name.
set table $unused
plot [*:*] [0.5:2] IN using (see(column("series"), strcol("name"))): \
    (METHOD[int(column("series"))] = strcol("method"), \
     DASH[int(column("series"))] = int(column("dash")), 1)
unset table
PLOT = 230
LEFT = 0
KEY_COUNT = COUNT
KEY_LONGEST = LONGEST
load DIR."frame.gp"
do for [i=1:COUNT] {
    set arrow i from screen key_x(i), screen key_y(i) to screen key_x(i) + 32 * px, \
        screen key_y(i) nohead \
        linecolor rgb colour(METHOD[i]) linewidth width(METHOD[i]) + 0.01 * (i % 2)
    # gnuplot 5.4 takes no variable for a dash here, and keeps the last dash where
    # neither colour nor width changes: hence the hundredth above.
    eval sprintf("set arrow %d dashtype %d", i, dash(DASH[i]))
    set label at screen key_x(i) + 16 * px, screen key_y(i) "" point \
        linecolor rgb colour(METHOD[i]) pointsize 0.9 \
        pointtype variant(marker(METHOD[i]), DASH[i])
    set label NAME[i] at screen key_x(i) + 38 * px, screen key_y(i) font "sans-serif,12"
}
set output OUT
plot for [i=1:COUNT] IN \
    using (column("series") == i ? column(X) : NaN):(column(Y)) \
    with linespoints linecolor rgb colour(METHOD[i]) \
    pointtype variant(marker(METHOD[i]), DASH[i]) pointsize 0.9 \
    dashtype dash(DASH[i]) linewidth width(METHOD[i])
