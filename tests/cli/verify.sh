# Figures differ in their last digits between processors; the verdicts do not.
verdicts() { sed -E 's/max abs.*(PASS|FAIL)/\1/'; }
$sparsescope verify --backend ref $src/tests/golden/*.safetensors | verdicts
$sparsescope verify --backend cpu $src/tests/golden/*.safetensors | verdicts
$sparsescope verify absent.safetensors; echo "exit $?"
printf 'not a tensor file' >bad.safetensors
$sparsescope verify bad.safetensors; echo "exit $?"
$sparsescope generate diffuse -o plain.safetensors --set length=64 >/dev/null
$sparsescope verify plain.safetensors
