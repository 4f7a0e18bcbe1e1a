# Complaints about experiments: where, what, what is allowed.
try() { cat >c.yaml; $sparsescope run c.yaml --dry-run; echo "exit $?"; }
try <<END
name: x
data: [{synthetic: diffuse, length: 64}]
methods: [{method: nsa, selct_count: 4}]
END
try <<END
name: x
data: [{synthetic: difuse}]
methods: [{method: full}]
END
try <<END
name: x
data:
  - recorded: absent.safetensors
methods: [{method: full}]
END
try <<END
name: x
data: [{synthetic: diffuse, length: 64}]
methods: [{method: moba, topk: 0}]
phases: [decod]
END
$sparsescope run c.yaml --dry-run --set nothing
