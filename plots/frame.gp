# frame.gp - size, margins and key, so that neither key nor names take room from the plot.
# Set PLOT (height of the plot, pixels), LEFT (left margin, pixels; 0: as gnuplot sees
# fit), KEY_COUNT and KEY_LONGEST (entries of the key; characters of the longest) first.
# gnuplot's own key takes letters for wider than they are, and drops what does not fit:
# here entry i of the key stands at key_x(i), key_y(i), as parts of the screen.
KEY_CELL = KEY_LONGEST * 6.4 + 44
KEY_COLUMNS = int((WIDTH - 20) / KEY_CELL)
if (KEY_COLUMNS < 1) KEY_COLUMNS = 1
KEY_ROWS = int((KEY_COUNT + KEY_COLUMNS - 1) / KEY_COLUMNS)
if (KEY_ROWS > 0) KEY_COLUMNS = int((KEY_COUNT + KEY_ROWS - 1) / KEY_ROWS)
BOTTOM = 56 + (KEY_ROWS > 0 ? 8 + 16 * KEY_ROWS : 0)
HEIGHT = 36 + PLOT + BOTTOM
set terminal svg size WIDTH,HEIGHT @SVG
set tmargin at screen 1 - 36.0 / HEIGHT
set bmargin at screen 1.0 * BOTTOM / HEIGHT
set rmargin at screen 0.96
if (LEFT > 0) set lmargin at screen 1.0 * LEFT / WIDTH
set label TITLE at screen 0.5, screen 1 - 18.0 / HEIGHT center
key_x(i) = ((WIDTH - KEY_COLUMNS * KEY_CELL) / 2 + KEY_CELL * ((i - 1) / KEY_ROWS)) / WIDTH
key_y(i) = (8 + 16 * (KEY_ROWS - 0.5 - (i - 1) % KEY_ROWS)) / HEIGHT
px = 1.0 / WIDTH
unset key
