//! What a test needs of the machine, and the line that it prints where that is missing.

use std::path::{Path, PathBuf};

/// A requirement of a test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// User id 0.
    Root,
    /// The kernel's type information.
    Btf,
    /// The eBPF programs in the binary under test.
    Probe,
    /// A program in `PATH` or in the `sbin` folders.
    Program(&'static str),
}

/// True when all `needs` are met; otherwise prints what `cargo xtask test` collects.
pub fn met(test: &str, needs: &[Need]) -> bool {
    match needs.iter().find_map(|need| need.missing()) {
        None => true,
        Some(reason) => {
            println!("skipped: {test}: {reason}");
            false
        }
    }
}

impl Need {
    fn missing(self) -> Option<String> {
        let (there, reason) = match self {
            // SAFETY: no preconditions.
            Self::Root => (unsafe { libc::geteuid() } == 0, "needs root".to_owned()),
            Self::Btf => {
                let file = falconet::probe::btf::KERNEL_BTF;
                (Path::new(file).is_file(), format!("this kernel has no {file}"))
            }
            Self::Probe => (
                !falconet::probe::OBJECT.is_empty(),
                "built without the eBPF programs (`cargo xtask build-ebpf`)".to_owned(),
            ),
            Self::Program(name) => {
                (find(name).is_some(), format!("there is no {name} (`cargo xtask setup`)"))
            }
        };
        (!there).then_some(reason)
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
