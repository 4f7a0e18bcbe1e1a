$sparsescope methods
$sparsescope methods nsa
$sparsescope methods mobba; echo "exit $?"
$sparsescope datasets
$sparsescope datasets needle
$sparsescope datasets nedle
