//! Shared by the tests of outputs: alerts, a log in memory, and a scripted HTTP server on the loopback interface.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, Response};
use futures_util::future::BoxFuture;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::{Barrier, watch};
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::backoff::Range;
use super::dispatch::{self, Limits};
use super::journal::{Entry, Fate, Journal, Seq, Verdict};
use super::output::{Output, Plan, SendError};
use super::status::{Cell, OutputStatus};
use crate::alert::Alert;
use crate::alert::log::LogError;
use crate::rules::Priority;

/// The alert with number `n`, which is in its rule's name.
pub fn alert(n: u32) -> Alert {
    let fields = json!({"container.name": "web", "evt.time": 1_763_994_162_070_202_000_i64, "proc.name": "bash", "user.name": null});
    let serde_json::Value::Object(output_fields) = fields else { panic!("an object") };
    Alert {
        uuid: Uuid::from_u128(u128::from(n)),
        time: 1_763_994_162_070_202_000,
        received: 1_763_994_162_071_000_000 + i64::from(n),
        rule: format!("Rule {n}"),
        priority: Priority::Warning,
        source: "syscall".into(),
        hostname: "node1".into(),
        output: "14:22:42.070202000: Warning Shell in a container (user=root)".into(),
        output_fields,
        tags: vec!["T1059".into(), "container".into()],
        context: None,
    }
}

/// A log in memory.
#[derive(Clone)]
pub struct Memory(Arc<Inner>);

struct Inner {
    state: Mutex<Stored>,
    head: watch::Sender<Seq>,
}

#[derive(Default)]
struct Stored {
    entries: Vec<Entry>,
    cursors: HashMap<String, Seq>,
    verdicts: Vec<Verdict>,
    replay: Vec<Seq>,
    /// The next calls that fail.
    fail: u32,
}

impl Memory {
    /// A log with the alerts 1 to `count`, and the cursor of every output before them.
    pub fn with(count: u32) -> Self {
        let memory = Self(Arc::new(Inner { state: Mutex::default(), head: watch::Sender::new(0) }));
        (1..=count).for_each(|n| memory.push(alert(n)));
        memory
    }

    pub fn push(&self, alert: Alert) {
        let mut state = self.0.state.lock().unwrap();
        let seq = *self.0.head.borrow() + 1;
        state.entries.push(Entry { seq, alert: Arc::new(alert) });
        drop(state);
        self.0.head.send_replace(seq);
    }

    /// Removes the oldest alerts, as the log's size limit does.
    pub fn trim(&self, count: usize) {
        self.0.state.lock().unwrap().entries.drain(..count);
    }

    /// Asks to send these again.
    pub fn replay(&self, seqs: &[Seq]) {
        self.0.state.lock().unwrap().replay.extend_from_slice(seqs);
        self.0.head.send_modify(|_| ());
    }

    pub fn fail_next(&self, calls: u32) {
        self.0.state.lock().unwrap().fail = calls;
    }

    pub fn cursor_of(&self, output: &str) -> Seq {
        self.0.state.lock().unwrap().cursors.get(output).copied().unwrap_or(0)
    }

    pub fn fates(&self) -> Vec<(Seq, Fate)> {
        self.0.state.lock().unwrap().verdicts.iter().map(|v| (v.seq, v.fate.clone())).collect()
    }

    fn check(&self) -> Result<std::sync::MutexGuard<'_, Stored>, LogError> {
        let mut state = self.0.state.lock().unwrap();
        if state.fail > 0 {
            state.fail -= 1;
            return Err(LogError::Range("disk full"));
        }
        Ok(state)
    }
}

impl Journal for Memory {
    fn head(&self) -> Seq {
        *self.0.head.borrow()
    }

    fn subscribe(&self) -> watch::Receiver<Seq> {
        self.0.head.subscribe()
    }

    async fn read(&self, after: Seq, limit: usize) -> Result<Vec<Entry>, LogError> {
        let state = self.check()?;
        Ok(state.entries.iter().filter(|e| e.seq > after).take(limit).cloned().collect())
    }

    async fn cursor(&self, output: &str) -> Result<Seq, LogError> {
        Ok(self.check()?.cursors.get(output).copied().unwrap_or(0))
    }

    async fn replays(&self, _output: &str, limit: usize) -> Result<Vec<Entry>, LogError> {
        let state = self.check()?;
        let asked = |e: &&Entry| state.replay.contains(&e.seq);
        Ok(state.entries.iter().filter(asked).take(limit).cloned().collect())
    }

    async fn settle(&self, output: &str, verdicts: &[Verdict], to: Seq) -> Result<(), LogError> {
        let mut state = self.check()?;
        state.replay.retain(|seq| !verdicts.iter().any(|v| v.seq == *seq));
        state.verdicts.extend_from_slice(verdicts);
        state.cursors.insert(output.to_owned(), to);
        Ok(())
    }
}

/// A request as it arrived.
#[derive(Debug, Clone)]
pub struct Received {
    pub method: String,
    /// Path and query, byte for byte.
    pub target: String,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
    pub at: Instant,
}

