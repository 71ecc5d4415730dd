use falconet::probe::{Options, Probe};
use std::time::Duration;
fn main() {
    let mut o = Options::default();
    for e in sensor_ebpf::events::EVENTS {
        if let Some(n) = e.info.name {
            o.event_types.insert(n.into());
        }
    }
    let t = std::time::Instant::now();
    let (p, mut lanes) = Probe::load(&o).unwrap();
    eprintln!("loaded in {:?}", t.elapsed());
    let end = std::time::Instant::now() + Duration::from_secs(12);
    let mut n = 0u64;
    let mut waits = 0;
    while std::time::Instant::now() < end {
        let k = lanes.drain(100000, |r| {
            n += u64::from(r.header().len > 0);
        });
        if k == 0 {
            waits += 1;
            lanes.wait(Duration::from_millis(100)).unwrap();
        } else {
            std::thread::sleep(Duration::from_millis(2));
        }
    }
    eprintln!("{n} records, {waits} waits {:?}", p.counters().total());
}
