# time-length.gp - time against length: full attention, NSA and MoBA beside their best peers.
#
# usage: gnuplot -e "dir='docs/benchmarks/FOLDER'" docs/benchmarks/time-length.gp > OUT.svg
# Reads dir/forward/results.csv (sparsescope) and dir/peers.csv (peers.py).
set terminal svg size 860,480 font 'Helvetica,12' background 'white'
set datafile separator comma
set datafile missing NaN
set key autotitle columnhead below left Left reverse samplen 2 spacing 1.1 maxrows 3
set logscale x 2
set logscale y 10
set xrange [7000:75000]
set xtics ('8k' 8192, '16k' 16384, '32k' 32768, '64k' 65536)
set xlabel 'keys, causal, one sequence' offset 0,0.5
set bmargin 11
set grid y lc rgb '#dddddd'
set border 3
set tics nomirror
ours = dir.'/forward/results.csv'
theirs = dir.'/peers.csv'

of(heads, label) = column('h') == heads && strcol('label') eq label ? \
    column('time_ms_p50_cold') : NaN
by(heads, peer, part, block, k) = strcol('peer') eq peer && strcol('part') eq part && \
    column('h') == heads && strcol('block') eq block && strcol('k') eq k ? \
    column('time_ms_p50') : NaN

set multiplot layout 1,2
set ylabel 'forward time, ms'
set yrange [1:400]
set title '64 query heads, 4 key/value heads, d 128'
plot theirs using 's':(by(64,'flash','full','','')) with linespoints lc rgb '#bbbbbb' pt 6 title 'full, FlashAttention-2', \
     theirs using 's':(by(64,'cudnn','full','','')) with linespoints lc rgb '#777777' pt 4 title 'full, cuDNN', \
     ours using 's':(of(64,'full')) with linespoints lw 2 lc rgb '#000000' pt 5 title 'full, sparsescope', \
     theirs using 's':(by(64,'fla nsa','whole','64','16')) with linespoints lc rgb '#f0a060' pt 6 title 'NSA, fla (easier: l = u = 64)', \
     ours using 's':(of(64,'nsa gate=equal')) with linespoints lw 2 lc rgb '#d04000' pt 5 title 'NSA, sparsescope', \
     ours using 's':(of(64,'nsa gate=equal keep=input')) with linespoints lw 1 lc rgb '#d04000' pt 4 title 'NSA, keys rounded once'
set title '16 query and key/value heads, d 128'
unset ylabel
set yrange [0.3:120]
plot theirs using 's':(by(16,'cudnn','full','','')) with linespoints lc rgb '#777777' pt 4 title 'full, cuDNN', \
     ours using 's':(of(16,'full')) with linespoints lw 2 lc rgb '#000000' pt 5 title 'full, sparsescope', \
     theirs using 's':(by(16,'fla moba','whole','512','8')) with linespoints lc rgb '#80a0f0' pt 6 title 'MoBA 512 x 8, fla', \
     ours using 's':(of(16,'moba block=512 topk=8')) with linespoints lw 2 lc rgb '#0040c0' pt 5 title 'MoBA 512 x 8, sparsescope'
unset multiplot
