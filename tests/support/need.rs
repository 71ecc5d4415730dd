//! What a test needs of the machine.

use std::path::{Path, PathBuf};

/// A requirement of a test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// User id 0.
    Root,
    /// Root, the kernel's type information, and the eBPF programs in the binary under test.
    Sensor,
    /// Root, and what [`Containerd`](super::containerd::Containerd) is made of.
    Containerd,
    /// Node, Chromium, what node needs to drive it, and the web app.
    Browser,
    /// A program in `PATH` or in the `sbin` folders.
    Program(&'static str),
    /// An IPv6 address on loopback.
    Ipv6,
    /// A systemd that can judge a unit file offline.
    Systemd,
}

impl Need {
    /// What is missing of it, in words.
    pub fn missing(self) -> Option<String> {
        match self {
            // SAFETY: no preconditions.
            Self::Root => (unsafe { libc::geteuid() } != 0).then(|| "needs root".to_owned()),
            Self::Sensor => Self::Root.missing().or_else(|| {
                let file = falconet::probe::btf::KERNEL_BTF;
                if !Path::new(file).is_file() {
                    Some(format!("this kernel has no {file}"))
                } else if falconet::probe::OBJECT.is_empty() {
                    Some("built without the eBPF programs (`cargo xtask build-ebpf`)".to_owned())
                } else {
                    None
                }
            }),
            Self::Containerd => Self::Root.missing().or_else(|| {
                ["containerd", "ctr", "runc", "busybox"].into_iter().find_map(|p| Self::Program(p).missing())
            }),
            Self::Browser => {
                let programs = ["node", "chromium"].into_iter().find_map(|p| Self::Program(p).missing());
                programs.or_else(|| {
                    let ui = Path::new(env!("CARGO_MANIFEST_DIR")).join("ui");
                    [
                        ("node_modules/playwright-core", "npm ci in sensor/ui"),
                        ("dist/index.html", "cargo xtask build-ui"),
                    ]
                    .into_iter()
                    .find(|(path, _)| !ui.join(path).exists())
                    .map(|(path, remedy)| format!("sensor/ui/{path} is missing ({remedy})"))
                })
            }
            Self::Program(name) => {
                find(name).is_none().then(|| format!("there is no {name} (`cargo xtask setup`)"))
            }
            Self::Ipv6 => std::net::TcpListener::bind("[::1]:0").err().map(|_| "no IPv6 loopback".to_owned()),
            Self::Systemd => Self::Program("systemd-analyze").missing().or_else(|| {
                let mut command = std::process::Command::new("systemd-analyze");
                let said = command.arg("--version").output().map(|o| o.stdout).unwrap_or_default();
                let said = String::from_utf8_lossy(&said);
                let number = said.split_whitespace().nth(1).and_then(|n| n.parse().ok()).unwrap_or(0);
                (number < 250).then(|| format!("systemd {number} cannot judge a unit file offline, 250 can"))
            }),
        }
    }
}

/// The first `program` in `PATH` or in the folders that a non-root `PATH` lacks.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}
