//! What an event says of itself: everything that rules, state, filter and lints know of it.
//!
//! Each family's file has an [`Info`] per event. Nothing has a default: what an event does not say does not compile, and nothing
//! outside these files asks an event for its name to know more about it.

use super::flags::Flags;
use crate::record::{Exe, Fd, Groups, Lane, Record, Task};

/// Everything about one event.
#[derive(Clone, Copy)]
pub struct Info {
    /// Fingerprint of the record's body, see [`crate::record::Pod::LAYOUT`].
    pub layout: u64,
    /// The way of its records to user space. [`Lane::Lifecycle`]: the state cannot do without a single one of them. What a process
    /// changes of itself goes with its other records, so that one that does it in a loop drowns its own and no others.
    pub lane: Lane,
    /// What a record changes in the state; `None`: never anything, and only rules make the event worth watching.
    pub changes: Option<for<'a> fn(&Record<'a>) -> Option<Change<'a>>>,
    /// What rules see of it; `None`: nothing, it only feeds the state.
    pub rules: Option<View>,
}

impl Info {
    /// `evt.type`, if rules see the event.
    pub fn name(&self) -> Option<&'static str> {
        self.rules.map(|view| view.name)
    }

    /// True when the state cannot do without it.
    pub fn feeds_state(&self) -> bool {
        self.changes.is_some()
    }
}

/// A change of the state: of processes, or of the cgroups that name containers.
#[derive(Debug, Clone, Copy)]
pub enum Change<'a> {
    /// A process was made; the record's header names the child.
    Forked {
        task: &'a Task,
        /// Exec id of the process that forked; of `task`'s parent unless with `CLONE_PARENT`.
        forker: u64,
    },
    /// A process runs a new image. One that a container runtime starts may announce a container.
    Execed(NewImage<'a>),
    /// A process ended, and that one inherits its children. Rules see the event before the change, while the process is still
    /// there.
    Exited {
        reaper: u32,
    },
    /// The thread has other credentials: those in the record's header.
    Credentials,
    /// The process has another working directory, by its path from the process's root.
    Directory(&'a [u8]),
    /// The process is in another session or process group.
    Groups(&'a Groups),
    /// The thread may be in another mount namespace now, by its inode.
    Namespace {
        mntns: u32,
    },
    /// A process was put into a process group; both by their numbers in the initial pid namespace.
    Grouped {
        tgid: u32,
        pgid: u32,
    },
    /// A cgroup, by its kernfs id and its path from the hierarchy's root.
    CgroupMade {
        id: u64,
        path: &'a [u8],
    },
    CgroupRemoved {
        id: u64,
    },
}

/// What a process is after an exec.
#[derive(Debug, Clone, Copy)]
pub struct NewImage<'a> {
    pub task: &'a Task,
    pub exe: &'a Exe,
    /// Path of the executable, from the process's root.
    pub exepath: &'a [u8],
    /// What the caller asked for.
    pub filename: &'a [u8],
    /// `argv` and `envp`, each string ended by NUL.
    pub args: &'a [u8],
    pub env: &'a [u8],
    /// Working directory, from the process's root.
    pub cwd: &'a [u8],
}

/// What rules see of an event.
#[derive(Clone, Copy)]
pub struct View {
    /// `evt.type`. Events may share one: a successful execve makes another record than a failed one.
    pub name: &'static str,
    /// Falco's event codes of that name.
    pub codes: Codes,
    /// `evt.category`.
    pub category: Category,
    /// `evt.arg.*`: all of Falco's parameters in Falco's order, as `evt.arg[N]` counts them.
    pub params: &'static [Param],
    /// The descriptor that `fd.*` speaks of; `None`: there is none.
    pub fd: Option<Descriptor>,
    /// Which way it moves data through the descriptor: `evt.is_io*`, `evt.io_dir`.
    pub io: Option<Direction>,
    /// `evt.is_open_*` of a call that opens; `None`: all of them are false.
    pub open: Option<fn(&Record<'_>) -> Option<Opening>>,
    /// What the kernel can look at before it makes a record, to drop what no rule matches.
    pub filter: Looks,
    /// Which rules it is captured for.
    pub volume: Volume,
}

impl View {
    /// The descriptor of a record.
    pub fn descriptor<'a>(&self, record: &Record<'a>) -> Option<FdView<'a>> {
        (self.fd?.view)(record)
    }

    /// The path that the call has in this role.
    pub fn path(&self, role: PathRole) -> Option<&'static Param> {
        self.params.iter().find(|param| param.ty.path_role() == Some(role))
    }
}

