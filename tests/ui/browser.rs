//! The web app in a real browser: starts servers with no, few, many and ever more alerts, and lets node drive Chromium
//! through `sensor/ui/tests`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod made_up;
#[expect(dead_code, reason = "a part of it is for the tests of the API")]
mod server;
#[path = "../support/mod.rs"]
mod support;

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use falconet::alert::now;
use serde_json::json;
use server::{PASSWORD, Server};
use support::need::{self, Need};
use tokio::process::Command;

support::harness::tests! {
    the_web_app_in_a_browser needs Need::Browser;
}

/// For all of it; a hanging browser must not hang the tests.
const LIMIT: Duration = Duration::from_mins(5);
/// Alerts per second of the busy server.
const RATE: u64 = 500;

fn the_web_app_in_a_browser() {
    tokio::runtime::Runtime::new().unwrap().block_on(in_a_browser());
}

async fn in_a_browser() {
    let ui = Path::new(env!("CARGO_MANIFEST_DIR")).join("ui");
    let none = Server::with([]).await;
    let few = Server::with(made_up::history(40, 3 * 3600, now()).chain([made_up::hostile(now())])).await;
    let many = Server::with(made_up::history(20_000, 23 * 3600, now())).await;
    let busy = Server::with(made_up::history(300, 3600, now())).await;
    let log = busy.log.clone();
    let flood = tokio::spawn(async move {
        let mut n = 0;
        while log.append((0..RATE / 20).map(|i| made_up::alert(n + i, now())).collect()).await.is_ok() {
            n += RATE / 20;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    let servers =
        json!({"none": none.url, "few": few.url, "many": many.url, "busy": busy.url, "password": PASSWORD});
    let mut node = Command::new(need::find("node").unwrap());
    node.current_dir(&ui)
        .args(["--test", "--test-concurrency=1", "--test-reporter=spec", "tests/browser.test.mjs"])
        .env("FALCONET_UI_SERVERS", servers.to_string())
        .env("CHROMIUM", need::find("chromium").unwrap())
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output =
        tokio::time::timeout(LIMIT, node.output()).await.expect("the browser tests take too long").unwrap();
    flood.abort();
    println!("{}", String::from_utf8_lossy(&output.stdout));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
