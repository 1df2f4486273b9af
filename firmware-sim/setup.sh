#!/usr/bin/env bash
# Sets up what the firmware and its tests need: Rust's `core` for the targets of the boards (boards.txt),
# a linker, and QEMU. May be run again at any time; what is there already is left alone.
#
#   firmware-sim/setup.sh            uses rustup's targets, or else Debian's compiler (as root)
#   STRIA_TOOLCHAIN=debian ...       goes straight to Debian's compiler
#
# The result is a folder, target/firmware (or $CARGO_TARGET_DIR/firmware):
#   sysroot/   `core` and `compiler_builtins` and nothing else, so that what builds against it
#              cannot use `alloc`
#   env        lines KEY=VALUE that cargo needs for the firmware: `set -a; . target/firmware/env`
# Exits 0 when all is there; else with 1, after one line for each thing that cannot be had.
set -euo pipefail

cd "$(dirname "$0")/.."
mapfile -t TARGETS < <(awk '!/^#/ && NF { print $2 }' firmware-sim/boards.txt | sort -u)
OUT="${CARGO_TARGET_DIR:-target}/firmware"
mkdir -p "$OUT"
OUT="$(cd "$OUT" && pwd)"
# One at a time, where there is a lock to be had.
if command -v flock >/dev/null; then
    exec 9>"$OUT/lock"
    flock 9
fi
SYSROOT="$OUT/sysroot"
missing=0

lack() {
    echo "firmware: $*" >&2
    missing=1
}

# Whether packages can be installed: root on a Debian-like system.
has_apt() {
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null
}

apt_install() {
    has_apt || return 1
    # The lists may be absent or old on a fresh machine.
    [ -n "${APT_UPDATED:-}" ] || { apt-get update -q >"$OUT/apt.log" 2>&1 && APT_UPDATED=1; } || return 1
    DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -q --no-install-recommends "$@" >>"$OUT/apt.log" 2>&1
}

# Puts `core` of a target out of folder $2 into the private sysroot.
take_core() {
    local lib="$SYSROOT/lib/rustlib/$1/lib"
    rm -rf "$lib" && mkdir -p "$lib"
    cp "$2"/libcore-*.r{lib,meta} "$2"/libcompiler_builtins-*.r{lib,meta} "$lib/"
}

# Through rustup, as its users would.
try_rustup() {
    [ "${STRIA_TOOLCHAIN:-rustup}" = rustup ] && command -v rustup >/dev/null || return 1
    timeout 300 rustup target add "${TARGETS[@]}" >"$OUT/rustup.log" 2>&1 || return 1
    local root target
    root="$(rustc --print sysroot)"
    for target in "${TARGETS[@]}"; do
        take_core "$target" "$root/lib/rustlib/$target/lib" || return 1
    done
    RUSTC="$(rustup which rustc)"
}

# Debian's compiler comes with its library's source, from which `core` is built. Compiler and
# source must be of exactly one version, so rustup's compiler does not serve here.
try_debian() {
    RUSTC=/usr/bin/rustc
    local source=/usr/lib/rustlib/src/rust/library
    [ -x "$RUSTC" ] && [ -d "$source" ] || apt_install rustc-web rust-web-src || return 1
    [ -d "$source" ] || return 1
    local target build="$OUT/build-core"
    mkdir -p "$build/src"
    printf '[package]\nname = "nothing"\nversion = "0.0.0"\nedition = "2021"\n[workspace]\n[profile.release]\npanic = "abort"\n' \
        >"$build/Cargo.toml"
    printf '#![no_std]\n' >"$build/src/lib.rs"
    for target in "${TARGETS[@]}"; do
        # `-Z` needs the bootstrap switch on a stable compiler; the bitcode is for LTO.
        (cd "$build" && env -u CARGO_ENCODED_RUSTFLAGS RUSTC="$RUSTC" RUSTC_BOOTSTRAP=1 \
            RUSTFLAGS=-Cembed-bitcode=yes CARGO_TARGET_DIR="$build/target" \
            cargo build --release --target "$target" -Zbuild-std=core \
            -Zbuild-std-features=compiler-builtins-mem >"$OUT/build-core.log" 2>&1) || return 1
        take_core "$target" "$build/target/$target/release/deps" || return 1
    done
}

# LLVM's linker: rustup brings it next to its compiler, Debian in a package.
find_linker() {
    local root host
    if command -v rustup >/dev/null && root="$(rustc --print sysroot)"; then
        host="$(rustc -vV | sed -n 's/^host: //p')"
        LINKER="$root/lib/rustlib/$host/bin/rust-lld"
        [ -x "$LINKER" ] && return
    fi
    LINKER="$(command -v rust-lld || command -v ld.lld)" && return
    apt_install lld && LINKER="$(command -v ld.lld)"
}

# What the last run found is taken if it is still there, and compiler and targets are the same.
stamp() {
    echo "$1 $("$1" -V) ${TARGETS[*]}"
}
RUSTC="$(sed -n 's/^RUSTC=//p' "$OUT/env" 2>/dev/null || true)"
if [ -z "$RUSTC" ] || [ ! -x "$RUSTC" ] || [ "$(stamp "$RUSTC")" != "$(cat "$SYSROOT/stamp" 2>/dev/null)" ] ||
    { [ "${STRIA_TOOLCHAIN:-}" = debian ] && [ "$RUSTC" != /usr/bin/rustc ]; }; then
    if try_rustup || try_debian; then
        stamp "$RUSTC" >"$SYSROOT/stamp"
    else
        RUSTC=
        lack "no Rust library for ${TARGETS[*]}: rustup could not add them, and Debian's rustc-web needs apt-get as root (logs in $OUT)"
    fi
fi
LINKER=
find_linker || lack "no LLVM linker: neither rust-lld nor ld.lld, and apt-get cannot install lld"

for pair in qemu-system-arm:qemu-system-arm qemu-system-riscv32:qemu-system-misc; do
    command -v "${pair%%:*}" >/dev/null || apt_install "${pair##*:}" ||
        lack "no ${pair%%:*}: install the package ${pair##*:} (apt-get as root was not possible here)"
done

if [ -n "$RUSTC" ] && [ -n "$LINKER" ]; then
    {
        echo "RUSTC=$RUSTC"
        for target in "${TARGETS[@]}"; do
            name="$(echo "$target" | tr 'a-z-' 'A-Z_')"
            echo "CARGO_TARGET_${name}_LINKER=$LINKER"
            echo "CARGO_TARGET_${name}_RUSTFLAGS=--sysroot=$SYSROOT"
        done
    } >"$OUT/env.new"
    mv "$OUT/env.new" "$OUT/env"
    [ "$missing" = 0 ] && echo "firmware: ready ($("$RUSTC" -V); cargo's settings in $OUT/env)"
else
    rm -f "$OUT/env"
fi
exit "$missing"
