//! What can go wrong with the alert log, in words that name the file and the remedy.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::ErrorCode;

/// The alert log failed. Cloned to everyone who waits for the same commit.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LogError {
    #[error("cannot use the directory of the alert log {}: {cause}; make it writable or set `alert_log.path`", path.display())]
    Directory { path: PathBuf, cause: Arc<io::Error> },
    #[error(
        "the alert log {} is in use by {holder}; stop that process or set another `alert_log.path`",
        path.display()
    )]
    Locked { path: PathBuf, holder: String },
    #[error(
        "the alert log {} is damaged or no alert log ({reason}); move the file aside (with its -wal and -shm files) \
         and a new one is begun",
        path.display()
    )]
    Corrupt { path: PathBuf, reason: String },
    #[error(
        "the alert log {} was written by a newer version (layout {found}, this one knows {known}); use that version or \
         move the file aside",
        path.display()
    )]
    Newer { path: PathBuf, found: i64, known: i64 },
    #[error("no space left for the alert log {}; free some or lower `alert_log.max_size`", path.display())]
    Full { path: PathBuf },
    #[error("cannot write the alert log {}: {reason}; check its permissions and the disk", path.display())]
    Unwritable { path: PathBuf, reason: String },
    #[error("the search took too long; narrow it, e.g. with `since:1h`")]
    TooSlow,
    #[error("{0}")]
    Range(&'static str),
    #[error("the alert log is closed")]
    Closed,
    #[error("the alert log {}: {cause}", path.display())]
    Database { path: PathBuf, cause: Arc<rusqlite::Error> },
}

impl LogError {
    /// Sorts an error of SQLite.
    pub(super) fn from_sqlite(path: &Path, error: rusqlite::Error) -> Self {
        let path = path.to_owned();
        let reason = error.to_string();
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::Full { path },
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Corrupt { path, reason },
            Some(
                ErrorCode::ReadOnly
                | ErrorCode::PermissionDenied
                | ErrorCode::CannotOpen
                | ErrorCode::SystemIoFailure,
            ) => Self::Unwritable { path, reason },
            Some(ErrorCode::OperationInterrupted) => Self::TooSlow,
            _ => Self::Database { path, cause: Arc::new(error) },
        }
    }
}
