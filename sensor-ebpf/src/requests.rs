//! Requests of io_uring: which system call each does the same as.

use crate::abi::op;
use crate::events::Kind;

/// The operations: `function, OPCODE, module::handler [places of its texts among the arguments] => Kind`. The kernel side takes what a
/// request asks for in `kernel/uring.rs`, and the handler makes the record.
#[macro_export]
macro_rules! for_each_request {
    ($callback:ident) => {
        $callback! {
            uring_openat, OPENAT, open::openat [1] => Openat;
            uring_openat2, OPENAT2, open::openat2 [1, 2] => Openat2;
            uring_unlinkat, UNLINKAT, unlink::unlinkat [1] => Unlinkat;
            uring_renameat, RENAMEAT, rename::renameat [1, 3] => Renameat;
            uring_linkat, LINKAT, link::linkat [1, 3] => Linkat;
            uring_symlinkat, SYMLINKAT, symlink::symlinkat [0, 2] => Symlinkat;
            uring_mkdirat, MKDIRAT, mkdir::mkdirat [1] => Mkdirat;
            uring_socket, SOCKET, socket::socket [] => Socket;
            uring_connect, CONNECT, connect::connect [1] => Connect;
        }
    };
}

macro_rules! table {
    ($($function:ident, $opcode:ident, $module:ident::$handler:ident [$($place:literal),*] => $kind:ident;)+) => {
        /// Opcode and event of each.
        pub const REQUESTS: &[(u8, Kind)] = &[$((op::$opcode, Kind::$kind)),+];
    };
}
for_each_request!(table);

/// The programs that see requests, and their tracepoints, by their names since which kernel.
pub const PROGRAMS: [(&str, &[&str]); 3] = [
    ("uring_submit", &["io_uring_submit_req", "io_uring_submit_sqe"]),
    ("uring_complete", &["io_uring_complete"]),
    ("uring_overflow", &["io_uring_cqe_overflow"]),
];

/// The event types that requests make, too.
pub fn kinds() -> impl Iterator<Item = Kind> {
    REQUESTS.iter().map(|(_, kind)| *kind)
}

#[cfg(target_arch = "bpf")]
#[expect(
    unsafe_code,
    reason = "names without mangling: the verifier takes only such functions for global ones"
)]
mod handlers {
    use crate::events::Kind;
    use crate::kernel::Exit;

    macro_rules! functions {
        ($($function:ident, $opcode:ident, $module:ident::$handler:ident [$($place:literal),*] => $kind:ident;)+) => {
            $(
                /// A function of its own, which the verifier looks at once.
                #[unsafe(no_mangle)]
                #[inline(never)]
                extern "C" fn $function() -> u32 {
                    if let Some(exit) = Exit::of_request([$($place),*]) {
                        crate::events::$module::$handler(&exit);
                    }
                    0
                }
            )+

            /// Makes the record of the request that this CPU works on.
            #[inline(always)]
            pub fn handle(kind: u32) {
                $(if kind == Kind::$kind as u32 {
                    $function();
                    return;
                })+
            }
        };
    }
    crate::for_each_request!(functions);
}
#[cfg(target_arch = "bpf")]
pub use handlers::handle;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_opcode_is_one_event() {
        for (i, (opcode, kind)) in REQUESTS.iter().enumerate() {
            assert!(usize::from(*opcode) < crate::abi::OPCODES);
            assert!(REQUESTS[i + 1..].iter().all(|(other, same)| other != opcode && same != kind));
        }
    }
}
