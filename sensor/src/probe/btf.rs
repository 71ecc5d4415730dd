//! Offsets of kernel structures, read from the running kernel's BTF.
//!
//! Rust's BPF target has no CO-RE relocations, so this does their work before load: the programs get the offsets as
//! constants. What the kernel does not have stays [`MISSING`] and is reported by name.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use btf_rs::{Btf, BtfType, Type};
use sensor_ebpf::config::{LAYOUTS, MISSING, OFFSETS, OffsetSpec, Offsets, PREFIXES};

/// Where the kernel shows its type information.
pub const KERNEL_BTF: &str = "/sys/kernel/btf/vmlinux";

/// The kernel's type information is absent or unusable.
#[derive(Debug, thiserror::Error)]
pub enum BtfError {
    #[error(
        "no kernel type information at {path}: {cause}. The sensor needs a kernel built with CONFIG_DEBUG_INFO_BTF=y \
         (all distribution kernels since 5.8; check `zgrep BTF /boot/config-$(uname -r)`), or the `hub` command, which needs none"
    )]
    Absent { path: PathBuf, cause: btf_rs::Error },
}

/// What the running kernel's BTF says.
pub struct KernelTypes {
    btf: Btf,
}

/// The offsets found, and those that were not.
pub struct Found {
    pub offsets: Offsets,
    pub missing: Vec<&'static OffsetSpec>,
}

impl Found {
    /// Names of the missing offsets that no program can do without.
    pub fn essential(&self) -> Vec<&'static str> {
        self.missing.iter().filter(|spec| spec.costs.is_none()).map(|spec| spec.name).collect()
    }

    /// What records lack on this kernel, each thing once, with the fields that have no value because of it.
    pub fn costs(&self) -> Vec<String> {
        let cost = |spec: &&OffsetSpec| {
            let what = spec.costs?;
            let fields = spec.fields.join(", ");
            Some(if fields.is_empty() { what.to_owned() } else { format!("{what} ({fields})") })
        };
        let mut costs: Vec<String> = self.missing.iter().filter_map(cost).collect();
        costs.dedup();
        costs
    }
}

impl KernelTypes {
    /// Reads the BTF at `path` (usually [`KERNEL_BTF`]).
    pub fn open(path: &Path) -> Result<Self, BtfError> {
        let btf = Btf::from_file(path).map_err(|cause| BtfError::Absent { path: path.to_owned(), cause })?;
        Ok(Self { btf })
    }

    /// All of [`OFFSETS`].
    pub fn offsets(&self) -> Found {
        let mut structs = HashMap::new();
        let mut values = [MISSING; OFFSETS.len()];
        let mut missing = Vec::new();
        for (value, spec) in values.iter_mut().zip(OFFSETS) {
            match spec.paths.iter().find_map(|path| self.resolve(path, &mut structs)) {
                Some(offset) => *value = offset,
                None => missing.push(spec),
            }
        }
        // Both are declared by one macro, in one order.
        Found { offsets: zerocopy::transmute!(values), missing }
    }

    /// The first of [`LAYOUTS`] that this kernel breaks, in words.
    pub fn broken_layout(&self) -> Option<String> {
        let mut structs = HashMap::new();
        LAYOUTS
            .iter()
            .find_map(|(first, member, distance)| {
                let start = self.resolve(first, &mut structs);
                let end = self.resolve(member, &mut structs);
                let holds = start.zip(end).is_some_and(|(start, end)| end == start + distance);
                (!holds).then(|| format!("{member} {distance} bytes behind {first}"))
            })
            .or_else(|| {
                PREFIXES.iter().find_map(|(member, size, words)| {
                    let end = self.resolve(member, &mut structs).map(|offset| (offset + size) as usize);
                    (end.is_none_or(|end| end > 8 * words))
                        .then(|| format!("{member} in the first {} bytes", 8 * words))
                })
            })
    }

    /// Value of an enumerator such as `pids_cgrp_id`.
    pub fn enumerator(&self, enumeration: &str, name: &str) -> Option<u32> {
        self.btf.resolve_types_by_name(enumeration).ok()?.into_iter().find_map(|ty| {
            let Type::Enum(e) = ty else { return None };
            e.members
                .iter()
                .find(|m| self.btf.resolve_name(*m).is_ok_and(|n| n == name))
                .map(btf_rs::EnumMember::val)
        })
    }

