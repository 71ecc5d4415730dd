//! Calls of which all is said by numbers: what came back, and the registers that went in.
//!
//! Families of such calls declare them with [`calls`](crate::calls): a line has everything about one.

use super::{Arg, Category, Change, Codes, Info, Lane, Looks, Param, View};
use crate::record;
use crate::record::{Pod as _, Record};

record! {
    /// A finished call of numbers.
    pub struct Plain {
        pub ret: i64,
        /// The registers of the arguments as the caller set them; those that the call does not have hold anything.
        pub args: [u64; 6],
    }
}

impl Plain {
    /// What came back.
    pub fn ret(&self) -> Arg<'static> {
        Arg::Int(self.ret)
    }

    /// The `n`th argument, a signed number of 32 bits.
    pub fn int(&self, n: usize) -> Arg<'static> {
        Arg::Int(self.low(n).cast_signed().into())
    }

    /// The `n`th argument, an unsigned number of 32 bits.
    pub fn uint(&self, n: usize) -> Arg<'static> {
        Arg::Uint(self.low(n).into())
    }

    /// The `n`th argument, a whole register.
    pub fn word(&self, n: usize) -> Arg<'static> {
        Arg::Uint(self.args[n])
    }

    /// The low half of the `n`th argument.
    #[expect(clippy::cast_possible_truncation, reason = "the kernel takes no more of an argument of 32 bits")]
    pub fn low(&self, n: usize) -> u32 {
        self.args[n] as u32
    }
}

/// What such a call says of itself. `changes`: as in [`Info`].
pub const fn event(
    name: &'static str,
    category: Category,
    changes: Option<for<'a> fn(&Record<'a>) -> Option<Change<'a>>>,
    params: &'static [Param],
) -> Info {
    Info {
        layout: Plain::LAYOUT,
        lane: Lane::Bulk,
        changes,
        rules: Some(View {
            name,
            codes: Codes::Exit,
            category,
            params,
            fd: None,
            io: None,
            open: None,
            filter: Looks::Nothing,
        }),
    }
}

/// Declares calls of numbers, with their kernel handlers: `Kind, program, "evt.type", Category, changes, parameters;`
#[macro_export]
macro_rules! calls {
    ($($kind:ident, $program:ident, $name:literal, $category:ident, $changes:expr, $params:expr;)+) => {
        $(
            #[doc = concat!($name, "(2).")]
            pub struct $kind;

            impl $kind {
                pub const EVENT: $crate::events::Info = $crate::events::plain::event(
                    $name,
                    $crate::events::Category::$category,
                    $changes,
                    $params,
                );
            }

            #[cfg(target_arch = "bpf")]
            #[inline(always)]
            pub fn $program(exit: &$crate::kernel::Exit) {
                $crate::events::plain::record(exit, $crate::events::Kind::$kind);
            }
        )+
    };
}

#[cfg(target_arch = "bpf")]
mod handlers {
    use super::Plain;
    use crate::events::Kind;
    use crate::kernel::{Exit, Writer};

    /// Makes the record of such a call.
    #[inline(always)]
    pub fn record(exit: &Exit, kind: Kind) {
        let Some(mut w) = Writer::new::<Plain>(kind) else { return };
        let body = w.body::<Plain>();
        body.ret = exit.ret;
        for n in 0..6 {
            body.args[n] = exit.arg(n);
        }
        w.submit(kind);
    }
}
#[cfg(target_arch = "bpf")]
pub use handlers::record;
