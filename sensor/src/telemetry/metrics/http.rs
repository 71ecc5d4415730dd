//! The HTTP servers, each under its name as `server`.

use std::sync::atomic::Ordering;

use crate::net::{Counters, Refusal};
use crate::telemetry::{Exposition, Kind};

/// One server.
pub fn collect(server: &str, counters: &Counters, out: &mut Exposition) {
    // By reason, below.
    let Counters { accepted, open, requests, refused: _ } = counters;
    let label = [("server", server)];
    for (name, help, counter) in [
        ("connections_total", "Connections accepted.", accepted),
        ("requests_total", "Requests whose head was read.", requests),
    ] {
        let family = out.family(&format!("falconet_http_{name}"), Kind::Counter, help);
        family.sample(&label, counter.load(Ordering::Relaxed));
    }
    let help = "Connections open now.";
    out.family("falconet_http_connections", Kind::Gauge, help).sample(&label, open.load(Ordering::Relaxed));
    let help = "Connections ended and requests refused by the server's limits.";
    let family = out.family("falconet_http_refused_total", Kind::Counter, help);
    for (refusal, reason) in Refusal::ALL {
        family.sample(&[("server", server), ("reason", reason)], counters.refused(refusal));
    }
}
