# recall-time.gp - attention mass kept against time.
# gnuplot -c recall-time.gp IN.csv OUT.svg [TITLE]
IN = ARG1; OUT = ARG2; TITLE = ARGC > 2 ? ARG3 : ""
DIR = ARG0[1:strlen(ARG0)-strlen("recall-time.gp")]
load DIR."style.gp"
set xlabel "time of one pass (ms, median, log scale)"
set ylabel "recall_mass (mean over rows)"
set logscale x 2
set yrange [*:1.01]
X = "time_ms_p50"
Y = "recall_mass"
load DIR."curves.gp"
