# style.gp - what all figures share: terminal, colours, markers, reading by name.
#
# Colours are Wong's colour-blind safe set (Nature Methods 8, 441, 2011).  A method
# has one colour and one marker in every figure; a variant of it has its own dash.
set terminal svg size 560,420 dynamic font "sans-serif,14" noenhanced background "white"
set encoding utf8
set datafile separator comma
set datafile columnheaders
set datafile missing NaN
set border 3 linecolor rgb "#444444"
set tics nomirror out scale 0.5 textcolor rgb "#222222"
set grid linecolor rgb "#dddddd" linetype 1 linewidth 0.6
set key bottom center outside horizontal Left reverse samplen 2 maxrows 6 width 1
set title font "sans-serif,14" offset 0,-0.3

METHODS = "full nsa moba dsa oracle_topk oracle_topp random window given msa quest infllm2"
COLOURS = "#000000 #0072b2 #e69f00 #56b4e9 #009e73 #cc79a7 #999999 #d55e00 #f0e442 #cc79a7 #d55e00 #009e73"
MARKERS = "3 7 5 9 10 8 2 13 11 6 4 12"
known(method) = sum [k=1:words(METHODS)] (word(METHODS, k) eq method ? k : 0)
colour(method) = known(method) ? word(COLOURS, known(method)) : "#777777"
marker(method) = known(method) ? int(word(MARKERS, known(method))) : 1
# Full, oracles and random are references: thin lines.
width(method) = (method eq "random" || method[1:strlen(method) > 6 ? 6 : 1] eq "oracle") ? 1.2 : 2.2

# Text and the largest value of numbered things: call as
#   set table $none; plot FILE using (see(column("series"), strcol("name"))):(0); unset table
array NAME[1000]
array METHOD[1000]
array DASH[1000]
COUNT = 0
see(i, name) = (i > COUNT ? COUNT = int(i) : 0, NAME[int(i)] = name, i)
