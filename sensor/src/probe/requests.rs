//! Which requests of io_uring are watched: the side of user space of what the kernel does in its programs on three tracepoints.

use aya::Ebpf;
use aya::maps::{Array, MapData};
use sensor_ebpf::abi::OPCODES;
use sensor_ebpf::events::Event;
use sensor_ebpf::requests::{PROGRAMS, REQUESTS};

use super::btf::{Found, KernelTypes};
use super::error::{ProbeError, map, take};

/// What records lack without these programs.
pub const COST: &str = "requests of io_uring";

/// By opcode: the event kind that an operation is, or 0.
type Table = [u8; OPCODES];

/// Programs and their tracepoints.
pub type Hooks = [(&'static str, &'static str); PROGRAMS.len()];

/// What the running kernel offers; `None` when it lacks something that the programs need.
pub fn hooks(types: &KernelTypes, found: &Found) -> Option<Hooks> {
    if found.missing.iter().any(|spec| spec.costs == Some(COST)) {
        return None;
    }
    let mut hooks = [("", ""); PROGRAMS.len()];
    for (hook, (program, names)) in hooks.iter_mut().zip(PROGRAMS) {
        let name = names.iter().find(|name| types.has_type(&format!("btf_trace_{name}")))?;
        *hook = (program, name);
    }
    Some(hooks)
}

/// The table of the programs.
pub struct Requests {
    operations: Array<MapData, Table>,
    /// What `operations` holds.
    table: Table,
}

impl Requests {
    pub fn new(ebpf: &mut Ebpf) -> Result<Self, ProbeError> {
        let operations = Array::try_from(take(ebpf, "OPERATIONS")?).map_err(map("OPERATIONS"))?;
        Ok(Self { operations, table: [0; OPCODES] })
    }

    /// Watches the operations that are one of these events.
    pub fn change(&mut self, events: &[&'static Event]) -> Result<(), ProbeError> {
        let table = table(events);
        if table != self.table {
            self.operations.set(0, table, 0).map_err(map("OPERATIONS"))?;
            self.table = table;
        }
        Ok(())
    }
}

/// True when some request is one of these events.
pub fn are_wanted(events: &[&'static Event]) -> bool {
    table(events) != [0; OPCODES]
}

fn table(events: &[&'static Event]) -> Table {
    let mut table = [0; OPCODES];
    for (opcode, kind) in REQUESTS {
        let watched = events.iter().any(|event| event.kind == *kind);
        if let (true, Some(slot), Ok(kind)) =
            (watched, table.get_mut(usize::from(*opcode)), u8::try_from(*kind as u16))
        {
            *slot = kind;
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use sensor_ebpf::events::{EVENTS, Kind};

    use super::*;

    #[test]
    fn an_operation_is_watched_if_its_event_is() {
        let of = |kinds: &[Kind]| -> Vec<&'static Event> {
            EVENTS.iter().filter(|event| kinds.contains(&event.kind)).collect()
        };
        assert!(!are_wanted(&of(&[Kind::Open, Kind::Setuid])));
        let table = table(&of(&[Kind::Openat, Kind::Open]));
        let set: Vec<_> = table.iter().enumerate().filter(|(_, kind)| **kind != 0).collect();
        assert_eq!(set, [(18, &(Kind::Openat as u8))]);
    }
}
