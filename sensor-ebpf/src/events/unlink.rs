//! unlink(2), unlinkat(2).

use super::flags::UNLINKAT_FLAGS;
use super::{Arg, FdView, Info, Param, ParamType as T, params};
use crate::record;
use crate::record::{Fd, Pod as _, Record, Tail};

record! {
    /// A finished unlink.
    pub struct Unlinked {
        pub ret: i64,
        /// The directory that `dirfd` names; `kind` 0 for `AT_FDCWD`.
        pub dir: Fd,
        pub dirfd: i32,
        pub flags: u32,
        pub raw: Tail,
        pub base: Tail,
    }
}

/// unlink(2).
pub struct Unlink;
/// unlinkat(2).
pub struct Unlinkat;

impl Unlink {
    pub const EVENT: Info =
        Info { name: Some("unlink"), state: false, params: UNLINK, layout: Unlinked::LAYOUT, fd: None };
}

impl Unlinkat {
    pub const EVENT: Info = Info {
        name: Some("unlinkat"),
        state: false,
        params: UNLINKAT,
        layout: Unlinked::LAYOUT,
        fd: Some(dirfd),
    };
}

/// `fd.*` of the `*at` calls is the directory (a Falco peculiarity that rules rely on).
fn dirfd<'a>(r: &Record<'a>) -> Option<FdView<'a>> {
    let body: &Unlinked = r.body()?;
    Some(FdView {
        num: body.dirfd.into(),
        fd: (body.dir.kind != 0).then_some(&body.dir),
        path: r.tail(body.dir.path),
        raw: &[],
        base: &[],
    })
}

const UNLINK: &[Param] = params! {
    "res": T::Errno, |r, b: &Unlinked| Arg::Int(b.ret);
    "path": T::Path, |r, b: &Unlinked| Arg::Path { raw: r.tail(b.raw), base: r.tail(b.base) };
};

const UNLINKAT: &[Param] = params! {
    "res": T::Errno, |r, b: &Unlinked| Arg::Int(b.ret);
    "dirfd": T::Fd, |r, b: &Unlinked| Arg::Int(b.dirfd.into());
    "name": T::Path, |r, b: &Unlinked| Arg::Path { raw: r.tail(b.raw), base: r.tail(b.base) };
    "flags": T::Flags(UNLINKAT_FLAGS), |r, b: &Unlinked| Arg::Uint(b.flags.into());
};

#[cfg(target_arch = "bpf")]
mod handlers {
    use super::Unlinked;
    use crate::events::Kind;
    use crate::kernel::{Exit, Writer, file};

    const AT_FDCWD: i32 = -100;

    #[inline(always)]
    fn record(exit: &Exit, kind: Kind, dirfd: i32, raw: u64, flags: u32) {
        let Some(mut w) = Writer::new::<Unlinked>(kind) else { return };
        let body = w.body::<Unlinked>();
        body.ret = exit.ret;
        file::describe(&mut w, exit.task, dirfd, &mut body.dir);
        body.dirfd = dirfd;
        body.flags = flags;
        (body.raw, body.base) = file::argument(&mut w, exit.task, dirfd, raw);
        w.submit(kind);
    }

    #[inline(always)]
    pub fn unlink(exit: &Exit) {
        record(exit, Kind::Unlink, AT_FDCWD, exit.arg(0), 0);
    }

    #[inline(always)]
    pub fn unlinkat(exit: &Exit) {
        record(exit, Kind::Unlinkat, exit.arg(0) as i32, exit.arg(1), exit.arg(2) as u32);
    }
}
#[cfg(target_arch = "bpf")]
pub use handlers::{unlink, unlinkat};
