# stages-time.gp - where the time goes: stages of each method, one after the other.
# gnuplot -c stages-time.gp IN.csv OUT.svg [TITLE]
IN = ARG1; OUT = ARG2; TITLE = ARGC > 2 ? ARG3 : ""
DIR = ARG0[1:strlen(ARG0)-strlen("stages-time.gp")]
load DIR."style.gp"
set xlabel "time (ms, medians)"
BEGIN = "begin_ms"
END = "end_ms"
TOTAL = "whole"
load DIR."bars.gp"
