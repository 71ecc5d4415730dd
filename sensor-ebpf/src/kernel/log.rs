//! The programs' debug log: what a counter does not tell. Off unless user space sets its level, a constant to the verifier, which
//! then drops the body.

/// Logs that a record is not all there, and what the last helper returned that failed (0: there was no room). A global function, so
/// that its code is there once and not in every program.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn log_cut(kind: u32, tgid: u32, flags: u32, status: i64) -> u32 {
    aya_log_ebpf::debug!(
        (),
        "event {} of process {}: cut {:x}, helper returned {}",
        kind,
        tgid,
        flags,
        status
    );
    0
}
