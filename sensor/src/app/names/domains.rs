//! Domain names in conditions (`fd.sip.name = example.com`), compared by address.
//!
//! The names that rules hold are resolved in the background by the system's resolver and asked for again: after 10 seconds,
//! and, as long as the answer stays the same, after twice the time of the round before, up to 320 seconds. An address is
//! never looked up: `fd.sip.name` has as values the names of rules that its address belongs to, and none when there are
//! none. A name that does not resolve, or not any more, keeps the addresses that it had. The names of a rule set that is
//! gone are forgotten.

use std::collections::HashMap;
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::{Arc, Condvar, Mutex, PoisonError, RwLock, Weak};
use std::time::{Duration, Instant};

/// The first pause between two rounds of a name, and the longest.
const SHORTEST: Duration = Duration::from_secs(10);
const LONGEST: Duration = Duration::from_secs(320);
/// Most names; those beyond are not resolved.
const MOST_NAMES: usize = 4096;
/// Most addresses of one name.
const MOST_ADDRESSES: usize = 64;

/// A name in use. It is resolved while somebody holds one.
#[derive(Debug)]
pub struct Domain {
    _name: Arc<str>,
}

/// The names that an address belongs to.
type Owners = HashMap<IpAddr, Vec<Arc<str>>, foldhash::fast::RandomState>;

#[derive(Debug)]
struct Known {
    held: Weak<Domain>,
    addresses: Vec<IpAddr>,
    due: Instant,
    pause: Duration,
}

/// The names in use and their addresses.
#[derive(Debug, Default)]
pub struct Domains {
    known: Mutex<HashMap<Arc<str>, Known>>,
    changed: Condvar,
    /// Written by exchange of the whole, so that readers hardly ever wait.
    owners: RwLock<Arc<Owners>>,
}

impl Domains {
    /// Takes a name up. It stays as long as the result is kept.
    pub fn hold(&self, name: &str) -> Arc<Domain> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = known.get(name).and_then(|known| known.held.upgrade()) {
            return held;
        }
        let name: Arc<str> = name.into();
        let held = Arc::new(Domain { _name: Arc::clone(&name) });
        if known.len() >= MOST_NAMES {
            known.retain(|_, known| known.held.strong_count() > 0);
        }
        if known.len() < MOST_NAMES {
            let weak = Arc::downgrade(&held);
            let addresses = known.remove(&name).map(|old| old.addresses).unwrap_or_default();
            let fresh = Known { held: weak, addresses, due: Instant::now(), pause: SHORTEST };
            known.insert(name, fresh);
            self.changed.notify_one();
        }
        held
    }

    /// Calls `test` with the names that own the address until it returns true; whether it did.
    pub fn any_of(&self, address: IpAddr, test: &mut dyn FnMut(&str) -> bool) -> bool {
        let owners = self.owners.read().unwrap_or_else(PoisonError::into_inner);
        owners.get(&address).is_some_and(|names| names.iter().any(|name| test(name)))
    }

    /// Resolves what is due at `now`; when the next round is.
    fn round(&self, now: Instant, resolve: &dyn Fn(&str) -> Option<Vec<IpAddr>>) -> Option<Instant> {
        let lock = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let due: Vec<Arc<str>> = {
            let mut known = lock();
            known.retain(|_, known| known.held.strong_count() > 0);
            known.iter().filter(|(_, known)| known.due <= now).map(|(name, _)| Arc::clone(name)).collect()
        };
        // The resolver may take its time; nobody waits for it meanwhile.
        let answers: Vec<_> = due.into_iter().map(|name| (resolve(&name), name)).collect();
        let mut known = lock();
        for (answer, name) in answers {
            let Some(known) = known.get_mut(&name) else { continue };
            let addresses = answer.map(|mut addresses| {
                addresses.sort_unstable();
                addresses.dedup();
                addresses.truncate(MOST_ADDRESSES);
                addresses
            });
            match addresses {
                Some(addresses) if addresses != known.addresses => {
                    known.addresses = addresses;
                    known.pause = SHORTEST;
                }
                _ => known.pause = (known.pause * 2).min(LONGEST),
            }
            known.due = now + known.pause;
        }
        let mut owners = Owners::default();
        for (name, known) in known.iter() {
            for address in &known.addresses {
                owners.entry(*address).or_default().push(Arc::clone(name));
            }
        }
        *self.owners.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(owners);
        known.values().map(|known| known.due).min()
    }

    /// Resolves the names in use, each when it is due.
    pub fn resolve_forever(&self) {
        loop {
            let next = self.round(Instant::now(), &system);
            let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            // A name that came during the round is due already.
            if known.values().any(|known| known.due <= now) {
                continue;
            }
            let pause = next.map_or(LONGEST, |next| next.saturating_duration_since(now));
            drop(self.changed.wait_timeout(known, pause));
        }
    }
}

