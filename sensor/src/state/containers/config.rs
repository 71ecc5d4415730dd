//! Settings of container metadata, in the shape of Falco's container plugin.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

/// `container_engines`: which runtimes are looked for and where they listen.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EnginesConfig {
    /// Labels and annotations with longer values are left out.
    pub label_max_len: usize,
    /// Events of a container wait this many milliseconds for its metadata, then go out marked incomplete.
    pub hold_ms: u64,
    /// Falco's keys, accepted and without effect: containers are seen by their cgroups, not by a runtime's hooks, and their sizes
    /// are not asked for.
    pub hooks: Vec<String>,
    pub with_size: bool,
    pub docker: Engine<Docker>,
    pub podman: Engine<Podman>,
    /// containerd's own containers (`ctr`, `nerdctl`). The address of a running shim comes before the listed sockets.
    pub containerd: Engine<Containerd>,
    pub cri: Engine<Cri>,
    pub lxc: Switch,
    pub libvirt_lxc: Switch,
    pub bpm: Switch,
}

impl Default for EnginesConfig {
    fn default() -> Self {
        Self {
            label_max_len: 100,
            hold_ms: 2_000,
            hooks: Vec::new(),
            with_size: false,
            docker: Engine::default(),
            podman: Engine::default(),
            containerd: Engine::default(),
            cri: Engine::default(),
            lxc: Switch::default(),
            libvirt_lxc: Switch::default(),
            bpm: Switch::default(),
        }
    }
}

impl EnginesConfig {
    pub(super) fn hold(&self) -> Duration {
        Duration::from_millis(self.hold_ms)
    }
}

/// An engine that is only found by its cgroups.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Switch {
    pub enabled: bool,
}

impl Default for Switch {
    fn default() -> Self {
        Self { enabled: true }
    }
}

/// An engine that can be asked over unix sockets.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields, bound = "")]
pub struct Engine<D: Defaults> {
    pub enabled: bool,
    /// Unix sockets, tried in order. `*` stands for one directory name.
    pub sockets: Vec<PathBuf>,
    /// Falco's key, accepted and without effect: nothing is ever waited for where events are read.
    pub disable_async: bool,
    #[serde(skip)]
    of: std::marker::PhantomData<D>,
}

impl<D: Defaults> Default for Engine<D> {
    fn default() -> Self {
        let sockets = D::SOCKETS.iter().map(PathBuf::from).collect();
        Self { enabled: true, sockets, disable_async: false, of: std::marker::PhantomData }
    }
}

/// Where an engine listens by default.
pub trait Defaults {
    const SOCKETS: &'static [&'static str];
}

macro_rules! defaults {
    ($($name:ident: $($socket:literal),+;)+) => { $(
        #[derive(Debug, Clone)]
        pub enum $name {}
        impl Defaults for $name {
            const SOCKETS: &'static [&'static str] = &[$($socket),+];
        }
    )+ };
}
defaults! {
    Docker: "/var/run/docker.sock";
    Podman: "/run/podman/podman.sock", "/run/user/*/podman/podman.sock";
    Containerd: "/run/containerd/containerd.sock", "/run/host-containerd/containerd.sock";
    Cri: "/run/containerd/containerd.sock", "/run/crio/crio.sock", "/run/k3s/containerd/containerd.sock",
        "/run/host-containerd/containerd.sock";
}
