# stages-flops.gp - where the arithmetic goes: operations of each stage.
# gnuplot -c stages-flops.gp IN.csv OUT.svg [TITLE]
IN = ARG1; OUT = ARG2; TITLE = ARGC > 2 ? ARG3 : ""
DIR = ARG0[1:strlen(ARG0)-strlen("stages-flops.gp")]
load DIR."style.gp"
set xlabel "operations counted (flop)"
set format x "%.0s %c"
BEGIN = "begin_flops"
END = "end_flops"
TOTAL = ""
load DIR."bars.gp"
