//! What names in rules stand for on this host: services by its database, host names by its resolver.

mod domains;
mod services;

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use crate::rules::{Held, Names, WellKnown};
use domains::Domains;

/// The names of this host. Host names have no addresses before [`HostNames::keep_resolved`], so commands that only look at
/// rules ask nobody.
#[derive(Debug, Default)]
pub struct HostNames {
    /// Read when a rule first names a service.
    services: OnceLock<HashMap<String, u16>>,
    domains: Arc<Domains>,
}

impl HostNames {
    /// Resolves the host names in use from now on, on a thread of its own that ends with the process: the system's resolver
    /// cannot be interrupted.
    pub fn keep_resolved(&self) -> io::Result<()> {
        let domains = Arc::clone(&self.domains);
        let thread = std::thread::Builder::new().name("domains".to_owned());
        thread.spawn(move || domains.resolve_forever()).map(drop)
    }
}

impl Names for HostNames {
    /// The host's database goes before the table of well-known services, so that rules load the same where there is none.
    fn port(&self, service: &str) -> Option<u16> {
        let own = self.services.get_or_init(services::read).get(service).copied();
        own.or_else(|| WellKnown.port(service))
    }

    fn hold(&self, host: &str) -> Held {
        self.domains.hold(host)
    }

    fn any_of(&self, address: IpAddr, test: &mut dyn FnMut(&str) -> bool) -> bool {
        self.domains.any_of(address, test)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hosts_database_goes_before_the_table() {
        let names = HostNames::default();
        names.services.set(HashMap::from([("ssh".to_owned(), 2222), ("mine".to_owned(), 77)])).unwrap();
        assert_eq!((names.port("ssh"), names.port("mine")), (Some(2222), Some(77)));
        assert_eq!((names.port("https"), names.port("nope")), (Some(443), None));
    }
}
