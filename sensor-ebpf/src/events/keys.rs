//! keyctl(2), `add_key`(2), `request_key`(2): the kernel's keys.

use super::flags::Flags;
use super::plain::Plain;
use super::{Arg, Category, Codes, Info, Lane, Looks, Param, ParamType as T, View, Volume, params};
use crate::record::{Pod as _, Tail};
use crate::{calls, record};

calls! {
    Keyctl, keyctl, "keyctl", Other, None, KEYCTL;
}

record! {
    /// A finished `add_key` or `request_key`.
    pub struct Keyed {
        /// The key's serial number, or a negative errno.
        pub ret: i64,
        /// Serial number of the keyring, or one of the special ones below 0.
        pub keyring: i32,
        /// Kind of the key, and its name, as passed.
        pub kind: Tail,
        pub description: Tail,
        pub reserved: u32,
    }
}

/// `add_key`(2).
pub struct AddKey;
/// `request_key`(2).
pub struct RequestKey;

impl AddKey {
    pub const EVENT: Info = event("add_key");
}

impl RequestKey {
    pub const EVENT: Info = event("request_key");
}

const fn event(name: &'static str) -> Info {
    Info {
        layout: Keyed::LAYOUT,
        lane: Lane::Bulk,
        changes: None,
        rules: Some(View {
            name,
            codes: Codes::Exit,
            category: Category::Other,
            params: KEY,
            fd: None,
            io: None,
            open: None,
            filter: Looks::Nothing,
            volume: Volume::Normal,
        }),
    }
}

const KEYCTL: &[Param] = params! {
    "res": T::Errno, |r, b: &Plain| Arg::Int(b.ret);
    "operation": T::Enum(32, OPERATIONS), |r, b: &Plain| b.uint(0);
    "arg2": T::Dynamic, |r, b: &Plain| b.word(1);
    "arg3": T::Dynamic, |r, b: &Plain| b.word(2);
    "arg4": T::Dynamic, |r, b: &Plain| b.word(3);
    "arg5": T::Dynamic, |r, b: &Plain| b.word(4);
};

const KEY: &[Param] = params! {
    "res": T::Errno, |r, b: &Keyed| Arg::Int(b.ret);
    "type": T::CharBuf, |r, b: &Keyed| Arg::Bytes(r.tail(b.kind));
    "description": T::CharBuf, |r, b: &Keyed| Arg::Bytes(r.tail(b.description));
    "keyring": T::Int(32), |r, b: &Keyed| Arg::Int(b.keyring.into());
};

/// Falco's names, by Linux's numbers.
static OPERATIONS: &Flags = &[
    ("KEYCTL_GET_KEYRING_ID", 0),
    ("KEYCTL_JOIN_SESSION_KEYRING", 1),
    ("KEYCTL_UPDATE", 2),
    ("KEYCTL_REVOKE", 3),
    ("KEYCTL_CHOWN", 4),
    ("KEYCTL_SETPERM", 5),
    ("KEYCTL_DESCRIBE", 6),
    ("KEYCTL_CLEAR", 7),
    ("KEYCTL_LINK", 8),
    ("KEYCTL_UNLINK", 9),
    ("KEYCTL_SEARCH", 10),
    ("KEYCTL_READ", 11),
    ("KEYCTL_INSTANTIATE", 12),
    ("KEYCTL_NEGATE", 13),
    ("KEYCTL_SET_REQKEY_KEYRING", 14),
    ("KEYCTL_SET_TIMEOUT", 15),
    ("KEYCTL_ASSUME_AUTHORITY", 16),
    ("KEYCTL_GET_SECURITY", 17),
    ("KEYCTL_SESSION_TO_PARENT", 18),
    ("KEYCTL_REJECT", 19),
    ("KEYCTL_INSTANTIATE_IOV", 20),
    ("KEYCTL_INVALIDATE", 21),
    ("KEYCTL_GET_PERSISTENT", 22),
    ("KEYCTL_DH_COMPUTE", 23),
    ("KEYCTL_PKEY_QUERY", 24),
    ("KEYCTL_PKEY_ENCRYPT", 25),
    ("KEYCTL_PKEY_DECRYPT", 26),
    ("KEYCTL_PKEY_SIGN", 27),
    ("KEYCTL_PKEY_VERIFY", 28),
    ("KEYCTL_RESTRICT_KEYRING", 29),
    ("KEYCTL_MOVE", 30),
    ("KEYCTL_CAPABILITIES", 31),
    ("KEYCTL_WATCH_KEY", 32),
];

