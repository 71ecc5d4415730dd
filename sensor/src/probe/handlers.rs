//! The programs that watch events and the kernel's filters: what changes when other rules are loaded, while events flow.
//!
//! A change is sound in steps: first ask for what either set of rules needs ([`Wanted::or`]), then exchange the rules, then ask for
//! what the new ones need. The kernel sees a handler's filter before it sees the handler, and a filter that is being written
//! lets everything pass (see [`sensor_ebpf::filter`]). When a program is refused nothing has changed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use aya::maps::{Array, MapData, ProgramArray};
use aya::programs::{BtfTracePoint, ProgramError};
use aya::{Btf, Ebpf};
use sensor_ebpf::abi::{INTERFACES, Interface, NUMBERS};
use sensor_ebpf::events::{EVENTS, Event, Hook, Kind};
use sensor_ebpf::filter::Filter;

use super::error::{ProbeError, map, take};
use super::requests::{self, Hooks, Requests};

/// What is asked of the kernel.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Wanted {
    /// `evt.type` names that rules need; what the state needs is added.
    pub event_types: BTreeSet<String>,
    /// What an event must have to be handed to user space, by `evt.type`; others pass.
    pub filters: BTreeMap<String, Filter>,
}

impl Wanted {
    /// All that one of two asks for.
    #[must_use]
    pub fn or(&self, other: &Self) -> Self {
        let event_types: BTreeSet<String> = self.event_types.union(&other.event_types).cloned().collect();
        let filter = |name: &String| {
            let of = |wanted: &Self| {
                let asked = wanted.event_types.contains(name);
                asked.then(|| wanted.filters.get(name).copied().unwrap_or(Filter::OPEN))
            };
            match (of(self), of(other)) {
                (Some(a), Some(b)) => Some(a.or(&b)),
                (one, another) => one.or(another),
            }
        };
        let filters = event_types
            .iter()
            .filter_map(|name| Some((name.clone(), filter(name)?)))
            .filter(|(_, filter)| filter.len > 0);
        Self { filters: filters.collect(), event_types }
    }
}

/// A program in the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    pub name: &'static str,
    /// Instructions that the verifier followed (`bpf_prog_info.verified_insns`); `None` before Linux 5.16, which does not tell.
    pub verified: Option<u32>,
}

/// A [`Filter`] as aya takes it.
type RawFilter = [u64; size_of::<Filter>() / 8];

/// By number of a syscall: the kind of event that its handler makes, or 0.
type Table = [u8; NUMBERS];

/// Name of the dispatcher program and of its tracepoint.
pub const DISPATCHER: &str = "sys_exit";

/// The programs, and the maps that say which of them are asked.
pub struct Handlers {
    // Keeps programs and links alive, and the maps that nobody else does: what is loaded later needs their descriptors.
    ebpf: Ebpf,
    programs: ProgramArray<MapData>,
    syscalls: Array<MapData, Table>,
    /// By interface: what `syscalls` holds.
    tables: [Table; INTERFACES.len()],
    filters: Array<MapData, RawFilter>,
    /// By event kind: what `filters` holds.
    filtered: BTreeMap<u16, Filter>,
    attached: Vec<&'static Event>,
    requests: Requests,
    /// Where the programs for requests of io_uring go; `None`: nowhere, on this kernel.
    hooks: Option<Hooks>,
    requests_attached: bool,
    btf: PathBuf,
    log_dir: PathBuf,
}

impl Handlers {
    /// The handlers of `ebpf`, none of them loaded. `btf` and `log_dir` as in [`super::Options`].
    pub fn new(mut ebpf: Ebpf, hooks: Option<Hooks>, btf: &Path, log_dir: &Path) -> Result<Self, ProbeError> {
        let requests = Requests::new(&mut ebpf)?;
        let programs = ProgramArray::try_from(take(&mut ebpf, "PROGRAMS")?).map_err(map("PROGRAMS"))?;
        let syscalls = Array::try_from(take(&mut ebpf, "SYSCALLS")?).map_err(map("SYSCALLS"))?;
        let filters = Array::try_from(take(&mut ebpf, "FILTERS")?).map_err(map("FILTERS"))?;
        Ok(Self {
            ebpf,
            programs,
            syscalls,
            tables: [[0; NUMBERS]; INTERFACES.len()],
            filters,
            filtered: BTreeMap::new(),
            attached: Vec::new(),
            requests,
            hooks,
            requests_attached: false,
            btf: btf.to_owned(),
            log_dir: log_dir.to_owned(),
        })
    }

    /// The events that are watched, in the order of the registry.
    pub fn attached(&self) -> &[&'static Event] {
        &self.attached
    }

