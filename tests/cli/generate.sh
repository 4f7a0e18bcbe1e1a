$sparsescope generate needle -o n.safetensors --set length=2048 --set q_heads=2 --set kv_heads=1 --set head_dim=64 | awk '{ print $1, $2 }'
$sparsescope inspect n.safetensors --no-atlas | sed 's/target.*//; s/\].*/]/'
$sparsescope inspect n.safetensors | grep -c '^ '
$sparsescope generate needle; echo "exit $?"
$sparsescope generate needle -o n.safetensors --set lenth=4; echo "exit $?"
$sparsescope generate nothing -o n.safetensors
