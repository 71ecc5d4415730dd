//! Who may use the API: the password, sessions, and the brake on guessing.
//!
//! One user. The password is either configured or made at the first start; of a made one only the argon2 hash is
//! kept, in `ui-password` of the state directory. A login gives a random session token in a cookie; the server keeps
//! the token's SHA-256 in a bounded table, so a restart logs everybody out and a memory dump shows no token.
//! HTTP Basic is taken too, for scripts; browsers never send it because it is never asked for.

use std::collections::HashMap;
use std::io::{self, Write as _};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use rand::RngExt as _;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::UiConfig;
use crate::blocking::Workers;

/// A session ends when it was not used for this long …
const IDLE: Duration = Duration::from_hours(12);
/// … or when it is this old.
const LIFETIME: Duration = Duration::from_hours(7 * 24);
/// Sessions kept; one more ends the one that was idle longest.
const MAX_SESSIONS: usize = 256;
/// Clients whose failed logins are remembered; one more forgets the one that was quiet longest.
const MAX_CLIENTS: usize = 1024;
/// Failed logins that cost no waiting.
const FREE_TRIES: u32 = 5;
/// The longest wait between two tries.
const MAX_WAIT: Duration = Duration::from_mins(1);
/// Failures are forgotten after this quiet time.
const FORGET: Duration = Duration::from_mins(15);
/// Argon2 takes 19 MiB and some 20 ms: this many verifications at once, the others wait.
const VERIFIERS: usize = 1;
const FILE: &str = "ui-password";

/// The password cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    #[error("cannot read or write {path}: {error}")]
    File { path: PathBuf, error: io::Error },
    #[error("{0} holds no argon2 hash; remove it and a new password is made and shown at the next start")]
    Corrupt(PathBuf),
    #[error("the password of the web app (`ui.password`) is empty; remove the key and one is made")]
    Empty,
    #[error("cannot hash the password of the web app: {0}")]
    Hash(String),
}

/// A login was refused.
#[derive(Debug, PartialEq, Eq)]
pub enum Refused {
    /// User or password is wrong.
    Wrong,
    /// Too many failures from that client.
    Wait(Duration),
}

/// Password, sessions and failed logins.
pub struct Auth {
    user: String,
    /// PHC string of the password.
    hash: String,
    sessions: Mutex<HashMap<[u8; 32], Session>>,
    clients: Mutex<HashMap<IpAddr, Failures>>,
    /// Digest of the last `Authorization: Basic` that was right, so that a script does not pay argon2 per call.
    basic: Mutex<Option<[u8; 32]>>,
    verifiers: Workers,
}

struct Session {
    made: Instant,
    used: Instant,
}

struct Failures {
    count: u32,
    last: Instant,
}

impl Auth {
    /// Sets the password up; `Some` is a newly made one in plain text, to be shown once.
    pub fn open(config: &UiConfig, state_dir: &Path) -> Result<(Self, Option<String>), AuthError> {
        let (hash, made) = match config.password.as_deref() {
            Some("") => return Err(AuthError::Empty),
            Some(password) => (hash(password)?, None),
            None => stored_or_made(&state_dir.join(FILE))?,
        };
        let auth = Self {
            user: config.user.clone(),
            hash,
            sessions: Mutex::default(),
            clients: Mutex::default(),
            basic: Mutex::default(),
            verifiers: Workers::new(VERIFIERS),
        };
        Ok((auth, made))
    }

    pub fn user(&self) -> &str {
        &self.user
    }

    /// Checks user and password, and makes a session; returns its token.
    pub async fn login(&self, client: IpAddr, user: &str, password: &str) -> Result<String, Refused> {
        self.check(client, user, password, Instant::now()).await?;
        Ok(self.session(Instant::now()))
    }

    /// Checks the credentials of an `Authorization: Basic` header.
    pub async fn basic(&self, client: IpAddr, user: &str, password: &str) -> Result<(), Refused> {
        let digest = digest(&[user.as_bytes(), password.as_bytes(), self.hash.as_bytes()]);
        if lock(&self.basic).is_some_and(|known| bool::from(known.ct_eq(&digest))) {
            return Ok(());
        }
        self.check(client, user, password, Instant::now()).await?;
        *lock(&self.basic) = Some(digest);
        Ok(())
    }

    async fn check(&self, client: IpAddr, user: &str, password: &str, now: Instant) -> Result<(), Refused> {
        let client = network(client);
        // Counted before the slow check, so that parallel guesses are braked too.
        self.note_try(client, now)?;
        let right_user = digest(&[user.as_bytes()]).ct_eq(&digest(&[self.user.as_bytes()]));
        let (hash, password) = (self.hash.clone(), password.to_owned());
        // Also for a wrong user: the time taken must not tell which of the two was wrong.
        let right_password = self.verifiers.run(move |_| verify(&hash, &password)).await.unwrap_or(false);
        if right_password && bool::from(right_user) {
            lock(&self.clients).remove(&client);
            return Ok(());
        }
        Err(Refused::Wrong)
    }

