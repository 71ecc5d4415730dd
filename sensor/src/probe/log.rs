//! The programs' own debug log: what a record lacks and which helper failed, as it happens.
//!
//! Off unless the log level asks for it (`RUST_LOG=sensor_ebpf=debug`). The level is a constant to the verifier, which then
//! drops the calls, so that the log costs nothing while it is off.

use std::io;
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aya::Ebpf;
use aya_log::EbpfLogger;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// The map that the programs write it to.
pub const MAP: &str = "AYA_LOGS";
/// Longest time until the thread sees that it shall end.
const LOOK: Duration = Duration::from_secs(1);

/// How much is logged, as `aya_log` counts: 0 is nothing.
pub fn level() -> u8 {
    if tracing::enabled!(target: "sensor_ebpf", tracing::Level::DEBUG) {
        aya_log::Level::Debug as u8
    } else {
        0
    }
}

/// The thread that shows what the programs log; ends with this value.
pub struct LogThread(Arc<AtomicBool>);

impl LogThread {
    /// Starts it. Lines come as those of any other module, by the `log` crate.
    pub fn start(ebpf: &mut Ebpf) -> io::Result<Self> {
        let mut logger = EbpfLogger::init(ebpf).map_err(io::Error::other)?;
        let ended = Arc::new(AtomicBool::new(false));
        let end = ended.clone();
        std::thread::Builder::new().name("programs-log".into()).spawn(move || {
            let look = Timespec::try_from(LOOK).ok();
            while !end.load(Ordering::Relaxed) {
                // A signal or a failure of the kind that poll has here: look again.
                let _ = poll(&mut [PollFd::from_borrowed_fd(logger.as_fd(), PollFlags::IN)], look.as_ref());
                logger.flush();
            }
        })?;
        Ok(Self(ended))
    }
}

impl Drop for LogThread {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
