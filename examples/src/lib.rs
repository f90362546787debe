//! What the examples share: their frame, the built-in demo, where it is served, and how its variants are chosen.

mod abr;
mod demo;
mod link;
mod music;
mod program;

pub use abr::eager;
pub use demo::Demo;
pub use program::{AnyError, Program};