/// Falco's codes of an event: at most one each for its entry and its exit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codes {
    /// A system call, at its exit.
    Exit,
    /// A system call, which Falco sees at its entry, too.
    EnterAndExit,
    /// No system call: `syscall.type` is missing.
    Tracepoint,
}

/// Falco's categories.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Category {
    File,
    Net,
    Ipc,
    Memory,
    Process,
    Sleep,
    System,
    Signal,
    User,
    Time,
    Wait,
    Other,
    /// The category of the descriptor's kind.
    OfDescriptor,
}

impl Category {
    /// What `evt.category` prints, for an event with this descriptor.
    pub fn name(self, fd: Option<&Fd>) -> &'static str {
        match self {
            Self::File => "file",
            Self::Net => "net",
            Self::Ipc => "IPC",
            Self::Memory => "memory",
            Self::Process => "process",
            Self::Sleep => "sleep",
            Self::System => "system",
            Self::Signal => "signal",
            Self::User => "user",
            Self::Time => "time",
            Self::Wait => "wait",
            Self::Other => "other",
            Self::OfDescriptor => match fd.map(|fd| fd.kind) {
                Some(b'f' | b'd') => "file",
                Some(b'4' | b'6') => "net",
                Some(b'u' | b'p') => "IPC",
                _ => "unknown",
            },
        }
    }
}

/// Way of data through a descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    Read,
    Write,
    /// From one descriptor to another.
    Both,
}

impl Direction {
    pub const fn reads(self) -> bool {
        matches!(self, Self::Read | Self::Both)
    }

    pub const fn writes(self) -> bool {
        matches!(self, Self::Write | Self::Both)
    }
}

/// What a call asked for when it opened a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opening {
    /// `evt.is_open_read`, `evt.is_open_write`.
    pub read: bool,
    pub write: bool,
    /// `evt.is_open_exec`: it made a file that can be executed.
    pub exec: bool,
    /// `evt.is_open_create`.
    pub create: bool,
}

/// How much there is of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Volume {
    /// As much as a machine bears to have looked at: it is captured for every rule that can fire on it.
    Normal,
    /// Too much: it is captured only for rules that name it (`evt.type`), not for those that ask for no type at all.
    High,
}

/// What the kernel's filter can look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Looks {
    /// Every call makes a record.
    Nothing,
    /// How the resolved path begins, the access that was asked for, and the outcome: see [`crate::filter::Alternative`].
    Open,
}

/// The descriptor of an event, as a kind of event has it.
#[derive(Clone, Copy)]
pub struct Descriptor {
    /// It, in a record.
    pub view: for<'a> fn(&Record<'a>) -> Option<FdView<'a>>,
    /// What the call is about, or the directory that a path starts from.
    pub is: Is,
    /// `fd.typechar` when the call left no descriptor.
    pub otherwise: u8,
    /// The local end of a socket, when the call succeeded or goes on in the background.
    pub role: Role,
}

/// What a descriptor is to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Is {
    /// What the call is about.
    Subject,
    /// The directory beside the path that the call is about (a Falco peculiarity that rules rely on).
    Directory,
}

