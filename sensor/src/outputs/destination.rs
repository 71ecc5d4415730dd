//! What an output brings to the registry.

use std::fmt;

use serde::de::DeserializeOwned;

use super::output::{Output, OutputError};
use super::shared::SharedConfig;

/// The configuration of one output, and how the output is made of it.
pub trait Destination: fmt::Debug + Clone + Default + DeserializeOwned {
    /// Its section of the configuration as YAML: first a comment that says what it does, then every key with its default. It
    /// becomes a part of `docs/outputs.md`.
    const DOCS: &'static str;

    /// The output, ready to send; `None` while it is not enabled. Checks whatever can be checked before the first alert.
    fn output(&self, shared: &SharedConfig) -> Result<Option<Box<dyn Output>>, OutputError>;
}
