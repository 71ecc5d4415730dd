//! The web app's API, over real HTTP against a real alert log. The app in a real browser is in `browser.rs`.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod api;
mod live;
#[expect(dead_code, reason = "a part of it is for the browser")]
mod made_up;
mod server;
