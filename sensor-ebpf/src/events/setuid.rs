//! Calls that change the credentials of a thread: the setuid family, and capset(2).
//!
//! What they did is in the header of every record since, this one first. Threads have credentials of their own: the C library makes such
//! a call in all of them, a raw one does it in one.

use super::plain::Plain;
use super::{Arg, Change, Param, ParamType as T, params};
use crate::calls;
use crate::record::Record;

calls! {
    Setuid, setuid, "setuid", User, Some(credentials), SETUID;
    Setgid, setgid, "setgid", User, Some(credentials), SETGID;
    Setreuid, setreuid, "setreuid", User, Some(credentials), SETREUID;
    Setregid, setregid, "setregid", User, Some(credentials), SETREGID;
    Setresuid, setresuid, "setresuid", User, Some(credentials), SETRESUID;
    Setresgid, setresgid, "setresgid", User, Some(credentials), SETRESGID;
    Setfsuid, setfsuid, "setfsuid", User, Some(of_files), SETFSUID;
    Setfsgid, setfsgid, "setfsgid", User, Some(of_files), SETFSGID;
    Setgroups, setgroups, "setgroups", User, None, SETGROUPS;
    Capset, capset, "capset", Process, Some(credentials), CAPSET;
}

/// Calls that cannot fail: they return the id of before. Who acts on files as another user has other capabilities.
fn of_files<'a>(_: &Record<'a>) -> Option<Change<'a>> {
    Some(Change::Credentials)
}

fn credentials<'a>(r: &Record<'a>) -> Option<Change<'a>> {
    r.body().filter(|body: &&Plain| body.ret == 0).map(|_| Change::Credentials)
}

const SETUID: &[Param] = params! {
    "res": T::Errno, |r, b: &Plain| b.ret();
    "uid": T::Uid, |r, b: &Plain| b.uint(0);
};

const SETGID: &[Param] = params! {
    "res": T::Errno, |r, b: &Plain| b.ret();
    "gid": T::Gid, |r, b: &Plain| b.uint(0);
};

const SETREUID: &[Param] = params! {
    "res": T::Errno, |r, b: &Plain| b.ret();
    "ruid": T::Uid, |r, b: &Plain| b.uint(0);
    "euid": T::Uid, |r, b: &Plain| b.uint(1);
};

// Falco takes these for ids of users.
const SETREGID: &[Param] = params! {
    "res": T::Errno, |r, b: &Plain| b.ret();
    "rgid": T::Uid, |r, b: &Plain| b.uint(0);
    "egid": T::Uid, |r, b: &Plain| b.uint(1);
};

const SETRESUID: &[Param] = params! {
    "res": T::Errno, |r, b: &Plain| b.ret();
    "ruid": T::Uid, |r, b: &Plain| b.uint(0);
    "euid": T::Uid, |r, b: &Plain| b.uint(1);
    "suid": T::Uid, |r, b: &Plain| b.uint(2);
};

const SETRESGID: &[Param] = params! {
    "res": T::Errno, |r, b: &Plain| b.ret();
    "rgid": T::Gid, |r, b: &Plain| b.uint(0);
    "egid": T::Gid, |r, b: &Plain| b.uint(1);
    "sgid": T::Gid, |r, b: &Plain| b.uint(2);
};

// Of these Falco has the names alone.
const SETFSUID: &[Param] = params! {
    "res": T::Errno, |r, b: &Plain| b.ret();
    "uid": T::Uid, |r, b: &Plain| b.uint(0);
};

const SETFSGID: &[Param] = params! {
    "res": T::Errno, |r, b: &Plain| b.ret();
    "gid": T::Gid, |r, b: &Plain| b.uint(0);
};

const SETGROUPS: &[Param] = params! {
    "res": T::Errno, |r, b: &Plain| b.ret();
    "size": T::Dec(32), |r, b: &Plain| b.uint(0);
};

