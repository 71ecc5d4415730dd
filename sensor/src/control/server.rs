//! The sensor's side: few connections, one short request each, everything with a time limit but a watch.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::unix::OwnedReadHalf;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;

use super::{Reloaded, Reply, Request};
use crate::engine::sights::Sight;
use crate::telemetry::status::Rules;

/// Connections at a time; more are turned away.
const MOST: usize = 8;
/// Longest request.
const LINE: u64 = 64 << 10;
/// How long a request may take to come, and an answer to be taken.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often a watch tells what it left out.
const EVERY: Duration = Duration::from_secs(1);

/// What is behind the socket.
pub trait Door: Send + Sync + 'static {
    fn rules(&self) -> Option<Rules>;
    /// Loads the rules again; the error is an answer.
    fn reload(&self) -> impl Future<Output = Result<Reloaded, Reply>> + Send;
    /// Begins to watch a rule; the error says why not.
    fn watch(&self, rule: &str) -> impl Future<Output = Result<Watched, String>> + Send;
}

/// A watch that has begun; it ends when this is dropped.
pub struct Watched {
    pub sights: mpsc::Receiver<Sight>,
    /// Sights that were not reported.
    pub more: Arc<AtomicU64>,
    /// What cannot be shown.
    pub note: Option<String>,
    /// Does what is to be done in the end.
    pub end: Box<dyn Send + Sync>,
}

/// There is no socket.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    #[error("another sensor answers on the control socket {}; set `control_socket`", .0.display())]
    InUse(PathBuf),
    #[error("cannot make the control socket {}: {cause}; set `control_socket`", .path.display())]
    Bind { path: PathBuf, cause: io::Error },
}

/// The socket at work. Dropping it removes the socket.
#[derive(Debug)]
pub struct Serving {
    pub path: PathBuf,
    task: JoinHandle<()>,
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.task.abort();
        // Somebody else may have removed it.
        let _ = fs::remove_file(&self.path);
    }
}

/// Binds the first of `places` that can be bound, and answers. `None` when there are no places.
pub fn serve(places: &[PathBuf], door: impl Door) -> Result<Option<Serving>, ControlError> {
    let mut failed = None;
    for path in places {
        match bind(path) {
            Ok(listener) => {
                let task = tokio::spawn(accept(listener, Arc::new(door)));
                return Ok(Some(Serving { path: path.clone(), task }));
            }
            Err(error) => failed = Some(error),
        }
    }
    failed.map_or(Ok(None), Err)
}

/// Nobody but the owner may ever connect: the socket gets its name when it has its mode. One that nobody answers is replaced.
fn bind(path: &Path) -> Result<UnixListener, ControlError> {
    if std::os::unix::net::UnixStream::connect(path).is_ok() {
        return Err(ControlError::InUse(path.to_owned()));
    }
    let made = path.with_extension(format!("{}.new", std::process::id()));
    let bind = || {
        // What an earlier process of this number left behind.
        let _ = fs::remove_file(&made);
        let listener = UnixListener::bind(&made)?;
        fs::set_permissions(&made, Permissions::from_mode(0o600))?;
        fs::rename(&made, path)?;
        Ok(listener)
    };
    bind().map_err(|cause| {
        let _ = fs::remove_file(&made);
        ControlError::Bind { path: path.to_owned(), cause }
    })
}

async fn accept<D: Door>(listener: UnixListener, door: Arc<D>) {
    let free = Arc::new(Semaphore::new(MOST));
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of descriptors, most likely.
            tokio::time::sleep(EVERY).await;
            continue;
        };
        let place = free.clone().try_acquire_owned();
        let door = door.clone();
        tokio::spawn(async move {
            // A client that goes away has its reasons.
            let _ = if let Ok(_place) = place {
                converse(stream, &*door).await
            } else {
                let (_, mut write) = stream.into_split();
                send(&mut write, &error("too many others are connected; try again")).await
            };
        });
    }
}

fn error(message: impl Into<String>) -> Reply {
    Reply::Error { message: message.into(), diagnostics: None }
}

async fn converse(stream: UnixStream, door: &impl Door) -> io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut read = BufReader::new(read.take(LINE));
    let mut line = String::new();
    match tokio::time::timeout(PATIENCE, read.read_line(&mut line)).await {
        Ok(Ok(_)) if line.ends_with('\n') => {}
        _ => return send(&mut write, &error("send one JSON object on one line")).await,
    }
    let request = match serde_json::from_str(&line) {
        Ok(request) => request,
        Err(cause) => return send(&mut write, &error(format!("not a request: {cause}"))).await,
    };
    let reply = match request {
        Request::Rules => {
            door.rules().map_or_else(|| error("no sensor runs here"), |rules| Reply::Rules(Box::new(rules)))
        }
        Request::Reload => door.reload().await.map_or_else(|refused| refused, Reply::Reloaded),
        Request::Watch { rule } => match door.watch(&rule).await {
            Ok(watched) => return watch(watched, read.into_inner().into_inner(), &mut write).await,
            Err(why) => error(why),
        },
    };
    send(&mut write, &reply).await
}

