//! A private containerd with one imported image, and containers in it, driven by `ctr`.
//!
//! Its data, state and socket are in a temporary directory. Only the shims' sockets and runc's state are where containerd
//! always has them (`/run/containerd`), under ids that carry this process's id.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::FromRawFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering};

use super::need;
use super::{eventually, image};

/// The namespace in which Kubernetes keeps its containers.
pub const NAMESPACE: &str = "k8s.io";

/// A running containerd; ends on drop.
pub struct Containerd {
    process: Child,
    dir: tempfile::TempDir,
}

impl Containerd {
    /// Starts containerd and imports [`image::NAME`]; for tests that need [`Need::Containerd`](need::Need::Containerd).
    pub fn start() -> Self {
        let dir = tempfile::Builder::new().prefix("falconet-containerd-").tempdir().unwrap();
        let at = |name: &str| dir.path().join(name).display().to_string();
        // The CRI plugin needs CNI and a pause image, and the "opt" plugin writes to /opt.
        let config = format!(
            "version = 2\nroot = {:?}\nstate = {:?}\n\
             disabled_plugins = [\"io.containerd.grpc.v1.cri\", \"io.containerd.internal.v1.opt\"]\n\
             [grpc]\n  address = {:?}\n",
            at("root"),
            at("state"),
            at("containerd.sock"),
        );
        fs::write(at("config.toml"), config).unwrap();
        let log = File::create(at("log")).unwrap();
        let process = Command::new(need::find("containerd").unwrap())
            .args(["--config", &at("config.toml")])
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let this = Self { process, dir };
        let ready = eventually(|| this.try_ctr(["version"]).status.success().then_some(()));
        assert!(ready.is_some(), "containerd does not answer; its log:\n{}", this.log());
        let archive = this.dir.path().join("image.tar");
        fs::write(&archive, image::archive(&need::find("busybox").unwrap())).unwrap();
        this.ctr([OsStr::new("images"), OsStr::new("import"), archive.as_os_str()]);
        this
    }

    /// The API socket, for the sensor's `container_engines`.
    pub fn socket(&self) -> PathBuf {
        self.dir.path().join("containerd.sock")
    }

    /// The state directory, where the bundles of running containers are.
    pub fn state(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    /// Runs `command` in a new container to its end; what it printed.
    pub fn run(&self, options: &[&str], command: &[&str]) -> String {
        self.run_as(&new_id(), options, command)
    }

    /// As [`Self::run`], with an id made before.
    pub fn run_as(&self, id: &str, options: &[&str], command: &[&str]) -> String {
        let mut arguments = vec!["run", "--rm"];
        arguments.extend(options);
        arguments.extend([image::NAME, id]);
        arguments.extend(command);
        self.ctr(arguments)
    }

    /// Starts `command` in a new container and leaves it running; removed when the result is dropped.
    pub fn start_container(&self, options: &[&str], command: &[&str]) -> Container<'_> {
        self.start_named(&new_id(), options, command)
    }

    /// As [`Self::start_container`], with a name that somebody chose.
    pub fn start_named(&self, name: &str, options: &[&str], command: &[&str]) -> Container<'_> {
        let mut arguments = vec!["run", "--detach"];
        arguments.extend(options);
        arguments.extend([image::NAME, name]);
        arguments.extend(command);
        self.ctr(arguments);
        Container { containerd: self, id: name.to_owned() }
    }

    /// `ctr` in [`NAMESPACE`]; its output, or a panic with what it said.
    pub fn ctr<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> String {
        let arguments: Vec<A> = arguments.into_iter().collect();
        let words: Vec<_> = arguments.iter().map(|a| a.as_ref().to_string_lossy().into_owned()).collect();
        let output = self.try_ctr(arguments);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "ctr {}: {}: {error}\ncontainerd's log:\n{}",
            words.join(" "),
            output.status,
            self.log()
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn try_ctr<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Output {
        self.ctr_command(arguments).stdin(Stdio::null()).output().unwrap()
    }

    fn ctr_command<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Command {
        let mut command = Command::new("ctr");
        command.arg("--address").arg(self.socket()).args(["--namespace", NAMESPACE]).args(arguments);
        command
    }

    fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        let pid = self.process.id().cast_signed();
        // SAFETY: a signal to a child that has not been waited for; SIGTERM lets it unmount its own directories.
        unsafe { libc::kill(pid, libc::SIGTERM) };
        let ended = eventually(|| self.process.try_wait().ok().flatten());
        if ended.is_none() {
            // The child is ours and still there, so this cannot hit another process.
            let _ = self.process.kill();
            let _ = self.process.wait();
        }
    }
}

