//! Numbers, not checks: `cargo test --release -p falconet --lib alert::log::tests::measure -- --ignored --nocapture`

use std::time::Instant;

use serde_json::json;

use super::*;

/// An alert like those of the stock rules, with much to tell apart.
fn realistic(n: u32) -> Alert {
    let rule = format!("Rule {} of the usual ones", n % 40);
    let mut alert = alert(&rule, Priority::ALL[(n % 8) as usize]);
    alert.time = 1_763_000_000_000_000_000 + i64::from(n) * 1_000_000_000;
    alert.hostname = format!("node{}", n % 50);
    alert.tags = vec!["T1059".into(), "container".into(), "mitre_execution".into()];
    let serde_json::Value::Object(fields) = json!({
        "container.id": format!("{:012x}", n % 997), "container.name": format!("web-{}", n % 997),
        "container.image.repository": "docker.io/library/nginx", "container.image.tag": "1.27",
        "evt.type": "execve", "evt.time": alert.time, "evt.arg.flags": "EXE_WRITABLE|EXE_LOWER_LAYER",
        "k8s.ns.name": format!("team-{}", n % 20), "k8s.pod.name": format!("web-{}-{:05x}", n % 997, n % 997),
        "proc.name": "bash", "proc.exepath": "/usr/bin/bash", "proc.pname": "containerd-shim", "proc.tty": 34816,
        "proc.cmdline": format!("bash -c curl -s http://203.0.113.{}/{n:x}", n % 250), "user.name": "root", "user.uid": 0,
    }) else {
        unreachable!()
    };
    alert.output_fields = fields;
    alert.output = format!(
        "14:22:42.070202000: Notice Something ran (user=root command=bash -c curl -s http://203.0.113.{}/{n:x} \
         container=web-{} image=docker.io/library/nginx)",
        n % 250,
        n % 997
    );
    alert
}

/// Runs `work` and prints what it did in a second.
async fn rate(name: &str, n: u32, work: impl Future<Output = ()>) {
    let start = Instant::now();
    work.await;
    let seconds = start.elapsed().as_secs_f64();
    println!("{name}: {:.0}/s ({n} in {seconds:.2} s)", f64::from(n) / seconds);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures"]
async fn measure() {
    let directory = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
    let config = LogConfig { max_size: 1 << 40, ..LogConfig::at(directory.path().join("alerts.db")) };
    let log = AlertLog::open(&config).unwrap();
    rate("append, one at a time", 500, async {
        for n in 0..500 {
            log.append(vec![realistic(n)]).await.unwrap();
        }
    })
    .await;
    rate("append, 64 callers", 64_000, async {
        let callers = (0..64).map(|caller| {
            let log = log.clone();
            tokio::spawn(async move {
                for n in 0..1000 {
                    log.append(vec![realistic(caller * 1000 + n)]).await.unwrap();
                }
            })
        });
        futures_util::future::join_all(callers).await;
    })
    .await;
    let fill = std::env::var("FALCONET_MEASURE").ok().and_then(|n| n.parse().ok()).unwrap_or(1_000_000);
    rate("offer until durable", fill, async {
        for n in 0..fill {
            while !log.offer(realistic(n)) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        log.flush().await.unwrap();
    })
    .await;
    let stats = log.stats();
    println!(
        "{} alerts, {} bytes each, {} commits",
        stats.entries,
        stats.bytes / stats.entries,
        stats.commits
    );

    for text in [
        "",
        "priority>=warning",
        "rule:\"Rule 7*\"",
        "container:web-77",
        "since:2025-11-20 ns:team-3",
        "tag:T1059",
        "curl",
        "nothingofthesort",
        "203.0.113.77/4d",
        "proc.cmdline:*77/4d",
        "-host:node1 shim",
    ] {
        let query = query(text);
        let start = Instant::now();
        let found = log.search(&query, None, 100, Some).await.unwrap().shown.len();
        let searched = start.elapsed();
        let start = Instant::now();
        let count = log.count(&query).await.unwrap();
        println!("{text:?}: search {found} in {searched:.0?}, count {count} in {:.0?}", start.elapsed());
    }
    let line = Instant::now();
    log.timeline(&Query::all(), 1_763_000_000_000_000_000, 1_764_100_000_000_000_000, 3_600_000_000_000)
        .await
        .unwrap();
    println!("timeline of all in {:.0?}", line.elapsed());
    for by in [Facet::Rule, Facet::Container, Facet::Tag] {
        let start = Instant::now();
        log.count_by(&Query::all(), by, 10).await.unwrap();
        println!("count by {by:?} in {:.0?}", start.elapsed());
    }
}
