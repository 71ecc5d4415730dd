//! `falconet rules list`: the rules that are loaded, as Falco's `-L` lists them, and which of them work here.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::ValueEnum;

use super::paint::wrap;
use super::which::Which;
use crate::app::exit::{Class, Failure};
use crate::cli::print::say;
use crate::rules::{Rule, RuleSet};

#[derive(clap::Args)]
pub struct Args {
    /// Rule files and directories, in order. Without any, those of the configuration, or else the stock rules.
    files: Vec<PathBuf>,
    /// Only this rule.
    #[arg(short = 'l', long, value_name = "NAME")]
    rule: Option<String>,
    /// How to report.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    output: Format,
    #[command(flatten)]
    which: Which,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
    Text,
    /// As `falco -L` with `json_output`.
    Json,
}

/// Column of the descriptions, and the end of their lines, as in Falco.
const COLUMN: usize = 50;
const WIDTH: usize = 110;

pub fn run(args: &Args) -> Result<(), Failure> {
    let set = args.which.load(&args.files)?;
    let rule = args.rule.as_deref().map(|name| set.find(name)).transpose();
    let rule = rule.map_err(|error| Failure::new(Class::Failed, error))?;
    let told = match args.output {
        Format::Json => format!("{}\n", set.describe(rule.map(|rule| rule.name.as_str()))),
        Format::Text => text(&set, rule),
    };
    say(&told)
}

fn text(set: &RuleSet, only: Option<&Rule>) -> String {
    let mut out = String::new();
    let mut row = |left: &str, right: &str| {
        let _ = writeln!(out, "{}", format!("{left:<COLUMN$} {right}").trim_end());
    };
    row("Rule", "Description");
    row("----", "-----------");
    let (mut active, mut disabled, mut inactive) = (0, 0, 0);
    for rule in set.rules().iter().filter(|rule| only.is_none_or(|only| only.name == rule.name)) {
        let mut right = wrap(&rule.desc, WIDTH - COLUMN);
        let (word, why) = rule.status.told();
        match word {
            "disabled" => disabled += 1,
            "inactive" => inactive += 1,
            _ => active += 1,
        }
        if word != "active" {
            let why = why.map(|why| format!(": {why}")).unwrap_or_default();
            right.extend(wrap(&format!("[{word}{why}]"), WIDTH - COLUMN));
        }
        // A name that is longer than its column pushes the first line only.
        row(&rule.name, right.first().map_or("", String::as_str));
        right.iter().skip(1).for_each(|line| row("", line));
    }
    if only.is_none() {
        let _ = writeln!(
            out,
            "\n{} rules: {active} active, {disabled} disabled, {inactive} inactive",
            set.rules().len()
        );
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::{Options, Source, load};

    #[test]
    fn names_are_padded_and_descriptions_wrapped() {
        let long = "word ".repeat(20);
        let file = format!(
            "- rule: short\n  desc: {long}\n  output: o\n  priority: INFO\n  condition: evt.type=open\n\
             - rule: off\n  desc: d\n  output: o\n  priority: INFO\n  condition: evt.type=open\n  enabled: false\n"
        );
        let set = load(&[Source::new("f", file)], &Options::default()).rules.unwrap();
        let shown = text(&set, None);
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(lines[0], format!("{:<50} Description", "Rule"));
        assert!(lines[2].starts_with("short ") && lines[2].len() <= 111 && &lines[2][51..55] == "word");
        assert!(lines[3].starts_with(&" ".repeat(51)));
        assert!(shown.contains("[disabled]"));
        assert_eq!(*lines.last().unwrap(), "2 rules: 1 active, 1 disabled, 0 inactive");
        let one = text(&set, Some(set.find("off").unwrap()));
        assert!(one.contains("off") && !one.contains("short") && !one.contains("rules:"));
    }
}
