//! connect(2): the address pair is the socket's own, after the call.

use super::{
    Arg, Category, Codes, Descriptor, FdView, Info, Is, Lane, Looks, Param, ParamType as T, Role, View,
    params,
};
use crate::record;
use crate::record::{Fd, Pod as _, Tail};

record! {
    /// A finished connect.
    pub struct Connected {
        pub ret: i64,
        pub sock: Fd,
        pub num: i32,
        /// `struct sockaddr` as passed.
        pub addr: Tail,
    }
}

/// connect(2).
pub struct Connect;

impl Connect {
    pub const EVENT: Info = Info {
        layout: Connected::LAYOUT,
        lane: Lane::Bulk,
        changes: None,
        rules: Some(View {
            name: "connect",
            codes: Codes::EnterAndExit,
            category: Category::Net,
            params: PARAMS,
            fd: Some(Descriptor {
                view: |r| r.body().map(|b: &Connected| FdView::of(r, b.num.into(), &b.sock)),
                is: Is::Subject,
                otherwise: b'o',
                role: Role::Client,
            }),
            io: None,
            open: None,
            filter: Looks::Nothing,
        }),
    };
}

const PARAMS: &[Param] = params! {
    "res": T::Errno, |r, b: &Connected| Arg::Int(b.ret);
    "tuple": T::SockTuple, |r, b: &Connected| { let b: &Connected = r.body()?; Arg::SockTuple(&b.sock, r.tail(b.sock.path)) };
    "fd": T::Fd, |r, b: &Connected| Arg::Int(b.num.into());
    "addr": T::SockAddr, |r, b: &Connected| Arg::SockAddr(r.tail(b.addr));
};

#[cfg(target_arch = "bpf")]
mod handlers {
    use super::Connected;
    use crate::events::Kind;
    use crate::kernel::{Exit, Writer, file};
    use crate::record::CUT_ARGUMENT;

    /// `sizeof(struct sockaddr_storage)`.
    const SOCKADDR_MAX: u64 = 128;

    #[inline(always)]
    pub fn connect(exit: &Exit) {
        let Some(mut w) = Writer::new::<Connected>(Kind::Connect) else { return };
        let body = w.body::<Connected>();
        body.ret = exit.ret;
        body.num = exit.arg(0) as i32;
        file::describe(&mut w, exit.task, body.num, &mut body.sock);
        body.addr = w.user_bytes(exit.arg(1), exit.arg(2), SOCKADDR_MAX, CUT_ARGUMENT);
        w.submit(Kind::Connect);
    }
}
#[cfg(target_arch = "bpf")]
pub use handlers::connect;