    fn note_try(&self, client: IpAddr, now: Instant) -> Result<(), Refused> {
        let mut clients = lock(&self.clients);
        if let Some(failures) = clients.get_mut(&client) {
            let quiet = now.saturating_duration_since(failures.last);
            if quiet >= FORGET {
                failures.count = 0;
            }
            let wait = wait_after(failures.count);
            if quiet < wait {
                return Err(Refused::Wait(wait.saturating_sub(quiet)));
            }
            failures.count = failures.count.saturating_add(1);
            failures.last = now;
            return Ok(());
        }
        if clients.len() >= MAX_CLIENTS {
            let quietest = clients.iter().min_by_key(|(_, f)| f.last).map(|(ip, _)| *ip);
            quietest.and_then(|ip| clients.remove(&ip));
        }
        clients.insert(client, Failures { count: 1, last: now });
        Ok(())
    }

    fn session(&self, now: Instant) -> String {
        let token = random_token();
        let mut sessions = lock(&self.sessions);
        sessions.retain(|_, s| s.valid(now));
        if sessions.len() >= MAX_SESSIONS {
            let idlest = sessions.iter().min_by_key(|(_, s)| s.used).map(|(key, _)| *key);
            idlest.and_then(|key| sessions.remove(&key));
        }
        sessions.insert(digest(&[token.as_bytes()]), Session { made: now, used: now });
        token
    }

    /// Whether `token` is a running session; using it keeps it from idling out.
    pub fn valid(&self, token: &str) -> bool {
        self.valid_at(token, Instant::now())
    }

    fn valid_at(&self, token: &str, now: Instant) -> bool {
        let key = digest(&[token.as_bytes()]);
        let mut sessions = lock(&self.sessions);
        match sessions.get_mut(&key) {
            Some(session) if session.valid(now) => {
                session.used = now;
                true
            }
            Some(_) => {
                sessions.remove(&key);
                false
            }
            None => false,
        }
    }

    /// Whether `token` still runs, without counting as use.
    pub fn still_valid(&self, token: &str) -> bool {
        lock(&self.sessions).get(&digest(&[token.as_bytes()])).is_some_and(|s| s.valid(Instant::now()))
    }

    pub fn logout(&self, token: &str) {
        lock(&self.sessions).remove(&digest(&[token.as_bytes()]));
    }
}

impl Session {
    fn valid(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.used) < IDLE && now.saturating_duration_since(self.made) < LIFETIME
    }
}

/// How long a client waits after `count` failures: 1, 2, 4 … 60 seconds from the fifth on.
fn wait_after(count: u32) -> Duration {
    match count.checked_sub(FREE_TRIES) {
        None => Duration::ZERO,
        Some(beyond) => Duration::from_secs(1u64 << beyond.min(6)).min(MAX_WAIT),
    }
}

/// An IPv6 client has a whole /64 to guess from.
fn network(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V6(ip) => IpAddr::V6((ip.to_bits() >> 64 << 64).into()),
        ip @ IpAddr::V4(_) => ip,
    }
}

/// A panic while holding one of these locks leaves the tables usable.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn digest(parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part.len().to_le_bytes());
        hasher.update(part);
    }
    hasher.finalize().into()
}

fn random_token() -> String {
    let bytes: [u8; 32] = rand::random();
    base64::Engine::encode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, bytes)
}

/// 24 letters and digits without look-alikes: some 139 bits.
fn random_password() -> String {
    const ALPHABET: &[u8; 56] = b"ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnpqrstuvwxyz23456789";
    let mut random = rand::rng();
    (0..24)
        .filter_map(|_| ALPHABET.get(random.random_range(0..ALPHABET.len())))
        .map(|&byte| char::from(byte))
        .collect()
}

fn hash(password: &str) -> Result<String, AuthError> {
    Argon2::default()
        .hash_password(password.as_bytes())
        .map(|hash| hash.to_string())
        .map_err(|error| AuthError::Hash(error.to_string()))
}

fn verify(hash: &str, password: &str) -> bool {
    PasswordHash::new(hash)
        .is_ok_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok())
}

