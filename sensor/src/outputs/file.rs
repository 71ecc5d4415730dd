//! `file_output`: one alert per line at the end of a file.
//!
//! A batch is written, synced, and only then counts as delivered; a full disk is tried again. Lines that were torn by a full disk or
//! a crash are ended before the next one. Rotation is noticed by itself: the path is opened again for every batch, or,
//! with `keep_alive`, as soon as it names another file.

use std::fs::{self, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::destination::Destination;
use super::lines::Lines;
use super::output::{Output, OutputError, SendError};
use super::shared::SharedConfig;

/// `file_output`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FileConfig {
    pub enabled: bool,
    /// Keep the file open between alerts.
    pub keep_alive: bool,
    /// Appended to; made with mode 0600.
    pub filename: PathBuf,
}

impl Default for FileConfig {
    fn default() -> Self {
        Self { enabled: false, keep_alive: false, filename: "./events.txt".into() }
    }
}

impl Destination for FileConfig {
    const DOCS: &'static str = "\
# One alert per line at the end of a file, which is made with mode 0600. Rotation is noticed by itself.
file_output:
  enabled: false
  keep_alive: false          # keep the file open between alerts
  filename: ./events.txt
";

    /// Opens the file once, so that a wrong path is an error at the start.
    fn output(&self, shared: &SharedConfig) -> Result<Option<Box<dyn Output>>, OutputError> {
        if !self.enabled {
            return Ok(None);
        }
        let path = self.filename.clone();
        let file = open(&path).map_err(|error| {
            OutputError::new(
                "file_output.filename",
                format!("cannot open {} for appending: {error}", path.display()),
                "name a file in a directory that exists and may be written",
            )
        })?;
        let mut target = Target { path, keep_open: self.keep_alive, file: self.keep_alive.then_some(file) };
        let lines = Lines::start("file", "file_output", shared.line_format(), move |lines| {
            let written = target.append(lines);
            written.map_err(|e| SendError::unreachable(format!("{}: {e}", target.path.display())))
        })?;
        Ok(Some(Box::new(lines)))
    }
}

/// The file that is appended to.
struct Target {
    path: PathBuf,
    keep_open: bool,
    file: Option<fs::File>,
}

impl Target {
    fn append(&mut self, lines: &str) -> io::Result<()> {
        let mut file = match self.file.take() {
            Some(file) if names(&self.path, &file) => file,
            _ => open(&self.path)?,
        };
        // On an error the file is closed, so that the next try begins with a fresh one.
        if !ends_with_newline(&mut file)? {
            file.write_all(b"\n")?;
        }
        file.write_all(lines.as_bytes())?;
        if file.metadata()?.is_file() {
            file.sync_data()?;
        }
        if self.keep_open {
            self.file = Some(file);
        }
        Ok(())
    }
}

fn open(path: &Path) -> io::Result<fs::File> {
    // Reading is needed to look at the last byte; what is no regular file has none. Not blocking: opening a FIFO would wait for its reader.
    let regular = !fs::metadata(path).is_ok_and(|m| !m.is_file());
    OpenOptions::new()
        .read(regular)
        .append(true)
        .create(regular)
        .mode(0o600)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)
}

/// True while `path` is still the open `file`: rotation renames or removes it.
fn names(path: &Path, file: &fs::File) -> bool {
    match (fs::metadata(path), file.metadata()) {
        (Ok(there), Ok(here)) => there.dev() == here.dev() && there.ino() == here.ino(),
        _ => false,
    }
}

fn ends_with_newline(file: &mut fs::File) -> io::Result<bool> {
    let metadata = file.metadata()?;
    if !metadata.is_file() || metadata.len() == 0 {
        return Ok(true);
    }
    let mut last = [0; 1];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::outputs::testing::alert;

    fn output(path: &Path, keep_alive: bool) -> Box<dyn Output> {
        let config = FileConfig { enabled: true, keep_alive, filename: path.to_owned() };
        config.output(&SharedConfig::default()).unwrap().unwrap()
    }

    async fn send(output: &dyn Output, n: u32) -> Result<(), SendError> {
        let mut alert = alert(n);
        alert.output = format!("line {n}");
        output.send(&[Arc::new(alert)]).await
    }

    #[tokio::test]
    async fn appends_with_mode_0600_and_follows_rotation() {
        for keep_alive in [false, true] {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("events.txt");
            let output = output(&path, keep_alive);
            send(&*output, 1).await.unwrap();
            send(&*output, 2).await.unwrap();
            assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
            fs::rename(&path, dir.path().join("events.txt.1")).unwrap();
            send(&*output, 3).await.unwrap();
            assert_eq!(fs::read_to_string(dir.path().join("events.txt.1")).unwrap(), "line 1\nline 2\n");
            assert_eq!(fs::read_to_string(&path).unwrap(), "line 3\n");
        }
    }

    #[tokio::test]
    async fn a_torn_line_is_ended() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("events.txt");
        fs::write(&path, "half a li").unwrap();
        send(&*output(&path, false), 1).await.unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "half a li\nline 1\n");
    }

    #[tokio::test]
    async fn a_full_disk_is_tried_again() {
        let error = send(&*output(Path::new("/dev/full"), false), 1).await.unwrap_err();
        assert!(
            matches!(&error, SendError::Retry { suspect: false, reason, .. } if reason.contains("No space left")),
            "{error:?}"
        );
    }

    #[test]
    fn a_wrong_path_is_told_at_the_start() {
        let config =
            FileConfig { enabled: true, filename: "/nowhere/events.txt".into(), ..FileConfig::default() };
        let error = config.output(&SharedConfig::default()).err().unwrap().to_string();
        assert!(error.starts_with("file_output.filename: cannot open /nowhere/events.txt"), "{error}");
        assert!(error.contains("directory that exists"), "{error}");
    }
}
