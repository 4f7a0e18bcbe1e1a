# curves.gp - a line with markers for each series; set X and Y to column names first.
# Columns read: series (1, 2, ...), name, method, dash, and those that X and Y name.
set table $unused
plot [*:*] [-1:1] IN using (see(column("series"), strcol("name"))): \
    (METHOD[int(column("series"))] = strcol("method"), \
     DASH[int(column("series"))] = int(column("dash")), 0)
unset table
set output OUT
plot for [i=1:COUNT] IN \
    using (column("series") == i ? column(X) : NaN):(column(Y)) \
    with linespoints linecolor rgb colour(METHOD[i]) pointtype marker(METHOD[i]) \
    dashtype DASH[i] linewidth width(METHOD[i]) pointsize 0.9 title NAME[i]
