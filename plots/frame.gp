# frame.gp - size and margins, so that neither key nor names take height from the plot.
# Set PLOT (height of the plot, pixels), LEFT (left margin, pixels; 0: as gnuplot sees
# fit), KEY_COUNT and KEY_LONGEST (entries of the key; characters of the longest) first.
KEY_COLUMNS = int((WIDTH - 20) / (KEY_LONGEST * 6.3 + 44))
if (KEY_COLUMNS < 1) KEY_COLUMNS = 1
if (KEY_COLUMNS > 4) KEY_COLUMNS = 4
KEY_ROWS = int((KEY_COUNT + KEY_COLUMNS - 1) / KEY_COLUMNS)
BOTTOM = KEY_COUNT ? 60 + 16 * KEY_ROWS : 60
HEIGHT = 36 + PLOT + BOTTOM
set terminal svg size WIDTH,HEIGHT @SVG
set tmargin at screen 1 - 36.0 / HEIGHT
set bmargin at screen 1.0 * BOTTOM / HEIGHT
set rmargin at screen 0.96
if (LEFT > 0) set lmargin at screen 1.0 * LEFT / WIDTH
set label 1 TITLE at screen 0.5, screen 1 - 18.0 / HEIGHT center
# gnuplot takes characters for wider than they are: tell it less.
set key at screen 0.5, screen 8.0 / HEIGHT bottom center vertical maxrows KEY_ROWS \
    Left reverse samplen 2 width -0.13 * KEY_LONGEST font "sans-serif,12"
if (!KEY_COUNT) unset key
