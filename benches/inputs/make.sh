#!/bin/sh
# Makes the inputs of the speed bench from the demo music. Nothing runs it: its results are committed.
# Made with ffmpeg 5.1.9. MP3 needs no file here: it is the demo itself, and WAV is made in memory.
set -eu
cd "$(dirname "$0")"
# encode SECONDS OUTPUT ARGS...: the music twice, with times counted by samples, so that the join leaves no hole.
encode() {
    seconds=$1 output=$2
    shift 2
    ffmpeg -v error -nostdin -y -stream_loop 1 -i ../../examples/assets/demo.mp3 -t "$seconds" -af asetpts=N/SR/TB "$@" \
        -map_metadata -1 -fflags +bitexact -flags:a +bitexact "$output"
}
encode 30 music.m4a -c:a aac -b:a 64k
encode 30 music.ogg -c:a libvorbis -q:a 0
# Lossless music is large: one channel, and half the time.
encode 15 music.flac -ac 1 -c:a flac -sample_fmt s16
