# time-length.gp - time against the number of keys.
# gnuplot -c time-length.gp IN.csv OUT.svg [TITLE]
IN = ARG1; OUT = ARG2; TITLE = ARGC > 2 ? ARG3 : ""
DIR = ARG0[1:strlen(ARG0)-strlen("time-length.gp")]
load DIR."style.gp"
set xlabel "keys s (tokens, log scale)"
set ylabel "time of one pass (ms, median, log scale)"
set logscale x 2
set logscale y 10
set format x "%.0f"
X = "s"
Y = "time_ms_p50"
load DIR."curves.gp"