// What the thread has now, whether or not the call gave it, as in Falco.
const CAPSET: &[Param] = params! {
    "res": T::Errno, |r, b: &Plain| b.ret();
    "cap_inheritable": T::Hex(64), |r, b: &Plain| Arg::Uint(r.header().cap_inheritable);
    "cap_permitted": T::Hex(64), |r, b: &Plain| Arg::Uint(r.header().cap_permitted);
    "cap_effective": T::Hex(64), |r, b: &Plain| Arg::Uint(r.header().cap_effective);
};

#[cfg(feature = "testing")]
mod scenarios {
    use super::{
        Capset, Setfsgid, Setfsuid, Setgid, Setgroups, Setregid, Setresgid, Setresuid, Setreuid, Setuid,
    };
    use crate::events::Change;
    use crate::syscall;
    use crate::testing::{Scenario, Seen, Stage};

    impl Setuid {
        pub const SCENARIOS: &[Scenario] = &[
            Scenario { shows: "the new id, and no way back", play: setuid },
            Scenario { shows: "a thread that changes its own is judged by its own", play: thread },
        ];
    }

    impl Setgid {
        pub const SCENARIOS: &[Scenario] = &[Scenario { shows: "the new id, and no way back", play: setgid }];
    }

    impl Setreuid {
        pub const SCENARIOS: &[Scenario] = &[Scenario { shows: "the effective id counts", play: setreuid }];
    }

    impl Setregid {
        pub const SCENARIOS: &[Scenario] = &[Scenario { shows: "the effective id counts", play: setregid }];
    }

    impl Setresuid {
        pub const SCENARIOS: &[Scenario] =
            &[Scenario { shows: "what is opened later is opened by the new user", play: setresuid }];
    }

    impl Setresgid {
        pub const SCENARIOS: &[Scenario] = &[Scenario { shows: "the effective id counts", play: setresgid }];
    }

    impl Capset {
        pub const SCENARIOS: &[Scenario] =
            &[Scenario { shows: "what is left, and that nothing comes back", play: capset }];
    }

    impl Setfsuid {
        pub const SCENARIOS: &[Scenario] =
            &[Scenario { shows: "capabilities over files go", play: setfsuid }];
    }

    impl Setfsgid {
        pub const SCENARIOS: &[Scenario] =
            &[Scenario { shows: "the id of before comes back", play: setfsgid }];
    }

    impl Setgroups {
        pub const SCENARIOS: &[Scenario] =
            &[Scenario { shows: "how many, and that it takes a right", play: setgroups }];
    }

    /// The record tells the state whom to take the process for.
    fn follows(seen: &Seen, uid: u32, gid: u32) {
        seen.changes(|change, record| {
            assert!(matches!(change, Change::Credentials), "{change:?}");
            assert_eq!((record.header().uid, record.header().gid), (uid, gid));
        });
    }

    fn setuid(stage: &mut dyn Stage) {
        let seen = stage.observe(&|| {
            syscall!(SYS_setuid, 65534);
            syscall!(SYS_setuid, 0);
        });
        let [there, back] = seen.as_slice() else { panic!("{seen:?}") };
        there
            .is("setuid", &[("res", "0"), ("uid", "65534")])
            .has(&[("evt.type", "setuid"), ("evt.category", "user"), ("user.uid", "65534")])
            .has(&[("thread.cap_effective", "")])
            .lacks(&["fd.num", "fs.path.name"]);
        follows(there, 65534, 0);
        back.is("setuid", &[("res", "-1"), ("uid", "0")]).has(&[("evt.res", "EPERM"), ("user.uid", "65534")]);
        assert!(back.changes_nothing());
    }

