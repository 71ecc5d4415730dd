//! `stdout_output`: one alert per line on standard output.

use std::io::{self, Write as _};
use std::sync::Arc;

use futures_util::future::BoxFuture;
use serde::Deserialize;

use super::backoff::Range;
use super::dispatch::LOCAL_PAUSES;
use super::line::LineFormat;
use super::local::Writer;
use super::{Output, OutputError, Plan, SendError};
use crate::alert::Alert;

/// `stdout_output`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StdoutConfig {
    pub enabled: bool,
}

impl Default for StdoutConfig {
    fn default() -> Self {
        Self { enabled: true }
    }
}

/// Writes to standard output. If its reader goes away the output stops, and the process goes on.
pub struct Stdout {
    format: LineFormat,
    writer: Writer,
}

impl Stdout {
    pub fn new(format: LineFormat) -> Result<Self, OutputError> {
        let writer = Writer::start("stdout-output", |lines| {
            let mut out = io::stdout().lock();
            out.write_all(lines.as_bytes()).and_then(|()| out.flush()).map_err(|error| failure(&error))
        });
        match writer {
            Ok(writer) => Ok(Self { format, writer }),
            Err(error) => Err(no_thread("stdout_output", &error)),
        }
    }
}

impl Output for Stdout {
    fn name(&self) -> &'static str {
        "stdout"
    }

    fn plan(&self, waiting: usize) -> Plan {
        Plan { requests: 1, alerts: waiting }
    }

    fn pauses(&self) -> Range {
        LOCAL_PAUSES
    }

    fn notes_deliveries(&self) -> bool {
        false
    }

    fn send<'a>(&'a self, batch: &'a [Arc<Alert>]) -> BoxFuture<'a, Result<(), SendError>> {
        Box::pin(self.writer.write(lines(self.format, batch)))
    }
}

/// A thread could not be started.
pub(super) fn no_thread(key: &str, error: &io::Error) -> OutputError {
    OutputError::new(
        key,
        format!("no thread can be started: {error}"),
        "raise the limit of threads or memory",
    )
}

fn failure(error: &io::Error) -> SendError {
    if error.kind() == io::ErrorKind::BrokenPipe {
        let reason = "the reader of standard output has closed it; restart with a reader, or set `stdout_output.enabled: false`";
        SendError::Stop { reason: reason.into() }
    } else {
        SendError::unreachable(format!("cannot write to standard output: {error}"))
    }
}

/// The lines of a batch, each with its newline.
pub(super) fn lines(format: LineFormat, batch: &[Arc<Alert>]) -> String {
    let mut lines = String::new();
    for alert in batch {
        lines.push_str(&format.line(alert));
        lines.push('\n');
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outputs::testing::alert;

    #[test]
    fn a_closed_pipe_stops_the_output_and_other_errors_are_tried_again() {
        let (reader, mut writer) = io::pipe().unwrap();
        drop(reader);
        let error = writer.write_all(b"x").unwrap_err();
        assert!(matches!(failure(&error), SendError::Stop { .. }));
        let full = io::Error::from(io::ErrorKind::StorageFull);
        assert!(matches!(failure(&full), SendError::Retry { suspect: false, .. }));
    }

    #[test]
    fn one_line_per_alert() {
        let mut second = alert(2);
        second.output = "two\nlines".into();
        let text = lines(LineFormat::Text, &[Arc::new(alert(1)), Arc::new(second)]);
        assert_eq!(text, format!("{}\ntwo\\nlines\n", alert(1).output));
    }
}
