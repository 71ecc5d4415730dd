//! Node.js for the web app's build. Only the build needs it: the finished app is embedded in the binary.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::{Setup, apt};
use crate::process;
use crate::workspace;

/// The oldest that the build tools accept (Vite 8).
const OLDEST: (u32, u32) = (20, 19);
/// The npm package that carries the Node executable, for systems whose own is too old.
const PACKAGED: &str = "24.21.0";
const WHY: &str = "building the web app";

/// The outcome of looking for Node.
pub enum Node {
    /// `folder` is to stand first in `PATH`.
    Found { folder: PathBuf, version: String },
    /// The binary can be built without the web app; why it has to be.
    Missing(String),
}

/// Finds Node and npm, or installs them. An absent one is not an error.
pub fn ensure(setup: &mut Setup) -> Result<Node> {
    if let Some(found) = find() {
        return Ok(found);
    }
    let packages = ["nodejs", "npm"].map(|name| apt::Package { name, why: WHY });
    if process::find("npm").is_none() && !apt::ensure(setup, &packages)? {
        return Ok(Node::Missing(remedy("there is no npm")));
    }
    if let Some(found) = find() {
        return Ok(found);
    }
    let arch = if std::env::consts::ARCH == "aarch64" { "arm64" } else { "x64" };
    let package = format!("node-linux-{arch}@{PACKAGED}");
    if setup.may_install(&format!("Node {PACKAGED} (npm package, into target/node)"), WHY)? {
        let folder = workspace::target().join("node");
        let mut npm = process::command("npm");
        npm.args(["install", "--no-save", "--no-audit", "--no-fund", "--prefix"]).arg(&folder).arg(package);
        if let Err(error) =
            std::fs::create_dir_all(&folder).map_err(Into::into).and_then(|()| process::run(&mut npm))
        {
            eprintln!("    {error:#}");
        }
    }
    Ok(find().unwrap_or_else(|| Node::Missing(remedy("this system's Node is too old"))))
}

fn remedy(reason: &str) -> String {
    format!(
        "{reason}; install Node {}.{} or newer with npm (nodejs.org, or your distribution)",
        OLDEST.0, OLDEST.1
    )
}

fn find() -> Option<Node> {
    process::find("npm")?;
    let arch = if std::env::consts::ARCH == "aarch64" { "arm64" } else { "x64" };
    let packaged = workspace::target().join(format!("node/node_modules/node-linux-{arch}/bin/node"));
    process::find("node").into_iter().chain([packaged]).find_map(|file| {
        let version = process::output(process::command(&file).arg("--version")).ok()?.trim().to_owned();
        let folder = file.parent().map(Path::to_owned)?;
        is_new_enough(&version).then_some(Node::Found { folder, version })
    })
}

fn is_new_enough(version: &str) -> bool {
    let mut numbers = version.trim_start_matches('v').split('.').map(|n| n.parse::<u32>().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= OLDEST
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_nodes_are_told_from_new_ones() {
        assert!(is_new_enough("v20.19.0") && is_new_enough("v24.1.0"));
        assert!(!is_new_enough("v18.19.1") && !is_new_enough("v20.18.3") && !is_new_enough("soup"));
    }
}
