//! Directories deeper than any path that a call takes.

use std::ffi::CString;
use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, Mode, OFlags, mkdirat, open, openat, unlinkat};

const DIRECTORY: OFlags = OFlags::DIRECTORY.union(OFlags::CLOEXEC);

/// Makes `depth` directories of that name below `top`, each in the one before, and a file `end` in the last one. Returns the
/// last one.
pub fn dig(top: &str, name: &str, depth: usize) -> OwnedFd {
    let name = CString::new(name).unwrap();
    let mut dir = open(top, DIRECTORY, Mode::empty()).unwrap();
    for _ in 0..depth {
        mkdirat(&dir, &name, Mode::RWXU).unwrap();
        dir = openat(&dir, &name, DIRECTORY, Mode::empty()).unwrap();
    }
    openat(&dir, c"end", OFlags::CREATE | OFlags::CLOEXEC, Mode::RUSR).unwrap();
    dir
}

/// Removes what [`dig`] made, from the inside: the standard library's way holds a descriptor for each level.
pub fn fill_in(mut dir: OwnedFd, name: &str, depth: usize) {
    let name = CString::new(name).unwrap();
    unlinkat(&dir, c"end", AtFlags::empty()).unwrap();
    for _ in 0..depth {
        let up = openat(&dir, c"..", DIRECTORY, Mode::empty()).unwrap();
        unlinkat(&up, &name, AtFlags::REMOVEDIR).unwrap();
        dir = up;
    }
}

/// A directory in shared memory, where `fd.name startswith /dev/shm` looks.
pub fn shared_memory() -> (tempfile::TempDir, String) {
    let dir = tempfile::Builder::new().prefix("falconet-deep-").tempdir_in("/dev/shm").unwrap();
    let path = dir.path().to_str().unwrap().to_owned();
    (dir, path)
}