    fn thread(stage: &mut dyn Stage) {
        let path = c"/dev/null".as_ptr().addr();
        let seen = stage.observe(&|| {
            let thread = std::thread::spawn(move || {
                syscall!(SYS_setuid, 65534);
                syscall!(SYS_openat, libc::AT_FDCWD, path, libc::O_RDONLY);
            });
            thread.join().unwrap();
            syscall!(SYS_openat, libc::AT_FDCWD, path, libc::O_RDONLY);
        });
        let of = |uid: &str| {
            seen.iter().filter(|seen| seen.opens("/dev/null") && seen.fields["user.uid"] == uid).count()
        };
        assert_eq!((of("65534"), of("0")), (1, 1), "{seen:?}");
    }

    fn setgid(stage: &mut dyn Stage) {
        let seen = stage.observe(&|| {
            syscall!(SYS_setgid, 65534);
            syscall!(SYS_setuid, 65534);
            syscall!(SYS_setgid, 0);
        });
        let [there, _, back] = seen.as_slice() else { panic!("{seen:?}") };
        there.is("setgid", &[("res", "0"), ("gid", "65534")]).has(&[
            ("evt.type", "setgid"),
            ("evt.category", "user"),
            ("group.gid", "65534"),
        ]);
        follows(there, 0, 65534);
        back.is("setgid", &[("res", "-1"), ("gid", "0")])
            .has(&[("evt.res", "EPERM"), ("group.gid", "65534")]);
    }

    fn setreuid(stage: &mut dyn Stage) {
        let seen = stage.observe(&|| {
            syscall!(SYS_setreuid, -1, 65534);
            syscall!(SYS_setreuid, 1, 1);
        });
        let [there, failed] = seen.as_slice() else { panic!("{seen:?}") };
        there
            .is("setreuid", &[("res", "0"), ("ruid", "4294967295"), ("euid", "65534")])
            .has(&[("evt.type", "setreuid"), ("evt.category", "user"), ("user.uid", "65534")])
            .has(&[("evt.arg[1]", "<NONE>")]);
        follows(there, 65534, 0);
        failed.is("setreuid", &[("res", "-1"), ("ruid", "1"), ("euid", "1")]).has(&[("evt.res", "EPERM")]);
    }

    fn setregid(stage: &mut dyn Stage) {
        let seen = stage.observe(&|| {
            syscall!(SYS_setregid, 65533, 65534);
            syscall!(SYS_setuid, 65534);
            syscall!(SYS_setregid, 0, 0);
        });
        let [there, _, failed] = seen.as_slice() else { panic!("{seen:?}") };
        there.is("setregid", &[("res", "0"), ("rgid", "65533"), ("egid", "65534")]).has(&[
            ("evt.type", "setregid"),
            ("evt.category", "user"),
            ("group.gid", "65534"),
        ]);
        follows(there, 0, 65534);
        failed.is("setregid", &[("res", "-1"), ("rgid", "0"), ("egid", "0")]).has(&[("evt.res", "EPERM")]);
    }

    fn setresuid(stage: &mut dyn Stage) {
        let seen = stage.observe(&|| {
            syscall!(SYS_setresuid, 1000, 1000, 1000);
            syscall!(SYS_openat, libc::AT_FDCWD, c"/dev/null".as_ptr(), libc::O_RDONLY);
            syscall!(SYS_setresuid, 0, 0, 0);
        });
        let [there, open, failed] = seen.as_slice() else { panic!("{seen:?}") };
        there.is("setresuid", &[("res", "0"), ("ruid", "1000"), ("euid", "1000"), ("suid", "1000")]).has(&[
            ("evt.type", "setresuid"),
            ("evt.category", "user"),
            ("user.uid", "1000"),
        ]);
        follows(there, 1000, 0);
        open.has(&[("evt.type", "openat"), ("user.uid", "1000"), ("thread.cap_effective", "")]);
        failed
            .is("setresuid", &[("res", "-1"), ("ruid", "0"), ("euid", "0"), ("suid", "0")])
            .has(&[("evt.res", "EPERM"), ("user.uid", "1000")]);
    }

