//! The plan of an HLS stream, in arbitrary worlds and under arbitrary facts.

mod facts;
mod origin;
mod playlists;
#[path = "../../crates/kithara-hls/tests/support/world.rs"]
mod world;

use std::sync::Arc;
use std::time::Duration;

use kithara::net::{Net, NetError, Request, Response, Url};
use kithara_hls::abr::AbrMode;
use kithara_hls::{GapPolicy, HlsConfig, HlsPolicy};

use crate::script::Script;

/// The first byte chooses between a simulated world and raw facts.
pub fn run(data: &[u8]) {
    let mut script = Script::new(data);
    if script.byte() & 1 == 0 {
        origin::in_a_world(&mut script);
    } else {
        facts::under_facts(&mut script);
    }
}

/// How the stream is fetched.
fn configure(config: HlsConfig, script: &mut Script<'_>) -> HlsConfig {
    let gap = [
        None,
        Some(GapPolicy::Silence),
        Some(GapPolicy::Skip),
        Some(GapPolicy::Stop),
    ];
    let usual = HlsPolicy::default();
    let policy = HlsPolicy {
        look_ahead: Duration::from_secs(30)
            .saturating_sub(Duration::from_millis(script.number(30_000))),
        gap: gap[script.choice(4)],
        parallel: 3 - script.choice(4).min(3),
        ..usual
    };
    config.with_policy(policy).with_abr_mode(mode(script))
}

fn mode(script: &mut Script<'_>) -> AbrMode {
    match script.choice(5) {
        0 => AbrMode::Auto(None),
        1 => AbrMode::Auto(Some(script.choice(5))),
        2 => AbrMode::Capped(script.number(1 << 20)),
        _ => AbrMode::Manual(script.choice(4)),
    }
}

/// No network: wishes are carried out by hand.
struct Nowhere;

#[async_trait::async_trait]
impl Net for Nowhere {
    async fn fetch(&self, request: Request) -> Result<Response, NetError> {
        unreachable!("{request:?}")
    }
}

fn nowhere(path: &str) -> HlsConfig {
    let url = Url::parse(&format!("http://o.test/{path}")).expect("a constant URL");
    HlsConfig::new(url, Arc::new(Nowhere))
}
