//! What a capture consists of: a header, then blocks of frames. `docs/capture-format.md` has every byte.

use std::io;
use std::sync::Arc;

use sensor_ebpf::events::EVENTS;
use sensor_ebpf::record::{self, Exe, Pod as _, Record, Task};
use serde::{Deserialize, Serialize};
use zerocopy::{FromBytes as _, IntoBytes as _};

use crate::state::containers::cgroup::Candidate;
use crate::state::{Container, Image, Listing, Process};

/// The first bytes of a file.
pub const MAGIC: [u8; 8] = *b"FNETCAP\n";
/// The version of the format. A reader takes files of its own version only; what it does not know inside of one it skips.
pub const VERSION: u32 = 1;
/// Longest header.
pub const HEADER_MAX: u32 = 1 << 20;
/// Most bytes of a block's frames, and of one frame.
pub const BLOCK_MAX: u32 = 16 << 20;
pub const FRAME_MAX: u32 = 8 << 20;
/// Bytes in front of a block, and in front of a frame.
pub const BLOCK_HEAD: usize = 16;
pub const FRAME_HEAD: usize = 8;
/// Begins every block.
pub const BLOCK_MAGIC: u32 = 0x4b4c_4246;

/// Kinds of frames, as they stand in the file.
pub mod kind {
    /// Bytes of one record of the kernel's.
    pub const RECORD: u32 = 1;
    /// A process that was found in `/proc`.
    pub const PROCESS: u32 = 2;
    /// A cgroup and the container that it belongs to.
    pub const CGROUP: u32 = 3;
    /// What became known of a container.
    pub const CONTAINER: u32 = 4;
    /// Names of users and groups.
    pub const NAMES: u32 = 5;
    /// Where the clock stands.
    pub const CLOCK: u32 = 6;
    /// What was lost so far.
    pub const LOST: u32 = 7;
    /// The recording ended in order.
    pub const END: u32 = 8;
    /// A process and the container that it is in, whatever its cgroup.
    pub const MEMBER: u32 = 9;
}

/// Why a capture cannot be read, or not further.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    #[error("cannot read the capture at byte {offset}: {cause}")]
    Read { offset: u64, cause: io::Error },
    #[error("this is no capture: it does not begin with {:?}", String::from_utf8_lossy(&MAGIC[..7]))]
    NoCapture,
    #[error(
        "the capture has format {found}, this falconet reads format {VERSION}: use the falconet that recorded it"
    )]
    Version { found: u32 },
    #[error(
        "the capture of falconet {by} has another layout of {what} than this falconet {}: use the one that recorded it",
        env!("CARGO_PKG_VERSION")
    )]
    Layout { what: String, by: String },
    #[error("the capture is damaged at byte {offset}: {what}")]
    Damaged { offset: u64, what: &'static str },
    #[error("the capture is cut off: its last whole block ends at byte {offset}")]
    Truncated { offset: u64 },
}

/// What stands before everything else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// Version of the program that recorded.
    pub falconet: String,
    pub hostname: String,
    /// `uname -r` and `uname -m`.
    pub kernel: String,
    pub machine: String,
    /// When the recording began: ns since the epoch, and `CLOCK_BOOTTIME` ns.
    pub started: i64,
    pub boot: u64,
    /// Inode number of the host's mount namespace.
    pub host_mntns: u32,
    /// The kernel dropped what the rules of then did not ask about.
    pub filtered: bool,
    /// Environment variables were kept.
    pub environment: bool,
    /// Containers that were asked for; empty: everything.
    pub containers: Vec<String>,
    /// Fingerprints of what all records share, and of a process.
    pub header_layout: Layout,
    pub process_layout: Layout,
    /// What was watched.
    pub events: Vec<Watched>,
}

/// One watched event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watched {
    /// Its number in records.
    pub kind: u16,
    /// Our name of it, which is unique.
    pub program: String,
    /// `evt.type`, if rules see it.
    pub name: Option<String>,
    pub layout: Layout,
}

/// A fingerprint, in hexadecimal: JSON's numbers are not made for 64 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Layout(pub u64);

impl From<Layout> for String {
    fn from(layout: Layout) -> Self {
        format!("{:016x}", layout.0)
    }
}

