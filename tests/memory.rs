//! What the web app costs in memory: a hub with 300,000 alerts, whose pages are loaded a thousand times, several at once and
//! some given up half-way as browsers do, stays below 80 MB and does not grow.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "ui/made_up.rs"]
#[expect(dead_code, reason = "only the alerts are needed here")]
mod made_up;
mod support;

use std::path::Path;
use std::time::Duration;

use falconet::alert::Alert;
use falconet::alert::log::{AlertLog, LogConfig};
use made_up::SECOND;
use reqwest::header::{ACCEPT_ENCODING, COOKIE, SET_COOKIE};
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use support::sensor::Falconet;
use uuid::Uuid;

support::harness::tests! {
    a_thousand_page_loads_leave_memory_flat;
}

const ALERTS: i64 = 300_000;
/// The newest, with all that the sensor knows around an alert; the pages show these.
const WHOLE: i64 = 2_000;
/// Alerts of which all older ones are copies.
const PATTERNS: i64 = 500;
/// Time that the log covers; a first visit looks at the last day of it.
const DAYS: i64 = 25;
/// Page loads between two looks at the memory, and looks.
const LOADS: usize = 100;
const ROUNDS: usize = 10;
/// Pages that load at the same time.
const TABS: usize = 4;

/// Most resident memory, in KiB.
const LIMIT: u64 = 80_000_000 / 1024;
/// What later loads may add to the first ones, in KiB: noise, no growth.
const SLACK: u64 = 8 * 1024;
const PASSWORD: &str = "correct horse battery staple";

fn a_thousand_page_loads_leave_memory_flat() {
    let state = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let newest = runtime.block_on(fill(state.path()));
    let password = format!("ui.password={PASSWORD}");
    let mut hub = Falconet::with_state("hub", state.path(), &[&password]);
    let address = hub.wait_for_log("web app", |line| line.trim_start().starts_with("web app"));
    let url = format!("http://{}", address.split("http://").nth(1).unwrap().split(' ').next().unwrap());
    hub.wait_for_log("ready", |line| line.starts_with("ready"));
    let start = resident(&hub);

    let browser = runtime.block_on(Browser::log_in(url));
    let mut resident_after = Vec::new();
    for round in 0..ROUNDS {
        let first = round * LOADS;
        runtime.block_on(load_pages(&browser, &newest, first..first + LOADS));
        resident_after.push(resident(&hub));
    }
    let peak = status(&hub, "VmHWM");
    println!(
        "KiB resident: {start} at the start, {resident_after:?} after each hundred loads, {peak} at most"
    );
    assert!(peak < LIMIT, "{peak} KiB at most; after each hundred loads {resident_after:?}");
    let (early, late) = resident_after.split_at(ROUNDS / 2);
    let most = |of: &[u64]| of.iter().copied().max().unwrap();
    assert!(most(late) <= most(early) + SLACK, "grows: {resident_after:?}");
    assert!(hub.interrupt().success());
}

/// A log as it stands after weeks. Returns the newest alerts' ids.
async fn fill(state: &Path) -> Vec<Uuid> {
    let path = state.join("alerts.db");
    let now = i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos()).unwrap();
    let apart = DAYS * 86_400 * SECOND / ALERTS;
    let of = |n: i64| made_up::alert(n.unsigned_abs(), now - (ALERTS - n) * apart);
    let log = AlertLog::open(&LogConfig::at(&path)).unwrap();
    log.append((0..PATTERNS).map(of).collect()).await.unwrap();
    log.close().await.unwrap();
    copy_patterns(&path, apart);
    let log = AlertLog::open(&LogConfig::at(&path)).unwrap();
    let whole: Vec<Alert> = (ALERTS - WHOLE..ALERTS).map(of).collect();
    for batch in whole.chunks(2000) {
        log.append(batch.to_vec()).await.unwrap();
    }
    assert_eq!(log.stats().entries, ALERTS.unsigned_abs());
    log.close().await.unwrap();
    whole.iter().rev().take(200).map(|alert| alert.uuid).collect()
}

/// Repeats the first alerts until only the newest are missing. Done by the database: appending them one by one would take
/// most of the test's time.
fn copy_patterns(path: &Path, apart: i64) {
    let connection = rusqlite::Connection::open(path).unwrap();
    let columns: Vec<String> = connection
        .prepare("SELECT name FROM pragma_table_info('alert') WHERE name NOT IN ('seq', 'uuid', 'time', 'received')")
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    let columns = columns.join(", ");
    let last = ALERTS - WHOLE;
    connection
        .execute_batch(&format!(
            "CREATE TEMP TABLE copy AS WITH RECURSIVE n (seq) AS (SELECT {PATTERNS} + 1 UNION ALL SELECT seq + 1 FROM n \
             WHERE seq < {last}) SELECT seq, 1 + seq % {PATTERNS} AS pattern FROM n; BEGIN; \
             INSERT INTO alert (seq, uuid, time, received, {columns}) SELECT copy.seq, randomblob(16), \
             time + (copy.seq - pattern) * {apart}, received + (copy.seq - pattern) * {apart}, {columns} \
             FROM copy JOIN alert ON alert.seq = pattern; \
             INSERT INTO body (seq, output, fields, context) SELECT copy.seq, output, fields, NULL \
             FROM copy JOIN body ON body.seq = pattern; COMMIT"
        ))
        .unwrap();
}

