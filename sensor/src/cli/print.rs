//! Standard output.

use std::io::{self, Write as _};

use crate::app::exit::{Class, Failure};

/// Prints to standard output. Whoever reads it may have seen enough (`| head`); that is no error.
pub fn say(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::new(Class::Failed, error)),
        _ => Ok(()),
    }
}
