#!/bin/sh
# Everything from nothing for a network: environment, data, training, model file, samples, figures.
#   reproduce.sh [--full] [NETWORK]
# Training goes on from its checkpoint when this is started again.
set -eu

models=$(cd "$(dirname "$0")/.." && pwd)
full=
if [ "${1:-}" = --full ]; then
    full=--full
    shift
fi
network=${1:-strianet-c10}
"$models/train/setup.sh" $full

export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1
cd "$models/train"
python=$models/.work/venv/bin/python
case $network in
    strianet-c10*) "$python" fetch_cifar10.py ;;
    strianet-fmnist-nano) "$python" make_test_folder.py --network "$network" ;;
esac
for script in train export make_samples; do
    "$python" "$script.py" --network "$network"
done
"$python" evaluate.py --network "$network" --split test
"$python" evaluate.py --network "$network" --split test --h 8
