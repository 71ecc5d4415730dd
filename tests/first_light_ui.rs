//! The whole way of an event to a person's eyes: the real sensor, real containers, and its web app in a real browser.
//! What the browser must see is in `sensor/ui/tests/first_light.mjs`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::containerd::Containerd;
use support::http::HttpServer;
use support::image;
use support::need::{self, Need};
use support::sensor::Falconet;

support::harness::tests! {
    a_person_sees_the_container needs Need::Sensor, Need::Browser, Need::Containerd;
}

const PASSWORD: &str = "correct horse battery staple";
/// For all that the browser does; a hanging one must not hang the tests.
const LIMIT: Duration = Duration::from_mins(3);

fn a_person_sees_the_container() {
    let containerd = Containerd::start();
    let state = tempfile::tempdir().unwrap();
    let webhook = HttpServer::start();
    let falconet = Falconet::with_state(
        "run",
        state.path(),
        &[
            "json_output=true",
            &format!("ui.password={PASSWORD}"),
            &format!("webhook.address={}", webhook.url("/in")),
        ],
    );
    falconet.wait_for_log("ready", |line| line.trim_start().starts_with("ready"));
    let pictures = Path::new(env!("CARGO_TARGET_TMPDIR")).join("first_light_ui");
    std::fs::create_dir_all(&pictures).unwrap();
    println!("pictures of the web app: {}", pictures.display());

    let mut browser = Browser::start(&falconet, &pictures);
    browser.wait_until_it_watches();
    let container = containerd.start_container(&[], &["/bin/sleep", "600"]);
    let seen = falconet.wait_for("Container spawned", |line| {
        serde_json::from_str::<Value>(line).is_ok_and(|alert| {
            alert["rule"] == "Container spawned"
                && alert["output_fields"]["container.id"] == container.id[..12]
        })
    });
    let seen: Value = serde_json::from_str(&seen).unwrap();
    // More that an analyst would see: the same misdeed in the container and on the host.
    container.exec(&["/bin/cat", "/etc/shadow"]);
    Command::new("cat").arg("/etc/shadow").stdout(Stdio::null()).status().unwrap();
    browser.tell(&json!({"name": seen["output_fields"]["container.name"], "image": image::NAME}));
    browser.wait();
}

/// Node, which drives Chromium; killed on drop.
struct Browser(Child);

impl Browser {
    fn start(falconet: &Falconet, pictures: &Path) -> Self {
        let servers = json!({"run": address(falconet, "web app"), "password": PASSWORD});
        let node = Command::new(need::find("node").unwrap())
            .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("ui"))
            .arg("tests/first_light.mjs")
            .env("FALCONET_UI_SERVERS", servers.to_string())
            .env("FALCONET_INTAKE", address(falconet, "intake"))
            .env("SCREENSHOTS", pictures)
            .env("CHROMIUM", need::find("chromium").unwrap())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Self(node)
    }

    /// Until the list of alerts is open; node itself gives up after a while.
    fn wait_until_it_watches(&mut self) {
        let mut said = String::new();
        BufReader::new(self.0.stdout.take().unwrap()).read_line(&mut said).unwrap();
        assert_eq!(said.trim_end(), "watching", "what node said on standard error tells more");
    }

    fn tell(&mut self, what: &Value) {
        let mut input = self.0.stdin.take().unwrap();
        writeln!(input, "{what}").unwrap();
    }

    fn wait(mut self) {
        let deadline = Instant::now() + LIMIT;
        let status = loop {
            if let Some(status) = self.0.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < deadline, "the browser takes too long");
            std::thread::sleep(Duration::from_millis(50));
        };
        assert!(status.success(), "what node said on standard error tells why");
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if let Ok(None) = self.0.try_wait() {
            // It may end by itself meanwhile, which is as good.
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
}

/// The address that the sensor printed on this line.
fn address(falconet: &Falconet, what: &str) -> String {
    let line = falconet.wait_for_log(what, |line| line.trim_start().starts_with(what));
    let at = line.find("http://").unwrap();
    line[at..].split(' ').next().unwrap().to_owned()
}
