//! Bodies that would be huge if they were decoded: refused by their headers, with memory that does not grow.

#[path = "support/network.rs"]
mod network;
#[path = "support/process.rs"]
mod process;

use kithara::ErrorKind;
use kithara_tests::server::{FaultServer, Outcome, Script};
use network::*;
use process::peak_memory;

/// A gzip member (RFC 1952) of 512 MiB of zeros in 3 MiB.
fn gzip_bomb() -> Vec<u8> {
    let mut bytes = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3];
    let mut bits = Bits::default();
    // The last block, with the fixed code (RFC 1951 §3.2.6): one zero, then 258 more over and over.
    bits.push(0b1, 1);
    bits.push(0b01, 2);
    bits.push_code(0x30, 8);
    for _ in 0..512 * MIB / 258 {
        bits.push_code(0b1100_0101, 8);
        bits.push_code(0, 5);
    }
    bits.push_code(0, 7);
    bytes.extend(bits.bytes);
    bytes
}

/// Bits from the lowest of each byte on.
#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    used: u32,
}

impl Bits {
    fn push(&mut self, bits: u32, count: u32) {
        for bit in 0..count {
            if self.used.is_multiple_of(8) {
                self.bytes.push(0);
            }
            let last = self.bytes.last_mut().expect("pushed above");
            *last |= u8::from(bits >> bit & 1 == 1) << (self.used % 8);
            self.used += 1;
        }
    }

    /// Huffman codes come with their highest bit first.
    fn push_code(&mut self, code: u32, count: u32) {
        self.push(code.reverse_bits() >> (32 - count), count);
    }
}

#[test]
fn an_encoded_body_is_refused_by_its_headers_and_not_read() {
    let (bytes, expected) = long(3);
    let bomb = Script::file(gzip_bomb()).media_type("audio/wav");
    let server = FaultServer::start();
    let before = peak_memory();
    for encoding in [
        "gzip",
        "GZIP",
        "x-gzip",
        "deflate",
        "br",
        "zstd",
        "gzip, gzip, gzip, gzip, gzip",
        "identity, gzip",
        "nonsense",
    ] {
        for script in [
            bomb.clone(),
            bomb.clone().without_ranges(),
            bomb.clone().chunked(),
        ] {
            let path = format!("/{}.wav", server.requests().len());
            let encoded = script.header("Content-Encoding", encoding);
            server.serve(&path, encoded.clone());
            let config = |path: &str| config(&server.url(path)).with_look_ahead_bytes(LOOK_AHEAD);
            let error = Listener::try_open(config(&path)).err().expect(encoding);
            assert_eq!(
                error.kind(),
                ErrorKind::WrongContent,
                "{encoding}: {error:?}"
            );
            assert_eq!(server.requests_for(&path).len(), 1, "{encoding}");

            let path = format!("/then-{}.wav", server.requests().len());
            server.serve_sequence(&path, [wav(&bytes), encoded.without_validators()]);
            let mut listener = Listener::open(config(&path));
            let error = listener.fails_after_exact_prefix(&expected, encoding);
            assert_eq!(
                error.kind(),
                ErrorKind::WrongContent,
                "{encoding}: {error:?}"
            );
            assert_eq!(server.requests_for(&path).len(), 2, "{encoding}");
        }
    }
    server.wait_until("the bombs being left", |log| {
        log.iter()
            .all(|request| request.outcome != Outcome::Running)
    });
    let grown = peak_memory().saturating_sub(before);
    assert!(grown < 64 * MIB, "{} MiB", grown / MIB);
}

#[test]
fn a_bomb_that_does_not_say_so_is_what_its_bytes_are() {
    let server = FaultServer::start();
    server.serve("/a.wav", Script::file(gzip_bomb()).media_type("audio/wav"));
    let before = peak_memory();
    let error = Listener::try_open(config(&server.url("/a.wav")))
        .err()
        .expect("no sound in it");
    assert!(
        matches!(
            error.kind(),
            ErrorKind::Unsupported | ErrorKind::Corrupt | ErrorKind::WrongContent
        ),
        "{error:?}"
    );
    let grown = peak_memory().saturating_sub(before);
    assert!(grown < 64 * MIB, "{} MiB", grown / MIB);
}
