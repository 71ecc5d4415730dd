//! Why there is no probe.

use std::io;
use std::path::PathBuf;

use aya::maps::{Map, MapError};
use aya::programs::ProgramError;
use aya::{Ebpf, EbpfError};

use super::btf::BtfError;

/// Why there is no probe.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    #[error(
        "this binary was built without its eBPF programs; build them with `cargo xtask build-ebpf`, then build again"
    )]
    NotBuilt,
    #[error(transparent)]
    Btf(#[from] BtfError),
    #[error("this kernel's type information lacks {}: the sensor needs Linux 5.11 or newer", .0.join(", "))]
    Offsets(Vec<&'static str>),
    #[error(
        "this kernel does not have {0}: its structures are laid out in a way that the sensor does not know"
    )]
    Layout(String),
    #[error(
        "the kernel refused eBPF ({cause}): run as root, or with CAP_BPF, CAP_PERFMON and CAP_SYS_PTRACE"
    )]
    Permission { cause: io::Error },
    #[error("the kernel refused the program `{program}`: {cause}. Verifier log: {}; its end:\n{tail}", .log.display())]
    Verifier { program: String, cause: io::Error, log: PathBuf, tail: String },
    #[error("cannot load the eBPF object: {}", causes(.0))]
    Object(EbpfError),
    #[error("cannot load or attach the program `{program}`: {}", causes(.cause))]
    Program { program: String, cause: ProgramError },
    #[error("the eBPF object has no {what} `{name}`; it does not fit this binary: build both again")]
    Mismatch { what: &'static str, name: String },
    #[error("cannot set up the map `{name}`: {cause}")]
    Map { name: &'static str, cause: io::Error },
}

impl From<EbpfError> for ProbeError {
    fn from(cause: EbpfError) -> Self {
        Self::Object(cause)
    }
}

/// An error of a library with what is behind it, each once: some of their messages tell the next one too.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let more = cause.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        source = cause.source();
    }
    text
}

/// Takes a map out of the object.
pub(super) fn take(ebpf: &mut Ebpf, name: &'static str) -> Result<Map, ProbeError> {
    ebpf.take_map(name).ok_or_else(|| ProbeError::Mismatch { what: "map", name: name.into() })
}

/// Says which map it was.
pub(super) fn map(name: &'static str) -> impl Fn(MapError) -> ProbeError {
    move |error| ProbeError::Map { name, cause: io::Error::other(causes(&error)) }
}
