//! What the sensor sees: the events that it captures, the fields that it fills, and what this kernel keeps from it.

use std::path::Path;

use crate::engine::extract::UNFILLED;
use crate::probe::btf::{KERNEL_BTF, KernelTypes};
use crate::rules::registry::event_types::captured;
use crate::rules::registry::fields::by_name;
use crate::rules::{FieldSet, Sight};

/// What the sensor sees on a kernel that has everything.
pub fn anywhere() -> Sight {
    Sight { events: Some(captured()), unfilled: UNFILLED, hidden: FieldSet::NONE }
}

/// What it sees on the kernel with these types.
pub fn on(types: &KernelTypes) -> Sight {
    let lacking = types.offsets().missing;
    let names = lacking.iter().flat_map(|spec| spec.fields);
    let hidden =
        names.filter_map(|name| by_name(name)).fold(FieldSet::NONE, |set, info| set.with(info.field));
    Sight { hidden, ..anywhere() }
}

/// What it sees on this machine. A kernel that says nothing of its types hides nothing: no sensor starts there.
pub fn here() -> Sight {
    KernelTypes::open(Path::new(KERNEL_BTF)).map_or_else(|_| anywhere(), |types| on(&types))
}

#[cfg(test)]
mod tests {
    use sensor_ebpf::config::OFFSETS;

    use super::*;

    #[test]
    fn what_a_kernel_can_hide_are_fields_that_are_filled() {
        let mut hidden = 0;
        for name in OFFSETS.iter().flat_map(|spec| spec.fields) {
            let info = by_name(name).unwrap_or_else(|| panic!("{name} is no field"));
            assert!(!UNFILLED.contains(info.field), "{name} has no value on any kernel");
            hidden += 1;
        }
        assert!(hidden > 0);
    }
}
