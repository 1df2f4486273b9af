#!/bin/sh
# Everything from nothing: environment, data, training, model file, samples, figures.
# Training goes on from its checkpoint when this is started again.
set -eu

models=$(cd "$(dirname "$0")/.." && pwd)
"$models/train/setup.sh" "$@"

export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1
cd "$models/train"
for script in fetch_data train export make_samples; do
    "$models/.work/venv/bin/python" "$script.py"
done
"$models/.work/venv/bin/python" evaluate.py --split test --h 8