fn stored_or_made(path: &Path) -> Result<(String, Option<String>), AuthError> {
    let failed = |error| AuthError::File { path: path.to_owned(), error };
    match std::fs::read_to_string(path) {
        Ok(text) => {
            let text = text.trim();
            PasswordHash::new(text).map_err(|_| AuthError::Corrupt(path.to_owned()))?;
            Ok((text.to_owned(), None))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let password = random_password();
            let hash = hash(&password)?;
            store(path, &hash).map_err(failed)?;
            Ok((hash, Some(password)))
        }
        Err(error) => Err(failed(error)),
    }
}

/// Through a file of another name: a crash leaves either no hash or a whole one.
fn store(path: &Path, hash: &str) -> io::Result<()> {
    let partial = path.with_extension("new");
    match std::fs::remove_file(&partial) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&partial)?;
    writeln!(file, "{hash}")?;
    file.sync_all()?;
    std::fs::rename(&partial, path)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn with_password(password: &str) -> Auth {
        let config = UiConfig { password: Some(password.into()), ..UiConfig::default() };
        Auth::open(&config, Path::new("/nonexistent")).unwrap().0
    }

    #[tokio::test]
    async fn a_made_password_is_shown_once_and_kept_hashed() {
        let dir = tempfile::tempdir().unwrap();
        let (auth, made) = Auth::open(&UiConfig::default(), dir.path()).unwrap();
        let password = made.unwrap();
        assert!(password.len() >= 20);
        let path = dir.path().join(FILE);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(!std::fs::read_to_string(&path).unwrap().contains(&password));
        assert!(auth.login(HERE, "admin", &password).await.is_ok());

        let (auth, made) = Auth::open(&UiConfig::default(), dir.path()).unwrap();
        assert_eq!(made, None);
        assert!(auth.login(HERE, "admin", &password).await.is_ok());
        assert_eq!(auth.login(HERE, "root", &password).await, Err(Refused::Wrong));
    }

    #[test]
    fn what_is_wrong_with_the_password_is_said() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(FILE), "hunter2").unwrap();
        let error = Auth::open(&UiConfig::default(), dir.path()).err().unwrap().to_string();
        assert!(error.contains("ui-password") && error.contains("remove it"), "{error}");
        let empty = UiConfig { password: Some(String::new()), ..UiConfig::default() };
        assert!(matches!(Auth::open(&empty, dir.path()), Err(AuthError::Empty)));
    }

    #[test]
    fn sessions_idle_out_age_out_and_are_bounded() {
        let auth = with_password("x");
        let start = Instant::now();
        let token = auth.session(start);
        assert!(auth.valid_at(&token, start + IDLE / 2));
        assert!(!auth.valid_at(&token, start + IDLE / 2 + IDLE));
        let token = auth.session(start);
        let mut now = start;
        while now < start + LIFETIME {
            assert!(auth.valid_at(&token, now));
            now += IDLE / 2;
        }
        assert!(!auth.valid_at(&token, now));

        let first = auth.session(now);
        for n in 0..MAX_SESSIONS {
            auth.session(now + Duration::from_secs(n as u64 + 1));
        }
        assert!(!auth.valid_at(&first, now));
        assert_eq!(lock(&auth.sessions).len(), MAX_SESSIONS);
        auth.logout(&token);
        assert!(!auth.valid_at("", now));
    }

    #[test]
    fn guessing_is_braked_per_client() {
        let auth = with_password("x");
        let now = Instant::now();
        for _ in 0..FREE_TRIES {
            assert_eq!(auth.note_try(HERE, now), Ok(()));
        }
        assert_eq!(auth.note_try(HERE, now), Err(Refused::Wait(Duration::from_secs(1))));
        assert_eq!(auth.note_try(HERE, now + Duration::from_secs(1)), Ok(()));
        assert_eq!(
            auth.note_try(HERE, now + Duration::from_secs(2)),
            Err(Refused::Wait(Duration::from_secs(1)))
        );
        assert_eq!(auth.note_try(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)), now), Ok(()));
        assert_eq!(auth.note_try(HERE, now + FORGET * 2), Ok(()));
        for n in 0..2 * u32::try_from(MAX_CLIENTS).unwrap() {
            let _ = auth.note_try(IpAddr::V4((0x0a00_0000 + n).into()), now);
        }
        assert_eq!(lock(&auth.clients).len(), MAX_CLIENTS);
        assert_eq!(wait_after(u32::MAX), MAX_WAIT);
    }

    #[test]
    fn an_ipv6_network_counts_as_one_client() {
        let a: IpAddr = "2001:db8:1:2::1".parse().unwrap();
        let b: IpAddr = "2001:db8:1:2:ffff::9".parse().unwrap();
        assert_eq!(network(a), network(b));
        assert_eq!(network("::ffff:10.0.0.1".parse().unwrap()), "10.0.0.1".parse::<IpAddr>().unwrap());
    }
}
