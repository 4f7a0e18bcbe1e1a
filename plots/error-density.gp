# error-density.gp - output error against the share of (query, key) pairs read.
# gnuplot -c error-density.gp IN.csv OUT.svg [TITLE]
IN = ARG1; OUT = ARG2; TITLE = ARGC > 2 ? ARG3 : ""
DIR = ARG0[1:strlen(ARG0)-strlen("error-density.gp")]
load DIR."style.gp"
set xlabel "density_pairs: pairs read (% of the causal ones, log scale)"
set ylabel "error_rel_l2 (all rows together)"
set logscale x 2
set xtics ("0.1" 0.001, "0.2" 0.002, "0.5" 0.005, "1" 0.01, "2" 0.02, "5" 0.05, "10" 0.1, \
    "20" 0.2, "50" 0.5, "100" 1)
set yrange [0:*]
X = "density_pairs"
Y = "error_rel_l2"
load DIR."curves.gp"
