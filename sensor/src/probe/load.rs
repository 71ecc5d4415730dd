//! Load and attach: only the programs that the rules and the state need.

use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::Arc;

use aya::maps::{Array, Map};
use aya::{Ebpf, EbpfError, EbpfLoader};
use sensor_ebpf::config::{BULK_LANES, Config};
use sensor_ebpf::events::Event;
use zerocopy::IntoBytes as _;

use super::btf::{KERNEL_BTF, KernelTypes};
use super::counters::Counted;
use super::error::{ProbeError, map, take};
use super::handlers::{DISPATCHER, Handlers, Loaded, Wanted};
use super::lanes::Lanes;
use super::log::{self, LogThread};
use super::mapping::{Mapped, page_size};
use super::merge::Merge;
use super::requests;
use super::ring::Ring;

/// What to load and how.
#[derive(Debug, Clone)]
pub struct Options {
    /// Kernel BTF file.
    pub btf: PathBuf,
    /// What rules need; it can be changed later.
    pub wanted: Wanted,
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
            wanted: Wanted::default(),
            cgroup_controller: None,
            cgroup_hierarchy: 0,
            lifecycle_bytes: 2 << 20,
            bulk_bytes: 8 << 20,
            log_dir: std::env::temp_dir(),
        }
    }
}

/// A loaded and attached probe. Dropping it detaches everything.
pub struct Probe {
    handlers: Handlers,
    counters: Arc<Counted>,
    /// Shows what the programs log, if anything.
    _log: Option<LogThread>,
    missing: Vec<String>,
}

impl Probe {
    /// Loads what `options` ask for. Nothing is attached when this fails.
    pub fn load(options: &Options) -> Result<(Self, Lanes), ProbeError> {
        if super::OBJECT.is_empty() {
            return Err(ProbeError::NotBuilt);
        }
        Self::load_on(&KernelTypes::open(&options.btf)?, options)
    }

    /// The same on a kernel whose types, those of `options.btf`, are known already.
    pub fn load_on(types: &KernelTypes, options: &Options) -> Result<(Self, Lanes), ProbeError> {
        if super::OBJECT.is_empty() {
            return Err(ProbeError::NotBuilt);
        }
        let found = types.offsets();
        let essential = found.essential();
        if !essential.is_empty() {
            return Err(ProbeError::Offsets(essential));
        }
        if let Some(layout) = types.broken_layout() {
            return Err(ProbeError::Layout(layout));
        }
        let mut missing = found.costs();
        let hooks = requests::hooks(types, &found);
        if hooks.is_none() && !missing.iter().any(|cost| cost == requests::COST) {
            missing.push(requests::COST.to_owned());
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
        let level = log::level();
        loader.override_global(aya_log::LEVEL, &level, false);
        if level == 0 {
            loader.map_max_entries(log::MAP, u32::try_from(page_size()).unwrap_or(u32::MAX));
        }
        let mut ebpf = loader.load(super::OBJECT).map_err(permission_or(ProbeError::Object))?;
        let lifecycle = ring(&ebpf, "LIFECYCLE", lifecycle_size)?;
        let bulk = BULK_MAPS[..lanes]
            .iter()
            .map(|name| ring(&ebpf, name, bulk_size))
            .collect::<Result<Vec<_>, _>>()?;
        let asleep = Array::try_from(take(&mut ebpf, "ASLEEP")?).map_err(map("ASLEEP"))?;
        let counters = Counted::new(take(&mut ebpf, "COUNTERS")?, take(&mut ebpf, "FOREIGN")?)
            .map_err(map("COUNTERS"))?;

        // The map must outlive the programs that are loaded later, so it is taken only by the thread.
        let log = (level > 0)
            .then(|| LogThread::start(&mut ebpf))
            .transpose()
            .map_err(|cause| ProbeError::Map { name: log::MAP, cause })?;
        let mut handlers = Handlers::new(ebpf, hooks, &options.btf, &options.log_dir)?;
        handlers.change(&options.wanted)?;
        handlers.attach(DISPATCHER)?;

        let probe = Self { handlers, counters: Arc::new(counters), _log: log, missing };
        Ok((probe, Lanes::new(Merge::new(lifecycle, bulk), asleep)))
    }

    /// Watches what is wanted and nothing else, while events flow. When it fails nothing that was watched is lost.
    pub fn change(&mut self, wanted: &Wanted) -> Result<(), ProbeError> {
        self.handlers.change(wanted)
    }

    /// The events that are watched.
    pub fn attached(&self) -> &[&'static Event] {
        self.handlers.attached()
    }

    /// The programs in the kernel.
    pub fn loaded(&self) -> Vec<Loaded> {
        self.handlers.loaded()
    }

    /// What records lack because this kernel's types do; each a detail, none a program.
    pub fn missing(&self) -> &[String] {
        &self.missing
    }

    /// The kernel's own counters; they can be read after the probe is gone.
    pub fn counters(&self) -> &Arc<Counted> {
        &self.counters
    }
}

const BULK_MAPS: [&str; BULK_LANES as usize] = ["BULK0", "BULK1", "BULK2", "BULK3"];

fn ring_size(bytes: usize) -> usize {
    bytes.max(page_size()).next_power_of_two()
}

/// The reader's side. The map itself stays: programs that are loaded later refer to it by its descriptor.
fn ring(ebpf: &Ebpf, name: &'static str, size: usize) -> Result<Ring<Mapped>, ProbeError> {
    let Some(Map::RingBuf(data)) = ebpf.map(name) else {
        return Err(ProbeError::Mismatch { what: "ring buffer", name: name.into() });
    };
    let fd = data.fd().as_fd().try_clone_to_owned().map_err(|cause| ProbeError::Map { name, cause })?;
    Mapped::new(fd, size).map(Ring::new).map_err(|cause| ProbeError::Map { name, cause })
}

/// Tells a missing privilege from everything else that can go wrong with the object.
fn permission_or(otherwise: fn(EbpfError) -> ProbeError) -> impl Fn(EbpfError) -> ProbeError {
    move |error| {
        let mut source: Option<&(dyn std::error::Error + 'static)> = Some(&error);
        while let Some(e) = source {
            if let Some(io) = e.downcast_ref::<io::Error>()
                && let Some(code) = io.raw_os_error().filter(|c| matches!(*c, libc::EPERM | libc::EACCES))
            {
                return ProbeError::Permission { cause: io::Error::from_raw_os_error(code) };
            }
            source = e.source();
        }
        otherwise(error)
    }
}