impl TryFrom<String> for Layout {
    type Error = std::num::ParseIntError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        u64::from_str_radix(&text, 16).map(Self)
    }
}

/// Fingerprint of a process as [`process_bytes`] writes it.
pub const PROCESS_LAYOUT: Layout = Layout(record::mix_layout(Task::LAYOUT, Exe::LAYOUT));
/// Fingerprint of what leads every record.
pub const HEADER_LAYOUT: Layout = Layout(record::Header::LAYOUT);

impl Header {
    /// By the kind that a record has in the file: the kind that it has here. An error if it was laid out in another way.
    pub fn kinds(&self) -> Result<Vec<Option<u16>>, CaptureError> {
        let differs = |what: &str| CaptureError::Layout { what: what.into(), by: self.falconet.clone() };
        if self.header_layout != HEADER_LAYOUT {
            return Err(differs("records"));
        }
        if self.process_layout != PROCESS_LAYOUT {
            return Err(differs("processes"));
        }
        let mut kinds = Vec::new();
        for watched in &self.events {
            let event = EVENTS
                .iter()
                .find(|event| event.program == watched.program && event.info.layout == watched.layout.0)
                .ok_or_else(|| differs(&format!("`{}`", watched.program)))?;
            let at = usize::from(watched.kind);
            if kinds.len() <= at {
                kinds.resize(at + 1, None);
            }
            kinds[at] = Some(event.kind as u16);
        }
        Ok(kinds)
    }

    /// The names of `evt.type` that the capture can hold.
    pub fn event_types(&self) -> impl Iterator<Item = &str> {
        self.events.iter().filter_map(|e| e.name.as_deref()).chain(["container", "container_removed"])
    }
}

/// One frame.
pub enum Frame<'a> {
    Record(Record<'a>),
    Process(Process),
    Cgroup(CgroupFrame),
    Member(MemberFrame),
    Container(ContainerFrame),
    Names(Listing),
    Clock(ClockFrame),
    Lost(Lost),
    End(End),
    /// Of a kind that this version does not know.
    Unknown,
}

/// A cgroup and the container that it belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CgroupFrame {
    pub cgroup: u64,
    /// The container's number in this capture.
    pub container: u64,
    pub candidate: Candidate,
    /// The container around it, which counts if this is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outer: Option<u64>,
}

/// A process that is in a container of which its cgroup says nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberFrame {
    /// Its exec id.
    pub process: u64,
    /// The container's number in this capture.
    pub container: u64,
    pub candidate: Candidate,
}

/// What happened to a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Happened {
    /// Its events need not wait any longer. Without metadata it is none.
    Ready,
    /// Metadata that make no event.
    Updated,
    Removed,
}

/// What became known of a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerFrame {
    /// Its number in this capture.
    pub container: u64,
    pub happened: Happened,
    /// `CLOCK_BOOTTIME` ns.
    pub time: u64,
    pub metadata: Option<Box<Container>>,
}

/// Where the clock stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockFrame {
    /// `CLOCK_BOOTTIME` ns.
    pub time: u64,
    /// What to add to have ns since the epoch.
    pub offset: i64,
}

/// Totals of what is missing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Lost {
    /// `CLOCK_BOOTTIME` ns.
    pub time: u64,
    /// In the kernel: a full ring buffer, a record that could not be built.
    pub kernel: u64,
    /// In the recorder, as the disk did not keep up.
    pub recorder: u64,
}

/// The recording ended in order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct End {
    /// `CLOCK_BOOTTIME` ns.
    pub time: u64,
    /// Records in the file.
    pub records: u64,
}

/// A process as a frame has it: identity, then [`Task`] and [`Exe`], then the strings of the image.
pub fn process_bytes(process: &Process, environment: bool) -> Vec<u8> {
    let image = &process.image;
    let mut out = Vec::with_capacity(512 + image.args.len() + image.env.len());
    for number in [process.exec_id, process.cgroup, process.cloned, process.execed, process.tgid.into()] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    out.extend_from_slice(process.task.as_bytes());
    out.extend_from_slice(image.exe.as_bytes());
    let env: &[u8] = if environment { &image.env } else { &[] };
    for text in [&*image.exepath, &image.filename, &image.args, env, &process.cwd] {
        let len = u32::try_from(text.len()).unwrap_or(0);
        out.extend_from_slice(&len.to_le_bytes());
        out.extend_from_slice(text.get(..len as usize).unwrap_or_default());
    }
    out
}

