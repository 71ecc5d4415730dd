//! What the runtimes leave on disk about a container, found without configuration.
//!
//! Each runtime keeps it elsewhere, but all have a process per container or pod that knows: containerd's shim has its
//! namespace and address on its command line and a bundle as working directory; conmon (podman, CRI-O) has the bundle on its
//! command line. Only such processes that run as root and outside of any container are believed, and what they name is looked
//! up where they see it (a snap's containerd has a mount namespace of its own). Reading blocks; it is done on a thread
//! that may.

use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::cgroup::{Candidate, container_of};
use super::config::EnginesConfig;
use super::container::Container;
use super::docker;
use super::hint::{Hint, Keeper, argument};
use super::oci::{self, Spec};
use super::podman;
use super::runtime::Runtime;

/// Most bytes of a file that is read.
const FILE_MAX: u64 = 4 << 20;

/// State directories of containerd and of what embeds it; `NAMESPACE/ID/config.json` lies below.
const TASK_DIRS: &[&str] = &[
    "run/containerd/io.containerd.runtime.v2.task",
    "run/k3s/containerd/io.containerd.runtime.v2.task",
    "run/docker/containerd/daemon/io.containerd.runtime.v2.task",
    "run/host-containerd/io.containerd.runtime.v2.task",
    "var/snap/microk8s/common/run/containerd/io.containerd.runtime.v2.task",
];
/// `ID/userdata/config.json` lies below: CRI-O and podman.
const STORAGE_DIRS: &[&str] =
    &["run/containers/storage/overlay-containers", "var/lib/containers/storage/overlay-containers"];
const DOCKER_DIR: &str = "var/lib/docker/containers";
/// Namespaces of containerd that are looked for first.
const NAMESPACES: &[&str] = &["k8s.io", "moby", "default"];

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// `None`: no trace of it.
    pub container: Option<Container>,
    /// Nothing is missing that a runtime could add.
    pub complete: bool,
    /// Where containerd is asked about it.
    pub containerd: Option<Owner>,
}

/// The containerd that a container belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Owner {
    pub namespace: String,
    /// Unix socket; `None` when no shim told.
    pub address: Option<PathBuf>,
}

/// A container that runs, and its first process.
#[derive(Debug)]
pub(super) struct Running {
    pub hint: Hint,
    pub pid: u32,
    /// The process that keeps it, if one does.
    pub keeper: Option<u32>,
}

/// Entries of a directory of containers that are looked at.
const MANY: usize = 4096;

/// The host as the sensor sees it.
#[derive(Debug, Clone)]
pub(super) struct Host {
    pub proc_root: PathBuf,
    /// The host's root directory.
    pub root: PathBuf,
}

impl Host {
    pub fn new(proc_root: &Path) -> Self {
        let through_init = proc_root.join("1/root");
        let root = if through_init.is_dir() { through_init } else { PathBuf::from("/") };
        Self { proc_root: proc_root.into(), root }
    }

    /// A path of the host.
    pub fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// Looks for traces of `candidate`, first where `hint` says.
    pub fn find(&self, candidate: &Candidate, hint: Option<&Hint>) -> Found {
        let found = match candidate.runtime {
            Runtime::Podman | Runtime::CriO => self.find_conmon(candidate, hint),
            _ => self.find_containerd(candidate, hint),
        };
        match hint.map(|hint| &hint.keeper) {
            Some(Keeper::Oci { bundle }) if found.container.is_none() => {
                self.find_bundle(candidate, bundle).unwrap_or(found)
            }
            _ => found,
        }
    }

    /// A container of which nothing but the bundle that a runtime was started with is known.
    fn find_bundle(&self, candidate: &Candidate, bundle: &str) -> Option<Found> {
        let spec = Spec::parse(&read(&self.path(bundle).join("config.json"))?)?;
        let mut container = Container::of_candidate(candidate);
        container.runtime = Runtime::Oci;
        spec.describe(&mut container);
        if container.name.is_empty() {
            container.name = container.id.clone();
        }
        Some(Found { container: Some(container), complete: true, containerd: None })
    }

