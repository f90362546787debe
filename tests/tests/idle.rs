//! A title that is opened and not read gives its sockets back, and takes new ones when it is read after all.

#![allow(clippy::unwrap_used)] // A promise that cannot be checked is a failed test.

use std::sync::Arc;
use std::time::Duration;

use kithara::PcmReader;
use kithara::audio::{Audio, AudioConfig};
use kithara::file::{File, FileConfig, FilePolicy, FileSrc};
use kithara::net::{HttpClient, Net, NetExt, NetOptions, RetryPolicy};
use kithara::stream::StreamType;
use kithara_tests::fixtures::{formula_sample, long_wav};
use kithara_tests::server::{FaultServer, Script};

/// Instead of half a minute.
const IDLE: Duration = Duration::from_millis(200);

#[test]
fn a_title_that_nobody_reads_keeps_no_socket_open() {
    let media = long_wav(60);
    // One that lies idle between requests, and a response that is held back because the server has no ranges.
    for ranges in [true, false] {
        let server = FaultServer::start();
        let file = Script::file(media.bytes.clone());
        let file = if ranges { file } else { file.without_ranges() };
        server.serve("/a.wav", file);
        let mut options = NetOptions::default();
        options.idle = IDLE;
        let client = HttpClient::new(options).unwrap();
        let client: Arc<dyn Net> = Arc::new(client.with_retry(RetryPolicy::default()));
        let policy = FilePolicy {
            look_ahead_bytes: 0,
            idle: IDLE,
            ..FilePolicy::default()
        };
        let src = FileSrc::Remote(server.url("/a.wav").parse().unwrap(), client);
        let config = FileConfig::new(src).with_policy(policy);
        let open = move || Ok::<Box<dyn kithara::stream::Source>, _>(Box::new(File::open(config)?));
        let mut audio = Audio::open(open, AudioConfig::new()).wait().unwrap();

        // The server sees the end of every connection, while the title is open.
        server.wait_open_connections(0);
        let (before, bytes) = (server.connections(), server.body_bytes_sent());
        assert!(before > 0 && bytes < media.bytes.len() as u64);

        let mut buf = vec![0.0; 8192];
        let mut frame = 0;
        loop {
            let read = audio.read(&mut buf).unwrap();
            if read == 0 {
                break;
            }
            for pair in buf[..read].chunks(2) {
                for (channel, sample) in (0..).zip(pair) {
                    assert_eq!(*sample, f32::from(formula_sample(frame, channel)) / 32768.0);
                }
                frame += 1;
            }
        }
        assert_eq!(frame, media.frames);
        assert!(server.connections() > before, "it connected again");
    }
}
