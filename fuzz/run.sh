#!/usr/bin/env bash
# Runs fuzz targets: fuzz/run.sh [TARGET] [RUNS]. Without a target, all of them; without a number, as
# many inputs as take a minute together. A finding ends it with a failure, and lies in
# fuzz/findings/TARGET. Needs stable Rust and a C++ compiler.
set -euo pipefail
target_dir=$(realpath -m "${CARGO_TARGET_DIR:-$(dirname "$0")/../target}")
export CARGO_TARGET_DIR=$target_dir
cd "$(dirname "$0")"

targets=(frames packets model checkpoint client server sessions)
[ $# -eq 0 ] || targets=("$1")
triple=$(rustc -vV | sed -n 's/^host: //p')
work=$target_dir/fuzz
# One thread makes an input do the same each time.
export RAYON_NUM_THREADS=1

# What cargo-fuzz passes, but for the address sanitizer, which stable Rust does not have. With an
# explicit target, so that build scripts are not instrumented.
flags=(
    -Cpasses=sancov-module
    -Cllvm-args=-sanitizer-coverage-level=4
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters
    -Cllvm-args=-sanitizer-coverage-pc-table
    -Cllvm-args=-sanitizer-coverage-trace-compares
    --cfg fuzzing -Clink-dead-code -Ccodegen-units=16
)
bins=()
for target in "${targets[@]}"; do
    if [ "$target" = sessions ]; then
        cargo build --release --locked --quiet --no-default-features --bin sessions
    else
        bins+=(--bin "$target")
    fi
done
if [ ${#bins[@]} -ne 0 ]; then
    RUSTFLAGS="${flags[*]}" cargo build --release --locked --quiet --target "$triple" "${bins[@]}"
fi

for target in "${targets[@]}"; do
    printf '\n== %s\n' "$target"
    case $target in
        sessions)
            "$target_dir/release/sessions" "${2:-500}"
            continue
            ;;
        client | server) runs=${2:-100} ;;
        *) runs=${2:-20000} ;;
    esac
    mkdir -p "$work"/{corpus,seeds}/"$target" "findings/$target"
    STRIA_FUZZ_SEEDS=$work/seeds/$target "$target_dir/$triple/release/$target" -runs="$runs" -max_len=8192 -timeout=600 -rss_limit_mb=2048 \
        -print_final_stats=1 -artifact_prefix="findings/$target/" "$work/corpus/$target" "$work/seeds/$target"
done