    /// Containers that run now, as what keeps them tells: where the path of a cgroup does not name them, this does.
    pub fn running(&self) -> Vec<Running> {
        let mut running = Vec::new();
        for (dir, arguments) in self.trusted("containerd-shim") {
            let Some(namespace) = argument(&arguments, &["-namespace"]) else { continue };
            let address = argument(&arguments, &["-address"]).filter(|a| !a.is_empty());
            // The bundles of all containers that it serves are beside its own, which is its working directory.
            let Some(group) =
                fs::read_link(dir.join("cwd")).ok().and_then(|cwd| Some(cwd.parent()?.to_owned()))
            else {
                continue;
            };
            for entry in fs::read_dir(dir.join("cwd/..")).into_iter().flatten().flatten().take(MANY) {
                let (Some(pid), Ok(id)) =
                    (number(&entry.path().join("init.pid")), entry.file_name().into_string())
                else {
                    continue;
                };
                let bundle = group.join(&id).display().to_string();
                let keeper = Keeper::Shim { namespace: namespace.clone(), address: address.clone(), bundle };
                running.push(Running { hint: Hint { id, keeper }, pid, keeper: pid_of(&dir) });
            }
        }
        for (dir, arguments) in self.trusted("conmon") {
            let Some(id) = argument(&arguments, &["-c", "--cid"]) else { continue };
            let bundle = argument(&arguments, &["-b", "--bundle"]);
            let named = argument(&arguments, &["-p", "--container-pidfile"]);
            let file = named.or_else(|| Some(format!("{}/pidfile", bundle.as_ref()?)));
            let Some(pid) = file.and_then(|file| number(&seen_by(&dir, &file))) else { continue };
            let name = argument(&arguments, &["-n", "--name"]);
            let hint = Hint { id, keeper: Keeper::Conmon { bundle, name } };
            running.push(Running { hint, pid, keeper: pid_of(&dir) });
        }
        // What was run by hand has no keeper, but its runtime's state.
        for (directory, file) in [("run/runc", "state.json"), ("run/crun", "status")] {
            for entry in fs::read_dir(self.path(directory)).into_iter().flatten().flatten().take(MANY) {
                let state = read(&entry.path().join(file)).and_then(|bytes| oci::State::parse(&bytes));
                let (Some(state), Ok(id)) = (state, entry.file_name().into_string()) else { continue };
                if !running.iter().any(|r| r.hint.id == id) {
                    let keeper = Keeper::Oci { bundle: state.bundle };
                    running.push(Running { hint: Hint { id, keeper }, pid: state.pid, keeper: None });
                }
            }
        }
        running
    }

    /// Sockets of runtimes that are to be asked and are there.
    pub fn sockets(&self, engines: &EnginesConfig) -> Vec<PathBuf> {
        let listed = [
            (engines.docker.enabled, &engines.docker.sockets),
            (engines.podman.enabled, &engines.podman.sockets),
            (engines.containerd.enabled, &engines.containerd.sockets),
            (engines.cri.enabled, &engines.cri.sockets),
        ];
        let enabled = listed.into_iter().filter(|(enabled, _)| *enabled).flat_map(|(_, sockets)| sockets);
        enabled.flat_map(|socket| expand(&self.path(socket))).filter(|socket| socket.exists()).collect()
    }

    /// Whether a keeper of this container runs, whoever's: its word is not taken for more than that there is one.
    pub fn is_kept(&self, id: &str) -> bool {
        self.outside("containerd-shim").chain(self.outside("conmon")).any(|(dir, arguments)| {
            argument(&arguments, &["-id", "-c", "--cid"]).is_some_and(|kept| kept == id)
                || dir.join("cwd/..").join(id).join("config.json").is_file()
        })
    }

    fn find_containerd(&self, candidate: &Candidate, hint: Option<&Hint>) -> Found {
        let mut container = Container::of_candidate(candidate);
        // A two-segment path names a namespace that may be docker's `--cgroup-parent` as well.
        let given = candidate.namespace.as_deref();
        let by_default = TASK_DIRS.iter().find_map(|dir| {
            given.into_iter().chain(NAMESPACES.iter().copied()).find_map(|namespace| {
                let bundle = self.path(dir).join(namespace).join(&candidate.id);
                bundle.join("config.json").is_file().then(|| (bundle, namespace.to_owned()))
            })
        });
        let hinted = hint.and_then(|hint| self.hinted_shim(hint)).filter(|shim| shim.owns(&candidate.id));
        let shims = hinted.map_or_else(|| self.shims(), |shim| vec![shim]);
        let shim = shims.iter().find(|s| s.owns(&candidate.id));
        let (bundle, namespace) = match (by_default, shim) {
            (Some(found), _) => found,
            (None, Some(shim)) => (shim.bundle_of(&candidate.id), shim.namespace.clone()),
            (None, None) => return self.find_docker(container, &[]),
        };
        let address =
            shim.or_else(|| shims.iter().find(|s| s.namespace == namespace)).and_then(|s| s.address.clone());
        let spec = read(&bundle.join("config.json")).and_then(|bytes| Spec::parse(&bytes));
        if namespace == "moby" {
            // Docker mounts files of its own directory into each container.
            let sources: Vec<PathBuf> =
                spec.iter().flat_map(Spec::mounts).map(|m| PathBuf::from(&m.source)).collect();
            return self.find_docker(container, &sources);
        }
        container.runtime = Runtime::Containerd;
        let known = spec.is_some();
        if let Some(spec) = spec {
            spec.describe(&mut container);
        }
        Found {
            container: known.then_some(container),
            // Labels, and images of containers that are not Kubernetes', are not in the bundle.
            complete: false,
            containerd: Some(Owner { namespace, address }),
        }
    }

