//! The registry of events: one module per family, one line per event in [`for_each_event`].

pub mod cgroup;
pub mod connect;
pub mod dup;
pub mod exec;
pub mod flags;
pub mod open;
pub mod process;
pub mod ptrace;
pub mod rename;
pub mod setuid;
pub mod unlink;

use crate::record::{Fd, Record};
use flags::Flags;

/// The registry. Calls the given macro with one line per event:
/// `Kind, program name and kernel handler, family module, what it hooks`.
///
/// The order gives each kind its number, which is in every record; add at the end.
#[macro_export]
macro_rules! for_each_event {
    ($callback:ident) => {
        $callback! {
            Fork, fork, process, tracepoint "sched_process_fork";
            Exec, exec, process, tracepoint "sched_process_exec";
            Exit, exit, process, tracepoint "sched_process_exit";
            CgroupMkdir, cgroup_mkdir, cgroup, tracepoint "cgroup_mkdir";
            CgroupRmdir, cgroup_rmdir, cgroup, tracepoint "cgroup_rmdir";
            Execve, execve, exec, syscall 59;
            Execveat, execveat, exec, syscall 322;
            Open, open, open, syscall 2;
            Openat, openat, open, syscall 257;
            Openat2, openat2, open, syscall 437;
            Creat, creat, open, syscall 85;
            Connect, connect, connect, syscall 42;
            Dup, dup, dup, syscall 32;
            Dup2, dup2, dup, syscall 33;
            Dup3, dup3, dup, syscall 292;
            Setuid, setuid, setuid, syscall 105;
            Ptrace, ptrace, ptrace, syscall 101;
            Unlink, unlink, unlink, syscall 87;
            Unlinkat, unlinkat, unlink, syscall 263;
            Rename, rename, rename, syscall 82;
            Renameat, renameat, rename, syscall 264;
            Renameat2, renameat2, rename, syscall 316;
        }
    };
}

macro_rules! registry {
    ($($kind:ident, $program:ident, $module:ident, $hook:ident $at:literal;)+) => {
        /// Number of an event in records, maps and counters. 0 is no event.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(u16)]
        pub enum Kind { None = 0, $($kind),+ }

        /// Every event, in the order of [`Kind`] without `None`.
        pub static EVENTS: &[Event] = &[$(Event {
            kind: Kind::$kind,
            program: stringify!($program),
            hook: registry!(@hook $hook $at),
            info: &$module::$kind::EVENT,
        }),+];
    };
    (@hook tracepoint $at:literal) => { Hook::Tracepoint($at) };
    (@hook syscall $at:literal) => { Hook::Syscall($at) };
}
for_each_event!(registry);

impl Kind {
    /// The lane that records of this kind take.
    #[inline(always)]
    pub const fn lane(self) -> Lane {
        match self {
            Self::Fork | Self::Exec | Self::Exit | Self::CgroupMkdir | Self::CgroupRmdir | Self::Setuid => {
                Lane::Lifecycle
            }
            _ => Lane::Bulk,
        }
    }
}

impl Event {
    /// The event with the number that stands in a record's header.
    pub fn of_kind(kind: u16) -> Option<&'static Self> {
        EVENTS.get(usize::from(kind).checked_sub(1)?)
    }
}

/// Way of a record to user space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// Small, drained first, sized never to lose: what the state is made of.
    Lifecycle,
    /// Sharded by process.
    Bulk,
}

/// Where the program is attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    /// BTF tracepoint of that name.
    Tracepoint(&'static str),
    /// Tail-called by the `sys_exit` dispatcher for that x86-64 syscall number.
    Syscall(u16),
}

/// One line of the registry.
pub struct Event {
    pub kind: Kind,
    /// Name of the BPF program.
    pub program: &'static str,
    pub hook: Hook,
    pub info: &'static Info,
}

/// What rules see of an event.
pub struct Info {
    /// `evt.type`; `None` for records that only feed the state.
    pub name: Option<&'static str>,
    /// True when the state cannot do without it.
    pub state: bool,
    /// `evt.arg.*`, in Falco's order.
    pub params: &'static [Param],
    /// Fingerprint of the record's body, see [`crate::record::Pod::LAYOUT`].
    pub layout: u64,
    /// The descriptor that `fd.*` speaks of.
    pub fd: Option<for<'a> fn(&Record<'a>) -> Option<FdView<'a>>>,
}

/// One argument of an event.
pub struct Param {
    pub name: &'static str,
    pub ty: ParamType,
    pub get: for<'a> fn(&Record<'a>) -> Option<Arg<'a>>,
}

/// How an argument is typed and printed (Falco's `PT_*` and `PF_*`).
#[derive(Debug, Clone, Copy)]
pub enum ParamType {
    Fd,
    Pid,
    /// Decimal; resolved to the errno's name when negative.
    Errno,
    Uid,
    Gid,
    Dec,
    Hex,
    Oct,
    /// Set of flags, printed in hex and resolved to names joined by `|`.
    Flags(&'static Flags),
    /// One of the table's values, printed in decimal.
    Enum(&'static Flags),
    Path,
    CharBuf,
    /// Strings ended by NUL each; printed joined as Falco prints `args`.
    Strings,
    SockAddr,
    SockTuple,
    /// ns since the epoch.
    AbsTime,
    Signal,
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
    /// A socket, for its address pair.
    SockTuple(&'a Fd, &'a [u8]),
}

/// The descriptor of an event.
#[derive(Debug, Clone, Copy)]
pub struct FdView<'a> {
    /// Descriptor number; -1 when the call that should have made it failed.
    pub num: i64,
    /// What the kernel says it is; `None` when there is no such descriptor.
    pub fd: Option<&'a Fd>,
    /// `fd.path`: the kernel's name of it.
    pub path: &'a [u8],
    /// The path argument of an open, as passed, and the directory it starts from when relative.
    pub raw: &'a [u8],
    pub base: &'a [u8],
}

/// Declares `evt.arg` rows: `name: type, |record, body: &Body| value`.
macro_rules! params {
    ($($name:literal: $ty:expr, |$r:ident, $b:ident: &$body:ty| $value:expr;)*) => {
        &[$($crate::events::Param {
            name: $name,
            ty: $ty,
            get: |$r| {
                #[allow(unused_variables, reason = "most arguments need only one of record and body")]
                let $b: &$body = $r.body()?;
                Some($value)
            },
        }),*]
    };
}
pub(crate) use params;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_number_the_registry() {
        for (i, event) in EVENTS.iter().enumerate() {
            assert_eq!(event.kind as usize, i + 1);
            assert_eq!(Event::of_kind(event.kind as u16).unwrap().program, event.program);
            assert!((event.kind as u32) < crate::config::COUNTERS_LEN);
        }
        assert!(Event::of_kind(0).is_none());
        assert!(Event::of_kind(u16::MAX).is_none());
    }

    #[test]
    fn no_syscall_stands_twice() {
        for (i, a) in EVENTS.iter().enumerate() {
            for b in &EVENTS[i + 1..] {
                assert_ne!(a.hook, b.hook, "{} and {}", a.program, b.program);
            }
        }
    }
}
