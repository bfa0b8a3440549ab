# The jobs of benchmarks/queue.sh: what the pages in docs/ state and a day or more must show.
# shellcheck shell=bash

# The gain of CIMNet's parts against the number of steps, on scenes whose cameras are badly synchronised.
late=runs/gain/late
first $late/synth.json "cimnet data synth $late --train 800 --val 40 --test 160 --height 256 --width 320 --late 1"
off="--set model.mutual_information=off"
without() { for part in "$@"; do printf -- '--set model.%s=false ' "$part"; done; }
gain() { # VARIANT SEED SETTINGS [COMMAND]: train for 4,000 steps, evaluate along the way, score
    local run=runs/gain/$1-$2
    job $run/test.json "cimnet train small_scenes --out $run --resume --set data.root=$late --set training.epochs=20 \
        --set training.evaluate_every=2 --set training.seed=$2 $3 ${4:-} && cimnet eval $run $late --json $run/test.json"
}
for seed in 0 1 2; do
    gain all $seed ""
    gain none $seed "$off $(without msm swr cwr)"
    gain parallel $seed "--set model.name=parallel_rectification_efficientnet_lite0"
    gain addition $seed "--set model.name=addition_efficientnet_lite0"
    gain no_mi $seed "$off"
    gain mi_alone $seed "$(without msm swr cwr)"
    gain msm_alone $seed "$off $(without swr cwr)"
    gain swr_alone $seed "$off $(without msm cwr)"
    gain cwr_alone $seed "$off $(without msm swr)"
    for weight in 0.1 0.3 1; do # λ once, three and ten times, with what the features share in the end
        run=runs/gain/lambda_$weight-$seed
        gain lambda_$weight $seed "--set loss.mutual_information_weight=fixed --set loss.initial_weight=$weight" \
            "&& bench redundancy.py $run --data $late --broken drop --out $run/redundancy.md"
    done
done

# CIMNetX and the models beside it, on kinds of defects that none of them was trained on. Its gate is fitted on val. The
# test scenes of seed 2032 are used for nothing else.
scenes=runs/unseen/scenes
fresh=runs/unseen/fresh
first $scenes/synth.json "cimnet data synth $scenes --train 800 --val 80 --test 1 --seed 2030 --height 256 --width 320"
first $fresh/synth.json "cimnet data synth $fresh --train 1 --val 1 --test 160 --seed 2032 --height 256 --width 320"
for seed in 0 1 2; do
    job runs/unseen/$seed.done "bench compare_robustness.py unseen_defects --data $scenes --test $fresh --out runs/unseen/runs-$seed \
        --seeds $seed --models CIMNetX 'CIMNetX without gate' 'CIMNetX without alignment' 'CIMNetX without defects' \
        'parallel rectification + alignment' 'addition + alignment' 'RGB only' 'thermal only' \
        --corruption translation=10 affine=20 time_lag=15 blackout=60,100 fog=25 over_exposure=2 rgb_dropped=4 thermal_blur=4 \
        thermal_noise=12 stripes=10 inversion=-60 saturation=40 && touch runs/unseen/$seed.done"
done

# The starter as a beginning, on real pairs. It needs src/cimnet/weights/starter.safetensors (make_starter.sh).
for dataset in mm5 apple msrs-real; do
    job runs/transfer/$dataset.done "bench transfer.py $dataset --data $DATA/$dataset --out runs/transfer/$dataset \
        && touch runs/transfer/$dataset.done"
done

# All models on folds of real pairs. Jobs run side by side, so each has a folder of its own.
for dataset in mm5 apple; do
    job runs/folds_$dataset.done "bench cross_validation.py $dataset --data $DATA/$dataset --out runs/folds_$dataset \
        && touch runs/folds_$dataset.done"
done

# Which model finds the people that one camera alone sees.
job runs/objects.done "bench objects.py --data $DATA/msrs-real --boxes $DATA/msrs-real/sensor-boxes/objects.csv \
    --out runs/objects && touch runs/objects.done"