    /// Docker's own file about a container. `mounted`: sources of its mounts, one of which may lie beside that file.
    fn find_docker(&self, mut container: Container, mounted: &[PathBuf]) -> Found {
        let name = "config.v2.json";
        let beside = mounted.iter().filter_map(|m| m.parent()).filter(|d| d.ends_with(&container.full_id));
        let directories: Vec<PathBuf> = std::iter::once(self.path(DOCKER_DIR).join(&container.full_id))
            .chain(beside.map(|d| self.path(d)))
            .collect();
        for directory in directories {
            let Some(config) = read(&directory.join(name)) else { continue };
            let host_config = read(&directory.join("hostconfig.json")).unwrap_or_default();
            if docker::describe_config(&config, &host_config, &mut container) {
                return Found { container: Some(container), complete: true, containerd: None };
            }
        }
        Found::default()
    }

    fn find_conmon(&self, candidate: &Candidate, hint: Option<&Hint>) -> Found {
        let mut container = Container::of_candidate(candidate);
        let default = STORAGE_DIRS
            .iter()
            .map(|dir| self.path(dir).join(&candidate.id).join("userdata"))
            .find(|bundle| bundle.join("config.json").is_file());
        let hinted = hint.and_then(|hint| self.hinted_conmon(hint));
        let conmon = hinted.or_else(|| self.conmon(&candidate.id));
        let bundle = conmon.as_ref().and_then(|c| c.bundle.clone()).or(default);
        let Some(bundle) = bundle else { return Found::default() };
        let Some(spec) = read(&bundle.join("config.json")).and_then(|b| Spec::parse(&b)) else {
            return Found::default();
        };
        spec.describe(&mut container);
        if container.runtime == Runtime::CriO {
            // STORAGE/overlay-containers/ID/userdata; what belongs to the pod is written into its sandbox's bundle.
            if let Some(pod) = container.pod.as_mut().filter(|pod| !pod.sandbox_id.is_empty())
                && let Some(storage) = bundle.ancestors().nth(2)
                && let Some(sandbox) = read(&storage.join(&pod.sandbox_id).join("userdata/config.json"))
                && let Some(sandbox) = Spec::parse(&sandbox)
            {
                sandbox.describe_crio_pod(pod);
            }
            return Found { container: Some(container), complete: true, containerd: None };
        }
        // STORAGE/overlay-containers/ID/userdata; the index of all containers is two up.
        let index = bundle.ancestors().nth(2).and_then(|d| read(&d.join("containers.json")));
        if let Some(index) = index {
            podman::describe_index(&index, &mut container);
        }
        if let Some(name) = conmon.and_then(|c| c.name) {
            container.name = name;
        }
        // Labels are only in podman's database.
        Found { container: Some(container), complete: false, containerd: None }
    }

    /// The shim of a hint. It named its paths as the host does, or they are not found and `/proc` is asked.
    fn hinted_shim(&self, hint: &Hint) -> Option<Shim> {
        let Keeper::Shim { namespace, address, bundle } = &hint.keeper else { return None };
        let bundle = self.path(bundle);
        bundle.join("config.json").is_file().then(|| Shim {
            namespace: namespace.clone(),
            id: hint.id.clone(),
            address: address.as_ref().map(|address| self.path(address)),
            group: bundle.parent().unwrap_or(&bundle).to_owned(),
        })
    }

    fn hinted_conmon(&self, hint: &Hint) -> Option<Conmon> {
        let Keeper::Conmon { bundle, name } = &hint.keeper else { return None };
        let bundle = self.path(bundle.as_ref()?);
        bundle.join("config.json").is_file().then(|| Conmon { bundle: Some(bundle), name: name.clone() })
    }

    /// containerd's shims that can be believed.
    fn shims(&self) -> Vec<Shim> {
        self.trusted("containerd-shim")
            .filter_map(|(dir, arguments)| {
                let value = |name: &str| argument(&arguments, &[name]);
                Some(Shim {
                    namespace: value("-namespace")?,
                    id: value("-id")?,
                    address: value("-address").filter(|a| !a.is_empty()).map(|a| self.shortest(&dir, &a)),
                    group: dir.join("cwd/.."),
                })
            })
            .collect()
    }

    /// What the process with that directory in `/proc` calls `path`: by the host's name if that is the same file, so that
    /// all shims of one containerd share a connection.
    fn shortest(&self, dir: &Path, path: &str) -> PathBuf {
        let (theirs, hosts) = (seen_by(dir, path), self.path(path));
        let id = |path: &Path| fs::metadata(path).map(|m| (m.dev(), m.ino())).ok();
        if id(&hosts).is_some_and(|h| id(&theirs) == Some(h)) { hosts } else { theirs }
    }

