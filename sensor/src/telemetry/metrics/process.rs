//! The process, under the names that Prometheus clients use, and the version.

use crate::telemetry::{Exposition, Kind};

/// Memory, processor time, descriptors and version.
pub fn collect(out: &mut Exposition) {
    out.family("falconet_build_info", Kind::Gauge, "The running version.")
        .sample(&[("version", env!("CARGO_PKG_VERSION"))], 1);
    // Resident pages are the second number.
    let resident = std::fs::read_to_string("/proc/self/statm")
        .ok()
        .and_then(|text| text.split(' ').nth(1)?.parse::<u64>().ok());
    if let Some(pages) = resident {
        let page = u64::try_from(rustix::param::page_size()).unwrap_or(4096);
        out.gauge("process_resident_memory_bytes", "Resident memory.", pages * page);
    }
    let used = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    let seconds =
        std::time::Duration::new(used.tv_sec.try_into().unwrap_or(0), used.tv_nsec.try_into().unwrap_or(0));
    out.counter("process_cpu_seconds_total", "Processor time used.", seconds.as_secs_f64());
    if let Ok(open) = std::fs::read_dir("/proc/self/fd") {
        out.gauge("process_open_fds", "Open file descriptors.", open.count());
    }
}
