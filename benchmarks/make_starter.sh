#!/usr/bin/env bash
# Make the starter that comes with cimnet, src/cimnet/weights/starter.safetensors, and its card, from nothing: synthetic
# scenes, training, 8 bits, scores on the test scenes. Repeat the command after an interruption; what is done is kept.
# Under an hour on one CPU core. One thread, so that the same versions on the same kind of processor give the same bits.
#
#     benchmarks/make_starter.sh [FOLDER]     FOLDER: for data and run, default runs/make_starter
#     RUN=… DATA=… benchmarks/make_starter.sh     a run and scenes that are there already
set -euo pipefail
folder=${1:-runs/make_starter}
run=${RUN:-$folder/run}
data=${DATA:-$folder/data}
cd "$(dirname "$0")/.."
export OMP_NUM_THREADS=1
python=${PYTHON:-python}
weights=src/cimnet/weights

mkdir -p "$folder"
[ -f "$data/synth.json" ] || $python -m cimnet.cli data synth "$data" --train 600 --val 40 --test 80 --seed 77
if [ -z "${RUN:-}" ]; then
    $python -m cimnet.cli train starter --out "$run" --resume --set data.root="$data"
fi
rm -rf "$folder/small"
$python -m cimnet.cli publish "$run" --out "$folder/small" --small
for kind in full small; do
    source=$run
    [ $kind = full ] || source=$folder/small
    $python -m cimnet.cli eval "$source" "$data" --split test --device cpu --json "$folder/$kind.json"
done
# refuses 8 bits that cost more than 0.1 points, or a file that is too large
$python benchmarks/starter_card.py "$run" "$folder/small/model.safetensors" "$folder/full.json" "$folder/small.json" --out $weights/README.md
cp "$folder/small/model.safetensors" $weights/starter.safetensors
ls -l $weights
