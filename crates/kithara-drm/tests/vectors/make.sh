#!/bin/sh
# Encrypts with openssl what tests/vectors.rs expects: byte i of a plaintext is 7 i + i/256 modulo 256. OpenSSL 3.0.
set -eu
cd "$(dirname "$0")"
for length in 0 1 15 16 17 31 32 33 1000 4096; do
    python3 -c "import sys; sys.stdout.buffer.write(bytes((7 * i + i // 256) % 256 for i in range($length)))" |
        openssl enc -aes-128-cbc -K 00112233445566778899aabbccddeeff -iv 0f1e2d3c4b5a69788796a5b4c3d2e1f0 >"$length.bin"
done
