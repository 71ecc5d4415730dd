//! The initramfs: the suite, the libraries that it is linked with, a busybox, a shell, and a script that mounts what is needed.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, ensure};

use super::outcome::KERNEL;
use crate::{process, workspace};

/// Makes the initramfs; its file.
pub fn build(suite: &Path) -> Result<PathBuf> {
    let (root, file) = (workspace::vm().join("root"), workspace::vm().join("initramfs"));
    if root.exists() {
        fs::remove_dir_all(&root).with_context(|| format!("cannot empty {}", root.display()))?;
    }
    for made in ["bin", "dev", "etc", "proc", "root", "sys", "tmp"] {
        fs::create_dir_all(root.join(made)).with_context(|| format!("cannot make {}", root.display()))?;
    }
    let busybox = process::find("busybox").context("there is no busybox")?;
    // Tests give the shell names of their own; busybox goes by its name, so it cannot be that shell.
    let shell = fs::canonicalize("/bin/sh").context("there is no /bin/sh")?;
    let mut placed = vec![(busybox, "bin/busybox".to_owned()), (suite.to_owned(), "suite".to_owned())];
    placed.push((shell.clone(), "bin/sh".to_owned()));
    for program in [suite, &shell] {
        for library in libraries(program)? {
            let to = library.to_string_lossy().trim_start_matches('/').to_owned();
            placed.push((library, to));
        }
    }
    for (from, to) in placed {
        let to = root.join(to);
        to.parent().map_or(Ok(()), fs::create_dir_all)?;
        fs::copy(&from, &to).with_context(|| format!("cannot copy {}", from.display()))?;
    }
    let init = root.join("init");
    workspace::write(&init, script().as_bytes())?;
    fs::set_permissions(&init, fs::Permissions::from_mode(0o755))?;
    workspace::write(&root.join("etc/passwd"), b"root:x:0:0::/root:/bin/sh\n")?;
    workspace::write(&root.join("etc/hostname"), b"vm\n")?;
    pack(&root, &file)?;
    Ok(file)
}

/// What the kernel starts. The suite takes its place, so it is process 1; the kernel's panic at its end ends the machine.
fn script() -> String {
    format!(
        "#!/bin/sh\n\
         b=/bin/busybox\n\
         $b mount -t proc proc /proc\n\
         $b mount -t sysfs sysfs /sys\n\
         $b mount -t devtmpfs dev /dev\n\
         $b mkdir -p /dev/shm /dev/pts\n\
         $b mount -t tmpfs shm /dev/shm\n\
         $b mount -t tmpfs tmp /tmp\n\
         $b mount -t devpts pts /dev/pts\n\
         $b mount -t cgroup2 cgroup /sys/fs/cgroup\n\
         $b mount -t tracefs tracing /sys/kernel/tracing\n\
         $b ip link set lo up\n\
         $b hostname vm\n\
         $b echo; $b echo \"{KERNEL}$($b uname -r)\"\n\
         cd /root\n\
         export PATH=/bin HOME=/root\n\
         exec /suite --color never --test-threads 1\n"
    )
}

/// The shared libraries of a program, the one that loads them included.
fn libraries(program: &Path) -> Result<Vec<PathBuf>> {
    let listed = process::output(process::command("ldd").arg(program)).context("cannot list libraries")?;
    Ok(paths(&listed))
}

/// The absolute paths in what `ldd` prints.
fn paths(listed: &str) -> Vec<PathBuf> {
    listed.split_whitespace().filter(|word| word.starts_with('/')).map(PathBuf::from).collect()
}

/// Packs a folder in the form that the kernel unpacks.
fn pack(root: &Path, file: &Path) -> Result<()> {
    let mut files = Vec::new();
    list(root, Path::new(""), &mut files)?;
    let out = fs::File::create(file).with_context(|| format!("cannot write {}", file.display()))?;
    let mut cpio = process::command("cpio");
    cpio.current_dir(root).args(["--create", "--format=newc", "--quiet", "--owner=0:0"]);
    let mut child = cpio.stdin(Stdio::piped()).stdout(out).spawn().context("cannot start cpio")?;
    let mut names = child.stdin.take().context("cpio has no input")?;
    for name in files {
        writeln!(names, "{}", name.display())?;
    }
    drop(names);
    ensure!(child.wait()?.success(), "cpio has failed");
    Ok(())
}

/// Everything below a folder by its name there, folders before what is in them.
fn list(root: &Path, below: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(root.join(below))? {
        let entry = entry?;
        let name = below.join(entry.file_name());
        files.push(name.clone());
        if entry.file_type()?.is_dir() {
            list(root, &name, files)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_what_has_a_path() {
        let listed =
            "\tlinux-vdso.so.1 (0x00007ffe)\n\tlibc.so.6 => /lib/x/libc.so.6 (0x1)\n\t/lib64/ld.so.2 (0x2)\n";
        assert_eq!(paths(listed), [PathBuf::from("/lib/x/libc.so.6"), PathBuf::from("/lib64/ld.so.2")]);
        assert!(paths("\tstatically linked\n").is_empty());
    }
}
