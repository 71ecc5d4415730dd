//! The database file: opened, locked against a second process, brought to the current layout.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::LogError;
use crate::alert::query::sql;

/// Marks the file as ours (SQLite's `application_id`): "Fnet".
const APPLICATION: i64 = 0x466e_6574;

/// Layout number of this version, kept in SQLite's `user_version`.
const LAYOUT: i64 = 1;

/// Pages that a reading connection and the writer keep in memory, in KiB.
const READER_CACHE: i64 = 1024;
const WRITER_CACHE: i64 = 8192;
/// Prepared statements that they keep. The writer has some twenty; readers one for each shape of a query.
const READER_STATEMENTS: usize = 16;
const WRITER_STATEMENTS: usize = 64;

/// Steps from one layout to the next; the first makes an empty file into layout 1.
const STEPS: [&str; 1] = [
    // What queries and charts look at stands in `alert`, narrow and quick to scan; the rest in `body`.
    // AUTOINCREMENT: a position is never used twice, even after everything was removed.
    "CREATE TABLE alert (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        uuid BLOB NOT NULL UNIQUE,
        time INTEGER NOT NULL,
        received INTEGER NOT NULL,
        priority INTEGER NOT NULL,
        rule TEXT NOT NULL,
        source TEXT NOT NULL,
        hostname TEXT NOT NULL,
        container TEXT,
        container_name TEXT,
        image TEXT,
        repository TEXT,
        namespace TEXT,
        pod TEXT,
        process TEXT,
        user TEXT,
        tags TEXT NOT NULL
    ) STRICT;
    CREATE INDEX alert_time ON alert (time, priority);
    CREATE TABLE body (
        seq INTEGER PRIMARY KEY,
        output TEXT NOT NULL,
        fields TEXT NOT NULL,
        context TEXT
    ) STRICT;
    CREATE TABLE cursor (
        output TEXT PRIMARY KEY,
        position INTEGER NOT NULL,
        seen INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE delivery (
        seq INTEGER NOT NULL,
        output TEXT NOT NULL,
        at INTEGER NOT NULL,
        tries INTEGER NOT NULL,
        state INTEGER NOT NULL,
        error TEXT,
        PRIMARY KEY (seq, output)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE dead_letter (
        seq INTEGER NOT NULL,
        output TEXT NOT NULL,
        at INTEGER NOT NULL,
        tries INTEGER NOT NULL,
        error TEXT,
        replay INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (seq, output)
    ) STRICT, WITHOUT ROWID;",
];

/// The writing connection and the lock that keeps others away while it lives.
pub(super) struct Opened {
    pub connection: Connection,
    pub lock: File,
}

/// Opens the file at `path`, making directory and file when missing.
pub(super) fn open(path: &Path) -> Result<Opened, LogError> {
    let directory = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    let unusable =
        |cause: std::io::Error| LogError::Directory { path: path.to_owned(), cause: Arc::new(cause) };
    DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(unusable)?;
    let lock = lock(path)?;
    // SQLite gives its other files the mode of this one.
    match OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path) {
        Ok(file) => drop(file),
        Err(source) => return Err(unusable(source)),
    }
    let failed = |e| LogError::from_sqlite(path, e);
    let mut connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(failed)?;
    if !is_ours(&connection).map_err(failed)? {
        let reason = "it is the database of another program".to_owned();
        return Err(LogError::Corrupt { path: path.to_owned(), reason });
    }
    let layout = prepare(&connection).map_err(failed)?;
    if layout > LAYOUT {
        return Err(LogError::Newer { path: path.to_owned(), found: layout, known: LAYOUT });
    }
    migrate(&mut connection, layout).map_err(failed)?;
    // The new file's name must outlive a power cut as its content does.
    File::open(directory).and_then(|d| d.sync_all()).map_err(unusable)?;
    Ok(Opened { connection, lock })
}

/// A reading connection.
pub(super) fn reader(path: &Path) -> rusqlite::Result<Connection> {
    let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    connection.pragma_update(None, "query_only", true)?;
    // Also what a sort holds in memory before it goes to a file. The kernel's page cache does the rest.
    connection.pragma_update(None, "cache_size", -READER_CACHE)?;
    connection.set_prepared_statement_cache_capacity(READER_STATEMENTS);
    sql::register(&connection)?;
    Ok(connection)
}

fn connect(path: &Path, flags: OpenFlags) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(Duration::from_secs(10))?;
    Ok(connection)
}

/// True for an empty file and for one that was marked by [`migrate`].
fn is_ours(connection: &Connection) -> rusqlite::Result<bool> {
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    let mark: i64 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    Ok(tables == 0 || mark == APPLICATION)
}

/// Settings that hold for the file; gives its layout number.
fn prepare(connection: &Connection) -> rusqlite::Result<i64> {
    // Must precede the first table; so that removed alerts give their space back step by step.
    connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // FULL: the write-ahead log is synced at each commit, so a commit outlives a power cut.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "wal_autocheckpoint", 4000)?;
    connection.pragma_update(None, "journal_size_limit", 64 << 20)?;
    connection.pragma_update(None, "cache_size", -WRITER_CACHE)?;
    connection.set_prepared_statement_cache_capacity(WRITER_STATEMENTS);
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

fn migrate(connection: &mut Connection, layout: i64) -> rusqlite::Result<()> {
    for (done, step) in (1_i64..).zip(STEPS) {
        if done > layout {
            let transaction = connection.transaction()?;
            transaction.execute_batch(step)?;
            transaction.pragma_update(None, "application_id", APPLICATION)?;
            transaction.pragma_update(None, "user_version", done)?;
            transaction.commit()?;
        }
    }
    Ok(())
}

/// A lock file beside the database: locks on the database itself are SQLite's own business.
fn lock(path: &Path) -> Result<File, LogError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let name = PathBuf::from(name);
    let unusable =
        |cause: std::io::Error| LogError::Directory { path: path.to_owned(), cause: Arc::new(cause) };
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&name)
        .map_err(unusable)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut pid = String::new();
            _ = file.take(32).read_to_string(&mut pid);
            let pid = pid.trim();
            let holder = if pid.is_empty() { "another process".to_owned() } else { format!("process {pid}") };
            return Err(LogError::Locked { path: path.to_owned(), holder });
        }
        Err(TryLockError::Error(source)) => return Err(unusable(source)),
    }
    // Only for the message above; that it cannot be written does not matter.
    _ = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
    Ok(file)
}