/// Asks the system's resolver.
fn system(name: &str) -> Option<Vec<IpAddr>> {
    let found = (name, 0).to_socket_addrs().ok()?;
    Some(found.map(|address| address.ip()).collect())
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    fn names(domains: &Domains, address: &str) -> Vec<String> {
        let mut names = Vec::new();
        domains.any_of(address.parse().unwrap(), &mut |name| {
            names.push(name.to_owned());
            false
        });
        names.sort();
        names
    }

    #[test]
    fn names_are_resolved_again_and_forgotten_with_their_rules() {
        let domains = Domains::default();
        let table = RefCell::new(HashMap::from([("a", vec!["10.0.0.1", "::1"]), ("b", vec!["10.0.0.1"])]));
        let asked = RefCell::new(Vec::new());
        let resolve = |name: &str| {
            asked.borrow_mut().push(name.to_owned());
            let addresses = table.borrow().get(name)?.iter().map(|text| text.parse().unwrap()).collect();
            Some(addresses)
        };
        let (a, b, c) = (domains.hold("a"), domains.hold("b"), domains.hold("c"));
        assert!(Arc::ptr_eq(&a, &domains.hold("a")));
        let start = Instant::now();
        assert!(names(&domains, "10.0.0.1").is_empty());
        let next = domains.round(start, &resolve).unwrap();
        assert_eq!(next, start + SHORTEST);
        assert_eq!(
            (names(&domains, "10.0.0.1"), names(&domains, "::1")),
            (vec!["a".into(), "b".into()], vec!["a".into()])
        );
        assert!(names(&domains, "10.0.0.2").is_empty());

        // An answer that changes is asked for soon again; one that fails keeps the addresses.
        table.borrow_mut().insert("a", vec!["10.0.0.2"]);
        table.borrow_mut().remove("b");
        asked.borrow_mut().clear();
        domains.round(start + Duration::from_secs(1), &resolve);
        assert!(asked.borrow().is_empty());
        let next = domains.round(start + Duration::from_secs(30), &resolve).unwrap();
        assert_eq!(next, start + Duration::from_secs(40));
        assert_eq!(
            (names(&domains, "10.0.0.1"), names(&domains, "10.0.0.2")),
            (vec!["b".to_owned()], vec!["a".to_owned()])
        );

        // Pauses grow to the longest.
        let mut now = next;
        for _ in 0..40 {
            now = domains.round(now, &resolve).unwrap();
        }
        let pause = domains.known.lock().unwrap()["a"].pause;
        assert_eq!(pause, LONGEST);

        drop((a, c));
        domains.round(now, &resolve);
        assert!(names(&domains, "10.0.0.2").is_empty());
        assert_eq!(domains.known.lock().unwrap().len(), 1);
        drop(b);
        assert_eq!(domains.round(now, &resolve), None);
    }

    #[test]
    fn there_is_a_limit() {
        let domains = Domains::default();
        let held: Vec<_> = (0..MOST_NAMES + 10).map(|n| domains.hold(&n.to_string())).collect();
        assert_eq!(domains.known.lock().unwrap().len(), MOST_NAMES);
        drop(held);
        let _one = domains.hold("more");
        assert_eq!(domains.known.lock().unwrap().len(), 1);
    }
}