/// Which end of a socket a call makes clear.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The local end is the client.
    Client,
    /// The local end is the server.
    Server,
    /// Nothing: it is guessed from the ports, or else from the way of the data.
    Sends,
    Receives,
    /// Nothing: it is guessed from the ports.
    Unknown,
}

/// True when a call with this result did its work, or goes on with it in the background.
pub const fn goes_on(ret: i64) -> bool {
    const EINPROGRESS: i64 = 115;
    ret >= 0 || ret == -EINPROGRESS
}

/// The descriptor of one record.
#[derive(Debug, Clone, Copy)]
pub struct FdView<'a> {
    /// Descriptor number; -1 when the call that should have made it failed.
    pub num: i64,
    /// What the kernel says it is; `None` when there is no such descriptor.
    pub fd: Option<&'a Fd>,
    /// `fd.path`: the kernel's name of it; of a unix socket the one of its two names that Falco prints.
    pub path: &'a [u8],
    /// The path argument of an open, as passed, and the directory it starts from when relative.
    pub raw: &'a [u8],
    pub base: &'a [u8],
    /// The names of a unix socket and of its peer; empty for anything else.
    pub own: UnixName<'a>,
    pub peer: UnixName<'a>,
    /// The call gave an open descriptor this name: `fd.name_changed`.
    pub renamed: bool,
}

/// What a unix socket is bound to; empty for one that has no name.
#[derive(Debug, Clone, Copy, Default)]
pub struct UnixName<'a> {
    /// As it was passed to bind: a path, maybe a relative one, or an abstract name, which begins with NUL.
    pub name: &'a [u8],
    /// The file, as the kernel resolves it, from the process's root.
    pub file: &'a [u8],
}

impl<'a> FdView<'a> {
    /// Descriptor `num`, which the kernel described as `fd`.
    pub fn of(r: &Record<'a>, num: i64, fd: &'a Fd) -> Self {
        let fd = (fd.kind != 0).then_some(fd);
        let (own, peer) = match fd {
            Some(fd) if fd.kind == b'u' => {
                let of = |name, file| UnixName { name: unix_name(r.tail(name)), file: r.tail(file) };
                (of(fd.path, fd.own_file), of(fd.peer, fd.peer_file))
            }
            _ => Default::default(),
        };
        let path = match fd {
            Some(_) if !peer.name.is_empty() => peer.name,
            Some(fd) => r.tail(fd.path),
            None => &[],
        };
        Self { num, fd, path, raw: &[], base: &[], own, peer, renamed: false }
    }

    /// As seen by the one that was connected to: of two unix sockets its own name stands for both.
    #[must_use]
    pub fn incoming(self) -> Self {
        if self.own.name.is_empty() { self } else { Self { path: self.own.name, ..self } }
    }

    /// The pair of addresses, of a call that makes this of the local end.
    pub fn tuple(&self, role: Role) -> Arg<'a> {
        Arg::SockTuple { fd: self.fd.unwrap_or(&Fd::NONE), path: self.path, role }
    }
}

/// A name in a `struct sockaddr_un`: a path ends at its NUL, an abstract one has its length.
fn unix_name(name: &[u8]) -> &[u8] {
    match name.iter().position(|byte| *byte == 0) {
        Some(end) if end > 0 => &name[..end],
        _ => name,
    }
}

/// One argument of an event.
#[derive(Clone, Copy)]
pub struct Param {
    pub name: &'static str,
    pub ty: ParamType,
    /// The value; `None`: records do not carry it.
    pub get: for<'a> fn(&Record<'a>) -> Option<Arg<'a>>,
}

