# What the scripts share. Sourced by bash, never run. It sets $repo and leaves us there.
# shellcheck shell=bash disable=SC2034 # the colours are for whoever sources this

set -euo pipefail
repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$repo"

# A shell that was never told of rustup still finds what it installed.
if [ -d "$HOME/.cargo/bin" ]; then
    PATH="$PATH:$HOME/.cargo/bin"
fi
# `ip`, `ethtool` and `tcpdump` live where a plain user's PATH on Debian does not look.
PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"
export PATH

if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then
    bold=$'\e[1m' dim=$'\e[2m' red=$'\e[31m' green=$'\e[32m' yellow=$'\e[33m' plain=$'\e[0m'
else
    bold='' dim='' red='' green='' yellow='' plain=''
fi

say() { printf '%s\n' "$*"; }
note() { printf '%s\n' "${dim}$*${plain}"; }
warn() { printf '%s\n' "${yellow}warning:${plain} $*" >&2; }
# Says what is wrong and how to mend it, and ends the script.
die() {
    printf '%s\n' "${red}error:${plain} $*" >&2
    exit 1
}

# Prints the comment at the head of the script that sourced us: its manual.
usage() { awk 'NR > 1 && !/^#/ {exit} NR > 1 {sub(/^# ?/, ""); print}' "$0"; }

# Runs a command as root, by sudo where we are not root. The environment that the scripts rely on goes along.
sudo_environment=PYTHONPATH,CARGO_TARGET_DIR,ESPALIER_BIN,NO_COLOR
as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo --preserve-env="$sudo_environment" env "PATH=$PATH" "$@"
    else
        die "this needs root (for: $1 ...), and there is no sudo here; run it as root"
    fi
}
# The same in our place, so that a signal for the script reaches the command.
exec_as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        exec "$@"
    elif command -v sudo >/dev/null; then
        exec sudo --preserve-env="$sudo_environment" env "PATH=$PATH" "$@"
    else
        die "this needs root (for: $1 ...), and there is no sudo here; run it as root"
    fi
}

# Where cargo puts things.
target_dir() { printf '%s\n' "${CARGO_TARGET_DIR:-$repo/target}"; }

# The first Python that has a scapy which can do AES-GCM ESP with extended sequence numbers; empty if none has.
python_with_scapy() {
    local python
    for python in python3 /usr/bin/python3 "$(target_dir)/python/bin/python3"; do
        if command -v "$python" >/dev/null && "$python" "$repo/scripts/scapy_fits.py" 2>/dev/null; then
            command -v "$python"
            return
        fi
    done
}
