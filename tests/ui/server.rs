//! A web app of its own for each test: alert log in a temporary directory, a port of the kernel's choice.

use std::sync::Arc;

use falconet::alert::log::{AlertLog, LogConfig};
use falconet::alert::{Alert, now};
use falconet::ui::{self, UiConfig};
use reqwest::header::{COOKIE, SET_COOKIE};
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::made_up::MadeUpStatus;

pub const PASSWORD: &str = "correct horse battery staple";

/// A running web app; it ends with the test.
pub struct Server {
    pub url: String,
    pub log: AlertLog,
    client: Client,
    /// `name=token` of the session.
    pub cookie: String,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
    dir: tempfile::TempDir,
}

/// A client without a session.
pub fn client() -> Client {
    // A second installation is refused, which is as good as the first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder().no_proxy().build().unwrap()
}

impl Server {
    /// Starts one with these alerts, and logs in.
    pub async fn with(alerts: impl IntoIterator<Item = Alert>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let log = AlertLog::open(&LogConfig::at(dir.path().join("alerts.db"))).unwrap();
        let mut alerts = alerts.into_iter();
        loop {
            let batch: Vec<Alert> = alerts.by_ref().take(5000).collect();
            if batch.is_empty() {
                break;
            }
            log.append(batch).await.unwrap();
        }
        let config = UiConfig { listenport: 0, password: Some(PASSWORD.into()), ..UiConfig::default() };
        let status = Arc::new(MadeUpStatus { started: now() });
        // Stops when told, and when the test is gone.
        let (stop, stopped) = watch::channel(false);
        let serving = ui::serve(&config, log.clone(), status, dir.path(), stopped).await.unwrap();
        assert_eq!(serving.new_password, None);
        let url = format!("http://{}", serving.address);
        let client = client();
        let answer = log_in(&client, &url, "admin", PASSWORD).await;
        assert_eq!(answer.status(), StatusCode::OK);
        let cookie = answer.headers()[SET_COOKIE].to_str().unwrap().split(';').next().unwrap().to_owned();
        Self { url, log, client, cookie, stop, task: serving.task, dir }
    }

    /// A `GET` of this path under `/api/v1`, logged in.
    pub fn get(&self, path: &str) -> RequestBuilder {
        self.client.get(format!("{}/api/v1{path}", self.url)).header(COOKIE, &self.cookie)
    }

    /// The same with parameters.
    pub fn get_with(&self, path: &str, params: &[(&str, &str)]) -> RequestBuilder {
        let url = url::Url::parse_with_params(&format!("{}/api/v1{path}", self.url), params).unwrap();
        self.client.get(url).header(COOKIE, &self.cookie)
    }

    /// A `POST`, logged in.
    pub fn post(&self, path: &str) -> RequestBuilder {
        self.client.post(format!("{}/api/v1{path}", self.url)).header(COOKIE, &self.cookie)
    }

    /// A `DELETE`, logged in.
    pub fn delete(&self, path: &str) -> RequestBuilder {
        self.client.delete(format!("{}/api/v1{path}", self.url)).header(COOKIE, &self.cookie)
    }

    /// The answer to a `GET`, which must be good.
    pub async fn json(&self, path: &str) -> Value {
        let answer = self.get(path).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        answer.json().await.unwrap()
    }

    /// Stops it and waits until the last answer is out; fails when that takes long.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        tokio::time::timeout(std::time::Duration::from_secs(10), &mut self.task)
            .await
            .expect("stops")
            .unwrap();
        self.dir.close().unwrap();
    }
}

pub async fn log_in(client: &Client, url: &str, user: &str, password: &str) -> Response {
    let body = json!({"user": user, "password": password});
    client.post(format!("{url}/api/v1/session")).json(&body).send().await.unwrap()
}
