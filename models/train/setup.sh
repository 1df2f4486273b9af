#!/bin/sh
# Makes the Python environment in models/.work/venv.
#
# Training runs on the CPU, and the default build of PyTorch brings 3 GB of CUDA
# libraries. The light installation leaves out all but two of them and puts
# stubs in their place. "setup.sh --full" installs PyTorch as it comes.
set -eu

models=$(cd "$(dirname "$0")/.." && pwd)
venv=$models/.work/venv
requirements=$models/requirements.txt

[ -x "$venv/bin/pip" ] || "${PYTHON:-python3}" -m venv "$venv"

if [ "${1:-}" = --full ]; then
    "$venv/bin/pip" install -r "$requirements"
else
    light=$models/.work/requirements-light.txt
    grep -v '^torch==' "$requirements" > "$light"
    # pip names the dependencies of torch that are left out: that is intended.
    "$venv/bin/pip" install --no-deps "$(grep '^torch==' "$requirements")" \
        nvidia-cuda-runtime==13.5.37 nvidia-cuda-cupti==13.5.25
    "$venv/bin/pip" install -r "$light" filelock typing-extensions sympy networkx \
        jinja2 fsspec 'setuptools>=77.0.3'
    "$venv/bin/python" "$models/train/make_stubs.py"
fi
"$venv/bin/python" -c 'import torch; print("PyTorch", torch.__version__)'
