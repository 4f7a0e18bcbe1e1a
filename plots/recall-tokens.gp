# recall-tokens.gp - attention mass kept against tokens read per row.
# gnuplot -c recall-tokens.gp IN.csv OUT.svg [TITLE]
IN = ARG1; OUT = ARG2; TITLE = ARGC > 2 ? ARG3 : ""
DIR = ARG0[1:strlen(ARG0)-strlen("recall-tokens.gp")]
load DIR."style.gp"
set xlabel "tokens read per row (mean, log scale)"
set ylabel "recall_mass (mean over rows)"
set logscale x 2
set yrange [*:1.01]
X = "tokens_read"
Y = "recall_mass"
load DIR."curves.gp"
