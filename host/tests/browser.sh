#!/usr/bin/env bash
# Prints the path of a Chromium that can open the report of `stria bench`. Where there is none, it
# installs Debian's, as root; may be run again at any time.
# Exits 0 when there is one; else with 1, after one line that says why not.
set -euo pipefail

find_browser() {
    local name
    for name in chromium google-chrome chromium-browser; do
        # Some are only a hint to install another package.
        "$name" --version >/dev/null 2>&1 && command -v "$name" && return
    done
    return 1
}

install_browser() {
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || return 1
    local get=(env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends chromium)
    # The lists may be absent or old on a fresh machine.
    "${get[@]}" >&2 || { apt-get update -q >&2 && "${get[@]}" >&2; }
}

find_browser && exit
log="$(mktemp)"
trap 'rm -f "$log"' EXIT
if install_browser 2>"$log" && find_browser; then
    exit
fi
said="$(tail -n 1 "$log")"
echo "no Chromium, and apt-get as root could not install it${said:+: $said}" >&2
exit 1
