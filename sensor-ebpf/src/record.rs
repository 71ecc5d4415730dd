//! The shape of a record: a [`Header`], a fixed `repr(C)` body, and variable parts ("tails") behind it.
//!
//! Records are aligned to 8, have no implicit padding and are complete on their own: a reader needs
//! no earlier record to understand one. Reading is checked and borrows; hostile or cut bytes give `None`.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Types that may be read from any bytes and written as bytes: no padding, no invalid bits, no pointers.
pub trait Pod: FromBytes + IntoBytes + Immutable + KnownLayout + Copy + 'static {
    /// Fingerprint of the names and types of its fields: records that were kept (in a capture) can only be read by who has the
    /// same.
    const LAYOUT: u64;
}

/// `hash` with `text` mixed in (FNV-1a).
pub const fn mix(mut hash: u64, text: &str) -> u64 {
    let bytes = text.as_bytes();
    let mut i = 0;
    while i < bytes.len() {
        hash = (hash ^ bytes[i] as u64).wrapping_mul(0x100_0000_01b3);
        i += 1;
    }
    hash
}

/// `hash` with the layout of a field mixed in.
pub const fn mix_layout(hash: u64, layout: u64) -> u64 {
    (hash ^ layout).wrapping_mul(0x100_0000_01b3)
}

/// What a fingerprint begins with (FNV's offset basis).
pub const LAYOUT_SEED: u64 = 0xcbf2_9ce4_8422_2325;

/// Implements [`Pod`] for a type that derives what it takes, with the fingerprint of the fields named.
#[macro_export]
macro_rules! pod {
    ($type:ident { $($field:ident : $ty:ty),+ $(,)? }) => {
        impl $crate::record::Pod for $type {
            const LAYOUT: u64 = {
                let mut hash = $crate::record::mix($crate::record::LAYOUT_SEED, stringify!($type));
                $(
                    hash = $crate::record::mix(hash, stringify!($field));
                    hash = $crate::record::mix_layout(hash, <$ty as $crate::record::Pod>::LAYOUT);
                )+
                hash
            };
        }
    };
}

