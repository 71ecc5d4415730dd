//! Load and attach: only the programs that the rules and the state need.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aya::maps::{Array, Map, MapData, ProgramArray};
use aya::programs::{BtfTracePoint, ProgramError};
use aya::{Btf, Ebpf, EbpfError, EbpfLoader};
use sensor_ebpf::config::{BULK_LANES, Config, OFFSETS, SYSCALLS_LEN};
use sensor_ebpf::events::{EVENTS, Event, Hook};
use sensor_ebpf::filter::Filter;

use super::btf::{BtfError, KERNEL_BTF, KernelTypes, is_essential};
use super::counters::Counted;
use super::lanes::Lanes;
use super::ring::{Ring, page_size};

/// What to load and how.
#[derive(Debug, Clone)]
pub struct Options {
    /// Kernel BTF file.
    pub btf: PathBuf,
    /// `evt.type` names that rules need; what the state needs is added.
    pub event_types: BTreeSet<String>,
    /// What an event must have to be handed to user space, by `evt.type`; others pass.
    pub filters: BTreeMap<String, Filter>,
    /// cgroup v1 controller (`memory`, `pids`…) whose hierarchy names containers; `None`: the unified hierarchy.
    pub cgroup_controller: Option<String>,
    /// Id of that hierarchy, as in `/proc/cgroups`; 0 for a pure unified one.
    pub cgroup_hierarchy: u32,
    /// Bytes of the lifecycle lane and of all bulk lanes together; rounded to powers of two.
    pub lifecycle_bytes: usize,
    pub bulk_bytes: usize,
    /// Where the verifier's log goes when a program is refused.
    pub log_dir: PathBuf,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            btf: KERNEL_BTF.into(),
            event_types: BTreeSet::new(),
            filters: BTreeMap::new(),
            cgroup_controller: None,
            cgroup_hierarchy: 0,
            lifecycle_bytes: 2 << 20,
            bulk_bytes: 8 << 20,
            log_dir: std::env::temp_dir(),
        }
    }
}

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
        "the kernel refused eBPF ({source}): run as root, or with CAP_BPF, CAP_PERFMON and CAP_SYS_PTRACE"
    )]
    Permission { source: io::Error },
    #[error("the kernel refused the program `{program}`: {source}. Verifier log: {}; its end:\n{tail}", .log.display())]
    Verifier { program: String, source: io::Error, log: PathBuf, tail: String },
    #[error("cannot load the eBPF object: {0}")]
    Object(#[from] EbpfError),
    #[error("cannot load or attach the program `{program}`: {source}")]
    Program { program: String, source: ProgramError },
    #[error("the eBPF object has no {what} `{name}`; it does not fit this binary: build both again")]
    Mismatch { what: &'static str, name: String },
    #[error("cannot set up the map `{name}`: {source}")]
    Map { name: &'static str, source: io::Error },
}

/// A loaded and attached probe. Dropping it detaches everything.
pub struct Probe {
    // Keeps programs, links and maps alive.
    _ebpf: Ebpf,
    _programs: ProgramArray<MapData>,
    counters: Arc<Counted>,
    attached: Vec<&'static Event>,
    missing_offsets: Vec<&'static str>,
}

impl Probe {
    /// Loads what `options` ask for. Nothing is attached when this fails.
    pub fn load(options: &Options) -> Result<(Self, Lanes), ProbeError> {
        if super::OBJECT.is_empty() {
            return Err(ProbeError::NotBuilt);
        }
        let types = KernelTypes::open(&options.btf)?;
        let found = types.offsets();
        let essential: Vec<_> = OFFSETS
            .iter()
            .filter(|spec| is_essential(spec) && found.missing.contains(&spec.name))
            .map(|s| s.name)
            .collect();
        if !essential.is_empty() {
            return Err(ProbeError::Offsets(essential));
        }
        if let Some(layout) = types.broken_layout() {
            return Err(ProbeError::Layout(layout));
        }
        let subsys = options.cgroup_controller.as_deref().and_then(|name| {
            let id = if name == "blkio" { "io" } else { name };
            types.enumerator("cgroup_subsys_id", &format!("{id}_cgrp_id"))
        });

        let lanes = std::thread::available_parallelism().map_or(1, usize::from).next_power_of_two();
        let lanes = lanes.min(BULK_LANES as usize);
        let lifecycle_size = ring_size(options.lifecycle_bytes);
        let bulk_size = ring_size(options.bulk_bytes / lanes);
        let config = Config {
            offsets: found.offsets,
            cgroup_subsys: subsys.and_then(|s| i32::try_from(s).ok()).unwrap_or(-1),
            cgroup_hierarchy: options.cgroup_hierarchy,
            own_tgid: std::process::id(),
            lane_mask: u32::try_from(lanes - 1).unwrap_or(0),
            watermark: u32::try_from(bulk_size / 4).unwrap_or(u32::MAX),
        };

        let mut loader = EbpfLoader::new();
        loader.override_global("CONFIG", config.as_bytes(), true);
        loader.map_max_entries("LIFECYCLE", u32::try_from(lifecycle_size).unwrap_or(u32::MAX));
        for (i, name) in BULK_MAPS.iter().enumerate() {
            let size = if i < lanes { bulk_size } else { page_size() };
            loader.map_max_entries(name, u32::try_from(size).unwrap_or(u32::MAX));
        }
        let mut ebpf = loader.load(super::OBJECT).map_err(permission_or(ProbeError::Object))?;
        let btf = Btf::parse_file(&options.btf, aya::Endianness::default())
            .map_err(|e| ProbeError::Object(e.into()))?;

        // Everything is loaded before anything is attached, so that a refusal leaves no half of a probe.
        let wanted: Vec<&'static Event> = EVENTS
            .iter()
            .filter(|e| e.info.state || e.info.name.is_some_and(|n| options.event_types.contains(n)))
            .collect();
        for event in &wanted {
            let hook = match event.hook {
                Hook::Tracepoint(name) => name,
                Hook::Syscall(_) => DISPATCHER,
            };
            load_program(&mut ebpf, event.program, hook, &btf, &options.log_dir)?;
        }
        load_program(&mut ebpf, DISPATCHER, DISPATCHER, &btf, &options.log_dir)?;

        let mut programs = ProgramArray::try_from(take(&mut ebpf, "PROGRAMS")?)
            .map_err(|e| ProbeError::Map { name: "PROGRAMS", source: io::Error::other(e) })?;
        let mut table = [0u8; SYSCALLS_LEN];
        for event in &wanted {
            let Hook::Syscall(nr) = event.hook else { continue };
            let fd = program(&mut ebpf, event.program)?
                .fd()
                .map_err(|source| ProbeError::Program { program: event.program.into(), source })?
                .try_clone()
                .map_err(|source| ProbeError::Map { name: "PROGRAMS", source })?;
            programs
                .set(u32::from(event.kind as u16), &fd, 0)
                .map_err(|e| ProbeError::Map { name: "PROGRAMS", source: io::Error::other(e) })?;
            if let (Some(slot), Ok(kind)) = (table.get_mut(usize::from(nr)), u8::try_from(event.kind as u16))
            {
                *slot = kind;
            }
        }
        let mut syscalls: Array<_, [u8; SYSCALLS_LEN]> = Array::try_from(take(&mut ebpf, "SYSCALLS")?)
            .map_err(|e| ProbeError::Map { name: "SYSCALLS", source: io::Error::other(e) })?;
        syscalls
            .set(0, table, 0)
            .map_err(|e| ProbeError::Map { name: "SYSCALLS", source: io::Error::other(e) })?;

        let mut filters: Array<_, RawFilter> = Array::try_from(take(&mut ebpf, "FILTERS")?)
            .map_err(|e| ProbeError::Map { name: "FILTERS", source: io::Error::other(e) })?;
        for event in &wanted {
            if let Some(filter) = event.info.name.and_then(|name| options.filters.get(name)) {
                filters
                    .set(u32::from(event.kind as u16), RawFilter(*filter), 0)
                    .map_err(|e| ProbeError::Map { name: "FILTERS", source: io::Error::other(e) })?;
            }
        }

        let lifecycle = ring(&mut ebpf, "LIFECYCLE", lifecycle_size)?;
        let bulk = BULK_MAPS[..lanes]
            .iter()
            .map(|name| ring(&mut ebpf, name, bulk_size))
            .collect::<Result<Vec<_>, _>>()?;
        let asleep = Array::try_from(take(&mut ebpf, "ASLEEP")?)
            .map_err(|e| ProbeError::Map { name: "ASLEEP", source: io::Error::other(e) })?;
        let counters = Counted::new(take(&mut ebpf, "COUNTERS")?)
            .map_err(|e| ProbeError::Map { name: "COUNTERS", source: io::Error::other(e) })?;

        for event in &wanted {
            if let Hook::Tracepoint(_) = event.hook {
                attach(&mut ebpf, event.program)?;
            }
        }
        attach(&mut ebpf, DISPATCHER)?;

        let probe = Self {
            _ebpf: ebpf,
            _programs: programs,
            counters: Arc::new(counters),
            attached: wanted,
            missing_offsets: found.missing,
        };
        Ok((probe, Lanes::new(lifecycle, bulk, asleep)))
    }

    /// The events that are watched.
    pub fn attached(&self) -> &[&'static Event] {
        &self.attached
    }

    /// Offsets that this kernel does not have; each costs a detail, none a program.
    pub fn missing_offsets(&self) -> &[&'static str] {
        &self.missing_offsets
    }

    /// The kernel's own counters; they can be read after the probe is gone.
    pub fn counters(&self) -> &Arc<Counted> {
        &self.counters
    }
}

/// The kernel's filters fit aya's idea of plain data.
#[derive(Clone, Copy)]
#[repr(transparent)]
struct RawFilter(Filter);

// SAFETY: `Filter` is `repr(C)` and consists of integers without padding between them.
unsafe impl aya::Pod for RawFilter {}

/// Name of the dispatcher program and of its tracepoint.
const DISPATCHER: &str = "sys_exit";
const BULK_MAPS: [&str; BULK_LANES as usize] = ["BULK0", "BULK1", "BULK2", "BULK3"];

fn ring_size(bytes: usize) -> usize {
    bytes.max(page_size()).next_power_of_two()
}

fn take(ebpf: &mut Ebpf, name: &'static str) -> Result<Map, ProbeError> {
    ebpf.take_map(name).ok_or_else(|| ProbeError::Mismatch { what: "map", name: name.into() })
}

fn ring(ebpf: &mut Ebpf, name: &'static str, size: usize) -> Result<Ring, ProbeError> {
    let Map::RingBuf(data) = take(ebpf, name)? else {
        return Err(ProbeError::Mismatch { what: "ring buffer", name: name.into() });
    };
    let fd = data.fd().as_fd().try_clone_to_owned().map_err(|source| ProbeError::Map { name, source })?;
    Ring::new(fd, size).map_err(|source| ProbeError::Map { name, source })
}

fn program<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut BtfTracePoint, ProbeError> {
    let program =
        ebpf.program_mut(name).ok_or_else(|| ProbeError::Mismatch { what: "program", name: name.into() })?;
    program.try_into().map_err(|source| ProbeError::Program { program: name.into(), source })
}

fn attach(ebpf: &mut Ebpf, name: &str) -> Result<(), ProbeError> {
    program(ebpf, name)?
        .attach()
        .map(drop)
        .map_err(|source| ProbeError::Program { program: name.into(), source })
}

fn load_program(
    ebpf: &mut Ebpf,
    name: &str,
    hook: &str,
    btf: &Btf,
    log_dir: &Path,
) -> Result<(), ProbeError> {
    /// Lines of the verifier's log that are shown; the reason is at its end.
    const TAIL: usize = 12;
    match program(ebpf, name)?.load(hook, btf) {
        Ok(()) => Ok(()),
        Err(ProgramError::LoadError { io_error, verifier_log }) => {
            let text = verifier_log.to_string();
            if text.trim().is_empty() && io_error.kind() == io::ErrorKind::PermissionDenied {
                return Err(ProbeError::Permission { source: io_error });
            }
            let log = log_dir.join(format!("verifier-{name}.log"));
            // The tail below tells the reason also where the file cannot be written.
            let _ = fs::write(&log, &text);
            let lines: Vec<&str> = text.lines().collect();
            let tail = lines[lines.len().saturating_sub(TAIL)..].join("\n");
            Err(ProbeError::Verifier { program: name.into(), source: io_error, log, tail })
        }
        Err(source) => Err(ProbeError::Program { program: name.into(), source }),
    }
}

/// Tells a missing privilege from everything else that can go wrong with the object.
fn permission_or(otherwise: fn(EbpfError) -> ProbeError) -> impl Fn(EbpfError) -> ProbeError {
    move |error| {
        let mut source: Option<&(dyn std::error::Error + 'static)> = Some(&error);
        while let Some(e) = source {
            if let Some(io) = e.downcast_ref::<io::Error>()
                && let Some(code) = io.raw_os_error().filter(|c| matches!(*c, libc::EPERM | libc::EACCES))
            {
                return ProbeError::Permission { source: io::Error::from_raw_os_error(code) };
            }
            source = e.source();
        }
        otherwise(error)
    }
}
