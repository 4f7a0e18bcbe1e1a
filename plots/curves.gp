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
set output OUT
plot for [i=1:COUNT] IN \
    using (column("series") == i ? column(X) : NaN):(column(Y)) \
    with linespoints linecolor rgb colour(METHOD[i]) \
    pointtype variant(marker(METHOD[i]), DASH[i]) pointsize 0.9 \
    dashtype DASH[i] linewidth width(METHOD[i]) title NAME[i]
