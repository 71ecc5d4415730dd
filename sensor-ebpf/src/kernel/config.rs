//! The read-only global that user space sets, see [`crate::config`].

use crate::config::Config;

#[unsafe(no_mangle)]
pub static CONFIG: Config = Config::EMPTY;

/// Reads a member of [`CONFIG`]. Volatile, because the compiler must not take the initial value for the real one.
#[inline(always)]
pub fn load<T: Copy>(member: &'static T) -> T {
    // SAFETY: a reference is valid for reads.
    unsafe { core::ptr::read_volatile(member) }
}

/// Reads the named member of the read-only configuration.
#[macro_export]
macro_rules! config {
    ($($member:ident).+) => {
        $crate::kernel::config::load(&$crate::kernel::config::CONFIG.$($member).+)
    };
}

/// An offset as `usize`.
#[macro_export]
macro_rules! off {
    ($name:ident) => {
        $crate::config!(offsets.$name) as usize
    };
}
