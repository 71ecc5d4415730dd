//! Values that a field never has, whatever happens: what makes a comparison useless though it is well formed.

use crate::rules::language::ast::Op;
use crate::rules::registry::fields::{Field, FieldRef};
use crate::rules::registry::types::FieldType;

/// Longest name of a process: the kernel keeps 15 bytes.
const COMM: usize = 15;

/// Fields that are names of processes as the kernel keeps them.
const COMM_FIELDS: [Field; 5] =
    [Field::ProcName, Field::ProcPname, Field::ProcAname, Field::ProcSname, Field::ProcPgidName];

const TYPES: &[&str] = &[
    "file",
    "directory",
    "ipv4",
    "ipv6",
    "ipv4serv",
    "ipv6serv",
    "unix",
    "pipe",
    "event",
    "signalfd",
    "eventpoll",
    "inotify",
    "timerfd",
    "netlink",
    "bpf",
    "userfaultfd",
    "io_uring",
    "memfd",
    "pidfd",
    "unsupported",
    "unknown",
    "unsupp",
];
const TYPE_CHARACTERS: &str = "fd46upeslitnbrmPXo";

/// Why `field op literal` holds for no value that the field can have.
pub fn impossible(field: &FieldRef, op: Op, literal: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(literal).ok()?;
    let is = |why: &str| Some(why.to_owned());
    let whole = matches!(op, Op::Eq | Op::In | Op::Intersects);
    let part = matches!(op, Op::Startswith | Op::Endswith | Op::Contains | Op::Icontains);
    if COMM_FIELDS.contains(&field.field) && (whole || part) && literal.len() > COMM {
        let mut cut = COMM;
        while !text.is_char_boundary(cut) {
            cut -= 1;
        }
        return Some(format!(
            "the kernel keeps {COMM} bytes of a process's name, so this one reads {:?}",
            &text[..cut]
        ));
    }
    if !whole {
        return None;
    }
    match field.field {
        Field::EvtRes if !is_result(text) => is("it is SUCCESS or the name of an error, such as ENOENT"),
        Field::FdTypechar if text.chars().count() != 1 || !TYPE_CHARACTERS.contains(text) => {
            Some(format!("it is one character of {TYPE_CHARACTERS}"))
        }
        Field::FdType if !TYPES.contains(&text) => Some(format!("it is one of {}", TYPES[..19].join(", "))),
        Field::FdL4proto if !["tcp", "udp", "icmp", "raw", "<NA>"].contains(&text) => {
            is("it is tcp, udp, icmp, raw, or the text <NA> where it is not known")
        }
        Field::FdSockfamily if !["ip", "unix"].contains(&text) => is("it is ip or unix"),
        Field::ContainerId if is_long_id(text) => {
            Some(format!("it has the first 12 characters, {:?}; container.full_id has them all", &text[..12]))
        }
        _ if is_unsigned(field.kind()) && text.starts_with('-') && text != "-0" => is("it is never negative"),
        _ => None,
    }
}

/// `SUCCESS`, the name of an error, or one of unknown number.
fn is_result(text: &str) -> bool {
    let name = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit();
    text == "SUCCESS" || (text.starts_with('E') && text.chars().all(name))
}

fn is_long_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn is_unsigned(kind: FieldType) -> bool {
    matches!(
        kind,
        FieldType::Uint8 | FieldType::Uint16 | FieldType::Uint32 | FieldType::Uint64 | FieldType::Port
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_field_never_is() {
        for (field, op, literal, possible) in [
            ("proc.name", Op::Eq, "systemd-logind", true),
            ("proc.name", Op::Eq, "systemd-journald", false),
            ("proc.name", Op::Startswith, "systemd-journald", false),
            ("proc.name", Op::Glob, "systemd-journald*", true),
            ("proc.name", Op::Ne, "systemd-journald", true),
            ("proc.aname", Op::In, "systemd-journald", false),
            ("proc.exe", Op::Eq, "/usr/lib/systemd/systemd-journald", true),
            ("evt.res", Op::Eq, "ENOENT", true),
            ("evt.res", Op::Eq, "-1", false),
            ("fd.typechar", Op::Eq, "4", true),
            ("fd.typechar", Op::Eq, "file", false),
            ("fd.type", Op::Eq, "ipv4", true),
            ("fd.type", Op::Eq, "f", false),
            ("fd.l4proto", Op::Eq, "TCP", false),
            ("user.uid", Op::Eq, "-1", false),
            ("user.loginuid", Op::Eq, "-1", true),
            ("container.id", Op::Eq, "host", true),
            ("container.id", Op::Eq, &"0123456789abcdef".repeat(4), false),
        ] {
            let field = FieldRef::parse(field).unwrap();
            assert_eq!(impossible(&field, op, literal.as_bytes()).is_none(), possible, "{field} {literal}");
        }
    }
}
