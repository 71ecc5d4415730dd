//! What a command was given to find its configuration; a reload reads it again.

use std::path::PathBuf;

use crate::config::{Config, ConfigError};

/// Options of the command line.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Configuration file; `None`: the default one, if it exists.
    pub config: Option<PathBuf>,
    /// `KEY=VALUE` each.
    pub options: Vec<String>,
    /// Rule files or directories instead of those of the configuration.
    pub rules: Vec<PathBuf>,
}

impl Settings {
    /// The configuration that they lead to.
    pub fn load(&self) -> Result<Config, ConfigError> {
        let mut config = Config::load(self.config.as_deref(), &self.options)?;
        if !self.rules.is_empty() {
            config.rules.rules_files.clone_from(&self.rules);
        }
        Ok(config)
    }
}
