//! `cargo xtask build-ui`: the web app, built into `sensor/ui/dist`, which the binary embeds.
//!
//! Without a new enough Node the binary is built without it, and says so when asked for it.

use anyhow::Result;

use crate::process;
use crate::setup::node::{self, Node};
use crate::setup::{InstallArgs, Setup};
use crate::workspace::{self, Stamp};

#[derive(clap::Args)]
pub struct Args {
    /// Build even if nothing changed.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    install: InstallArgs,
}

/// `cargo xtask build-ui`.
pub fn task(args: &Args) -> Result<()> {
    build(&mut Setup::new(args.install), args.force)
}

/// Builds the app unless it is there and its sources are unchanged.
pub fn build(setup: &mut Setup, force: bool) -> Result<()> {
    workspace::phase("web app", || {
        let ui = workspace::root().join("sensor/ui");
        if !ui.join("package.json").is_file() {
            eprintln!("    sensor/ui has no package.json: nothing to build");
            return Ok(());
        }
        let stamp = Stamp::new("ui", std::slice::from_ref(&ui), &[])?;
        // Browser tests use what is in node_modules.
        let made = ["dist/index.html", "node_modules"].iter().all(|made| ui.join(made).exists());
        if !force && stamp.is_current() && made {
            eprintln!("    unchanged");
            return Ok(());
        }
        let folder = match node::ensure(setup)? {
            Node::Found { folder, version } => {
                eprintln!("    Node {version}");
                folder
            }
            Node::Missing(reason) => {
                eprintln!("    NOT BUILT: {reason}. The binary will work without its web app.");
                return Ok(());
            }
        };
        let path = process::path_with(&folder)?;
        let npm = || {
            let mut npm = process::command("npm");
            npm.current_dir(&ui).env("PATH", &path);
            npm
        };
        process::run(npm().args(["ci", "--no-audit", "--no-fund"]))?;
        process::run(npm().args(["run", "build"]))?;
        // Anew, because the build writes generated types among the sources.
        Stamp::new("ui", std::slice::from_ref(&ui), &[])?.set()
    })
}
