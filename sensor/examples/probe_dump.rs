use falconet::probe::{Options, Probe};
use std::time::Duration;
fn main() {
    let mut o = Options::default();
    for e in sensor_ebpf::events::EVENTS { if let Some(n) = e.info.name { o.event_types.insert(n.into()); } }
    o.cgroup_controller = std::env::args().nth(1);
    o.cgroup_hierarchy = std::env::args().nth(2).and_then(|s| s.parse().ok()).unwrap_or(0);
    let (p, mut lanes) = match Probe::load(&o) { Ok(x) => x, Err(e) => { eprintln!("{e}"); std::process::exit(1) } };
    eprintln!("missing {:?}", p.missing_offsets());
    let end = std::time::Instant::now() + Duration::from_secs(6);
    while std::time::Instant::now() < end {
        lanes.wait(Duration::from_millis(50)).unwrap();
        lanes.drain(10000, |r| {
            let h = r.header();
            let e = sensor_ebpf::events::Event::of_kind(h.kind).unwrap();
            print!("{} {} tgid={} id={:x} cg={} fl={} len={}", h.time, e.program, h.tgid, h.exec_id, h.cgroup, h.flags, h.len);
            for p in e.info.params { if let Some(v) = (p.get)(&r) { match v { sensor_ebpf::events::Arg::Bytes(b) => print!(" {}={:?}", p.name, String::from_utf8_lossy(b)), sensor_ebpf::events::Arg::Path{raw,base} => print!(" {}={:?}@{:?}", p.name, String::from_utf8_lossy(raw), String::from_utf8_lossy(base)), x => print!(" {}={:?}", p.name, x) } } }
            if let Some(f) = e.info.fd { if let Some(v) = f(&r) { print!(" FD num={} path={:?} kind={:?}", v.num, String::from_utf8_lossy(v.path), v.fd.map(|f| f.kind as char)); } }
            if let Some(b) = r.body::<sensor_ebpf::events::process::Exec>().filter(|_| e.program == "exec") { print!(" {:?}", b.task); }
            if e.program.starts_with("cgroup") { let b: &sensor_ebpf::events::cgroup::Cgroup = r.body().unwrap(); print!(" id={} {:?}", b.id, String::from_utf8_lossy(r.tail(b.path))); }
            println!();
        });
    }
    for (e, c) in p.counters().read() { if c != Default::default() { eprintln!("{} {:?}", e.program, c); } }
}