    /// True when the kernel has a type of that name: a tracepoint `x` has `btf_trace_x`.
    pub fn has_type(&self, name: &str) -> bool {
        self.btf.resolve_types_by_name(name).is_ok_and(|types| !types.is_empty())
    }

    /// `struct.member[.member]` to an offset in bytes (in bits with `bit ` before it), or `struct` to its size.
    fn resolve(&self, path: &str, structs: &mut HashMap<String, Option<btf_rs::Struct>>) -> Option<u32> {
        let (path, unit) = path.strip_prefix("bit ").map_or((path, 8), |path| (path, 1));
        let mut parts = path.split('.');
        let name = parts.next()?;
        let outer = structs.entry(name.to_owned()).or_insert_with(|| self.structure(name)).clone()?;
        let mut current = Type::Struct(outer);
        let mut bits = 0;
        let mut any = false;
        for member in parts {
            any = true;
            let (offset, ty) = self.member(&current, member)?;
            bits += offset;
            current = ty;
        }
        if any {
            return Some(bits / unit);
        }
        let (Type::Struct(s) | Type::Union(s)) = current else { return None };
        u32::try_from(s.size()).ok()
    }

    fn structure(&self, name: &str) -> Option<btf_rs::Struct> {
        self.btf.resolve_types_by_name(name).ok()?.into_iter().find_map(|ty| match ty {
            Type::Struct(s) if s.size() > 0 => Some(s),
            _ => None,
        })
    }

    /// Bit offset and type of a member, looked for in anonymous members too.
    fn member(&self, ty: &Type, name: &str) -> Option<(u32, Type)> {
        let (Type::Struct(s) | Type::Union(s)) = ty else { return None };
        for member in &s.members {
            let member_name = self.btf.resolve_name(member).unwrap_or_default();
            if member_name != name && !member_name.is_empty() {
                continue;
            }
            let inner = self.strip(self.btf.resolve_chained_type(member).ok()?)?;
            if member_name == name {
                return Some((member.bit_offset(), inner));
            }
            if let Some((bits, found)) = self.member(&inner, name) {
                return Some((member.bit_offset() + bits, found));
            }
        }
        None
    }

    /// Follows typedefs and qualifiers.
    fn strip(&self, mut ty: Type) -> Option<Type> {
        loop {
            let next: &dyn BtfType = match &ty {
                Type::Const(t) | Type::Volatile(t) => t,
                Type::Typedef(t) => t,
                Type::TypeTag(t) => t,
                _ => return Some(ty),
            };
            ty = self.btf.resolve_chained_type(next).ok()?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg_attr(not(has_btf), ignore = "needs a kernel with BTF")]
    fn every_offset_is_found_in_this_kernel() {
        let types = KernelTypes::open(Path::new(KERNEL_BTF)).unwrap();
        let found = types.offsets();
        assert_eq!(found.missing.iter().map(|spec| spec.name).collect::<Vec<_>>(), Vec::<&str>::new());
        assert_eq!(types.broken_layout(), None);
        assert_eq!(found.offsets.qstr_name, 8, "struct qstr: hash and length, then the name");
        assert_eq!(found.offsets.path_dentry, 8);
        assert!(found.offsets.inode_size > 300);
        assert!(types.enumerator("cgroup_subsys_id", "memory_cgrp_id").is_some());
    }

    #[test]
    fn what_is_missing_is_told_apart_by_what_it_costs() {
        let named = |names: &[&str]| {
            let missing = OFFSETS.iter().filter(|spec| names.contains(&spec.name)).collect();
            Found { offsets: Offsets::NONE, missing }
        };
        let found = named(&["inode_ctime_sec", "inode_ctime_nsec", "task_loginuid"]);
        assert_eq!(found.essential(), Vec::<&str>::new());
        assert_eq!(found.costs().len(), 2, "{:?}", found.costs());
        assert_eq!(named(&["task_tgid", "task_loginuid"]).essential(), ["task_tgid"]);
    }

    #[test]
    fn absent_btf_says_what_to_do() {
        let error =
            KernelTypes::open(Path::new("/nonexistent/btf")).err().map(|e| e.to_string()).unwrap_or_default();
        assert!(error.contains("/nonexistent/btf") && error.contains("CONFIG_DEBUG_INFO_BTF"), "{error}");
    }
}
