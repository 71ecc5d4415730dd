//! Kernels of Debian, downloaded by apt and unpacked, not installed.
//!
//! A distribution's kernel is found by the one name that never changes, that of the package that depends on the newest. The
//! distributions are other ones than this machine's, so apt gets folders of its own, the archive that this machine's
//! own sources name, and Debian's keys.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::{process, workspace};

/// A distribution, and what its kernel is when this is written: the real number comes from the kernel.
#[derive(Debug, Clone, Copy)]
pub struct Distribution {
    pub name: &'static str,
    pub about: &'static str,
}

/// From the oldest to the newest.
pub const DISTRIBUTIONS: [Distribution; 3] = [
    Distribution { name: "bookworm", about: "6.1" },
    Distribution { name: "trixie", about: "6.12" },
    Distribution { name: "sid", about: "7.2" },
];

/// The package that depends on the newest kernel of a distribution: small, and all that a virtual machine has is built in.
const PACKAGE: &str = "linux-image-cloud-amd64";
/// Packages that have it, or that lead on to the one that has: its place has moved.
const PARTS: [&str; 2] = ["linux-image-", "linux-binary-"];

/// The kernel of a distribution; downloaded unless it is there.
pub fn ensure(distribution: Distribution, fresh: bool) -> Result<PathBuf> {
    let here = workspace::vm().join("kernels").join(distribution.name);
    let kernel = here.join("vmlinuz");
    if kernel.is_file() && !fresh {
        return Ok(kernel);
    }
    eprintln!("    {}: looking for Linux {} or newer", distribution.name, distribution.about);
    let apt = Apt::new(distribution.name, &here.join("apt"))?;
    process::output(&mut apt.command("apt-get", &["update", "--quiet=2"]))?;
    let package = apt.resolve(PACKAGE)?;
    eprintln!("    {}: {package}", distribution.name);
    let found = apt.unpack(&package)?;
    fs::copy(&found, &kernel).with_context(|| format!("cannot copy {}", found.display()))?;
    // Lists and packages are ten times the kernel.
    fs::remove_dir_all(here.join("apt")).context("cannot tidy up")?;
    Ok(kernel)
}

/// apt for one distribution, in a folder of its own.
struct Apt {
    folder: PathBuf,
}

impl Apt {
    fn new(distribution: &str, folder: &Path) -> Result<Self> {
        let format = "$(ORIGIN)|$(LABEL)|$(REPO_URI)";
        let targets = process::output(process::command("apt-get").args(["indextargets", "--format", format]))
            .context("this machine has no apt")?;
        let archive = archive(&targets).context("this machine's package sources are not Debian's")?;
        let text = |path: &str| folder.join(path).display().to_string();
        for made in ["lists/partial", "cache/archives/partial", "unpacked"] {
            let made = folder.join(made);
            fs::create_dir_all(&made).with_context(|| format!("cannot make {}", made.display()))?;
        }
        let source = format!(
            "Types: deb\nURIs: {archive}\nSuites: {distribution}\nComponents: main\nTargets: Packages\nArchitectures: amd64\n\
             Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n"
        );
        workspace::write(&folder.join("debian.sources"), source.as_bytes())?;
        let config = format!(
            "Dir::Etc::sourcelist \"{}\";\nDir::Etc::sourceparts \"-\";\nDir::State::lists \"{}\";\n\
             Dir::State::status \"/dev/null\";\nDir::Cache \"{}\";\nAPT::Architecture \"amd64\";\n\
             APT::Architectures {{ \"amd64\"; }};\nAPT::Sandbox::User \"\";\nAcquire::Languages \"none\";\n",
            text("debian.sources"),
            text("lists"),
            text("cache"),
        );
        workspace::write(&folder.join("apt.conf"), config.as_bytes())?;
        Ok(Self { folder: folder.to_owned() })
    }

    fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = process::command(program);
        command.env("APT_CONFIG", self.folder.join("apt.conf")).env("LC_ALL", "C").args(arguments);
        command
    }

    /// Follows dependencies to the package that has the kernel.
    fn resolve(&self, package: &str) -> Result<String> {
        /// Deeper than it ever was.
        const STEPS: usize = 4;
        let mut package = package.to_owned();
        for _ in 0..STEPS {
            let shown =
                process::output(&mut self.command("apt-cache", &["show", "--no-all-versions", &package]))?;
            match next(&shown) {
                Some(next) => package = next,
                None => return Ok(package),
            }
        }
        bail!("{PACKAGE} leads from package to package")
    }

    /// Downloads and unpacks a package; the kernel in it.
    fn unpack(&self, package: &str) -> Result<PathBuf> {
        let unpacked = self.folder.join("unpacked");
        let mut download = self.command("apt-get", &["download", "--quiet=2", package]);
        process::output(download.current_dir(&self.folder))?;
        let mut entries = fs::read_dir(&self.folder)?.filter_map(|entry| Some(entry.ok()?.path()));
        let file = entries.find(|path| path.extension().is_some_and(|e| e == "deb"));
        let file = file.with_context(|| format!("apt-get has not left the package {package}"))?;
        process::output(process::command("dpkg-deb").arg("--extract").args([&file, &unpacked]))?;
        let mut files = Vec::new();
        workspace::walk(&unpacked, &mut files)?;
        let is_kernel =
            |path: &PathBuf| path.file_name().is_some_and(|n| n.to_string_lossy().starts_with("vmlinuz"));
        let kernels: Vec<PathBuf> = files.into_iter().filter(is_kernel).collect();
        ensure!(kernels.len() == 1, "{} kernels in the package {package}", kernels.len());
        Ok(kernels[0].clone())
    }
}

/// Where this machine gets Debian's packages from, out of lines `origin|label|address`.
fn archive(targets: &str) -> Option<&str> {
    let is_debian = |fields: &Vec<&str>| fields.len() == 3 && fields[0] == "Debian" && fields[1] == "Debian";
    targets.lines().map(|line| line.split('|').collect()).find(is_debian).map(|fields: Vec<&str>| fields[2])
}

/// The first of [`PARTS`] that a package depends on, out of `apt-cache show`.
fn next(shown: &str) -> Option<String> {
    let depends = shown.lines().find_map(|line| line.strip_prefix("Depends:"))?;
    let names = depends.split([',', '|']).filter_map(|one| one.split_whitespace().next());
    names.filter(|name| PARTS.iter().any(|part| name.starts_with(part))).map(str::to_owned).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_lead_to_the_kernel() {
        let meta = "Package: linux-image-cloud-amd64\nDepends: linux-base-cloud (= 7), linux-image-7.2-cloud (= 7)\n";
        assert_eq!(next(meta).as_deref(), Some("linux-image-7.2-cloud"));
        let image =
            "Depends: dracut | linux-initramfs-tool, linux-binary-7.2-cloud (= 7), linux-modules-7.2-cloud\n";
        assert_eq!(next(image).as_deref(), Some("linux-binary-7.2-cloud"));
        assert_eq!(next("Depends: linux-base (>= 4.3), kmod, initramfs-tools | dracut\n"), None);
        assert_eq!(next("Package: x\n"), None);
    }

    #[test]
    fn the_archive_is_debians_own() {
        let lines = "Some|Some|some://where/\nDebian|Debian-Security|some://security/\nDebian|Debian|some://debian/\n";
        assert_eq!(archive(lines), Some("some://debian/"));
        assert_eq!(archive("Ubuntu|Ubuntu|some://ubuntu/\n"), None);
    }
}
