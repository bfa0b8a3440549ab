# The jobs of benchmarks/queue.sh: what the pages in docs/ state and a day or more must show.
# shellcheck shell=bash

# The gain of CIMNet's parts against the number of steps, on scenes whose cameras are badly synchronised.
late=runs/gain/late
first $late/synth.json "cimnet data synth $late --train 800 --val 40 --test 160 --height 256 --width 320 --late 1"
for seed in 0 1 2; do
    for variant in all none parallel addition no_mi mi_alone; do
        case $variant in
            all) set= ;;
            none) set="--set model.mutual_information=off --set model.msm=false --set model.swr=false --set model.cwr=false" ;;
            parallel) set="--set model.name=parallel_rectification_efficientnet_lite0" ;;
            addition) set="--set model.name=addition_efficientnet_lite0" ;;
            no_mi) set="--set model.mutual_information=off" ;;
            mi_alone) set="--set model.msm=false --set model.swr=false --set model.cwr=false" ;;
        esac
        run=runs/gain/$variant-$seed
        job $run/test.json "cimnet train small_scenes --out $run --resume --set data.root=$late --set training.epochs=20 \
            --set training.evaluate_every=2 --set training.seed=$seed $set && cimnet eval $run $late --json $run/test.json"
    done
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
