$sparsescope nonsense; echo "exit $?"
$sparsescope rnu; echo "exit $?"
$sparsescope run; echo "exit $?"
$sparsescope run a.yaml --forse; echo "exit $?"
$sparsescope run a.yaml -o; echo "exit $?"
$sparsescope run a.yaml --threads many; echo "exit $?"
$sparsescope run a.yaml --backend tpu; echo "exit $?"
$sparsescope run a.yaml --resume --force; echo "exit $?"
$sparsescope run absent.yaml