/// Tells sights until the client goes.
async fn watch(
    mut watched: Watched,
    mut read: OwnedReadHalf,
    write: &mut (impl tokio::io::AsyncWrite + Unpin),
) -> io::Result<()> {
    send(write, &Reply::Watching { note: watched.note.take() }).await?;
    let mut tick = tokio::time::interval(EVERY);
    let mut end = [0; 64];
    loop {
        tokio::select! {
            sight = watched.sights.recv() => match sight {
                Some(sight) => send(write, &Reply::Sight(sight)).await?,
                None => return Ok(()),
            },
            _ = tick.tick() => {
                let count = watched.more.swap(0, Ordering::Relaxed);
                if count > 0 {
                    send(write, &Reply::More { count }).await?;
                }
            }
            // The client has nothing more to say; what it sends anyway is not read as a request.
            got = read.read(&mut end) => if got? == 0 {
                return Ok(());
            },
        }
    }
}

async fn send(write: &mut (impl tokio::io::AsyncWrite + Unpin), reply: &Reply) -> io::Result<()> {
    let mut line = serde_json::to_vec(reply)?;
    line.push(b'\n');
    tokio::time::timeout(PATIENCE, write.write_all(&line)).await?
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::control::Client;

    /// Knows one rule, and tells nothing of it but that a watch ended.
    #[derive(Default)]
    struct Fake {
        ended: Arc<Mutex<bool>>,
    }

    struct End(Arc<Mutex<bool>>);

    impl Drop for End {
        fn drop(&mut self) {
            *self.0.lock().unwrap() = true;
        }
    }

    impl Door for Fake {
        fn rules(&self) -> Option<Rules> {
            None
        }

        async fn reload(&self) -> Result<Reloaded, Reply> {
            Ok(Reloaded { rules: 3, origin: "1 files".into(), warnings: Vec::new() })
        }

        async fn watch(&self, rule: &str) -> Result<Watched, String> {
            if rule != "known" {
                return Err(format!("no rule {rule:?}"));
            }
            let (send, sights) = mpsc::channel(1);
            send.send(Sight::Gone).await.unwrap();
            // The sender stays with the watch, as with the event thread.
            let end = Box::new((End(self.ended.clone()), send));
            Ok(Watched { sights, more: Arc::new(AtomicU64::new(7)), note: Some("n".into()), end })
        }
    }

    fn ask(path: &Path, request: &Request) -> Vec<serde_json::Value> {
        let client = Client::connect(&[path.to_owned()]).unwrap();
        client.ask(request).unwrap().map(Result::unwrap).collect()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn one_request_each_and_only_for_the_owner() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c.sock");
        // Left behind by a sensor that was killed.
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let fake = Fake::default();
        let ended = fake.ended.clone();
        let serving = serve(std::slice::from_ref(&path), fake).unwrap().unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(matches!(serve(std::slice::from_ref(&path), Fake::default()), Err(ControlError::InUse(_))));

        let asked = path.clone();
        tokio::task::spawn_blocking(move || {
            assert_eq!(ask(&asked, &Request::Reload)[0]["rules"], 3);
            assert_eq!(ask(&asked, &Request::Rules)[0]["reply"], "error");
            let refused = ask(&asked, &Request::Watch { rule: "x".into() });
            assert_eq!(refused[0]["message"], "no rule \"x\"");
            let client = Client::connect(&[asked]).unwrap();
            let told: Vec<_> = client
                .ask(&Request::Watch { rule: "known".into() })
                .unwrap()
                .take(3)
                .map(Result::unwrap)
                .collect();
            assert_eq!(told[0], serde_json::json!({"reply": "watching", "note": "n"}));
            let mut others = [told[1]["reply"].as_str(), told[2]["reply"].as_str()];
            others.sort_unstable();
            assert_eq!(others, [Some("more"), Some("sight")]);
        })
        .await
        .unwrap();
        // The watch ends when the client goes.
        while !*ended.lock().unwrap() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        drop(serving);
        assert!(!path.exists());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_first_place_that_can_be_had_is_taken() {
        let dir = tempfile::tempdir().unwrap();
        let places = [dir.path().join("none/c.sock"), dir.path().join("c.sock")];
        let serving = serve(&places, Fake::default()).unwrap().unwrap();
        assert_eq!(serving.path, places[1]);
        assert!(serve(&[], Fake::default()).unwrap().is_none());
        let error = serve(&places[..1], Fake::default()).unwrap_err().to_string();
        assert!(error.contains("none/c.sock") && error.contains("control_socket"), "{error}");
    }
}