/// The way back from [`process_bytes`].
pub fn process(mut bytes: &[u8]) -> Option<Process> {
    let mut number = || {
        let (number, rest) = bytes.split_first_chunk()?;
        bytes = rest;
        Some(u64::from_le_bytes(*number))
    };
    let (exec_id, cgroup, cloned, execed) = (number()?, number()?, number()?, number()?);
    let tgid = u32::try_from(number()?).ok()?;
    let (task, rest) = Task::read_from_prefix(bytes).ok()?;
    let (exe, rest) = Exe::read_from_prefix(rest).ok()?;
    bytes = rest;
    let mut text = || {
        let (len, rest) = bytes.split_first_chunk()?;
        let (text, rest) = rest.split_at_checked(u32::from_le_bytes(*len) as usize)?;
        bytes = rest;
        Some(Box::<[u8]>::from(text))
    };
    let image = Image { exe, exepath: text()?, filename: text()?, args: text()?, env: text()? };
    let cwd = text()?.into();
    let image = Arc::new(image);
    // Found in `/proc`, which does not know who forked it.
    Some(Process { exec_id, tgid, forked_by: 0, task, cgroup, cloned, execed, cwd, image })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A header of this version, with every event.
    pub(in crate::capture) fn header() -> Header {
        Header {
            falconet: env!("CARGO_PKG_VERSION").into(),
            hostname: "node1".into(),
            kernel: "6.0".into(),
            machine: "x86_64".into(),
            started: 1_700_000_000_000_000_000,
            boot: 1_000_000_000,
            host_mntns: 1,
            filtered: false,
            environment: true,
            containers: Vec::new(),
            header_layout: HEADER_LAYOUT,
            process_layout: PROCESS_LAYOUT,
            events: EVENTS
                .iter()
                .map(|event| Watched {
                    kind: event.kind as u16,
                    program: event.program.into(),
                    name: event.info.name().map(Into::into),
                    layout: Layout(event.info.layout),
                })
                .collect(),
        }
    }

    #[test]
    fn a_process_comes_back() {
        let mut process = super::process(&process_bytes(&Process::unknown(5, 7), true)).unwrap();
        process.cloned = 3;
        process.task.comm[..2].copy_from_slice(b"sh");
        process.image = Arc::new(Image {
            args: Box::from(&b"sh\0-c\0"[..]),
            env: Box::from(&b"TOKEN=x\0"[..]),
            ..Image::unknown()
        });
        process.cwd = Arc::from(&b"/\xff"[..]);
        let bytes = process_bytes(&process, true);
        let back = super::process(&bytes).unwrap();
        assert_eq!((back.exec_id, back.tgid, back.cloned, back.comm()), (5, 7, 3, &b"sh"[..]));
        assert_eq!((&*back.image.args, &*back.image.env), (&b"sh\0-c\0"[..], &b"TOKEN=x\0"[..]));
        assert_eq!(&*back.cwd, b"/\xff");
        for len in 0..bytes.len() {
            assert!(super::process(&bytes[..len]).is_none(), "{len}");
        }
        let without = super::process(&process_bytes(&process, false)).unwrap();
        assert_eq!((without.image.env.len(), &*without.cwd), (0, &b"/\xff"[..]));
    }

    #[test]
    fn another_layout_is_refused_and_another_number_is_not() {
        let mut other = header();
        other.events[2].layout.0 ^= 1;
        let error = other.kinds().unwrap_err().to_string();
        assert!(error.contains("another layout of `exit`"), "{error}");
        let mut other = header();
        other.header_layout.0 ^= 1;
        assert!(matches!(other.kinds(), Err(CaptureError::Layout { .. })));
        let mut moved = header();
        moved.events[0].kind = 999;
        let kinds = moved.kinds().unwrap();
        assert_eq!((kinds[999], kinds[1]), (Some(EVENTS[0].kind as u16), None));
    }
}
