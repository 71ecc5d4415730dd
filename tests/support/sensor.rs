//! The built binary as a child process: started with its own state directory and ports, read line by line.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use super::{PATIENCE, eventually};

/// A falconet child process; killed on drop.
pub struct Falconet {
    process: Child,
    out: Lines,
    err: Lines,
    readers: Vec<JoinHandle<()>>,
}

impl Falconet {
    /// Starts `falconet` with these arguments, the subcommand first.
    pub fn start<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_falconet"));
        command.args(arguments);
        Self::spawn(command)
    }

    /// `falconet <subcommand>` with everything that it keeps in `state` and ports of the kernel's choice, then `options`
    /// (each as `-o` takes it, `key=value`).
    pub fn with_state(subcommand: &str, state: &Path, options: &[&str]) -> Self {
        Self::with_arguments(subcommand, state, options, &[])
    }

    /// As [`Self::with_state`], and further `arguments`.
    pub fn with_arguments(subcommand: &str, state: &Path, options: &[&str], arguments: &[&str]) -> Self {
        Self::with_environment(subcommand, state, options, arguments, &[])
    }

    /// As [`Self::with_arguments`], with variables of the environment.
    pub fn with_environment(
        subcommand: &str,
        state: &Path,
        options: &[&str],
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_falconet"));
        command.arg(subcommand);
        let log = format!("alert_log.path={}", state.join("alerts.db").display());
        let own = [log.as_str(), "listenaddress=127.0.0.1", "listenport=0", "ui.listenport=0"];
        for option in own.iter().chain(options) {
            command.args(["-o", option]);
        }
        command.args(arguments).envs(environment.iter().copied());
        Self::spawn(command)
    }

    fn spawn(mut command: Command) -> Self {
        let mut process = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("falconet starts");
        let (out, err) = (Lines::default(), Lines::default());
        let readers = vec![
            out.fill(process.stdout.take().expect("piped")),
            err.fill(process.stderr.take().expect("piped")),
        ];
        Self { process, out, err, readers }
    }

    /// The first line of standard output, from now or before, that `wanted` accepts.
    pub fn wait_for(&self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        self.out.wait_for(wanted).unwrap_or_else(|| panic!("no {what} on standard output; {}", self.said()))
    }

    /// As [`Self::wait_for`], on standard error, where logs go.
    pub fn wait_for_log(&self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        self.err.wait_for(wanted).unwrap_or_else(|| panic!("no {what} on standard error; {}", self.said()))
    }

    /// Everything that standard output has had so far.
    pub fn lines(&self) -> Vec<String> {
        self.out.lock().lines.clone()
    }

    /// Everything that standard error has had so far.
    pub fn log(&self) -> Vec<String> {
        self.err.lock().lines.clone()
    }

    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Sends a signal (`libc::SIGINT` asks for an orderly end) without waiting.
    pub fn signal(&self, signal: i32) {
        // SAFETY: a signal to a child that has not been waited for.
        assert_eq!(unsafe { libc::kill(self.pid().cast_signed(), signal) }, 0, "kill");
    }

    /// Waits for the end; afterwards [`Self::lines`] and [`Self::log`] are complete.
    pub fn wait(&mut self) -> ExitStatus {
        let ended = eventually(|| self.process.try_wait().expect("wait"));
        let status = ended.unwrap_or_else(|| panic!("falconet does not end; {}", self.said()));
        for reader in self.readers.drain(..) {
            reader.join().expect("reader");
        }
        status
    }

    /// SIGINT, then [`Self::wait`].
    pub fn interrupt(&mut self) -> ExitStatus {
        self.signal(libc::SIGINT);
        self.wait()
    }

    /// SIGKILL, then [`Self::wait`]: a crash.
    pub fn kill(&mut self) -> ExitStatus {
        self.signal(libc::SIGKILL);
        self.wait()
    }

    fn said(&self) -> String {
        format!("standard output:\n{}\nstandard error:\n{}", self.lines().join("\n"), self.log().join("\n"))
    }
}

impl Drop for Falconet {
    fn drop(&mut self) {
        if let Ok(None) = self.process.try_wait() {
            // It may end by itself meanwhile, which is as good.
            let _ = self.process.kill();
            let _ = self.process.wait();
        }
    }
}

/// Lines of one stream, shared with the thread that reads it.
#[derive(Clone, Default)]
struct Lines(Arc<(Mutex<Text>, Condvar)>);

#[derive(Default)]
struct Text {
    lines: Vec<String>,
    ended: bool,
}

impl Lines {
    fn lock(&self) -> MutexGuard<'_, Text> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fill(&self, stream: impl Read + Send + 'static) -> JoinHandle<()> {
        let this = self.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
                this.lock().lines.push(String::from_utf8_lossy(&line).into_owned());
                this.0.1.notify_all();
            }
            this.lock().ended = true;
            this.0.1.notify_all();
        })
    }

    fn wait_for(&self, wanted: impl Fn(&str) -> bool) -> Option<String> {
        let deadline = Instant::now() + PATIENCE;
        let mut seen = 0;
        let mut text = self.lock();
        loop {
            if let Some(found) = text.lines[seen..].iter().find(|line| wanted(line)) {
                return Some(found.clone());
            }
            seen = text.lines.len();
            let left = deadline.checked_duration_since(Instant::now())?;
            if text.ended {
                return None;
            }
            text = self.0.1.wait_timeout(text, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}
