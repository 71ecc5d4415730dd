//! The control socket: how `falconet rules watch`, `status` and `reload` speak with the running sensor.
//!
//! A Unix socket that only its owner may use. A connection carries one request, a JSON object on one line, and its answers, JSON
//! objects on lines of their own. Connections are few and requests short ([`server`]); nothing here makes the event thread wait.

pub mod client;
pub mod server;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::telemetry::status::Rules;

pub use client::Client;
pub use server::{Door, Serving, Watched, serve};

/// Where the socket is, if the configuration does not say.
pub const SOCKET: &str = "/run/falconet/control.sock";

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// The rules in use and their counters.
    Rules,
    /// Load the rules again.
    Reload,
    /// Tell what happens around a rule until the connection ends.
    Watch { rule: String },
}

/// An answer.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "reply", rename_all = "snake_case")]
pub enum Reply {
    Rules(Box<Rules>),
    /// The rules were loaded again.
    Reloaded(Reloaded),
    /// The watch begins; what it cannot show, if something.
    Watching {
        note: Option<String>,
    },
    /// A match or a near miss of the watched rule.
    Sight(crate::engine::sights::Sight),
    /// So many more of them were not told.
    More {
        count: u64,
    },
    /// Nothing of that sort.
    Error {
        message: String,
        diagnostics: Option<String>,
    },
}

/// Rules that were taken.
#[derive(Debug, Clone, Serialize)]
pub struct Reloaded {
    pub rules: usize,
    /// Where they come from, in words.
    pub origin: String,
    pub warnings: Vec<String>,
}

/// Where the socket may be, the first choice first: `configured`, or the default and beside the alert log. None when it is turned off.
pub fn places(configured: Option<&Path>, alert_log: &Path) -> Vec<PathBuf> {
    match configured {
        Some(path) if path.as_os_str().is_empty() => Vec::new(),
        Some(path) => vec![path.to_owned()],
        None => {
            let beside = alert_log.parent().unwrap_or(Path::new(".")).join("control.sock");
            vec![SOCKET.into(), beside]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_one_line_each() {
        for (request, line) in [
            (Request::Rules, r#"{"request":"rules"}"#),
            (Request::Watch { rule: "a \"b\"\n".into() }, r#"{"request":"watch","rule":"a \"b\"\n"}"#),
        ] {
            assert_eq!(serde_json::to_string(&request).unwrap(), line);
            assert_eq!(serde_json::from_str::<Request>(line).unwrap(), request);
        }
        assert!(serde_json::from_str::<Request>(r#"{"request":"stop"}"#).is_err());
    }

    #[test]
    fn the_configuration_decides_where_it_is() {
        let log = Path::new("/var/lib/falconet/alerts.db");
        let beside = PathBuf::from("/var/lib/falconet/control.sock");
        assert_eq!(places(None, log), [PathBuf::from(SOCKET), beside]);
        assert_eq!(places(Some(Path::new("/x/y")), log), [PathBuf::from("/x/y")]);
        assert!(places(Some(Path::new("")), log).is_empty());
    }
}
