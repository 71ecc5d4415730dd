//! The asking side, for the command line: blocking, one connection for one request.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use serde_json::Value;

use super::Request;

/// No sensor answers.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("the control socket is turned off (`control_socket`)")]
    Off,
    #[error("no sensor answers on {places}: {cause}. Does `falconet run` run, and are you its user?")]
    Connect { places: String, cause: io::Error },
    #[error("the sensor ended the conversation: {0}")]
    Broken(io::Error),
}

impl From<io::Error> for ClientError {
    fn from(cause: io::Error) -> Self {
        Self::Broken(cause)
    }
}

/// A connection to the sensor.
#[derive(Debug)]
pub struct Client(UnixStream);

impl Client {
    /// Connects to the first place where somebody answers.
    pub fn connect(places: &[PathBuf]) -> Result<Self, ClientError> {
        let mut failed = None;
        for place in places {
            match UnixStream::connect(place) {
                Ok(stream) => return Ok(Self(stream)),
                // The last place is the least likely one; the first reason tells more.
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        let Some(cause) = failed else { return Err(ClientError::Off) };
        let places: Vec<String> = places.iter().map(|place| place.display().to_string()).collect();
        Err(ClientError::Connect { places: places.join(" or "), cause })
    }

    /// Sends the request; its answers, as they come.
    pub fn ask(
        mut self,
        request: &Request,
    ) -> Result<impl Iterator<Item = Result<Value, ClientError>>, ClientError> {
        let mut line = serde_json::to_vec(request).map_err(io::Error::from)?;
        line.push(b'\n');
        self.0.write_all(&line)?;
        Ok(BufReader::new(self.0)
            .lines()
            .map(|line| Ok(serde_json::from_str(&line?).map_err(io::Error::from)?)))
    }
}