/// How an argument is typed and printed (Falco's `PT_*` and `PF_*`). Numbers are unsigned and of so many bits.
#[derive(Debug, Clone, Copy)]
pub enum ParamType {
    Fd,
    Pid,
    /// Decimal; resolved to the errno's name when negative.
    Errno,
    /// In hex, and signed, of so many bits.
    IntHex(u8),
    Uid,
    Gid,
    Signal,
    /// Signals as bits, the first one the lowest.
    SigSet,
    Dec(u8),
    /// Signed decimal of so many bits.
    Int(u8),
    Hex(u8),
    Oct(u8),
    /// Permissions and type of a file, in 32 bits: octal, resolved to names joined by `|`.
    Mode(&'static Flags),
    /// Set of flags, resolved to names joined by `|`.
    Flags(u8, &'static Flags),
    /// One of the table's values, resolved to its name.
    Enum(u8, &'static Flags),
    /// A word whose meaning depends on another argument; printed in hex.
    Dynamic,
    /// A word or bytes, whose meaning depends on another argument; a number is printed in decimal.
    DynamicDec,
    /// A path; a relative one starts from the working directory.
    Path(PathRole),
    /// A path; a relative one starts from the directory that another argument names. `evt.abspath` reads these.
    PathAt(PathRole),
    /// A path that the kernel has found by itself, empty when it found none. `evt.abspath` reads these, too.
    Found(PathRole),
    /// A descriptor that stands for the path of what it is open on.
    FdPath(PathRole),
    /// A text that the kernel takes as it is; where rules see it as a path, it starts from the working directory.
    Text(PathRole),
    CharBuf,
    /// Any bytes; printed with a dot for each that cannot be.
    Bytes,
    /// Strings ended by NUL each; printed joined as Falco prints `args`.
    Strings,
    SockAddr,
    SockTuple,
    /// ns since the epoch.
    AbsTime,
}

impl ParamType {
    /// What a path is to the call; `None` for anything else.
    pub const fn path_role(self) -> Option<PathRole> {
        match self {
            Self::Path(role)
            | Self::PathAt(role)
            | Self::Found(role)
            | Self::FdPath(role)
            | Self::Text(role) => Some(role),
            _ => None,
        }
    }
}

/// What a path is to the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathRole {
    /// What it is about: `fs.path.name`.
    Name,
    /// The two names of a call with two paths, as Falco tells them apart: `fs.path.source` and `fs.path.target`.
    Source,
    Target,
    /// Something beside it, which neither reads.
    Other,
}

/// The value of an argument.
#[derive(Debug, Clone, Copy)]
pub enum Arg<'a> {
    Int(i64),
    Uint(u64),
    Bytes(&'a [u8]),
    /// A path as passed, and the directory that it starts from when it is relative (empty: unknown).
    Path {
        raw: &'a [u8],
        base: &'a [u8],
    },
    /// A `struct sockaddr` as passed.
    SockAddr(&'a [u8]),
    /// A socket, for its address pair: `path` and `role` as `fd.name` takes them. No descriptor: no pair.
    SockTuple {
        fd: &'a Fd,
        path: &'a [u8],
        role: Role,
    },
}

/// Declares `evt.arg` rows: `name: type, |record, body: &Body| value`, or `name: type, absent` for what records do not carry.
macro_rules! params {
    (@ [$($done:expr,)*]) => { &[$($done),*] };
    (@ [$($done:expr,)*] $name:literal: $ty:expr, absent; $($rest:tt)*) => {
        $crate::events::params!(@ [
            $($done,)*
            $crate::events::Param { name: $name, ty: $ty, get: |_| None },
        ] $($rest)*)
    };
    (@ [$($done:expr,)*] $name:literal: $ty:expr, |$r:ident, $b:ident: &$body:ty| $value:expr; $($rest:tt)*) => {
        $crate::events::params!(@ [
            $($done,)*
            $crate::events::Param {
                name: $name,
                ty: $ty,
                get: |$r| {
                    #[allow(unused_variables, reason = "most arguments need only one of record and body")]
                    let $b: &$body = $r.body()?;
                    Some($value)
                },
            },
        ] $($rest)*)
    };
    ($name:literal: $($rows:tt)*) => { $crate::events::params!(@ [] $name: $($rows)*) };
}
pub(crate) use params;