    fn conmon(&self, id: &str) -> Option<Conmon> {
        self.trusted("conmon").find_map(|(dir, arguments)| {
            if argument(&arguments, &["-c", "--cid"])? != id {
                return None;
            }
            Some(Conmon {
                bundle: argument(&arguments, &["-b", "--bundle"]).map(|b| seen_by(&dir, &b)),
                name: argument(&arguments, &["-n", "--name"]),
            })
        })
    }

    /// Directory in `/proc` and arguments of the processes with that name that run as root outside of containers.
    fn trusted(&self, name: &'static str) -> impl Iterator<Item = (PathBuf, Vec<String>)> {
        // Not the owner of the directory, which is root for a process that is not dumpable.
        self.outside(name).filter(|(dir, _)| read(&dir.join("status")).is_some_and(|status| is_root(&status)))
    }

    /// The same of any user.
    fn outside(&self, name: &'static str) -> impl Iterator<Item = (PathBuf, Vec<String>)> {
        let entries = fs::read_dir(&self.proc_root).into_iter().flatten().flatten();
        entries.filter_map(move |entry| {
            entry.file_name().to_str()?.parse::<u32>().ok()?;
            let dir = entry.path();
            // The kernel keeps 15 bytes of a name.
            if !read(&dir.join("comm"))?.starts_with(name.as_bytes()) {
                return None;
            }
            if in_container(&read(&dir.join("cgroup"))?) {
                return None;
            }
            let cmdline = read(&dir.join("cmdline"))?;
            let arguments =
                cmdline.split(|&b| b == 0).map(|a| String::from_utf8_lossy(a).into_owned()).collect();
            Some((dir, arguments))
        })
    }
}

/// A `containerd-shim-*` process: it serves one container or all of a pod.
struct Shim {
    namespace: String,
    id: String,
    address: Option<PathBuf>,
    /// Parent of its bundle, which is its working directory; the bundles of the other containers that it serves are there
    /// too.
    group: PathBuf,
}

impl Shim {
    fn owns(&self, id: &str) -> bool {
        self.id == id || self.bundle_of(id).join("config.json").is_file()
    }

    fn bundle_of(&self, id: &str) -> PathBuf {
        self.group.join(id)
    }
}

struct Conmon {
    bundle: Option<PathBuf>,
    name: Option<String>,
}

/// Whether all uids in `/proc/PID/status` are 0; a process in a user namespace has its outer uid there.
fn is_root(status: &[u8]) -> bool {
    let line = status.split(|&b| b == b'\n').find_map(|l| l.strip_prefix(b"Uid:"));
    line.is_some_and(|l| l.iter().all(|b| matches!(b, b'0' | b'\t' | b' ')))
}

/// Whether a line of `/proc/PID/cgroup` names a container.
fn in_container(cgroups: &[u8]) -> bool {
    let engines = EnginesConfig::default();
    String::from_utf8_lossy(cgroups)
        .lines()
        .filter_map(|line| container_of(line.splitn(3, ':').nth(2)?, &engines))
        .any(|candidate| !candidate.doubtful)
}

/// A path as the process with that directory in `/proc` sees it.
fn seen_by(dir: &Path, path: &str) -> PathBuf {
    dir.join("root").join(path.trim_start_matches('/'))
}

/// The process whose directory in `/proc` it is.
fn pid_of(dir: &Path) -> Option<u32> {
    dir.file_name()?.to_str()?.parse().ok()
}

/// A file that holds a process id.
fn number(path: &Path) -> Option<u32> {
    std::str::from_utf8(&read(path)?).ok()?.trim().parse().ok()
}

/// A regular file of bounded size.
pub(super) fn read(path: &Path) -> Option<Vec<u8>> {
    let mut options = File::options();
    let file = options.read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path).ok()?;
    let meta = file.metadata().ok()?;
    if !meta.is_file() || meta.len() > FILE_MAX {
        return None;
    }
    let mut bytes = Vec::new();
    file.take(FILE_MAX).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// Replaces `*` components of a path by what is there.
pub(super) fn expand(pattern: &Path) -> Vec<PathBuf> {
    /// Results at most.
    const RESULTS: usize = 256;
    let mut paths = vec![PathBuf::new()];
    for component in pattern.components() {
        if component.as_os_str().as_bytes() == b"*" {
            paths = paths
                .iter()
                .flat_map(|p| fs::read_dir(p).into_iter().flatten().flatten())
                .map(|e| e.path())
                .take(RESULTS)
                .collect();
        } else {
            for path in &mut paths {
                path.push(component);
            }
        }
    }
    paths
}
