//! Log lines: to standard error, chosen by `RUST_LOG` (warnings and errors without it).

use std::io::{IsTerminal as _, stderr};

use tracing_subscriber::EnvFilter;

/// Sends log lines to standard error from now on; in colour only where a person sees it.
pub fn init() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    let colour = stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|set| set.is_empty());
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colour).with_writer(stderr);
    // A second call (in tests) leaves the first one in place.
    let _ = lines.try_init();
}
