#!/bin/sh
# Whether `stria eval` and the executor in Python give the same logits, to the last bit, for all
# 10,000 test images of Fashion-MNIST: strianet-fmnist-nano.
#   agree.sh PROGRAM [WORDS...]   PROGRAM [WORDS...] is what runs `stria`, from the repository's root
# Installs what it needs, Debian packages as root; no PyTorch.
set -eu
[ $# -gt 0 ] || { sed -n "2,6s/^# //p" "$0"; exit 2; }

models=$(cd "$(dirname "$0")/.." && pwd)
work=$models/.work
venv=$work/venv-agree
network=strianet-fmnist-nano

install() {  # PACKAGE
    # The lists may be absent or old on a fresh machine.
    DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$1" ||
        { apt-get update -q &&
          DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$1"; }
}

[ -d /usr/share/datasets/fashion-mnist ] || install dataset-fashion-mnist
mkdir -p "$work"
if [ ! -x "$venv/bin/pip" ]; then
    python3 -m venv "$venv" || { install python3-venv && python3 -m venv "$venv"; }
fi
grep -E '^(numpy|pillow|safetensors)==' "$models/requirements.txt" > "$work/requirements-agree.txt"
"$venv/bin/pip" install -q -r "$work/requirements-agree.txt"

cd "$models/train"
"$venv/bin/python" make_test_folder.py --network $network
cd "$models/.."
"$@" eval --model "$models/$network.safetensors" --data "$work/data/fashion-mnist-test" \
    --logits "$work/logits-agree.jsonl"
cd "$models/train"
"$venv/bin/python" evaluate.py --network $network --split test --logits "$work/logits-agree.jsonl"
