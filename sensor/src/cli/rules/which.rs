//! Which rules a command is about: files that are named, or those of the configuration, or the stock rules.

use std::path::PathBuf;
use std::sync::Arc;

use crate::app::exit::{Class, Failure};
use crate::app::names::HostNames;
use crate::app::{ruleset, sight};
use crate::config::Config;
use crate::rules::source::files;
use crate::rules::{RuleSet, Sight};

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
        self.load_for(paths, &sight::here())
    }

    /// The same for judging written events, which may have what no sensor sees.
    pub fn load_for_written(&self, paths: &[PathBuf]) -> Result<RuleSet, Failure> {
        self.load_for(paths, &Sight::default())
    }

    fn load_for(&self, paths: &[PathBuf], sight: &Sight) -> Result<RuleSet, Failure> {
        let config = match &self.config {
            None if !paths.is_empty() => Config::of(None, &self.options),
            file => Config::load(file.as_deref(), &self.options),
        };
        let config = config.map_err(|error| Failure::new(Class::Config, error))?;
        let sources = if paths.is_empty() { ruleset::read(&config.rules) } else { files::read(paths) };
        let sources = sources.map_err(|error| Failure::new(Class::Rules, error))?;
        let loaded = ruleset::load(&config.rules, &sources, sight, Arc::new(HostNames::default()));
        loaded.into_rules().map_err(|error| Failure::new(Class::Rules, error))
    }
}
