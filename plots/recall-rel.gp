# recall-rel.gp - attention mass kept, relative to the best choice of as many tokens.
# gnuplot -c recall-rel.gp IN.csv OUT.svg [TITLE]
IN = ARG1; OUT = ARG2; TITLE = ARGC > 2 ? ARG3 : ""
DIR = ARG0[1:strlen(ARG0)-strlen("recall-rel.gp")]
load DIR."style.gp"
set xlabel "tokens read per row (mean, log scale)"
set ylabel "recall_mass_rel (mean over rows)"
set logscale x 2
set yrange [*:1.01]
X = "tokens_read"
Y = "recall_mass_rel"
load DIR."curves.gp"
