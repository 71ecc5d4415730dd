//! The programs that run containers.

use serde::{Deserialize, Serialize};

/// The program that runs a container. The numbers are those of `type` in Falco's `container` events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Runtime {
    Docker = 0,
    Lxc = 1,
    LibvirtLxc = 2,
    /// An OCI runtime (runc, crun) that was started by hand, or by a keeper that is not known. Falco has no word for it.
    Oci = 5,
    #[default]
    Cri = 6,
    Containerd = 7,
    CriO = 8,
    Bpm = 9,
    Podman = 11,
}

impl Runtime {
    /// `container.type`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Lxc => "lxc",
            Self::LibvirtLxc => "libvirt-lxc",
            Self::Oci => "oci",
            Self::Cri => "cri",
            Self::Containerd => "containerd",
            Self::CriO => "cri-o",
            Self::Bpm => "bpm",
            Self::Podman => "podman",
        }
    }

    /// Whether there is anyone to ask; otherwise the path of the cgroup is all there is.
    pub(super) fn has_metadata(self) -> bool {
        !matches!(self, Self::Lxc | Self::LibvirtLxc | Self::Bpm)
    }
}
