//! The Rust compiler for the eBPF programs.
//!
//! Their target has no prebuilt `core`, so cargo builds it from the compiler's own sources (`rust-src`), an unstable option
//! that `RUSTC_BOOTSTRAP=1` opens on a stable compiler. In order: the compiler in use, if it has its sources; another of
//! rustup's; the sources added by rustup; Debian's compiler and sources, which come as packages.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use super::{Setup, apt};
use crate::process;

/// The oldest compiler that the workspace accepts.
const OLDEST: (u32, u32) = (1, 95);
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN: [apt::Package; 2] =
    [apt::Package { name: "rustc-web", why: WHY }, apt::Package { name: "rust-web-src", why: WHY }];
const WHY: &str = "compiling the eBPF programs, whose target needs the compiler's own sources";

/// A compiler with its sources.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compiler {
    choice: Choice,
    /// Version, as `1.96.0`.
    version: String,
    /// Major version of its LLVM: the linker's must not be older.
    pub llvm: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Choice {
    /// What `rustc` means here.
    Active,
    /// A toolchain of rustup's.
    Rustup(String),
    /// A compiler outside rustup.
    File(PathBuf),
}

impl fmt::Display for Compiler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match &self.choice {
            Choice::Active => "the active toolchain".to_owned(),
            Choice::Rustup(name) => format!("rustup's {name}"),
            Choice::File(file) => file.display().to_string(),
        };
        write!(f, "rustc {} with LLVM {} ({name})", self.version, self.llvm)
    }
}

impl Compiler {
    /// Lets `cargo` use this compiler and unstable options.
    pub fn apply(&self, cargo: &mut Command) {
        for name in [
            "RUSTC",
            "RUSTC_WRAPPER",
            "RUSTC_WORKSPACE_WRAPPER",
            "CARGO_ENCODED_RUSTFLAGS",
            "LD_LIBRARY_PATH",
        ] {
            cargo.env_remove(name);
        }
        cargo.env("RUSTC_BOOTSTRAP", "1");
        self.choice.apply(cargo);
    }

    /// True when clippy fits this compiler.
    pub fn has_clippy(&self) -> bool {
        let mut clippy = process::cargo();
        self.apply(&mut clippy);
        !matches!(self.choice, Choice::File(_)) && process::succeeds(clippy.args(["clippy", "--version"]))
    }
}

impl Choice {
    fn apply(&self, command: &mut Command) {
        match self {
            Self::Active => {}
            Self::Rustup(name) => {
                command.env("RUSTUP_TOOLCHAIN", name);
            }
            Self::File(file) => {
                command.env("RUSTC", file);
            }
        }
    }

    fn rustc(&self) -> Command {
        let mut command = match self {
            Self::File(file) => process::command(file),
            _ => process::command("rustc"),
        };
        command.env_remove("LD_LIBRARY_PATH");
        self.apply(&mut command);
        command
    }

    /// This compiler, if it is there, new enough and has its sources.
    fn inspect(self) -> Option<Compiler> {
        let root = process::output(self.rustc().args(["--print", "sysroot"])).ok()?;
        let sources = Path::new(root.trim()).join("lib/rustlib/src/rust/library/core/Cargo.toml");
        if !sources.is_file() {
            return None;
        }
        let (version, llvm) = versions(&process::output(self.rustc().arg("-vV")).ok()?)?;
        Some(Compiler { choice: self, version, llvm })
    }
}

/// Finds a compiler, or installs what one lacks.
pub fn ensure(setup: &mut Setup) -> Result<Compiler> {
    if let Some(found) = find() {
        return Ok(found);
    }
    let rustup = process::find("rustup").is_some();
    if rustup && setup.may_install("the compiler's sources (`rustup component add rust-src`)", WHY)? {
        match process::run(process::command("rustup").args(["component", "add", "rust-src"])) {
            Ok(()) => {
                if let Some(found) = Choice::Active.inspect() {
                    return Ok(found);
                }
            }
            Err(error) => eprintln!("    {error:#}; trying Debian's packages"),
        }
    }
    if apt::ensure(setup, &DEBIAN)?
        && let Some(found) = Choice::File(DEBIAN_RUSTC.into()).inspect()
    {
        return Ok(found);
    }
    bail!(
        "no compiler for the eBPF programs: run `rustup component add rust-src` (rustc {}.{} or newer), or on Debian \
         install the packages rustc-web and rust-web-src, then try again",
        OLDEST.0,
        OLDEST.1
    );
}

fn find() -> Option<Compiler> {
    Choice::Active
        .inspect()
        .or_else(|| rustup_toolchains().into_iter().find_map(|name| Choice::Rustup(name).inspect()))
        .or_else(|| Choice::File(DEBIAN_RUSTC.into()).inspect())
}

fn rustup_toolchains() -> Vec<String> {
    let list = process::output(process::command("rustup").args(["toolchain", "list"])).unwrap_or_default();
    list.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

/// Version and LLVM's major version out of `rustc -vV`; `None` when it is older than the workspace accepts.
fn versions(text: &str) -> Option<(String, u32)> {
    let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)).map(str::trim);
    let release = value("release:")?;
    let mut numbers = release.split(['.', '-']).map(str::parse::<u32>);
    let found = (numbers.next()?.ok()?, numbers.next()?.ok()?);
    let llvm = value("LLVM version:")?.split('.').next()?.parse().ok()?;
    (found >= OLDEST).then(|| (release.to_owned(), llvm))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_and_old_compilers_refused() {
        let text =
            |release: &str| format!("rustc x\nbinary: rustc\nrelease: {release}\nLLVM version: 22.1.4\n");
        assert_eq!(versions(&text("1.97.0-nightly")), Some(("1.97.0-nightly".to_owned(), 22)));
        assert_eq!(versions(&text("1.95.0")), Some(("1.95.0".to_owned(), 22)));
        assert_eq!(versions(&text("1.94.1")), None);
        assert_eq!(versions("nonsense"), None);
    }
}
