#!/bin/sh
# Makes demo.mp3, the piece that the `pcm` example plays without arguments. Made with python 3.11 and ffmpeg 5.1.9
# (libmp3lame). Nothing needs it at build time: the result is committed.
set -eu
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 make_demo.py "$work/demo.wav"
ffmpeg -v error -nostdin -y -i "$work/demo.wav" -c:a libmp3lame -b:a 96k -joint_stereo 1 -id3v2_version 3 \
    -map_metadata -1 -metadata title="Demo" -metadata artist="kithara" -fflags +bitexact -flags:a +bitexact demo.mp3
