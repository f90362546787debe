#!/bin/sh
# Makes hls/, the stream that the examples `hls` and `pcm` play without a source: the demo's piece with its first two bars
# repeated, mono, as three bit rates of AAC (the middle one encrypted) and FLAC, in fragmented MP4. Made with python 3.11, ffmpeg
# 5.1.9 and openssl 3.0. Nothing needs it at build time: the result is committed.
set -eu
cd "$(dirname "$0")"
pack=$(pwd)/../../tests/fixtures/hls/pack.py
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
exact='-map_metadata -1 -fflags +bitexact -flags:a +bitexact'
python3 make_demo.py "$work/demo.wav" 0 1 0 1 2 3 4 5
rm -rf hls
mkdir hls
cd hls
for rate in 40 64 112; do
    # shellcheck disable=SC2086
    ffmpeg -v error -nostdin -y -i "$work/demo.wav" -ac 1 -c:a aac -aac_pns 0 -b:a "${rate}k" $exact \
        -movflags +frag_keyframe+delay_moov+default_base_moof -frag_duration 2000000 "$work/$rate.mp4"
done
python3 "$pack" fmp4 "$work/40.mp4" aac-40
python3 "$pack" fmp4 "$work/64.mp4" "$work/clear"
python3 "$pack" encrypt "$work/clear" aac-64
python3 "$pack" fmp4 "$work/112.mp4" aac-112
ffmpeg -v error -nostdin -y -i "$work/demo.wav" -ac 1 -c:a flac -sample_fmt s16 -compression_level 12 "$work/demo.flac"
mkdir fmp4-flac
# shellcheck disable=SC2086
(cd fmp4-flac && ffmpeg -v error -nostdin -y -i "$work/demo.flac" -c copy -strict -2 $exact -f hls -hls_playlist_type vod \
    -hls_time 2 -hls_segment_type fmp4 -hls_segment_filename '%d.m4s' media.m3u8)
python3 "$pack" multivariant multivariant.m3u8 aac-40 aac-64 aac-112 fmp4-flac
