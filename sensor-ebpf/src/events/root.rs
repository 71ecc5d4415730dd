//! chroot(2), `pivot_root(2)`.

use super::{Arg, Category, Codes, Info, Lane, Looks, Param, ParamType as T, PathRole, View, Volume, params};
use crate::record;
use crate::record::{Pod as _, Tail};

record! {
    /// A finished change of the root. Directories are those after it.
    pub struct Rooted {
        pub ret: i64,
        pub root: Tail,
        pub root_base: Tail,
        /// Where the old root goes (`pivot_root`).
        pub old: Tail,
        pub old_base: Tail,
    }
}

/// chroot(2).
pub struct Chroot;
/// `pivot_root(2)`, which Falco has without parameters.
pub struct PivotRoot;

impl Chroot {
    pub const EVENT: Info = event("chroot", CHROOT);
}

impl PivotRoot {
    pub const EVENT: Info = event("pivot_root", PIVOT_ROOT);
}

/// The two differ in name and arguments.
const fn event(name: &'static str, params: &'static [Param]) -> Info {
    Info {
        layout: Rooted::LAYOUT,
        lane: Lane::Bulk,
        changes: None,
        rules: Some(View {
            name,
            codes: Codes::Exit,
            category: Category::Process,
            params,
            fd: None,
            io: None,
            open: None,
            filter: Looks::Nothing,
            volume: Volume::Normal,
        }),
    }
}

const CHROOT: &[Param] = params! {
    "res": T::Errno, |r, b: &Rooted| Arg::Int(b.ret);
    "path": T::Path(PathRole::Other), |r, b: &Rooted| Arg::Path { raw: r.tail(b.root), base: r.tail(b.root_base) };
};

const PIVOT_ROOT: &[Param] = params! {
    "res": T::Errno, |r, b: &Rooted| Arg::Int(b.ret);
    "new_root": T::Path(PathRole::Other), |r, b: &Rooted| Arg::Path { raw: r.tail(b.root), base: r.tail(b.root_base) };
    "put_old": T::Path(PathRole::Other), |r, b: &Rooted| Arg::Path { raw: r.tail(b.old), base: r.tail(b.old_base) };
};

#[cfg(target_arch = "bpf")]
mod handlers {
    use super::Rooted;
    use crate::events::Kind;
    use crate::kernel::file::{self, AT_FDCWD};
    use crate::kernel::{Exit, Writer};
    use crate::record::Tail;

    #[inline(always)]
    pub fn chroot(exit: &Exit) {
        let Some(mut w) = Writer::new::<Rooted>(Kind::Chroot) else { return };
        let body = w.body::<Rooted>();
        body.ret = exit.ret;
        (body.root, body.root_base) = file::argument(&mut w, exit, AT_FDCWD, exit.arg(0));
        (body.old, body.old_base) = (Tail::EMPTY, Tail::EMPTY);
        w.submit(Kind::Chroot);
    }

    #[inline(always)]
    pub fn pivot_root(exit: &Exit) {
        let Some(mut w) = Writer::new::<Rooted>(Kind::PivotRoot) else { return };
        let body = w.body::<Rooted>();
        body.ret = exit.ret;
        (body.root, body.root_base) = file::argument(&mut w, exit, AT_FDCWD, exit.arg(0));
        (body.old, body.old_base) = file::argument(&mut w, exit, AT_FDCWD, exit.arg(1));
        w.submit(Kind::PivotRoot);
    }
}
#[cfg(target_arch = "bpf")]
pub use handlers::{chroot, pivot_root};

#[cfg(feature = "testing")]
mod scenarios {
    use super::{Chroot, PivotRoot};
    use crate::syscall;
    use crate::testing::{Dir, Scenario, Stage, c, touch};

    impl Chroot {
        pub const SCENARIOS: &[Scenario] =
            &[Scenario { shows: "a directory, and one that is none", play: chroot }];
    }

    impl PivotRoot {
        pub const SCENARIOS: &[Scenario] =
            &[Scenario { shows: "a failed one keeps what was asked", play: pivot }];
    }

    fn chroot(stage: &mut dyn Stage) {
        let dir = Dir::new();
        let path = c(dir.path());
        let seen = stage.observe(&|| {
            syscall!(SYS_chroot, c"/nonexistent".as_ptr());
            syscall!(SYS_chroot, path.as_ptr());
        });
        let [failed, done] = seen.as_slice() else { panic!("{seen:?}") };
        failed.is("chroot", &[("res", "-2"), ("path", "/nonexistent")]).has(&[
            ("evt.type", "chroot"),
            ("evt.category", "process"),
            ("evt.res", "ENOENT"),
        ]);
        done.is("chroot", &[("res", "0"), ("path", dir.path())]).has(&[("evt.arg[1]", dir.path())]).lacks(&[
            "fd.num",
            "fs.path.name",
            "evt.abspath",
        ]);
    }

    fn pivot(stage: &mut dyn Stage) {
        let seen = stage.one(&|| {
            touch(&[c"/nonexistent/new", c"/nonexistent/old"]);
            syscall!(SYS_pivot_root, c"/nonexistent/new".as_ptr(), c"/nonexistent/old".as_ptr());
        });
        let args = [("res", "-2"), ("new_root", "/nonexistent/new"), ("put_old", "/nonexistent/old")];
        seen.is("pivot_root", &args)
            .has(&[("evt.type", "pivot_root"), ("evt.category", "process"), ("evt.res", "ENOENT")])
            .lacks(&["fd.num", "fs.path.name"]);
    }
}
