#!/bin/sh
# Everything from nothing for a network: environment, data, training, model file, samples, figures.
#   reproduce.sh [--full] [NETWORK [FOLDER]]
# FOLDER holds the pictures of Tiny ImageNet or ImageNet: train/CLASS/ and val/CLASS/.
# Training goes on from its checkpoint when this is started again.
set -eu

models=$(cd "$(dirname "$0")/.." && pwd)
full=
if [ "${1:-}" = --full ]; then
    full=--full
    shift
fi
network=${1:-strianet-c10}
folder=${2:+$(cd "$2" && pwd)}
"$models/train/setup.sh" $full

export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1
cd "$models/train"

python=$models/.work/venv/bin/python

run() {  # SCRIPT OPTIONS...
    script=$1
    shift
    "$python" "$script.py" --network "$network" ${folder:+--data "$folder"} "$@"
}

case $network in
    strianet-c10*) "$python" fetch_cifar10.py ;;
    strianet-fmnist-nano*) run make_test_folder ;;
    strianet-*imagenet) ;;
    *) echo "$network was only tried: train.py --network $network" >&2; exit 1 ;;
esac
case $network in
    strianet-c10-micro)
        network=strianet-c10
        run train --threads "$(nproc)"
        network=strianet-c10-micro
        run train --threads "$(nproc)" --teacher strianet-c10 --views 3 ;;
    *) run train --threads "$(nproc)" ;;
esac
case $network in
    strianet-c10-micro) run export ;;  # fine-tuning, which has no teacher, costs accuracy
    *) run finetune --threads "$(nproc)" ;;
esac
[ -n "$folder" ] || run make_samples
for kind in "--float $network" "" "--h 8"; do
    run evaluate --split test $kind
done
