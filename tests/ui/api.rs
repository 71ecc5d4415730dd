//! What the API promises.

use falconet::alert::{Alert, now};
use falconet::ui::{self, UiConfig, UiError};
use reqwest::header::{COOKIE, HOST, ORIGIN, SET_COOKIE};
use reqwest::{Client, Method, StatusCode};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::made_up::{self, MadeUpStatus, SECOND};
use crate::server::{PASSWORD, Server, client, log_in};

const UUID: &str = "/alerts/018f0000-0000-7000-8000-000000000000";

#[tokio::test]
async fn everything_but_the_login_needs_a_login() {
    let server = Server::with([]).await;
    let description = server.json("/openapi.json").await;
    let mut tried = 0;
    for (path, methods) in description["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys() {
            if path == "/api/v1/session" && method != "get" {
                continue;
            }
            let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
            let url = format!("{}{}", server.url, path.replace("{uuid}", &UUID[8..]));
            for value in ["", "AAAA"] {
                let cookie = format!("{}={value}", server.cookie.split('=').next().unwrap());
                let answer =
                    client().request(method.clone(), &url).header(COOKIE, cookie).send().await.unwrap();
                assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{method} {path}");
                // A challenge would make browsers ask for, keep and send Basic credentials.
                assert!(!answer.headers().contains_key("www-authenticate"));
                tried += 1;
            }
        }
    }
    assert!(tried >= 18, "only {tried} addresses are described");
    let answer = client().get(format!("{}/api/v1/openapi.json", server.url)).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    server.stop().await;
}

