//! Which rules a command is about: files that are named, or those of the configuration, or the stock rules.

use std::path::PathBuf;

use crate::app::exit::{Class, Failure};
use crate::config::Config;
use crate::rules::registry::event_types::captured;
use crate::rules::source::files;
use crate::rules::{Options, RuleSet, load, stock};

#[derive(Default, clap::Args)]
pub struct Which {
    /// Configuration file; /etc/falconet/falconet.yaml if it exists and no rule files are named.
    #[arg(short = 'c', long = "config", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Set one option, e.g. `rules[].enable.tag=network`; repeatable.
    #[arg(short = 'o', long = "option", value_name = "KEY=VALUE")]
    options: Vec<String>,
}

impl Which {
    /// Loads the rules of `paths`, or else the configured ones, as a sensor on this machine would.
    pub fn load(&self, paths: &[PathBuf]) -> Result<RuleSet, Failure> {
        self.load_with(paths, |options| Options { captured: Some(captured()), ..options })
    }

    /// The same for judging written events, which may have what no sensor sees.
    pub fn load_for_written(&self, paths: &[PathBuf]) -> Result<RuleSet, Failure> {
        self.load_with(paths, |options| Options { every_field: true, ..options })
    }

    fn load_with(&self, paths: &[PathBuf], change: impl Fn(Options) -> Options) -> Result<RuleSet, Failure> {
        let config = match &self.config {
            None if !paths.is_empty() => Config::of(None, &self.options),
            file => Config::load(file.as_deref(), &self.options),
        };
        let config = config.map_err(|error| Failure::new(Class::Config, error))?;
        let named = if paths.is_empty() { &config.sensor.rules_files } else { paths };
        let sources = if named.is_empty() {
            stock()
        } else {
            files::read(named).map_err(|error| Failure::new(Class::Rules, error))?
        };
        let loaded = load(&sources, &change(config.sensor.rule_options()));
        loaded.into_rules().map_err(|error| Failure::new(Class::Rules, error))
    }
}