/// A running container of [`Containerd::start_container`].
pub struct Container<'a> {
    containerd: &'a Containerd,
    pub id: String,
}

impl Container<'_> {
    /// Runs a command inside, as `kubectl exec` does; what it printed.
    pub fn exec(&self, command: &[&str]) -> String {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let exec = format!("exec{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let mut arguments = vec!["tasks", "exec", "--exec-id", exec.as_str(), self.id.as_str()];
        arguments.extend(command);
        self.containerd.ctr(arguments)
    }

    /// As [`Self::exec`], on a terminal of its own, as `kubectl exec -it` does; what the terminal showed.
    pub fn exec_on_terminal(&self, command: &[&str]) -> String {
        let (mut ours, theirs) = terminal();
        let mut process = self
            .containerd
            .ctr_command(["tasks", "exec", "--tty", "--exec-id", &new_id(), &self.id])
            .args(command)
            .stdin(theirs.try_clone().unwrap())
            .stdout(theirs.try_clone().unwrap())
            .stderr(theirs)
            .spawn()
            .unwrap();
        let mut shown = Vec::new();
        let mut buffer = [0; 4096];
        // The end of a terminal is an error (EIO): nobody has its other side open any more.
        while let Ok(read @ 1..) = ours.read(&mut buffer) {
            shown.extend_from_slice(&buffer[..read]);
        }
        let shown = String::from_utf8_lossy(&shown).into_owned();
        assert!(process.wait().unwrap().success(), "{command:?} on a terminal: {shown}");
        shown
    }

    /// Process id of its first process, as the host sees it.
    pub fn pid(&self) -> u32 {
        let list = self.containerd.ctr(["tasks", "list"]);
        let line = list.lines().find(|line| line.starts_with(&self.id)).expect("a task of that id");
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    /// Its OCI bundle on disk.
    pub fn bundle(&self) -> PathBuf {
        let runtime = self.containerd.state().join("io.containerd.runtime.v2.task");
        Path::new(&runtime).join(NAMESPACE).join(&self.id)
    }

    /// Kills its first process and waits until the task has ended.
    pub fn kill(&self) {
        self.containerd.ctr(["tasks", "kill", "--signal", "SIGKILL", &self.id]);
        let stopped = eventually(|| {
            let list = self.containerd.ctr(["tasks", "list"]);
            let running = list.lines().any(|line| line.starts_with(&self.id) && line.contains("RUNNING"));
            (!running).then_some(())
        });
        assert!(stopped.is_some(), "container {} does not stop", self.id);
    }
}

impl Drop for Container<'_> {
    fn drop(&mut self) {
        // A test may have ended the container or its containerd already.
        self.containerd.try_ctr(["tasks", "rm", "--force", &self.id]);
        self.containerd.try_ctr(["containers", "rm", &self.id]);
    }
}

/// A new terminal: our side, and the side of the program in it.
fn terminal() -> (File, File) {
    let (mut ours, mut theirs) = (-1, -1);
    let (no_name, no_settings, no_size) = (ptr::null_mut(), ptr::null(), ptr::null());
    // SAFETY: two places for descriptors; the other arguments may be null.
    let made = unsafe { libc::openpty(&raw mut ours, &raw mut theirs, no_name, no_settings, no_size) };
    assert_eq!(made, 0, "openpty: {}", io::Error::last_os_error());
    // SAFETY: openpty has just opened both, and nobody else owns them.
    unsafe { (File::from_raw_fd(ours), File::from_raw_fd(theirs)) }
}

/// 64 hex digits like a container's of Kubernetes, unique on this machine: ours begin with `fa1c`. The first 12, which are all
/// that alerts show, differ between test processes that run at the same time.
pub fn new_id() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let time = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos();
    format!("fa1c{number:04x}{:04x}{time:052x}", std::process::id() & 0xffff)
}
