//! Services that rules name, for loading where the host's own database does not count: tests of rules read the same
//! everywhere.

use std::net::IpAddr;
use std::sync::Arc;

use super::names::{Held, Names};

/// Services and their ports, after the IANA registry.
#[rustfmt::skip]
pub const SERVICES: &[(&str, u16)] = &[
    ("echo", 7), ("discard", 9), ("ftp-data", 20), ("ftp", 21), ("ssh", 22), ("telnet", 23), ("smtp", 25),
    ("time", 37), ("whois", 43), ("tacacs", 49), ("domain", 53), ("bootps", 67), ("bootpc", 68), ("tftp", 69),
    ("gopher", 70), ("finger", 79), ("http", 80), ("www", 80), ("kerberos", 88), ("pop3", 110),
    ("sunrpc", 111), ("auth", 113), ("nntp", 119), ("ntp", 123), ("epmap", 135), ("netbios-ns", 137),
    ("netbios-dgm", 138), ("netbios-ssn", 139), ("imap", 143), ("imap2", 143), ("snmp", 161),
    ("snmp-trap", 162), ("xdmcp", 177), ("bgp", 179), ("irc", 194), ("ldap", 389), ("https", 443),
    ("microsoft-ds", 445), ("kpasswd", 464), ("submissions", 465), ("isakmp", 500), ("exec", 512),
    ("login", 513), ("shell", 514), ("syslog", 514), ("printer", 515), ("submission", 587), ("ipp", 631),
    ("ldaps", 636), ("rsync", 873), ("ftps", 990), ("telnets", 992), ("imaps", 993), ("pop3s", 995),
    ("socks", 1080), ("openvpn", 1194), ("ms-sql-s", 1433), ("ms-sql-m", 1434), ("radius", 1812),
    ("nfs", 2049), ("mysql", 3306), ("ms-wbt-server", 3389), ("svn", 3690), ("epmd", 4369), ("sip", 5060),
    ("sips", 5061), ("xmpp-client", 5222), ("postgresql", 5432), ("amqps", 5671), ("amqp", 5672),
    ("x11", 6000), ("redis", 6379), ("ircd", 6667), ("http-alt", 8080),
];

/// Names without a host: the services of the table; host names have no addresses.
#[derive(Debug, Clone, Copy, Default)]
pub struct WellKnown;

impl Names for WellKnown {
    fn port(&self, service: &str) -> Option<u16> {
        SERVICES.iter().find(|(name, _)| *name == service).map(|(_, port)| *port)
    }

    fn hold(&self, _host: &str) -> Held {
        Arc::new(())
    }

    fn any_of(&self, _address: IpAddr, _test: &mut dyn FnMut(&str) -> bool) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_name_stands_once_and_is_a_name() {
        let names: BTreeSet<&str> = SERVICES.iter().map(|(name, _)| *name).collect();
        assert_eq!(names.len(), SERVICES.len());
        for name in names {
            let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            assert!(name.chars().all(word) && !name.starts_with('-') && !name.ends_with('-'), "{name}");
        }
        assert_eq!((WellKnown.port("ms-wbt-server"), WellKnown.port("server")), (Some(3389), None));
    }
}
