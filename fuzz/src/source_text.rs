//! What a person types for a source.

use kithara::{ResourceConfig, ResourceSrc, SourceType};

const SECRET: &str = "canary7531";

/// Text, with a secret in its query or fragment that must not be printed.
pub fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    check(&text);
    check(&format!("{text}?key={SECRET}"));
}

fn check(text: &str) {
    let parsed = ResourceSrc::parse(text);
    let printed = match &parsed {
        Ok(src) => {
            let _ = SourceType::detect(src);
            format!("{src} {src:?} {:?}", ResourceConfig::new(text))
        }
        Err(error) => format!("{error} {error:?}"),
    };
    let is_path = matches!(parsed, Ok(ResourceSrc::Path(_)));
    assert!(is_path || !printed.contains(SECRET), "{printed}");
}