#[cfg(target_arch = "bpf")]
mod handlers {
    use super::Keyed;
    use crate::events::Kind;
    use crate::kernel::{Exit, Writer};

    #[inline(always)]
    fn record(exit: &Exit, kind: Kind, keyring: u64) {
        let Some(mut w) = Writer::new::<Keyed>(kind) else { return };
        let body = w.body::<Keyed>();
        body.ret = exit.ret;
        body.keyring = keyring as i32;
        body.kind = w.argument_str(exit, exit.arg(0));
        body.description = w.argument_str(exit, exit.arg(1));
        body.reserved = 0;
        w.submit(kind);
    }

    #[inline(always)]
    pub fn add_key(exit: &Exit) {
        record(exit, Kind::AddKey, exit.arg(4));
    }

    #[inline(always)]
    pub fn request_key(exit: &Exit) {
        record(exit, Kind::RequestKey, exit.arg(3));
    }
}
#[cfg(target_arch = "bpf")]
pub use handlers::{add_key, request_key};

#[cfg(feature = "testing")]
mod scenarios {
    use super::{AddKey, Keyctl, RequestKey};
    use crate::syscall;
    use crate::testing::{Scenario, Stage};

    impl Keyctl {
        pub const SCENARIOS: &[Scenario] =
            &[Scenario { shows: "an operation and its arguments", play: keyctl }];
    }

    impl AddKey {
        pub const SCENARIOS: &[Scenario] = &[Scenario { shows: "a key of no kind", play: add_key }];
    }

    impl RequestKey {
        pub const SCENARIOS: &[Scenario] = &[Scenario { shows: "a key of no kind", play: request_key }];
    }

    fn keyctl(stage: &mut dyn Stage) {
        let seen = stage.one(&|| {
            syscall!(SYS_keyctl, 5, 0x7fff_ffff, 16, 0x20, 0x30);
        });
        let args =
            [("operation", "5"), ("arg2", "2147483647"), ("arg3", "16"), ("arg4", "32"), ("arg5", "48")];
        seen.is("keyctl", &[&[("res", seen.arg("res"))], args.as_slice()].concat())
            .has(&[("evt.type", "keyctl"), ("evt.category", "other"), ("evt.failed", "true")])
            .has(&[("evt.arg[1]", "KEYCTL_SETPERM")])
            .lacks(&["fd.num"]);
    }

    fn add_key(stage: &mut dyn Stage) {
        let (kind, name) = (c"no such kind", c"name");
        let seen = stage.one(&|| {
            syscall!(SYS_add_key, kind.as_ptr(), name.as_ptr(), c"secret".as_ptr(), 6, -3);
        });
        let res = seen.arg("res");
        seen.is(
            "add_key",
            &[("res", res), ("type", "no such kind"), ("description", "name"), ("keyring", "-3")],
        )
        .has(&[("evt.type", "add_key"), ("evt.category", "other"), ("evt.failed", "true")]);
    }

    fn request_key(stage: &mut dyn Stage) {
        let (kind, name) = (c"no such kind", c"name");
        let seen = stage.one(&|| {
            syscall!(SYS_request_key, kind.as_ptr(), name.as_ptr(), 0, -2);
        });
        let res = seen.arg("res");
        seen.is(
            "request_key",
            &[("res", res), ("type", "no such kind"), ("description", "name"), ("keyring", "-2")],
        )
        .has(&[("evt.type", "request_key"), ("evt.category", "other"), ("evt.failed", "true")]);
    }
}
