$sparsescope --help
for c in run report verify inspect generate methods datasets bench info; do
    $sparsescope $c --help
done