/// A line of `/proc/PID/status`, in KiB.
fn status(hub: &Falconet, name: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{}/status", hub.pid())).unwrap();
    let line = text.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn resident(hub: &Falconet) -> u64 {
    status(hub, "VmRSS")
}

struct Browser {
    client: Client,
    url: String,
    cookie: String,
}

/// The page loads of these numbers, [`TABS`] at a time.
async fn load_pages(browser: &Browser, newest: &[Uuid], loads: std::ops::Range<usize>) {
    use futures_util::StreamExt as _;
    futures_util::stream::iter(loads)
        .for_each_concurrent(TABS, async |n| browser.load(n, newest[n * 7 % newest.len()]).await)
        .await;
}

impl Browser {
    async fn log_in(url: String) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder().no_proxy().build().unwrap();
        let body = json!({"user": "admin", "password": PASSWORD});
        let answer = client.post(format!("{url}/api/v1/session")).json(&body).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        let cookie = answer.headers()[SET_COOKIE].to_str().unwrap().split(';').next().unwrap().to_owned();
        Self { client, url, cookie }
    }

    /// One of the app's pages, as a fresh window asks for it: the app itself, then what that page shows.
    async fn load(&self, n: usize, open: Uuid) {
        // Most look at what the first visit looks at; some look for more, a few at everything.
        let query = match n % 50 {
            0 if n.is_multiple_of(200) => "",
            n if n % 10 == 5 => "since:3d priority>=notice shell",
            _ => "since:24h",
        };
        let page = match n % 4 {
            0 => "/",
            1 | 2 => "/alerts",
            _ => "/rules",
        };
        let html = self.text(page).await;
        for file in html.split('"').filter(|text| text.starts_with("/assets/")) {
            let asked = self.client.get(format!("{}{file}", self.url)).header(ACCEPT_ENCODING, "gzip, br");
            let answer = asked.send().await.unwrap();
            assert_eq!(answer.status(), StatusCode::OK, "{file}");
            assert!(!answer.bytes().await.unwrap().is_empty());
        }
        self.json(target("session", &[])).await;
        self.json(target("status", &[])).await;
        let groups = "priority,rule,host,container,image,namespace,tag";
        match page {
            "/" => {
                let (_, counts, page) = tokio::join!(
                    self.json(target("timeline", &[("query", query), ("buckets", "100")])),
                    self.json(target("counts", &[("query", query), ("by", groups), ("limit", "10")])),
                    self.json(target("alerts", &[("query", query), ("limit", "1")])),
                );
                assert!(counts["total"].as_u64().unwrap() > 0);
                self.follow(query, &page["head"]).await;
            }
            "/alerts" => {
                let (page, ..) = tokio::join!(
                    self.json(target("alerts", &[("query", query), ("limit", "200")])),
                    self.json(target("timeline", &[("query", query), ("buckets", "120")])),
                    self.json(target("counts", &[("query", query), ("by", ""), ("limit", "1")])),
                );
                assert!(!page["alerts"].as_array().unwrap().is_empty());
                if n % 8 == 1 {
                    let detail = self.json(target(&format!("alerts/{open}"), &[])).await;
                    assert!(detail["condition"].is_object(), "an alert with all that is known around it");
                }
                self.follow(query, &page["head"]).await;
            }
            _ => {
                tokio::join!(
                    self.json(target("rules", &[])),
                    self.json(target("counts", &[("query", query), ("by", "rule"), ("limit", "1000")])),
                );
            }
        }
        if n % 10 == 9 {
            // Somebody types: each letter's search takes the place of the one before, which is given up.
            for text in ["t", "te", "ter"] {
                let asked = self.json(target("alerts", &[("query", text), ("limit", "200")]));
                let _ = tokio::time::timeout(Duration::from_millis(5), asked).await;
            }
        }
    }

    async fn text(&self, path: &str) -> String {
        let answer = self.client.get(format!("{}{path}", self.url)).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        answer.text().await.unwrap()
    }

    async fn json(&self, target: String) -> Value {
        let url = format!("{}{target}", self.url);
        let answer = self.client.get(url).header(COOKIE, &self.cookie).send().await.unwrap();
        // A hub has no rules.
        let wanted = if target.ends_with("/rules") { StatusCode::NOT_FOUND } else { StatusCode::OK };
        assert_eq!(answer.status(), wanted, "{target}");
        answer.json().await.unwrap()
    }

    /// Opens the live stream, from a little before what the page has seen, as after a short sleep of the computer; reads its
    /// first words and closes it, as the window does.
    async fn follow(&self, query: &str, head: &Value) {
        let after = (head.as_i64().unwrap() - 50).to_string();
        let url = format!("{}{}", self.url, target("live", &[("query", query), ("after", &after)]));
        let mut answer = self.client.get(url).header(COOKIE, &self.cookie).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        assert!(answer.chunk().await.unwrap().is_some_and(|hello| hello.starts_with(b"event: hello")));
        if head.as_i64().unwrap() % 2 == 0 {
            assert!(answer.chunk().await.unwrap().is_some());
        }
    }
}

/// Path and parameters of a question to the API.
fn target(path: &str, params: &[(&str, &str)]) -> String {
    let params = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(params).finish();
    if params.is_empty() { format!("/api/v1/{path}") } else { format!("/api/v1/{path}?{params}") }
}
