# heads.gp - attention mass kept, for each method and each query head: a heat map.
# gnuplot -c heads.gp IN.csv OUT.svg [TITLE]
# Columns read: row (from 1), label, column (from 1), head, recall_mass.
IN = ARG1; OUT = ARG2; TITLE = ARGC > 2 ? ARG3 : ""
DIR = ARG0[1:strlen(ARG0)-strlen("heads.gp")]
load DIR."style.gp"
set table $unused
array HEAD[4096]
COLUMNS = 0
LOW = 1
plot [*:*] [0.5:2] IN using (see(column("row"), strcol("label"))): \
    (COLUMNS = column("column") > COLUMNS ? int(column("column")) : COLUMNS, \
     LOW = column("recall_mass") < LOW ? column("recall_mass") : LOW, \
     HEAD[int(column("column"))] = strcol("head"), 1)
unset table
PLOT = 23 * COUNT
LEFT = LONGEST * 6.4 + 14
KEY_COUNT = 0
KEY_LONGEST = 1
load DIR."frame.gp"
set rmargin at screen 0.88
set output OUT
set xlabel "query head (layer.head); colour: recall_mass"
set cbtics (sprintf("%.2f", LOW) LOW, "1" 1) scale 0
set xrange [0.5:COLUMNS + 0.5]
set yrange [COUNT + 0.5:0.5]
set cbrange [LOW:1]
set ytics () scale 0 font "sans-serif,12"
set xtics () scale 0 font "sans-serif,12"
STEP = 1 + int(COLUMNS * 36 / (0.88 * WIDTH - LEFT))
set for [i=1:COUNT] ytics add (NAME[i] i)
set for [i=1:COLUMNS:STEP] xtics add (HEAD[i] i)
unset grid
# Dark to light, as viridis: told apart in grey and by colour-blind readers.
set palette defined (0 "#440154", 0.25 "#3b528b", 0.5 "#21918c", 0.75 "#5ec962", 1 "#fde725")
set style fill solid 1 noborder
shade(y) = y < LOW + 0.6 * (1 - LOW) ? 0xffffff : 0x000000
plot IN using (column("column")):(column("row")): \
    (column("column") - 0.48):(column("column") + 0.48): \
    (column("row") - 0.46):(column("row") + 0.46):(column("recall_mass")) \
    with boxxyerror linecolor palette, \
    for [i=1:COLUMNS <= 8 ? 1 : 0] IN using (column("column")):(column("row")): \
    (sprintf("%.2f", column("recall_mass"))):(shade(column("recall_mass"))) \
    with labels font "sans-serif,11" textcolor rgb variable
