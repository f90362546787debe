#!/usr/bin/env bash
# What the example `play` sends to a sound card, on a machine without one: it plays into a PulseAudio sink that leads nowhere,
# whose monitor is recorded and compared with the file, over a pause and a seek. Takes about ten seconds once it is built.
set -euo pipefail
cd "$(dirname "$0")/../.."

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

install() { # PACKAGE...
    # A fresh machine has no list of packages.
    as_root apt-get install -y -qq "$@" >/dev/null 2>&1 && return
    as_root apt-get update -qq
    as_root apt-get install -y -qq "$@" >/dev/null
}

need() { # COMMAND PACKAGE...
    command -v "$1" >/dev/null && return
    shift
    install "$@"
}

need pkg-config pkg-config
pkg-config --exists alsa || install libasound2-dev
need pulseaudio pulseaudio pulseaudio-utils libasound2-plugins
need python3 python3

cargo build --locked --quiet -p kithara-examples --features playback --example play
python3 tests/headless/play.py "${CARGO_TARGET_DIR:-target}/debug/examples/play"