    /// The programs in the kernel: the dispatcher, and those of the events that are watched.
    pub fn loaded(&self) -> Vec<Loaded> {
        let verified = |name| {
            let info = self.ebpf.program(name)?.info().ok()?;
            info.verified_instruction_count()
        };
        let names = std::iter::once(DISPATCHER).chain(self.attached.iter().map(|event| event.program));
        names.map(|name| Loaded { name, verified: verified(name) }).collect()
    }

    /// Watches what is wanted and nothing else.
    pub fn change(&mut self, wanted: &Wanted) -> Result<(), ProbeError> {
        let asked = |event: &Event| {
            event.info.feeds_state()
                || event.info.name().is_some_and(|name| wanted.event_types.contains(name))
        };
        let events: Vec<&'static Event> = EVENTS.iter().filter(|event| asked(event)).collect();
        let is_in = |list: &[&'static Event], event: &Event| list.iter().any(|e| e.kind == event.kind);
        let added: Vec<_> = events.iter().copied().filter(|e| !is_in(&self.attached, e)).collect();
        let gone: Vec<_> = self.attached.iter().copied().filter(|e| !is_in(&events, e)).collect();

        // Everything is loaded before anything is attached, so that a refusal leaves no half of a probe.
        if let Err(error) = self.load(&added) {
            self.unload(&added);
            return Err(error);
        }
        for event in &events {
            let filter = event.info.name().and_then(|name| wanted.filters.get(name));
            self.filter(event.kind, filter.unwrap_or(&Filter::OPEN))?;
        }
        for interface in INTERFACES {
            let (index, table) = (interface as usize, table(&events, interface));
            if table != self.tables[index] {
                self.syscalls.set(interface as u32, table, 0).map_err(map("SYSCALLS"))?;
                self.tables[index] = table;
            }
        }
        self.change_requests(&events)?;
        self.attached = events;
        for event in &added {
            if let Hook::Tracepoint(_) = event.hook {
                self.attach(event.program)?;
            }
        }
        self.unload(&gone);
        Ok(())
    }

    /// Watches the requests of io_uring that are one of these events. Where none is, its tracepoints have no program.
    fn change_requests(&mut self, events: &[&'static Event]) -> Result<(), ProbeError> {
        let Some(hooks) = self.hooks else { return Ok(()) };
        self.requests.change(events)?;
        let wanted = requests::are_wanted(events);
        if wanted && !self.requests_attached {
            let btf = self.types()?;
            for (name, hook) in hooks {
                self.load_program(name, hook, &btf)?;
            }
            // What is submitted before the end of requests is watched would be kept for nothing.
            for (name, _) in hooks.into_iter().rev() {
                self.attach(name)?;
            }
        } else if !wanted && self.requests_attached {
            for (name, _) in hooks {
                program(&mut self.ebpf, name)?
                    .unload()
                    .map_err(|cause| ProbeError::Program { program: name.into(), cause })?;
            }
        }
        self.requests_attached = wanted;
        Ok(())
    }

    /// The kernel's types as aya takes them: some ten MiB, so they are read again when they are needed.
    fn types(&self) -> Result<Btf, ProbeError> {
        Btf::parse_file(&self.btf, aya::Endianness::default()).map_err(|e| ProbeError::Object(e.into()))
    }

    /// Loads the programs of events and makes them ready to be called; nobody calls them yet.
    fn load(&mut self, events: &[&'static Event]) -> Result<(), ProbeError> {
        if events.is_empty() {
            return Ok(());
        }
        let btf = self.types()?;
        if self.attached.is_empty() {
            self.load_program(DISPATCHER, DISPATCHER, &btf)?;
        }
        for event in events {
            let Hook::Tracepoint(name) = event.hook else {
                self.load_program(event.program, DISPATCHER, &btf)?;
                let fd = program(&mut self.ebpf, event.program)?
                    .fd()
                    .map_err(|cause| ProbeError::Program { program: event.program.into(), cause })?
                    .try_clone()
                    .map_err(|cause| ProbeError::Map { name: "PROGRAMS", cause })?;
                self.programs.set(u32::from(event.kind as u16), &fd, 0).map_err(map("PROGRAMS"))?;
                continue;
            };
            self.load_program(event.program, name, &btf)?;
        }
        Ok(())
    }

    /// Gives programs back to the kernel, attached or not.
    fn unload(&mut self, events: &[&'static Event]) {
        for event in events {
            // What was not loaded needs no unloading, and has no place in the table.
            let _ = self.programs.clear_index(&u32::from(event.kind as u16));
            if let Ok(program) = program(&mut self.ebpf, event.program) {
                let _ = program.unload();
            }
        }
    }

    /// Exchanges a filter. Programs that read it meanwhile see the odd version, or that it changed.
    fn filter(&mut self, kind: Kind, filter: &Filter) -> Result<(), ProbeError> {
        let kind = kind as u16;
        let old = self.filtered.get(&kind).copied().unwrap_or(Filter::OPEN);
        let new = Filter { version: old.version + 2, ..*filter };
        if (Filter { version: new.version, ..old }) == new {
            return Ok(());
        }
        for step in
            [Filter { version: old.version + 1, ..old }, Filter { version: old.version + 1, ..new }, new]
        {
            let raw: RawFilter = zerocopy::transmute!(step);
            self.filters.set(u32::from(kind), raw, 0).map_err(map("FILTERS"))?;
        }
        self.filtered.insert(kind, new);
        Ok(())
    }

    /// Attaches a loaded program to its tracepoint.
    pub fn attach(&mut self, name: &str) -> Result<(), ProbeError> {
        program(&mut self.ebpf, name)?
            .attach()
            .map(drop)
            .map_err(|cause| ProbeError::Program { program: name.into(), cause })
    }

    fn load_program(&mut self, name: &str, hook: &str, btf: &Btf) -> Result<(), ProbeError> {
        /// Lines of the verifier's log that are shown; the reason is at its end.
        const TAIL: usize = 12;
        match program(&mut self.ebpf, name)?.load(hook, btf) {
            Ok(()) => Ok(()),
            Err(ProgramError::LoadError { io_error, verifier_log }) => {
                let text = verifier_log.to_string();
                if text.trim().is_empty() && io_error.kind() == io::ErrorKind::PermissionDenied {
                    return Err(ProbeError::Permission { cause: io_error });
                }
                let log = self.log_dir.join(format!("verifier-{name}.log"));
                // The tail below tells the reason also where the file cannot be written.
                let _ = fs::write(&log, &text);
                let lines: Vec<&str> = text.lines().collect();
                let tail = lines[lines.len().saturating_sub(TAIL)..].join("\n");
                Err(ProbeError::Verifier { program: name.into(), cause: io_error, log, tail })
            }
            Err(cause) => Err(ProbeError::Program { program: name.into(), cause }),
        }
    }
}

/// The dispatcher's table for calls that come in by `interface`.
fn table(events: &[&'static Event], interface: Interface) -> Table {
    let mut table = [0; NUMBERS];
    for event in events {
        let Hook::Syscall(numbers) = event.hook else { continue };
        for number in numbers.of(interface) {
            if let (Some(slot), Ok(kind)) =
                (table.get_mut(usize::from(number)), u8::try_from(event.kind as u16))
            {
                *slot = kind;
            }
        }
    }
    table
}

fn program<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut BtfTracePoint, ProbeError> {
    let program =
        ebpf.program_mut(name).ok_or_else(|| ProbeError::Mismatch { what: "program", name: name.into() })?;
    program.try_into().map_err(|cause| ProbeError::Program { program: name.into(), cause })
}

#[cfg(test)]
mod tests {
    use sensor_ebpf::filter::Alternative;

    use super::*;

    fn wanted(events: &[(&str, Option<&str>)]) -> Wanted {
        let filter = |path: &str| Filter::of(&[Alternative::of_path(path.as_bytes(), false)]).unwrap();
        Wanted {
            event_types: events.iter().map(|(name, _)| (*name).to_owned()).collect(),
            filters: events
                .iter()
                .filter_map(|(name, path)| Some(((*name).to_owned(), filter((*path)?))))
                .collect(),
        }
    }

    #[test]
    fn either_of_two_sets_gets_what_it_asks_for() {
        let one = wanted(&[("open", Some("/a")), ("openat", Some("/a")), ("creat", None), ("setuid", None)]);
        let other =
            wanted(&[("open", Some("/b")), ("openat2", Some("/b")), ("creat", Some("/b")), ("ptrace", None)]);
        let both = one.or(&other);
        let names: Vec<&str> = both.event_types.iter().map(String::as_str).collect();
        assert_eq!(names, ["creat", "open", "openat", "openat2", "ptrace", "setuid"]);
        // An event that one of them wants unfiltered has no filter.
        let filtered: Vec<&str> = both.filters.keys().map(String::as_str).collect();
        assert_eq!(filtered, ["open", "openat", "openat2"]);
        assert_eq!(both.filters["open"].len, 2);
        assert_eq!(both.filters["openat2"], other.filters["openat2"]);
        assert!(both == both.or(&one) && both == both.or(&other), "nothing new to add");
    }
}
