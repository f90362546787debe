//! What the examples share: the built-in demo, where it is served, and how its variants are chosen.

mod abr;
mod demo;
mod link;
mod music;

pub use abr::eager;
pub use demo::Demo;
