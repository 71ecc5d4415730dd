//! Calls of which all is said by numbers: what came back, and the registers that went in.
//!
//! Families of such calls declare them with [`calls`](crate::calls): a line has everything about one.

use super::{
    Arg, Category, Change, Codes, Descriptor, FdView, Info, Is, Lane, Looks, Param, Role, View, Volume,
};
use crate::record;
use crate::record::{Fd, Pod as _, Record};

record! {
    /// A finished call of numbers.
    pub struct Plain {
        pub ret: i64,
        /// The registers of the arguments as the caller set them; those that the call does not have hold anything.
        pub args: [u64; 6],
    }
}

record! {
    /// A finished call of numbers, one of which is a descriptor.
    pub struct PlainFd {
        pub call: Plain,
        /// What the descriptor is, after the call.
        pub file: Fd,
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
    volume: Volume,
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
            volume,
        }),
    }
}

/// Declares calls of numbers, with their kernel handlers: `Kind, program, "evt.type", Category, changes, parameters;`, and `, High` before
/// the end of those that are many, see [`Volume`].
#[macro_export]
macro_rules! calls {
    ($($kind:ident, $program:ident, $name:literal, $category:ident, $changes:expr, $params:expr $(, $volume:ident)?;)+) => {
        $(
            #[doc = concat!("`", $name, "`(2).")]
            pub struct $kind;

            impl $kind {
                pub const EVENT: $crate::events::Info = $crate::events::plain::event(
                    $name,
                    $crate::events::Category::$category,
                    $changes,
                    $params,
                    $crate::calls!(@volume $($volume)?),
                );
            }

            #[cfg(target_arch = "bpf")]
            #[inline(always)]
            pub fn $program(exit: &$crate::kernel::Exit) {
                $crate::events::plain::record(exit, $crate::events::Kind::$kind);
            }
        )+
    };
    (@volume) => { $crate::events::Volume::Normal };
    (@volume $volume:ident) => { $crate::events::Volume::$volume };
}

/// What a call says of itself that makes or uses a descriptor. `otherwise`: as in [`Descriptor`].
pub const fn event_of_fd(
    name: &'static str,
    category: Category,
    view: for<'a> fn(&Record<'a>) -> Option<FdView<'a>>,
    otherwise: u8,
    params: &'static [Param],
    volume: Volume,
) -> Info {
    Info {
        layout: PlainFd::LAYOUT,
        lane: Lane::Bulk,
        changes: None,
        rules: Some(View {
            name,
            codes: Codes::Exit,
            category,
            params,
            fd: Some(Descriptor { view, is: Is::Subject, otherwise, role: Role::Unknown }),
            io: None,
            open: None,
            filter: Looks::Nothing,
            volume,
        }),
    }
}

/// The descriptor that a call returned.
pub fn made<'a>(r: &Record<'a>) -> Option<FdView<'a>> {
    r.body().map(|b: &PlainFd| FdView::of(r, b.call.ret.max(-1), &b.file))
}

/// The descriptor that a call was given as its argument `N`.
pub fn used<'a, const N: usize>(r: &Record<'a>) -> Option<FdView<'a>> {
    r.body().map(|b: &PlainFd| FdView::of(r, b.call.low(N).cast_signed().into(), &b.file))
}

/// As [`calls`](crate::calls), for calls with a descriptor: `Kind, program, "evt.type", Category, makes b'K', parameters;` for one that
/// returns it, `…, uses N as b'K', …` for one that has it as argument `N`. `b'K'` is Falco's type character of what has none of the
/// kernel's own.
#[macro_export]
macro_rules! calls_of_fd {
    ($($kind:ident, $program:ident, $name:literal, $category:ident, $how:ident $what:literal $(as $own:literal)?, $params:expr;)+) => {
        $(
            #[doc = concat!("`", $name, "`(2).")]
            pub struct $kind;

            impl $kind {
                pub const EVENT: $crate::events::Info = $crate::events::plain::event_of_fd(
                    $name,
                    $crate::events::Category::$category,
                    $crate::calls_of_fd!(@view $how $what),
                    $crate::calls_of_fd!(@own $what $($own)?),
                    $params,
                    $crate::events::Volume::Normal,
                );
            }

            #[cfg(target_arch = "bpf")]
            #[inline(always)]
            pub fn $program(exit: &$crate::kernel::Exit) {
                let fd = $crate::calls_of_fd!(@fd $how $what exit);
                let own = $crate::calls_of_fd!(@own $what $($own)?);
                $crate::events::plain::record_of_fd(exit, $crate::events::Kind::$kind, fd, own);
            }
        )+
    };
    (@view makes $own:literal) => { $crate::events::plain::made };
    (@view uses $n:literal) => { $crate::events::plain::used::<$n> };
    (@own $own:literal) => { $own };
    (@own $n:literal $own:literal) => { $own };
    (@fd makes $own:literal $exit:ident) => { $exit.ret as i32 };
    (@fd uses $n:literal $exit:ident) => { $exit.arg($n) as i32 };
}

#[cfg(target_arch = "bpf")]
mod handlers {
    use super::{Plain, PlainFd};
    use crate::events::Kind;
    use crate::kernel::{Exit, Writer, file};
    use crate::record::Fd;

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

    /// Makes the record of a call with the descriptor `fd`, which is of the kind `own` if the kernel has no kind for it.
    #[inline(always)]
    pub fn record_of_fd(exit: &Exit, kind: Kind, fd: i32, own: u8) {
        let Some(mut w) = Writer::new::<PlainFd>(kind) else { return };
        let body = w.body::<PlainFd>();
        body.call.ret = exit.ret;
        for n in 0..6 {
            body.call.args[n] = exit.arg(n);
        }
        describe(&mut w, exit, fd, own, &mut body.file);
        w.submit(kind);
    }

    /// As [`file::describe`], where an anonymous inode is of the kind `own`. Newer kernels have a file system for processes, with regular
    /// files.
    #[inline(always)]
    pub fn describe(w: &mut Writer, exit: &Exit, fd: i32, own: u8, out: &mut Fd) {
        file::describe(w, exit.task, fd, out);
        if exit.ret >= 0 && (out.kind == b'o' || (out.kind == b'f' && own == b'P')) {
            out.kind = own;
        }
    }
}
#[cfg(target_arch = "bpf")]
pub use handlers::{describe, record, record_of_fd};