    fn setresgid(stage: &mut dyn Stage) {
        let seen = stage.observe(&|| {
            syscall!(SYS_setresgid, 65532, 65533, 65534);
            syscall!(SYS_setuid, 65534);
            syscall!(SYS_setresgid, 0, 0, 0);
        });
        let [there, _, failed] = seen.as_slice() else { panic!("{seen:?}") };
        there
            .is("setresgid", &[("res", "0"), ("rgid", "65532"), ("egid", "65533"), ("sgid", "65534")])
            .has(&[("evt.type", "setresgid"), ("evt.category", "user"), ("group.gid", "65533")]);
        follows(there, 0, 65533);
        failed
            .is("setresgid", &[("res", "-1"), ("rgid", "0"), ("egid", "0"), ("sgid", "0")])
            .has(&[("evt.res", "EPERM")]);
    }

    fn setfsuid(stage: &mut dyn Stage) {
        let seen = stage.one(&|| {
            syscall!(SYS_setfsuid, 65534);
        });
        seen.is("setfsuid", &[("res", "0"), ("uid", "65534")]).has(&[
            ("evt.type", "setfsuid"),
            ("evt.category", "user"),
            ("user.uid", "0"),
        ]);
        assert!(!seen.fields["thread.cap_effective"].contains("CAP_DAC_OVERRIDE"));
        follows(&seen, 0, 0);
    }

    fn setfsgid(stage: &mut dyn Stage) {
        let seen = stage.observe(&|| {
            syscall!(SYS_setfsgid, 65534);
            syscall!(SYS_setfsgid, 0);
        });
        let [there, back] = seen.as_slice() else { panic!("{seen:?}") };
        there.is("setfsgid", &[("res", "0"), ("gid", "65534")]).has(&[("evt.type", "setfsgid")]);
        follows(there, 0, 0);
        back.is("setfsgid", &[("res", "65534"), ("gid", "0")]).has(&[("group.gid", "0")]);
    }

    fn setgroups(stage: &mut dyn Stage) {
        let groups = [7_u32, 8];
        let seen = stage.observe(&|| {
            syscall!(SYS_setgroups, 2, groups.as_ptr());
            syscall!(SYS_setuid, 65534);
            syscall!(SYS_setgroups, 0, 0);
        });
        let [set, _, failed] = seen.as_slice() else { panic!("{seen:?}") };
        set.is("setgroups", &[("res", "0"), ("size", "2")])
            .has(&[("evt.type", "setgroups"), ("evt.category", "user")]);
        failed.is("setgroups", &[("res", "-1"), ("size", "0")]).has(&[("evt.res", "EPERM")]);
    }

    fn capset(stage: &mut dyn Stage) {
        // Version 3 of the structures: two times effective, permitted, inheritable. CAP_CHOWN and CAP_DAC_OVERRIDE, one in use.
        let version = [0x2008_0522_u32, 0];
        let (some, more) = ([1_u32, 3, 4, 0, 0, 0], [7_u32, 7, 0, 0, 0, 0]);
        let seen = stage.observe(&|| {
            syscall!(SYS_capset, version.as_ptr(), some.as_ptr());
            syscall!(SYS_capset, version.as_ptr(), more.as_ptr());
        });
        let [there, failed] = seen.as_slice() else { panic!("{seen:?}") };
        let left = [("cap_inheritable", "4"), ("cap_permitted", "3"), ("cap_effective", "1")];
        there
            .is("capset", &[&[("res", "0")], left.as_slice()].concat())
            .has(&[
                ("evt.type", "capset"),
                ("evt.category", "process"),
                ("thread.cap_effective", "CAP_CHOWN"),
            ])
            .has(&[("thread.cap_permitted", "CAP_CHOWN CAP_DAC_OVERRIDE")]);
        follows(there, 0, 0);
        failed.is("capset", &[&[("res", "-1")], left.as_slice()].concat()).has(&[("evt.res", "EPERM")]);
    }
}
