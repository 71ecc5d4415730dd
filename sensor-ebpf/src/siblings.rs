//! Calls that do the same: the same act, asked for by other arguments.

/// Families of them, by `evt.type`. A rule that asks for one means every other, unless the configuration's `event_families` is off.
pub static FAMILIES: &[&[&str]] = &[
    &["open", "openat", "openat2", "creat", "open_by_handle_at"],
    &["execve", "execveat"],
    &["chmod", "fchmod", "fchmodat", "fchmodat2"],
    &["chown", "lchown", "fchown", "fchownat"],
    &["mkdir", "mkdirat"],
    &["mknod", "mknodat"],
    &["unlink", "unlinkat"],
    &["link", "linkat"],
    &["symlink", "symlinkat"],
    &["rename", "renameat", "renameat2"],
    &["umount", "umount2"],
    &["dup", "dup2", "dup3"],
    &["accept", "accept4"],
    &["sendmsg", "sendmmsg"],
    &["recvmsg", "recvmmsg"],
    &["setuid", "setreuid", "setresuid"],
    &["setgid", "setregid", "setresgid"],
];

/// The other members of a call's family.
pub fn of(name: &str) -> impl Iterator<Item = &'static str> {
    let family = FAMILIES.iter().find(|family| family.contains(&name));
    family.into_iter().copied().flatten().copied().filter(move |member| *member != name)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::vec::Vec;

    use super::*;

    #[test]
    fn a_call_is_of_one_family() {
        let mut seen = BTreeSet::new();
        for name in FAMILIES.iter().copied().flatten() {
            assert!(seen.insert(*name), "{name}");
        }
        assert_eq!(of("mkdirat").collect::<Vec<_>>(), ["mkdir"]);
        assert_eq!(of("connect").next(), None);
    }
}
