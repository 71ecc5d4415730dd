//! Ordinary packages: C compilers, and the programs that tests start.

use anyhow::{Result, bail};

use super::Setup;
use super::apt::{self, Package};

/// Programs, and the packages that have them.
const EMULATOR: [(&str, &str); 3] =
    [("qemu-system-x86_64", "qemu-system-x86"), ("cpio", "cpio"), ("busybox", "busybox-static")];

impl Setup {
    /// SQLite and the TLS library contain C.
    pub fn c_compiler(&mut self) -> Result<()> {
        const CC: Package = Package { name: "gcc", why: "compiling SQLite, which is embedded" };
        const LIBC: Package = Package { name: "libc6-dev", why: CC.why };
        if crate::process::find("cc").is_none() && !apt::ensure(self, &[CC, LIBC])? {
            bail!("no C compiler: install gcc and the C library's headers");
        }
        Ok(())
    }

    /// libFuzzer is C++. False when there is no compiler for it and none could be had: fuzzing is left out, visibly.
    pub fn cxx_compiler(&mut self) -> Result<bool> {
        const CXX: Package = Package { name: "g++", why: "fuzz targets: libFuzzer is C++" };
        Ok(crate::process::find("c++").is_some() || apt::ensure(self, &[CXX])?)
    }

    /// What virtual machines are made of. Some words when something is missing and could not be had: they are left out, visibly.
    pub fn emulator(&mut self) -> Result<Option<String>> {
        let missing: Vec<Package> = EMULATOR
            .iter()
            .filter(|(program, _)| crate::process::find(program).is_none())
            .map(|&(_, name)| Package { name, why: "running the suite on other kernels" })
            .collect();
        let names: Vec<&str> = missing.iter().map(|package| package.name).collect();
        let found = missing.is_empty() || apt::ensure(self, &missing)?;
        Ok((!found).then(|| format!("without {}", names.join(", "))))
    }

    /// Programs that tests start. Tests whose programs are missing skip themselves, visibly, so this never fails.
    pub fn test_tools(&mut self) -> Result<()> {
        const TOOLS: [(&str, &str, &str); 5] = [
            ("containerd", "containerd", "tests that start containers"),
            ("runc", "runc", "tests that start containers"),
            ("busybox", "busybox-static", "the image of the containers that tests start"),
            ("chromium", "chromium", "tests of the web app in a browser"),
            ("systemd-analyze", "systemd", "the test of the systemd unit"),
        ];
        let missing: Vec<Package> = TOOLS
            .iter()
            .filter(|(program, ..)| crate::process::find(program).is_none())
            .map(|&(_, name, why)| Package { name, why })
            .collect();
        if !missing.is_empty() && !apt::ensure(self, &missing)? {
            eprintln!("    going on without them: tests that need them will be listed as skipped");
        }
        Ok(())
    }
}