/// Declares a record body: the struct and its [`Pod`] impl in one place. One with padding does not compile.
#[macro_export]
macro_rules! record {
    ($(#[$meta:meta])* pub struct $name:ident { $($(#[$fmeta:meta])* pub $field:ident : $ty:ty),+ $(,)? }) => {
        $(#[$meta])*
        #[repr(C)]
        #[derive(
            Debug, Clone, Copy, zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable, zerocopy::KnownLayout,
        )]
        pub struct $name { $($(#[$fmeta])* pub $field: $ty),+ }
        $crate::pod!($name { $($field: $ty),+ });
    };
}

macro_rules! pod_primitives {
    ($($ty:ty),*) => { $(
        impl Pod for $ty {
            const LAYOUT: u64 = mix(LAYOUT_SEED, stringify!($ty));
        }
    )* };
}
pod_primitives!(u8, u16, u32, u64, i32, i64, [u8; 16], [u16; 2], [u32; 2], [u64; 2], [u64; 6]);

record! {
    /// Leads every record.
    pub struct Header {
        /// `CLOCK_BOOTTIME` in ns when the event ended.
        pub time: u64,
        /// Identity of the process, see [`exec_id`].
        pub exec_id: u64,
        /// kernfs id of the process's cgroup, in the hierarchy that user space chose (see `config::Config::cgroup_subsys`).
        pub cgroup: u64,
        /// What the thread may do at the end of the event: `cap_*` of its `task_struct.cred`, which is its own and not the process's.
        pub cap_inheritable: u64,
        pub cap_permitted: u64,
        pub cap_effective: u64,
        /// Process id (thread group id) in the initial pid namespace.
        pub tgid: u32,
        /// Thread id in the initial pid namespace.
        pub tid: u32,
        /// Effective ids in the initial user namespace, of the same `cred`.
        pub uid: u32,
        pub gid: u32,
        /// Bytes of the whole record, header and tails included.
        pub len: u32,
        /// Index into `events::EVENTS`.
        pub kind: u16,
        /// What is not all there, see `CUT_*`; the rest of the record is good.
        pub flags: u16,
        /// The thread's name now (`task_struct.comm`, NUL-padded): any program gives itself another one.
        pub comm: [u8; 16],
    }
}

/// `Header::flags`: of a path that the kernel resolved the beginning is not there; `...` stands for it.
pub const CUT_HEAD: u16 = 1;
/// `Header::flags`: of a path that the kernel resolved something behind the beginning is not there; `...` stands for it if it is
/// longer than a record takes, nothing if a single name could not be read.
pub const CUT_MIDDLE: u16 = 2;
/// `Header::flags`: a path or an address as the caller passed it could not be read, or is longer than the kernel takes.
pub const CUT_ARGUMENT: u16 = 4;
/// `Header::flags`: arguments of a program are not all there.
pub const CUT_ARGS: u16 = 8;
/// `Header::flags`: the environment of a program is not all there.
pub const CUT_ENV: u16 = 16;

/// `Header::flags`: the result of the call is not known; success is assumed.
pub const CUT_RESULT: u16 = 32;
/// `Header::flags`: the data that a call moved lies in more buffers than a record looks into, or could not be read.
pub const CUT_DATA: u16 = 64;
/// `Header::flags`: the call moved more messages than it makes records of.
pub const CUT_MESSAGES: u16 = 128;

/// What a record can lack, and its name where people read it.
pub const CUTS: [(u16, &str); 8] = [
    (CUT_HEAD, "path_head"),
    (CUT_MIDDLE, "path_middle"),
    (CUT_ARGUMENT, "argument"),
    (CUT_ARGS, "args"),
    (CUT_ENV, "env"),
    (CUT_RESULT, "result"),
    (CUT_DATA, "data"),
    (CUT_MESSAGES, "messages"),
];

/// Nanoseconds per tick of `/proc/PID/stat`'s start time (`USER_HZ` is 100 on every supported kernel).
pub const NS_PER_TICK: u64 = 10_000_000;

/// Identity of a process: start time of its group leader in clock ticks since boot, and its tgid (22 bits, `PID_MAX_LIMIT`).
///
/// The tick resolution is what `/proc/PID/stat` gives, so processes found there get the same id as those seen starting.
#[inline(always)]
pub const fn exec_id(tgid: u32, start_boottime_ns: u64) -> u64 {
    ((start_boottime_ns / NS_PER_TICK) << 22) | (tgid as u64 & 0x3f_ffff)
}

/// The tgid in an [`exec_id`].
pub const fn tgid_of(exec_id: u64) -> u32 {
    (exec_id & 0x3f_ffff) as u32
}

record! {
    /// A variable part: `len` bytes at `off` from the record's start. `len` 0: absent or empty.
    pub struct Tail {
        pub off: u16,
        pub len: u16,
    }
}

impl Tail {
    pub const EMPTY: Self = Self { off: 0, len: 0 };
}

record! {
    /// What a lifecycle record tells of a process (`struct task_struct`, its cred, signal and nsproxy).
    pub struct Task {
        /// `group_leader->start_boottime`, ns since boot.
        pub start: u64,
        /// [`exec_id`] of `real_parent`'s process.
        pub parent_exec_id: u64,
        pub cap_inheritable: u64,
        pub cap_permitted: u64,
        pub cap_effective: u64,
        /// `start_boottime` of the init of the process's pid namespace, ns since boot.
        pub pidns_start: u64,
        /// `real_parent->tgid`.
        pub ppid: u32,
        /// Session and process group leader, initial pid namespace.
        pub sid: u32,
        pub pgid: u32,
        /// Ids as the process itself sees them.
        pub vpid: u32,
        pub vsid: u32,
        pub vpgid: u32,
        /// Effective ids in the initial user namespace (`cred->euid`, `cred->egid`).
        pub uid: u32,
        pub gid: u32,
        /// Audit login uid, `u32::MAX` when unset.
        pub loginuid: u32,
        /// `new_encode_dev` of the controlling terminal, 0 when none.
        pub tty: u32,
        /// Inode of the pid namespace and of the mount namespace.
        pub pidns: u32,
        pub mntns: u32,
        /// Command name, NUL-padded.
        pub comm: [u8; 16],
    }
}

record! {
    /// Where a process stands among others, as it is now.
    pub struct Groups {
        /// Session and process group, by their leaders' numbers in the initial pid namespace, and as the process itself sees them.
        pub sid: u32,
        pub pgid: u32,
        pub vsid: u32,
        pub vpgid: u32,
        /// `new_encode_dev` of the controlling terminal, 0 when none.
        pub tty: u32,
        /// Depth of the process's pid namespace; 0: the initial one, where numbers are as the process sees them.
        pub level: u32,
    }
}

/// `Exe::flags`: the file can be written by the process (inode owner or mode, as Falco's `EXE_WRITABLE`).
pub const EXE_WRITABLE: u32 = 1;
/// `Exe::flags`: the file is in the upper layer of an overlayfs, i.e. it is not part of the image.
pub const EXE_UPPER_LAYER: u32 = 2;
/// `Exe::flags`: the file is an unlinked `memfd`.
pub const EXE_FROM_MEMFD: u32 = 4;
/// `Exe::flags`: the file is in a lower layer of an overlayfs.
pub const EXE_LOWER_LAYER: u32 = 8;

record! {
    /// The executable, from `mm->exe_file`.
    pub struct Exe {
        pub ino: u64,
        /// Change and modification time of the inode, ns since the epoch.
        pub ctime: u64,
        pub mtime: u64,
        /// `new_encode_dev` of its file system.
        pub dev: u32,
        /// `EXE_*`.
        pub flags: u32,
    }
}

record! {
    /// An open file as the kernel sees it (`struct file`), resolved at the end of the syscall.
    pub struct Fd {
        /// Inode number of the file.
        pub ino: u64,
        /// `new_encode_dev` of its file system.
        pub dev: u32,
        /// Falco's type character: `f d 4 6 u p e s l i t n b m P r o`, or 0 when there was no such fd.
        pub kind: u8,
        /// IP protocol of a socket (6 TCP, 17 UDP, 1 ICMP), 0 otherwise.
        pub proto: u8,
        /// `SOCK_*` of a socket.
        pub sock_type: u8,
        /// `FD_*`.
        pub flags: u8,
        /// Local and remote address (network order; IPv4 in the first four bytes). Of a unix socket the `struct sock` of each end,
        /// as a word in the first eight bytes; 0: there is none.
        pub local: [u8; 16],
        pub remote: [u8; 16],
        /// Host order.
        pub local_port: u16,
        pub remote_port: u16,
        /// Path of the file as seen from the process's root, the name that a unix socket is bound to as it was passed
        /// (abstract names begin with NUL), or the kernel's name of an anonymous inode.
        pub path: Tail,
        /// The file that a unix socket is bound to, as seen from the process's root; empty for an abstract name.
        pub own_file: Tail,
        /// The same two of a unix socket's peer.
        pub peer: Tail,
        pub peer_file: Tail,
        pub reserved: u32,
    }
}

impl Fd {
    /// No descriptor.
    pub const NONE: Self = Self {
        ino: 0,
        dev: 0,
        kind: 0,
        proto: 0,
        sock_type: 0,
        flags: 0,
        local: [0; 16],
        remote: [0; 16],
        local_port: 0,
        remote_port: 0,
        path: Tail::EMPTY,
        own_file: Tail::EMPTY,
        peer: Tail::EMPTY,
        peer_file: Tail::EMPTY,
        reserved: 0,
    };

    /// The `struct sock` of a unix socket and of its peer; 0: there is none.
    pub fn unix_ends(&self) -> [u64; 2] {
        let word = |bytes: &[u8; 16]| bytes.first_chunk().map_or(0, |word| u64::from_ne_bytes(*word));
        if self.kind == b'u' { [word(&self.local), word(&self.remote)] } else { [0; 2] }
    }
}

/// `Fd::flags`: upper or lower layer of an overlayfs.
pub const FD_UPPER_LAYER: u8 = 1;
pub const FD_LOWER_LAYER: u8 = 2;
/// `Fd::flags`: the socket is connected (`TCP_ESTABLISHED`, or a UDP socket with a peer) or connecting.
pub const FD_CONNECTED: u8 = 4;
/// `Fd::flags`: the socket listens.
pub const FD_LISTENING: u8 = 8;
/// `Fd::flags`: the kernel keeps no remote end (a connect that failed, a datagram); it is the address that the call has in its
/// memory.
pub const FD_ADDRESSED: u8 = 16;

/// A checked view of one record's bytes.
#[derive(Clone, Copy)]
pub struct Record<'a> {
    bytes: &'a [u8],
    header: &'a Header,
}

impl<'a> Record<'a> {
    /// `None` when the bytes are too short, misaligned, or their length field lies.
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let header: &Header = view(bytes, 0)?;
        let len = usize::try_from(header.len).ok()?;
        let bytes = bytes.get(..len)?;
        if len < size_of::<Header>() {
            return None;
        }
        Some(Self { bytes, header })
    }

    pub fn header(&self) -> &'a Header {
        self.header
    }

    /// The fixed body behind the header.
    pub fn body<T: Pod>(&self) -> Option<&'a T> {
        view(self.bytes, size_of::<Header>())
    }

    /// The bytes of a tail; empty when the tail is absent or lies outside the record.
    pub fn tail(&self, tail: Tail) -> &'a [u8] {
        let start = usize::from(tail.off);
        self.bytes.get(start..start + usize::from(tail.len)).unwrap_or_default()
    }

    /// The whole record.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }
}

/// A `T` at `off`, if it is all there and aligned.
fn view<T: Pod>(bytes: &[u8], off: usize) -> Option<&T> {
    T::ref_from_bytes(bytes.get(off..off.checked_add(size_of::<T>())?)?).ok()
}

/// Way of a record to user space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// Small, drained first, sized never to lose: what the state is made of.
    Lifecycle,
    /// Sharded by process.
    Bulk,
}

/// What the kernel side needs to know of an event to send a record of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tag {
    /// Number of the event, see [`Header::kind`].
    pub kind: u16,
    pub lane: Lane,
}