impl Received {
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// What the server does with a request.
pub enum Reply {
    Answer(u16, Vec<(&'static str, String)>, String),
    /// Keeps the connection and says nothing.
    Silence,
    /// 200, when as many requests as the barrier wants are there.
    Together(Arc<Barrier>),
}

/// An answer without headers.
pub fn answer(status: u16, body: &str) -> Reply {
    Reply::Answer(status, Vec::new(), body.to_owned())
}

type Script = dyn Fn(usize, &Received) -> Reply + Send + Sync;

/// An HTTP server on a loopback port, which answers as its script says. It ends when it is dropped.
pub struct Server {
    pub address: SocketAddr,
    received: Arc<Mutex<Vec<Received>>>,
    open: Arc<Open>,
    task: JoinHandle<()>,
}

/// Requests that have no answer yet: now, and most so far.
#[derive(Default)]
struct Open(AtomicUsize, AtomicUsize);

/// One of them.
struct Held<'a>(&'a Open);

impl<'a> Held<'a> {
    fn new(open: &'a Open) -> Self {
        let now = open.0.fetch_add(1, Ordering::SeqCst) + 1;
        open.1.fetch_max(now, Ordering::SeqCst);
        Self(open)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Server {
    /// The script gets the number of the request, from 0, and the request.
    pub async fn start(script: impl Fn(usize, &Received) -> Reply + Send + Sync + 'static) -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap(), script).await
    }

    pub async fn start_at(
        address: SocketAddr,
        script: impl Fn(usize, &Received) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let received: Arc<Mutex<Vec<Received>>> = Arc::default();
        let (script, seen): (Arc<Script>, _) = (Arc::new(script), received.clone());
        let open = Arc::<Open>::default();
        let held = open.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let (script, seen, open) = (script.clone(), seen.clone(), held.clone());
            async move {
                let _held = Held::new(&open);
                Ok::<_, std::convert::Infallible>(serve(request, &*script, &seen).await)
            }
        });
        let task = tokio::spawn(async move {
            axum::serve(listener, tower::make::Shared::new(service)).await.unwrap();
        });
        Self { address, received, open, task }
    }

    pub fn url(&self, target: &str) -> super::values::Secret {
        super::values::Secret::new(format!("http://{}{target}", self.address))
    }

    /// How many requests were there at the same time, at most.
    pub fn most_at_once(&self) -> usize {
        self.open.1.load(Ordering::SeqCst)
    }

    pub fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(request: Request<Body>, script: &Script, seen: &Mutex<Vec<Received>>) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let received = Received {
        method: parts.method.to_string(),
        target: parts.uri.path_and_query().map(ToString::to_string).unwrap_or_default(),
        headers: parts.headers,
        body: to_bytes(body, 64 << 20).await.unwrap().to_vec(),
        at: Instant::now(),
    };
    let reply = {
        let mut seen = seen.lock().unwrap();
        seen.push(received.clone());
        script(seen.len() - 1, &received)
    };
    match reply {
        Reply::Silence => std::future::pending().await,
        Reply::Together(barrier) => {
            barrier.wait().await;
            Response::new(Body::empty())
        }
        Reply::Answer(status, headers, body) => {
            let builder = Response::builder().status(status);
            let builder = headers.into_iter().fold(builder, |b, (name, value)| b.header(name, value));
            builder.body(Body::from(body)).unwrap()
        }
    }
}

/// An output with pauses that tests can wait for.
struct Quick(Box<dyn Output>);

impl Output for Quick {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn minimum_priority(&self) -> Option<Priority> {
        self.0.minimum_priority()
    }

    fn plan(&self, waiting: usize) -> Plan {
        self.0.plan(waiting)
    }

    fn window(&self) -> usize {
        self.0.window()
    }

    fn pauses(&self) -> Range {
        Range { first: Duration::from_millis(10), longest: Duration::from_millis(40) }
    }

    fn notes_deliveries(&self) -> bool {
        self.0.notes_deliveries()
    }

    fn send<'a>(&'a self, batch: &'a [Arc<Alert>]) -> BoxFuture<'a, Result<(), SendError>> {
        self.0.send(batch)
    }
}

/// A dispatcher at work.
pub struct Driver {
    name: String,
    status: Cell,
    shutdown: watch::Sender<bool>,
    task: JoinHandle<()>,
}

/// Runs `output` on `memory`, with short pauses.
pub fn drive(output: Box<dyn Output>, memory: &Memory) -> Driver {
    let (shutdown, stop) = watch::channel(false);
    let name = output.name().to_owned();
    let status = Cell::new(&name);
    let task =
        dispatch::run(Box::new(Quick(output)), memory.clone(), status.clone(), Limits::default(), stop);
    Driver { name, status, shutdown, task: tokio::spawn(task) }
}

impl Driver {
    pub fn status(&self) -> OutputStatus {
        self.status.get()
    }

    /// Waits until the stored cursor reaches `seq`, then ends; gives the last status.
    pub async fn finish(self, memory: &Memory, seq: Seq) -> OutputStatus {
        let reached = async {
            while memory.cursor_of(&self.name) < seq {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let reached = tokio::time::timeout(Duration::from_secs(20), reached).await;
        assert!(reached.is_ok(), "stuck: {:?}", self.status());
        self.end().await
    }

    /// Waits until `done` says so.
    pub async fn until(&self, done: impl Fn(&OutputStatus) -> bool) {
        let reached = async {
            while !done(&self.status()) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let reached = tokio::time::timeout(Duration::from_secs(20), reached).await;
        assert!(reached.is_ok(), "stuck: {:?}", self.status());
    }

    /// Shuts down as the process does.
    pub async fn end(self) -> OutputStatus {
        self.shutdown.send_replace(true);
        tokio::time::timeout(Duration::from_secs(10), self.task).await.expect("ends").expect("no panic");
        self.status.get()
    }

    /// Ends as `kill -9` does.
    pub fn kill(self) {
        self.task.abort();
    }
}
