//! What the examples share: the built-in demo and where it is served.

mod demo;

pub use demo::Demo;
