# A tiny experiment: rows, resume, refusal to overwrite, a point that cannot run.
cat >tiny.yaml <<END
name: tiny
data:
  - synthetic: diffuse
    length: 256
    q_heads: 4
    kv_heads: 2
    head_dim: 16
methods:
  - method: full
  - method: moba
    block: 32
    topk: [2, 4]
  - method: given
measure: {quality: {rows: 32}, time: false}
END
columns() { awk -F, 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == want) c = i } { print $c }' want=$1 $2; }
$sparsescope run tiny.yaml -o out -q --backend cpu; echo "exit $?"
for c in method label status reason n_rows density_pairs n_heads t s h g; do
    columns $c out/results.csv | tr '\r\n' '  '; echo
done
wc -l <out/heads.csv
$sparsescope run tiny.yaml -o out -q --backend cpu; echo "exit $?"
cp out/results.csv before.csv
$sparsescope run tiny.yaml -o out -q --backend cpu --resume; echo "exit $?"
cmp out/results.csv before.csv && echo "resume kept every row"
# Lose the last row and tear the one before it: both are run again.
head -c -40 before.csv | sed '$d' >out/results.csv
printf '1,torn' >>out/results.csv
$sparsescope run tiny.yaml -o out -q --backend cpu --resume; echo "exit $?"
columns label out/results.csv | tr '\r\n' '  '; echo
columns point_id out/heads.csv | sort | uniq -c | awk '{ print $1 }' | tr '\n' ' '; echo
$sparsescope run tiny.yaml --dry-run --backend ref --set 'methods[1].topk=3' | awk '/ref/ { $NF = $(NF - 1) = "" } { print }'
ls out
# One line a measured row and head, on request; a torn member is repaired.
$sparsescope run tiny.yaml -o rows -q --backend cpu --set measure.quality.per_row=true; echo "exit $?"
zcat rows/rows.csv.gz | wc -l
head -c -20 rows/rows.csv.gz >torn && mv torn rows/rows.csv.gz
head -n 3 rows/results.csv >kept && mv kept rows/results.csv
$sparsescope run tiny.yaml -o rows -q --backend cpu --set measure.quality.per_row=true --resume; echo "exit $?"
zcat rows/rows.csv.gz | cut -d, -f1 | sort | uniq -c | awk '{ print $1 }' | tr '\n' ' '; echo
# Gradients have a cost and no quality; choosing costs them nothing.
$sparsescope run tiny.yaml -o back -q --backend cpu --set 'phases=[prefill, backward]' --set 'methods[1].topk=2'; echo "exit $?"
for c in phase label status reason n_rows density_flops flops flops_dense; do
    columns $c back/results.csv | tr '\r\n' '  '; echo
done
# Nothing has nothing to differentiate: the harness is timed in either phase.
$sparsescope run tiny.yaml -o idle -q --backend cpu --set "methods=[{method: 'null'}]" \
    --set 'phases=[prefill, backward]' --set 'measure={quality: false, time: {samples: 1}}'; echo "exit $?"
for c in phase label status reason flops time_n_cold time_n_hot; do
    columns $c idle/results.csv | tr '\r\n' '  '; echo
done
# One step of decode: the last row of each sequence, here of unequal lengths.
batch="--set data[0].batch=3 --set data[0].min_length=64"
$sparsescope run tiny.yaml -o step -q --backend cpu --set 'phases=[prefill, decode]' --set 'methods[1].topk=2' $batch; echo "exit $?"
for c in phase label status n_rows n t s density_flops flops flops_dense; do
    columns $c step/results.csv | tr '\r\n' '  '; echo
done
# Pages change where keys lie, and no figure but times.
$sparsescope run tiny.yaml -o pages -q --backend cpu --set 'phases=[decode, backward]' --set 'methods=[{method: moba, block: 32, topk: 2}]' --set 'data[0].cache=[contiguous, paged]' $batch; echo "exit $?"
for c in phase data_label cache status reason recall_mass flops bytes; do
    columns $c pages/results.csv | tr '\r\n' '  '; echo
done
$sparsescope run tiny.yaml --dry-run --backend ref --set phases=decode --set 'methods[1].topk=2' $batch | awk '{ $NF = ""; print }'
# What cannot be made is said without being made.
$sparsescope run tiny.yaml --dry-run --backend ref --set data[0].queries=300 | tail -3
# Rows that choose together run with their neighbours, timed or not.
cat >share.yaml <<END
name: share
data: [{synthetic: topics, length: 300, q_heads: 4, kv_heads: 2, head_dim: 16}]
methods:
  - {method: nsa, select_share: [1, 4], select_block: 16, select_count: 6, window: 32}
measure: {quality: {rows: last:7}, time: false}
END
$sparsescope run share.yaml -o untimed -q --backend cpu; echo "exit $?"
$sparsescope run share.yaml -o timed -q --backend cpu --set 'measure.time={samples: 1}'; echo "exit $?"
$sparsescope run share.yaml -o alone -q --backend cpu --set 'methods[0].select_share=1'; echo "exit $?"
for c in t n_rows recall_mass error_rel_l2 flops; do
    columns $c untimed/results.csv >untimed.$c
    columns $c timed/results.csv | cmp - untimed.$c && echo "$c: the same"
done
columns t alone/results.csv | tr '\r\n' '  '; echo
$sparsescope run share.yaml -o wrong -q --backend cpu --set 'methods[0].select_share=3'; echo "exit $?"
columns reason wrong/results.csv
