//! The web app and its API, over real HTTP against a real alert log: what the API promises (`api`), and the app in a
//! real browser (`browser`).
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod api;
mod browser;
mod live;
mod made_up;
#[path = "../support/need.rs"]
#[expect(dead_code, reason = "only a part of it is needed here")]
mod need;
mod server;
