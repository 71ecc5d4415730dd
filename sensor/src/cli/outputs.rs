//! `falconet outputs`: where alerts can go, and every key of it. What it prints is `docs/outputs.md`; a test fails when it
//! is not.

use std::fmt::Write as _;

use super::print::say;
use crate::app::exit::Failure;
use crate::outputs::registry;

#[derive(clap::Args)]
pub struct Args {}

pub fn run(_: &Args) -> Result<(), Failure> {
    say(&page())
}

/// The whole page, in Markdown.
fn page() -> String {
    let mut page = String::from(
        "# Outputs\n\n\
         Where alerts go. Each output that is enabled reads the alert log at its own pace: what a destination does not take now is\n\
         sent later, and every alert arrives at least once. Below, every key with its default; they stand at the top level of the\n\
         configuration.\n\n\
         `falconet outputs > docs/outputs.md` writes this page.\n",
    );
    for section in registry::sections() {
        let heading = match section.key {
            "" => "Shared keys".to_owned(),
            key => format!("`{key}`"),
        };
        let _ = write!(page, "\n## {heading}\n\n```yaml\n{}```\n", section.docs);
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_in_step() {
        let file = include_str!("../../../docs/outputs.md");
        assert!(page() == file, "docs/outputs.md is stale: run `falconet outputs > docs/outputs.md`");
    }
}
