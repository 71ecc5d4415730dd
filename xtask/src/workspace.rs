//! Places in the repository, stamps that let a second run skip work, and the timing line of a phase.

use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result};

/// The repository's root.
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

/// Where cargo puts what it builds.
pub fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |dir| root().join(dir))
}

/// Where kernels lie, and what virtual machines are made of and have said.
pub fn vm() -> PathBuf {
    target().join("vm")
}

/// Runs one phase and prints how long it took.
pub fn phase<T>(name: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    eprintln!("==> {name}");
    let start = Instant::now();
    let result = work().with_context(|| format!("phase `{name}`"));
    let word = if result.is_ok() { "done in" } else { "failed after" };
    eprintln!("==> {name}: {word} {:.1} s", start.elapsed().as_secs_f64());
    result
}

/// Remembers from which inputs a result was made.
///
/// The hash is the standard library's: it may change between compilers, which costs one needless build.
pub struct Stamp {
    file: PathBuf,
    hash: String,
}

impl Stamp {
    /// Hashes names and contents of `inputs` (files, or folders with all that is in them; absent ones count too).
    pub fn new(name: &str, inputs: &[PathBuf], words: &[&str]) -> Result<Self> {
        let mut hasher = DefaultHasher::new();
        words.hash(&mut hasher);
        for input in inputs {
            let mut files = Vec::new();
            walk(input, &mut files).with_context(|| format!("cannot read {}", input.display()))?;
            files.sort();
            for file in files {
                file.hash(&mut hasher);
                let bytes = fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
                bytes.hash(&mut hasher);
            }
        }
        let file = target().join("xtask").join(format!("{name}.stamp"));
        Ok(Self { file, hash: format!("{:016x}", hasher.finish()) })
    }

    /// True when the last [`Self::set`] had the same inputs.
    pub fn is_current(&self) -> bool {
        fs::read_to_string(&self.file).is_ok_and(|old| old == self.hash)
    }

    /// To be called when the result is there.
    pub fn set(&self) -> Result<()> {
        write(&self.file, self.hash.as_bytes())
    }
}

/// Writes a file, making its folder.
pub fn write(file: &Path, bytes: &[u8]) -> Result<()> {
    let made = file.parent().map_or(Ok(()), fs::create_dir_all);
    made.and_then(|()| fs::write(file, bytes)).with_context(|| format!("cannot write {}", file.display()))
}

/// All files under `path`, but what tools make beside the sources.
pub fn walk(path: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    const MADE: [&str; 4] = ["node_modules", "dist", "target", ".git"];
    if path.is_file() {
        files.push(path.to_owned());
    } else if path.is_dir() {
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            if !MADE.iter().any(|made| entry.file_name() == *made) {
                walk(&entry.path(), files)?;
            }
        }
    }
    Ok(())
}