#[tokio::test]
async fn a_session_begins_and_ends() {
    let server = Server::with([]).await;
    let answer = log_in(&client(), &server.url, "admin", PASSWORD).await;
    let cookie = answer.headers()[SET_COOKIE].to_str().unwrap().to_owned();
    for part in ["HttpOnly", "SameSite=Strict", "Path=/"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    assert_eq!(server.json("/session").await["user"], "admin");
    assert_eq!(server.delete("/session").send().await.unwrap().status(), StatusCode::NO_CONTENT);
    assert_eq!(server.get("/session").send().await.unwrap().status(), StatusCode::UNAUTHORIZED);

    let basic = |password: &'static str| {
        let url = format!("{}/api/v1/status", server.url);
        async move { client().get(url).basic_auth("admin", Some(password)).send().await.unwrap().status() }
    };
    assert_eq!(basic(PASSWORD).await, StatusCode::OK);
    assert_eq!(basic(PASSWORD).await, StatusCode::OK);
    assert_eq!(basic("wrong").await, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn guessing_is_braked() {
    let server = Server::with([]).await;
    let client = client();
    // All at once: a guess counts before it is checked, which takes its time.
    let guesses = (0..12).map(|_| log_in(&client, &server.url, "admin", "guess"));
    let answers = futures_util::future::join_all(guesses).await;
    let checked = answers.iter().filter(|a| a.status() == StatusCode::UNAUTHORIZED).count();
    // The login of the test itself was right and is not counted.
    assert_eq!(checked, 5);
    let answer = answers.into_iter().find(|a| a.status() != StatusCode::UNAUTHORIZED).unwrap();
    assert_eq!(answer.status(), StatusCode::TOO_MANY_REQUESTS);
    let wait: u64 = answer.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert_eq!(wait, 1);
    let error: Value = answer.json().await.unwrap();
    assert!(error["message"].as_str().unwrap().contains("too many"), "{error}");
    // As soon as the brake lets go, the right password does again what it always does.
    let right = async {
        loop {
            match log_in(&client, &server.url, "admin", PASSWORD).await.status() {
                StatusCode::TOO_MANY_REQUESTS => {
                    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
                }
                status => return status,
            }
        }
    };
    let status = tokio::time::timeout(std::time::Duration::from_secs(20), right).await.unwrap();
    assert_eq!(status, StatusCode::OK);
    // A session that runs is not harmed by somebody's guesses.
    assert_eq!(server.get("/session").send().await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn every_answer_has_the_headers_that_keep_a_browser_safe() {
    let server = Server::with([]).await;
    for path in ["/", "/alerts?q=x", "/assets/none.js", "/api/v1/session", "/api/none"] {
        let answer = client().get(format!("{}{path}", server.url)).send().await.unwrap();
        let header = |name: &str| answer.headers().get(name).map(|v| v.to_str().unwrap()).unwrap_or_default();
        let policy = header("content-security-policy");
        assert!(
            policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self';"),
            "{path}: {policy}"
        );
        assert!(policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe"), "{path}: {policy}");
        assert_eq!(header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(header("x-frame-options"), "DENY", "{path}");
        if path.starts_with("/api") {
            assert_eq!(header("cache-control"), "no-store", "{path}");
        }
    }
}

#[tokio::test]
async fn foreign_names_and_pages_are_refused() {
    let server = Server::with([]).await;
    let rebound = server.get("/status").header(HOST, "evil.example:2802").send().await.unwrap();
    assert_eq!(rebound.status(), StatusCode::MISDIRECTED_REQUEST);
    let local = server.get("/status").header(HOST, "localhost:2802").send().await.unwrap();
    assert_eq!(local.status(), StatusCode::OK);

    let forged = server.post("/test").header(ORIGIN, "http://evil.example").send().await.unwrap();
    assert_eq!(forged.status(), StatusCode::FORBIDDEN);
    let forged = server.post("/test").header("sec-fetch-site", "cross-site").send().await.unwrap();
    assert_eq!(forged.status(), StatusCode::FORBIDDEN);
    assert_eq!(server.log.head(), 0);
    let own = server.post("/test").header(ORIGIN, server.url.clone()).send().await.unwrap();
    assert_eq!(own.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_query_that_is_not_understood_is_shown_where() {
    let server = Server::with([]).await;
    for path in ["/alerts", "/counts", "/timeline", "/live"] {
        let answer = server.get_with(path, &[("query", "\u{1F600} prioritee:x")]).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{path}");
        let error: Value = answer.json().await.unwrap();
        assert_eq!((&error["at"], &error["len"]), (&Value::from(3), &Value::from(9)), "{error}");
    }
    let answer = server.get("/counts?by=colour").send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
    assert!(answer.json::<Value>().await.unwrap()["message"].as_str().unwrap().contains("priority, rule"));
    assert_eq!(server.get("/alerts?limit=many").send().await.unwrap().status(), StatusCode::BAD_REQUEST);
    assert_eq!(server.get("/alerts/no-uuid").send().await.unwrap().status(), StatusCode::BAD_REQUEST);
    assert_eq!(server.get(UUID).send().await.unwrap().status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn the_query_is_completed_from_what_is_stored() {
    let server = Server::with(alerts(200)).await;
    let help = server.json("/query?text=pri").await;
    assert_eq!(help["completions"][0]["insert"], "priority>=");
    let help = server.json("/query?text=rule:%22Terminal").await;
    assert_eq!(help["completions"][0]["insert"], "\"Terminal shell in container\" ");
    assert_eq!((&help["completions"][0]["from"], &help["completions"][0]["to"]), (&5.into(), &14.into()));
    assert!(!help["error"].is_null(), "the quote is not closed");
    let help = server.json("/query?text=-host:no").await;
    assert!(
        help["completions"]
            .as_array()
            .unwrap()
            .iter()
            .all(|c| c["label"].as_str().unwrap().starts_with("node"))
    );
    let help = server.json("/query?text=namespace:shop%20container:").await;
    let labels: Vec<_> = help["completions"].as_array().unwrap().iter().map(|c| &c["label"]).collect();
    assert!(labels.contains(&&"redis".into()) && !labels.contains(&&"grafana".into()), "{labels:?}");
}

#[tokio::test]
async fn pages_of_the_list_join_without_gap_or_overlap() {
    let server = Server::with(alerts(250)).await;
    let mut seen = Vec::new();
    let mut path = "/alerts?limit=100".to_owned();
    loop {
        let page = server.json(&path).await;
        seen.extend(page["alerts"].as_array().unwrap().iter().map(|a| a["seq"].as_i64().unwrap()));
        assert_eq!(page["head"], 250);
        let Some(next) = page["next"].as_i64() else { break };
        path = format!("/alerts?limit=100&before={next}");
    }
    assert_eq!(seen, (1..=250).rev().collect::<Vec<i64>>());
}

#[tokio::test]
async fn counts_and_timeline_agree_with_the_list() {
    let server = Server::with(alerts(500)).await;
    let query = "query=priority%3E%3Dwarning";
    let page = server.json(&format!("/alerts?{query}&limit=1000")).await;
    let total = page["alerts"].as_array().unwrap().len() as u64;
    assert!(total > 100 && total < 400, "{total}");
    let counts = server.json(&format!("/counts?{query}&by=priority,rule,host,tag")).await;
    assert_eq!(counts["total"], total);
    let sum = |by: &str| -> u64 {
        let group = counts["groups"].as_array().unwrap().iter().find(|g| g["by"] == by).unwrap();
        group["values"].as_array().unwrap().iter().map(|v| v["count"].as_u64().unwrap()).sum()
    };
    assert_eq!((sum("priority"), sum("rule"), sum("host")), (total, total, total));
    assert!(sum("tag") > total);
    let timeline = server.json(&format!("/timeline?{query}&buckets=50")).await;
    let buckets = timeline["buckets"].as_array().unwrap();
    assert!(buckets.len() <= 52, "{}", buckets.len());
    let counted: u64 =
        buckets.iter().flat_map(|b| b["counts"].as_array().unwrap()).map(|c| c.as_u64().unwrap()).sum();
    assert_eq!(counted, total);
    let notices: u64 = buckets.iter().map(|b| b["counts"][5].as_u64().unwrap()).sum();
    assert_eq!(notices, 0, "a notice is less than a warning");
}

#[tokio::test]
async fn an_alert_comes_with_what_is_around_it() {
    let start = now() - 60 * SECOND;
    let server =
        Server::with((0..200).map(|n| made_up::alert(n, start + i64::try_from(n).unwrap() * SECOND / 10)))
            .await;
    let page = server.json("/alerts?limit=100").await;
    let uuid = page["alerts"][80]["uuid"].as_str().unwrap();
    let detail = server.json(&format!("/alerts/{uuid}")).await;
    assert_eq!(detail["alert"]["uuid"], uuid);
    assert_eq!(detail["facts"]["ancestors"].as_array().unwrap().last().unwrap()["name"], "systemd");
    assert!(detail["fields"]["evt.type"].is_string());
    let raw: Value = serde_json::from_str(detail["raw"].as_str().unwrap()).unwrap();
    assert_eq!(raw["uuid"], uuid);
    assert!(raw["context"]["process"].is_object());
    let condition = &detail["condition"];
    assert_eq!((&condition["kind"], &condition["truth"]), (&"and".into(), &"true".into()), "{condition:#}");
    let fields = server.json("/fields").await;
    let help = |name: &Value| fields.as_array().unwrap().iter().find(|field| field["name"] == *name);
    let first = &condition["parts"][0]["parts"][0];
    assert_eq!(first["actual"][0]["name"], "evt.type");
    assert!(!help(&first["actual"][0]["name"]).unwrap()["doc"].as_str().unwrap().is_empty());
    // An environment stays where it is.
    assert!(detail["condition"].to_string().contains("MAINTENANCE") && !detail.to_string().contains("TOKEN"));
    let neighbours = detail["neighbours"].as_array().unwrap();
    assert!(!neighbours.is_empty());
    let host = &detail["alert"]["hostname"];
    assert!(neighbours.iter().all(|n| n["alert"]["hostname"] == *host && n["alert"]["uuid"] != uuid));
    let order: Vec<i64> = neighbours.iter().map(|n| n["alert"]["seq"].as_i64().unwrap()).collect();
    assert!(order.is_sorted());
}

#[tokio::test]
async fn a_test_alert_is_stored_like_a_real_one() {
    let server = Server::with([]).await;
    let made: Value = server.post("/test").send().await.unwrap().json().await.unwrap();
    let page = server.json("/alerts?query=tag:test").await;
    assert_eq!(page["alerts"][0]["uuid"], made["uuid"]);
    assert_eq!(page["alerts"][0]["user"], "admin");
    let detail = server.json(&format!("/alerts/{}", made["uuid"].as_str().unwrap())).await;
    assert!(detail["condition"].is_null(), "no rule was evaluated for it");
    let status = server.json("/status").await;
    assert_eq!((&status["log"]["entries"], &status["hostname"]), (&1.into(), &"node1".into()));
}

#[tokio::test]
async fn a_port_in_use_is_a_clear_error() {
    let server = Server::with([]).await;
    let port = server.url.rsplit(':').next().unwrap().parse().unwrap();
    let config = UiConfig { listenport: port, password: Some("x".into()), ..UiConfig::default() };
    let status = std::sync::Arc::new(MadeUpStatus { started: now() });
    let dir = tempfile::tempdir().unwrap();
    let (_stop, stopped) = tokio::sync::watch::channel(false);
    let error = ui::serve(&config, server.log.clone(), status, dir.path(), stopped).await.err().unwrap();
    assert!(matches!(error, UiError::Listen(_)));
    assert!(
        error.to_string().contains(&format!("port {port} on 127.0.0.1"))
            && error.to_string().contains("ui.listenport"),
        "{error}"
    );
}

#[tokio::test]
async fn a_request_says_which_host_it_is_for() {
    let server = Server::with([]).await;
    for (head, status) in [
        ("GET / HTTP/1.0\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nconnection: close\r\n\r\n", "400"),
        ("POST /api/v1/session HTTP/1.0\r\ncontent-length: 0\r\n\r\n", "400"),
        ("GET / HTTP/1.0\r\nhost: evil.example\r\n\r\n", "421"),
        ("GET http://evil.example/ HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n", "421"),
        ("GET / HTTP/1.0\r\nhost: localhost\r\n\r\n", "200"),
    ] {
        let mut stream =
            tokio::net::TcpStream::connect(server.url.trim_start_matches("http://")).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        let answer = String::from_utf8_lossy(&answer);
        assert_eq!(answer.split(' ').nth(1), Some(status), "{head}: {answer}");
    }
    // HTTP/2 says it in its own way.
    let http2 = Client::builder().no_proxy().http2_prior_knowledge().build().unwrap();
    assert_eq!(http2.get(&server.url).send().await.unwrap().status(), StatusCode::OK);
    let port = server.url.rsplit(':').next().unwrap();
    let evil = Client::builder().no_proxy().http2_prior_knowledge();
    let evil = evil.resolve("evil.example", ([127, 0, 0, 1], 0).into()).build().unwrap();
    let answer = evil.get(format!("http://evil.example:{port}/")).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::MISDIRECTED_REQUEST);
}

#[tokio::test]
async fn a_login_too_large_is_told() {
    let server = Server::with([]).await;
    let long = "x".repeat(1 << 20);
    let answer = log_in(&client(), &server.url, "admin", &long).await;
    assert_eq!(answer.status(), StatusCode::PAYLOAD_TOO_LARGE);
    let error: Value = answer.json().await.unwrap();
    assert!(error["message"].as_str().unwrap().contains("larger than 16384 bytes"), "{error}");
}

/// `count` alerts over the last hours.
fn alerts(count: u64) -> impl Iterator<Item = Alert> {
    made_up::history(count, 6 * 3600, now())
}
