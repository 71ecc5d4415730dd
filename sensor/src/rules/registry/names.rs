//! Names that stand for something else on the host: services for ports, host names for addresses.
//!
//! What they stand for is known to whoever loads the rules, and passed in with the options as [`Names`]. Rules themselves
//! read no database and ask no resolver.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

/// A host name that a rule set compares addresses with. It counts as in use until the last clone is dropped.
pub type Held = Arc<dyn fmt::Debug + Send + Sync>;

/// What names in conditions stand for.
pub trait Names: fmt::Debug + Send + Sync {
    /// The port of a service (`fd.sport = ssh`).
    fn port(&self, service: &str) -> Option<u16>;

    /// Takes up a host name that a condition holds (`fd.sip.name = example.com`). Its addresses may be resolved, again and
    /// again, as long as the result is kept.
    fn hold(&self, host: &str) -> Held;

    /// Calls `test` with each host name in use that has the address, until it returns true; returns whether it did. The
    /// event thread asks: this must not wait.
    fn any_of(&self, address: IpAddr, test: &mut dyn FnMut(&str) -> bool) -> bool;
}

/// A port as conditions and written events have it: a number, or the name of a service.
pub fn port(text: &str, names: &dyn Names) -> Option<u16> {
    if text.starts_with(|c: char| c.is_ascii_digit()) && text.bytes().all(|b| b.is_ascii_digit()) {
        return text.parse().ok();
    }
    names.port(text)
}

#[cfg(test)]
mod tests {
    use super::super::services::WellKnown;

    #[test]
    fn ports_by_number_and_name() {
        let port = |text| super::port(text, &WellKnown);
        assert_eq!((port("22"), port("ssh"), port("65535")), (Some(22), Some(22), Some(65_535)));
        assert_eq!(
            (port("65536"), port("nope"), port("+1"), port("-1"), port("")),
            (None, None, None, None, None)
        );
    }
}
