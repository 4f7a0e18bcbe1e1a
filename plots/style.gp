# style.gp - what all figures share: terminal, colours, markers, names.
#
# Colours are Wong's colour-blind safe set (Nature Methods 8, 441, 2011).  A method
# has one colour and one marker in every figure; a variant of it has its own dash, and
# the filled or the open form of the marker.
SVG = 'dynamic font "sans-serif,13" noenhanced background "white"'
set terminal svg size 480,360 @SVG
WIDTH = 480
set encoding utf8
set datafile separator comma
set datafile columnheaders
set datafile missing NaN
set border 3 linecolor rgb "#444444"
set tics nomirror out scale 0.5 textcolor rgb "#222222"
set grid linecolor rgb "#dddddd" linetype 1 linewidth 0.6
set offsets graph 0.02, graph 0.02, 0, graph 0.04
set xlabel offset 0,0.7
set xtics offset 0,0.3

METHODS = "full nsa moba dsa oracle_topk oracle_topp random window given msa quest infllm2"
COLOURS = "#000000 #0072b2 #e69f00 #56b4e9 #009e73 #cc79a7 #888888 #d55e00 #b8a800 #cc79a7 #d55e00 #009e73"
MARKERS = "3 7 5 9 10 8 2 13 11 6 4 12"
known(method) = sum [k=1:words(METHODS)] (word(METHODS, k) eq method ? k : 0)
colour(method) = known(method) ? word(COLOURS, known(method)) : "#777777"
marker(method) = known(method) ? int(word(MARKERS, known(method))) : 1
# The second, fourth, ... variant of a method has the open form of its marker.
variant(pt, dash) = dash % 2 ? pt : pt < 4 ? 1 : pt % 2 ? pt - 1 : pt + 1
dash(i) = (i - 1) % 5 + 1
# Oracles and random are bounds to read against: thin lines.
width(method) = (strstrt(method, "oracle") == 1 || method eq "random") ? 1.2 : 2.2

# Numbered things with a name: see() notes one while a file is read, see curves.gp.
array NAME[4096]
array METHOD[4096]
array DASH[4096]
COUNT = 0
LONGEST = 0
short(name) = strlen(name) > 44 ? name[1:42]."..." : name
see(i, name) = (COUNT = i > COUNT ? int(i) : COUNT, NAME[int(i)] = short(name), \
    LONGEST = strlen(NAME[int(i)]) > LONGEST ? strlen(NAME[int(i)]) : LONGEST, i)
