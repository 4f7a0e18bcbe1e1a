# bars.gp - stacked horizontal bars, a row for each label and a colour for each stage.
# Set BEGIN and END to column names first, and TOTAL to the key's text of a mark at
# the total, or to "" for none.  Columns read: series (1 compress ... 7 combine, 8 total),
# row (from 1), label, reference (1: a line at this total through all rows), BEGIN, END.
STAGES = "compress score select invert attend window combine"
STAGE_COLOURS = "#56b4e9 #009e73 #f0e442 #cc79a7 #0072b2 #d55e00 #999999"
REFERENCE = -1
MOST = 0
USED = ""
use(i) = strstrt(USED, i) ? USED : USED." ".i
set table $unused
plot [*:*] [0.5:2] IN using (see(column("row"), strcol("label"))): \
    (USED = use(strcol("series")), MOST = column(END) > MOST ? column(END) : MOST, REFERENCE = \
     column("series") == 8 && column("reference") == 1 ? column(END) : REFERENCE, 1)
unset table
PLOT = 22 * COUNT + 8
LEFT = LONGEST * 6.4 + 14
KEY_COUNT = words(USED) - (TOTAL eq "")
KEY_LONGEST = 9
load DIR."frame.gp"
set yrange [COUNT + 0.6:0.4]
# Four or five tics, a round step apart: there is no room for more.
POWER = 10 ** floor(log10(MOST / 4))
STEP = POWER * (MOST / 4 / POWER < 1.5 ? 1 : MOST / 4 / POWER < 3.5 ? 2 : \
    MOST / 4 / POWER < 7.5 ? 5 : 10)
set xrange [0:MOST * 1.04]
set xtics 0,STEP
set ytics () scale 0 font "sans-serif,12"
set for [i=1:COUNT] ytics add (NAME[i] i)
set grid noytics
set style fill solid 1 border rgb "white"
if (REFERENCE > 0) set arrow from first REFERENCE, graph 0 to first REFERENCE, graph 1 \
    nohead dashtype 2 linecolor rgb "#000000" front
# The key's entries: the stages that are there, then the mark of the total.
ENTRY = 0
do for [i=1:8] {
    if (strstrt(USED, "".i) && (i < 8 || TOTAL ne "")) {
        ENTRY = ENTRY + 1
        set label (i < 8 ? word(STAGES, i) : TOTAL) at screen key_x(ENTRY) + 38 * px, \
            screen key_y(ENTRY) font "sans-serif,12"
        if (i < 8) {
            set object rectangle from screen key_x(ENTRY), \
                screen key_y(ENTRY) - 4.0 / HEIGHT to screen key_x(ENTRY) + 32 * px, \
                screen key_y(ENTRY) + 4.0 / HEIGHT fillcolor rgb word(STAGE_COLOURS, i) \
                fillstyle solid 1 noborder
        } else {
            set label "" at screen key_x(ENTRY) + 16 * px, screen key_y(ENTRY) \
                point pointtype 13 linecolor rgb "#000000" pointsize 0.8
        }
    }
}
set output OUT
plot for [i=1:7] for [used in strstrt(USED, "".i) ? "x" : ""] IN \
    using (column("series") == i ? column(BEGIN) : NaN):(column("row")): \
    (column(BEGIN)):(column(END)):(column("row") - 0.36):(column("row") + 0.36) \
    with boxxyerror linecolor rgb word(STAGE_COLOURS, i), \
    for [i=8:TOTAL eq "" ? 7 : 8] IN \
    using (column("series") == i ? column(END) : NaN):(column("row")) \
    with points pointtype 13 linecolor rgb "#000000" pointsize 0.8
