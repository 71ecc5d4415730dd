//! `stdout_output`: one alert per line on standard output. If its reader goes away the output stops, and the process goes on.

use std::io::{self, Write as _};

use serde::Deserialize;

use super::destination::Destination;
use super::lines::Lines;
use super::output::{Output, OutputError, SendError};
use super::shared::SharedConfig;

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

impl Destination for StdoutConfig {
    const DOCS: &'static str = "\
# One alert per line on standard output. The output stops when its reader closes the stream.
stdout_output:
  enabled: true
";

    fn output(&self, shared: &SharedConfig) -> Result<Option<Box<dyn Output>>, OutputError> {
        if !self.enabled {
            return Ok(None);
        }
        let lines = Lines::start("stdout", "stdout_output", shared.line_format(), |lines| {
            let mut out = io::stdout().lock();
            out.write_all(lines.as_bytes()).and_then(|()| out.flush()).map_err(|error| failure(&error))
        })?;
        Ok(Some(Box::new(lines)))
    }
}

fn failure(error: &io::Error) -> SendError {
    if error.kind() == io::ErrorKind::BrokenPipe {
        let reason = "the reader of standard output has closed it; restart with a reader, or set `stdout_output.enabled: false`";
        SendError::Stop { reason: reason.into() }
    } else {
        SendError::unreachable(format!("cannot write to standard output: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_pipe_stops_the_output_and_other_errors_are_tried_again() {
        let (reader, mut writer) = io::pipe().unwrap();
        drop(reader);
        let error = writer.write_all(b"x").unwrap_err();
        assert!(matches!(failure(&error), SendError::Stop { .. }));
        let full = io::Error::from(io::ErrorKind::StorageFull);
        assert!(matches!(failure(&full), SendError::Retry { suspect: false, .. }));
    }
}
