//! One line of the report.

use serde::Serialize;

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// As it should be.
    Ok,
    /// The sensor works, but sees or does less.
    Limited,
    /// The sensor does not start.
    Missing,
}

/// One line of the report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    pub name: &'static str,
    pub state: State,
    /// What was found.
    pub found: String,
    /// What goes undetected because of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub costs: Option<String>,
    /// Each thing that was found, where they are many.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<String>,
    /// How to mend it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
    /// True when a privilege is what is missing.
    #[serde(skip)]
    pub privilege: bool,
}

impl Check {
    pub fn ok(name: &'static str, found: impl Into<String>) -> Self {
        let (details, found) = (Vec::new(), found.into());
        Self { name, state: State::Ok, found, costs: None, details, remedy: None, privilege: false }
    }

    pub fn limited(
        name: &'static str,
        found: impl Into<String>,
        costs: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        let (costs, remedy) = (Some(costs.into()), Some(remedy.into()));
        Self { state: State::Limited, costs, remedy, ..Self::ok(name, found) }
    }

    pub fn missing(
        name: &'static str,
        found: impl Into<String>,
        costs: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self { state: State::Missing, ..Self::limited(name, found, costs, remedy) }
    }
}
