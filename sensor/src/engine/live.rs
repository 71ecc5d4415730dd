//! One event with the state it is judged in; [`super::extract`] makes the fields of it that rules see.

use std::sync::Arc;

use bumpalo::Bump;
use sensor_ebpf::events::{Arg, FdView, Param, PathRole, Role, View, goes_on};
use sensor_ebpf::record::{FD_ADDRESSED, Fd, Record};

use super::args::Names;
use super::clock::Clock;
use crate::rules::{self, EventType, FieldArg, Kind, Reading};
use crate::state::{Container, MAX_ANCESTORS, Process, Processes, Users};

/// What every event of a sensor shares.
pub struct Known<'a> {
    pub processes: &'a Processes,
    pub users: &'a Users,
    pub clock: &'a Clock,
    pub hostname: &'a str,
    pub hosts: &'a dyn rules::Names,
}

/// What happened.
#[derive(Clone, Copy)]
pub enum What<'a> {
    Syscall {
        record: Record<'a>,
        view: &'static View,
        process: &'a Arc<Process>,
    },
    /// `container` and `container_removed`: no process, no arguments.
    Meta,
}

/// An event under judgement.
#[derive(Clone, Copy)]
pub struct Live<'a> {
    pub what: What<'a>,
    pub ty: EventType,
    /// `evt.type`.
    pub name: &'static str,
    /// ns since the epoch.
    pub time: i64,
    /// `CLOCK_BOOTTIME` ns.
    pub boot: u64,
    /// `evt.num`.
    pub number: u64,
    /// `None` on the host.
    pub container: Option<&'a Container>,
    pub known: &'a Known<'a>,
    /// Which of its names count.
    pub reading: Reading,
    /// Room for computed strings; emptied after each event.
    pub bump: &'a Bump,
}

impl<'a> Live<'a> {
    pub fn process(&self) -> Option<&'a Arc<Process>> {
        match &self.what {
            What::Syscall { process, .. } => Some(process),
            What::Meta => None,
        }
    }

    pub fn record(&self) -> Option<&Record<'a>> {
        match &self.what {
            What::Syscall { record, .. } => Some(record),
            What::Meta => None,
        }
    }

    /// What the event says of itself; `None` for one that no record carries.
    pub fn view(&self) -> Option<&'static View> {
        match &self.what {
            What::Syscall { view, .. } => Some(view),
            What::Meta => None,
        }
    }

    /// Parent, grandparent and so on; with the second names of [`Kind::Lineage`] who forked the process, who forked that one and so
    /// on, and where nobody knows, the parent.
    pub fn ancestors(&self) -> impl Iterator<Item = &'a Arc<Process>> {
        let (processes, boot, original) = (self.known.processes, self.boot, self.reading.has(Kind::Lineage));
        let parent = move |process: &Arc<Process>| {
            let forker = if original { processes.forker(process) } else { None };
            forker.or_else(|| processes.parent(process, boot))
        };
        std::iter::successors(self.process().and_then(parent), move |p| parent(p)).take(MAX_ANCESTORS)
    }

    /// The process itself for 0, its parent for 1 and so on.
    pub fn ancestor(&self, n: usize) -> Option<&'a Arc<Process>> {
        if n == 0 { self.process() } else { self.ancestors().nth(n - 1) }
    }

    /// All arguments, in order.
    pub fn args(&self) -> impl Iterator<Item = (&'static Param, Arg<'a>)> {
        let (record, params) = match &self.what {
            What::Syscall { record, view, .. } => (Some(*record), view.params),
            What::Meta => (None, [].as_slice()),
        };
        params.iter().filter_map(move |param| Some((param, (param.get)(record.as_ref()?)?)))
    }

    /// One argument by name.
    pub fn param(&self, name: &[u8]) -> Option<(&'static Param, Arg<'a>)> {
        let What::Syscall { record, view, .. } = &self.what else { return None };
        let param = view.params.iter().find(|p| p.name.as_bytes() == name)?;
        Some((param, (param.get)(record)?))
    }

    /// The path that the call has in this role.
    pub fn path(&self, role: PathRole) -> Option<(&'static Param, Arg<'a>)> {
        let What::Syscall { record, view, .. } = &self.what else { return None };
        let param = view.path(role)?;
        Some((param, (param.get)(record)?))
    }

    /// One argument as a field names it.
    pub fn arg(&self, arg: &FieldArg) -> Option<(&'static Param, Arg<'a>)> {
        match arg {
            FieldArg::Key(name) => self.param(name),
            FieldArg::Index(n) => {
                let What::Syscall { record, view, .. } = &self.what else { return None };
                let param = view.params.get(usize::try_from(*n).ok()?)?;
                Some((param, (param.get)(record)?))
            }
            FieldArg::None => None,
        }
    }

    /// What the call returned: its first argument.
    pub fn result(&self) -> Option<i64> {
        let What::Syscall { record, view, .. } = &self.what else { return None };
        let param = view.params.first().filter(|p| matches!(p.name, "res" | "fd"))?;
        match (param.get)(record)? {
            Arg::Int(n) => Some(n),
            Arg::Uint(n) => i64::try_from(n).ok(),
            _ => None,
        }
    }

    /// The descriptor of the event.
    pub fn fd(&self) -> Option<FdView<'a>> {
        let What::Syscall { record, view, .. } = &self.what else { return None };
        view.descriptor(record)
    }

    /// Which end of the event's socket is the client, as far as the event tells.
    pub fn role(&self) -> Role {
        let addressed = |view: FdView<'_>| view.fd.is_some_and(|fd| fd.flags & FD_ADDRESSED != 0);
        let told = self.result().is_some_and(goes_on) || self.fd().is_some_and(addressed);
        self.view().and_then(|view| view.fd).filter(|_| told).map_or(Role::Unknown, |fd| fd.role)
    }
}

impl Names for Live<'_> {
    fn process(&self, pid: i64) -> Option<&[u8]> {
        self.known.processes.by_pid(u32::try_from(pid).ok()?).map(|p| p.comm())
    }

    fn user(&self, uid: u32) -> Option<&[u8]> {
        self.known.users.user(self.process()?, uid).map(|u| u.name.as_bytes())
    }

    fn group(&self, gid: u32) -> Option<&[u8]> {
        self.known.users.group(self.process()?, gid).map(str::as_bytes)
    }

    fn descriptor(&self, number: i64) -> Option<(&Fd, &[u8], Role)> {
        let view = self.fd().filter(|view| view.num == number)?;
        Some((view.fd?, view.path, self.role()))
    }
}
