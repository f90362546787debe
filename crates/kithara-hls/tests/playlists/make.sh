#!/bin/sh
# Playlists as an encoder writes them, without their media. Made with ffmpeg 5.1.9; dates are made the same on every run.
set -eu
cd "$(dirname "$0")"
here=$(pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

# hls NAME ARGS...: 11 seconds of a tone.
hls() {
    name=$1
    shift
    ffmpeg -v error -nostdin -y -f lavfi -i "sine=frequency=440:sample_rate=44100:duration=11" -c:a aac -b:a 64k -f hls \
        -hls_time 3 "$@" "$name.m3u8"
}

hls vod-ts -hls_playlist_type vod
hls vod-fmp4 -hls_playlist_type vod -hls_segment_type fmp4
hls event-adts -hls_playlist_type event -hls_segment_filename 'adts-%03d.aac'
hls ranges-ts -hls_playlist_type vod -hls_flags single_file
hls ranges-fmp4 -hls_playlist_type vod -hls_flags single_file -hls_segment_type fmp4
hls live -hls_list_size 2 -hls_flags delete_segments+omit_endlist+program_date_time+independent_segments -start_number 40
awk '/DATE-TIME/ { sub(/:20.*/, sprintf(":2026-01-01T12:00:%02d.000+0000", 3 * n)); n++ } 1' live.m3u8 >dated && mv dated live.m3u8

printf '0123456789abcdef' >key.bin
printf 'https://keys.test/one?token=x\nkey.bin\n' >sequence.info
printf 'https://keys.test/two\nkey.bin\n000102030405060708090a0b0c0d0e0f\n' >explicit.info
hls key-sequence -hls_playlist_type vod -hls_key_info_file sequence.info
hls key-explicit -hls_playlist_type vod -hls_key_info_file explicit.info

ffmpeg -v error -nostdin -y -f lavfi -i "sine=frequency=440:sample_rate=44100:duration=4" -map 0:a -map 0:a -map 0:a \
    -c:a aac -b:a:0 48k -b:a:1 96k -b:a:2 160k -f hls -hls_playlist_type vod -hls_time 3 -hls_segment_type fmp4 \
    -var_stream_map "a:0,name:low a:1,name:mid a:2,name:high" -master_pl_name multivariant.m3u8 'media-%v.m3u8'
ffmpeg -v error -nostdin -y -f lavfi -i "sine=frequency=440:sample_rate=44100:duration=4" \
    -f lavfi -i "testsrc=size=64x64:rate=25:duration=4" -map 0:a -map 0:a -map 1:v -c:v libx264 -pix_fmt yuv420p -c:a aac \
    -b:a:0 48k -b:a:1 96k -f hls -hls_playlist_type vod -hls_time 3 \
    -var_stream_map "a:0,agroup:sound,language:de,name:deutsch,default:yes a:1,agroup:sound,language:en,name:english v:0,agroup:sound" \
    -master_pl_name renditions.m3u8 'media-%v.m3u8'

cp vod-*.m3u8 event-*.m3u8 ranges-*.m3u8 live.m3u8 key-*.m3u8 multivariant.m3u8 renditions.m3u8 "$here"
