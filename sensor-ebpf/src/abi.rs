//! What differs between architectures and between the interfaces of one: the numbers of system calls, and where their arguments
//! lie.
//!
//! A program of another word size makes the same calls under other numbers. Each has its table for the dispatcher, so that a call
//! meets the same handler whichever way it comes in.

/// Numbers that the tables of the dispatcher have room for; higher ones are not watched.
pub const NUMBERS: usize = 512;

/// How a call came in, and so which table its number is looked up in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Interface {
    /// The machine's own calls.
    Native = 0,
    /// 32-bit calls of a 64-bit kernel: of 32-bit programs, and by `int 0x80` of any program.
    Compat = 1,
    /// socketcall(2), one 32-bit number for all calls of sockets.
    SocketCall = 2,
}

/// All of them, in the order of their tables.
pub const INTERFACES: [Interface; 3] = [Interface::Native, Interface::Compat, Interface::SocketCall];

/// The numbers of one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Numbers {
    x86_64: Option<u16>,
    /// Every one that means the call: those of different word sizes, of different widths of ids.
    i386: &'static [u16],
    aarch64: Option<u16>,
    socketcall: &'static [u16],
}

impl Numbers {
    /// Those of an interface of the machine that this is compiled for.
    pub fn of(&self, interface: Interface) -> impl Iterator<Item = u16> + use<> {
        let native = if cfg!(target_arch = "aarch64") { self.aarch64 } else { self.x86_64 };
        let (one, many): (_, &[u16]) = match interface {
            Interface::Native => (native, &[]),
            // The 32-bit numbers of an arm64 kernel are another table still, which the dispatcher does not look into.
            _ if cfg!(target_arch = "aarch64") => (None, &[]),
            Interface::Compat => (None, self.i386),
            Interface::SocketCall => (None, self.socketcall),
        };
        one.into_iter().chain(many.iter().copied())
    }
}

/// The call that is named so in the kernel's tables.
///
/// # Panics
/// When none is. The registry asks at compile time.
#[expect(clippy::panic, reason = "an error of the compiler, for it is called by constants alone")]
pub const fn numbers(name: &str) -> Numbers {
    let mut at = 0;
    while at < SYSCALLS.len() {
        if same(SYSCALLS[at].0, name) {
            let mut numbers = SYSCALLS[at].1;
            let mut call = 0;
            while call < SOCKETCALLS.len() {
                if same(SOCKETCALLS[call].0, name) {
                    numbers.socketcall = SOCKETCALLS[call].1;
                }
                call += 1;
            }
            return numbers;
        }
        at += 1;
    }
    panic!("no system call has this name")
}

const fn same(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    if a.len() != b.len() {
        return false;
    }
    let mut at = 0;
    while at < a.len() {
        if a[at] != b[at] {
            return false;
        }
        at += 1;
    }
    true
}

/// Byte offsets in `struct pt_regs`, which is ABI: the number of the call, and its six arguments as the caller set them.
pub mod regs {
    #[cfg(not(any(bpf_target_arch = "aarch64", target_arch = "aarch64")))]
    mod arch {
        pub const SYSCALL: usize = 120;
        pub const ARGS: [usize; 6] = [112, 104, 96, 56, 72, 64];
        /// `ebx`, `ecx`, `edx`, `esi`, `edi`, `ebp`.
        pub const COMPAT_ARGS: [usize; 6] = [40, 88, 96, 104, 112, 32];
    }
    #[cfg(any(bpf_target_arch = "aarch64", target_arch = "aarch64"))]
    mod arch {
        pub const SYSCALL: usize = 280;
        /// `orig_x0`, because `x0` has the result; `x1` to `x5`.
        pub const ARGS: [usize; 6] = [272, 8, 16, 24, 32, 40];
        pub const COMPAT_ARGS: [usize; 6] = ARGS;
    }
    pub use arch::*;
}

/// i386's number of socketcall(2).
pub const SOCKETCALL: u64 = 102;

/// How many arguments each call by socketcall(2) has, by its number there.
pub const SOCKETCALL_ARGS: [u8; 32] =
    [0, 3, 3, 3, 2, 3, 3, 3, 4, 4, 4, 6, 6, 2, 5, 5, 3, 3, 4, 5, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// `SYS_*` of socketcall(2). Its send and recv are sendto and recvfrom without an address.
const SOCKETCALLS: &[(&str, &[u16])] = &[
    ("socket", &[1]),
    ("bind", &[2]),
    ("connect", &[3]),
    ("listen", &[4]),
    ("accept", &[5]),
    ("getsockname", &[6]),
    ("getpeername", &[7]),
    ("socketpair", &[8]),
    ("sendto", &[9, 11]),
    ("recvfrom", &[10, 12]),
    ("shutdown", &[13]),
    ("setsockopt", &[14]),
    ("getsockopt", &[15]),
    ("sendmsg", &[16]),
    ("recvmsg", &[17]),
    ("accept4", &[18]),
    ("recvmmsg", &[19]),
    ("sendmmsg", &[20]),
];

/// Opcodes of io_uring that the table of the programs has room for.
pub const OPCODES: usize = 64;

/// `enum io_uring_op`, as far as an operation does what a system call does that is watched.
pub mod op {
    pub const CONNECT: u8 = 16;
    pub const OPENAT: u8 = 18;
    pub const OPENAT2: u8 = 28;
    pub const RENAMEAT: u8 = 35;
    pub const UNLINKAT: u8 = 36;
    pub const MKDIRAT: u8 = 37;
    pub const SYMLINKAT: u8 = 38;
    pub const LINKAT: u8 = 39;
    pub const SOCKET: u8 = 45;
}

macro_rules! number {
    (-) => {
        None
    };
    ($nr:literal) => {
        Some($nr)
    };
}

macro_rules! syscalls {
    ($($name:ident: $x86_64:tt, [$($i386:literal),*], $aarch64:tt;)+) => {
        /// Every call of the kernel's tables by its name there.
        const SYSCALLS: &[(&str, Numbers)] = &[$((stringify!($name), Numbers {
            x86_64: number!($x86_64),
            i386: &[$($i386),*],
            aarch64: number!($aarch64),
            socketcall: &[],
        }),)+];
    };
}

// x86-64, i386, arm64.
#[rustfmt::skip]
syscalls! {
    read: 0, [3], 63;
    write: 1, [4], 64;
    open: 2, [5], -;
    close: 3, [6], 57;
    stat: 4, [18, 106, 195], -;
    fstat: 5, [28, 108, 197], 80;
    lstat: 6, [84, 107, 196], -;
    poll: 7, [168], -;
    lseek: 8, [19], 62;
    mmap: 9, [90, 192], 222;
    mprotect: 10, [125], 226;
    munmap: 11, [91], 215;
    brk: 12, [45], 214;
    rt_sigaction: 13, [174], 134;
    rt_sigprocmask: 14, [175], 135;
    rt_sigreturn: 15, [173], 139;
    ioctl: 16, [54], 29;
    pread64: 17, [180], 67;
    pwrite64: 18, [181], 68;
    readv: 19, [145], 65;
    writev: 20, [146], 66;
    access: 21, [33], -;
    pipe: 22, [42], -;
    select: 23, [82, 142], -;
    sched_yield: 24, [158], 124;
    mremap: 25, [163], 216;
    msync: 26, [144], 227;
    mincore: 27, [218], 232;
    madvise: 28, [219], 233;
    shmget: 29, [395], 194;
    shmat: 30, [397], 196;
    shmctl: 31, [396], 195;
    dup: 32, [41], 23;
    dup2: 33, [63], -;
    pause: 34, [29], -;
    nanosleep: 35, [162], 101;
    getitimer: 36, [105], 102;
    alarm: 37, [27], -;
    setitimer: 38, [104], 103;
    getpid: 39, [20], 172;
    sendfile: 40, [187, 239], 71;
    socket: 41, [359], 198;
    connect: 42, [362], 203;
    accept: 43, [], 202;
    sendto: 44, [369], 206;
    recvfrom: 45, [371], 207;
    sendmsg: 46, [370], 211;
    recvmsg: 47, [372], 212;
    shutdown: 48, [373], 210;
    bind: 49, [361], 200;
    listen: 50, [363], 201;
    getsockname: 51, [367], 204;
    getpeername: 52, [368], 205;
    socketpair: 53, [360], 199;
    setsockopt: 54, [366], 208;
    getsockopt: 55, [365], 209;
    clone: 56, [120], 220;
    fork: 57, [2], -;
    vfork: 58, [190], -;
    execve: 59, [11], 221;
    exit: 60, [1], 93;
    wait4: 61, [7, 114], 260;
    kill: 62, [37], 129;
    uname: 63, [59, 109, 122], 160;
    semget: 64, [393], 190;
    semop: 65, [], 193;
    semctl: 66, [394], 191;
    shmdt: 67, [398], 197;
    msgget: 68, [399], 186;
    msgsnd: 69, [400], 189;
    msgrcv: 70, [401], 188;
    msgctl: 71, [402], 187;
    fcntl: 72, [55, 221], 25;
    flock: 73, [143], 32;
    fsync: 74, [118], 82;
    fdatasync: 75, [148], 83;
    truncate: 76, [92, 193], 45;
    ftruncate: 77, [93, 194], 46;
    getdents: 78, [141], -;
    getcwd: 79, [183], 17;
    chdir: 80, [12], 49;
    fchdir: 81, [133], 50;
    rename: 82, [38], -;
    mkdir: 83, [39], -;
    rmdir: 84, [40], -;
    creat: 85, [8], -;
    link: 86, [9], -;
    unlink: 87, [10], -;
    symlink: 88, [83], -;
    readlink: 89, [85], -;
    chmod: 90, [15], -;
    fchmod: 91, [94], 52;
    chown: 92, [182, 212], -;
    fchown: 93, [95, 207], 55;
    lchown: 94, [16, 198], -;
    umask: 95, [60], 166;
    gettimeofday: 96, [78], 169;
    getrlimit: 97, [76, 191], 163;
    getrusage: 98, [77], 165;
    sysinfo: 99, [116], 179;
    times: 100, [43], 153;
    ptrace: 101, [26], 117;
    getuid: 102, [24, 199], 174;
    syslog: 103, [103], 116;
    getgid: 104, [47, 200], 176;
    setuid: 105, [23, 213], 146;
    setgid: 106, [46, 214], 144;
    geteuid: 107, [49, 201], 175;
    getegid: 108, [50, 202], 177;
    setpgid: 109, [57], 154;
    getppid: 110, [64], 173;
    getpgrp: 111, [65], -;
    setsid: 112, [66], 157;
    setreuid: 113, [70, 203], 145;
    setregid: 114, [71, 204], 143;
    getgroups: 115, [80, 205], 158;
    setgroups: 116, [81, 206], 159;
    setresuid: 117, [164, 208], 147;
    getresuid: 118, [165, 209], 148;
    setresgid: 119, [170, 210], 149;
    getresgid: 120, [171, 211], 150;
    getpgid: 121, [132], 155;
    setfsuid: 122, [138, 215], 151;
    setfsgid: 123, [139, 216], 152;
    getsid: 124, [147], 156;
    capget: 125, [184], 90;
    capset: 126, [185], 91;
    rt_sigpending: 127, [176], 136;
    rt_sigtimedwait: 128, [177], 137;
    rt_sigqueueinfo: 129, [178], 138;
    rt_sigsuspend: 130, [179], 133;
    sigaltstack: 131, [186], 132;
    utime: 132, [30], -;
    mknod: 133, [14], -;
    uselib: 134, [86], -;
    personality: 135, [136], 92;
    ustat: 136, [62], -;
    statfs: 137, [99, 268], 43;
    fstatfs: 138, [100, 269], 44;
    sysfs: 139, [135], -;
    getpriority: 140, [96], 141;
    setpriority: 141, [97], 140;
    sched_setparam: 142, [154], 118;
    sched_getparam: 143, [155], 121;
    sched_setscheduler: 144, [156], 119;
    sched_getscheduler: 145, [157], 120;
    sched_get_priority_max: 146, [159], 125;
    sched_get_priority_min: 147, [160], 126;
    sched_rr_get_interval: 148, [161], 127;
    mlock: 149, [150], 228;
    munlock: 150, [151], 229;
    mlockall: 151, [152], 230;
    munlockall: 152, [153], 231;
    vhangup: 153, [111], 58;
    modify_ldt: 154, [123], -;
    pivot_root: 155, [217], 41;
    _sysctl: 156, [149], -;
    prctl: 157, [172], 167;
    arch_prctl: 158, [384], -;
    adjtimex: 159, [124], 171;
    setrlimit: 160, [75], 164;
    chroot: 161, [61], 51;
    sync: 162, [36], 81;
    acct: 163, [51], 89;
    settimeofday: 164, [79], 170;
    mount: 165, [21], 40;
    umount2: 166, [52], 39;
    swapon: 167, [87], 224;
    swapoff: 168, [115], 225;
    reboot: 169, [88], 142;
    sethostname: 170, [74], 161;
    setdomainname: 171, [121], 162;
    iopl: 172, [110], -;
    ioperm: 173, [101], -;
    create_module: 174, [127], -;
    init_module: 175, [128], 105;
    delete_module: 176, [129], 106;
    get_kernel_syms: 177, [130], -;
    query_module: 178, [167], -;
    quotactl: 179, [131], 60;
    nfsservctl: 180, [169], 42;
    getpmsg: 181, [188], -;
    putpmsg: 182, [189], -;
    afs_syscall: 183, [137], -;
    tuxcall: 184, [], -;
    security: 185, [], -;
    gettid: 186, [224], 178;
    readahead: 187, [225], 213;
    setxattr: 188, [226], 5;
    lsetxattr: 189, [227], 6;
    fsetxattr: 190, [228], 7;
    getxattr: 191, [229], 8;
    lgetxattr: 192, [230], 9;
    fgetxattr: 193, [231], 10;
    listxattr: 194, [232], 11;
    llistxattr: 195, [233], 12;
    flistxattr: 196, [234], 13;
    removexattr: 197, [235], 14;
    lremovexattr: 198, [236], 15;
    fremovexattr: 199, [237], 16;
    tkill: 200, [238], 130;
    time: 201, [13], -;
    futex: 202, [240, 422], 98;
    sched_setaffinity: 203, [241], 122;
    sched_getaffinity: 204, [242], 123;
    set_thread_area: 205, [243], -;
    io_setup: 206, [245], 0;
    io_destroy: 207, [246], 1;
    io_getevents: 208, [247], 4;
    io_submit: 209, [248], 2;
    io_cancel: 210, [249], 3;
    get_thread_area: 211, [244], -;
    lookup_dcookie: 212, [253], 18;
    epoll_create: 213, [254], -;
    epoll_ctl_old: 214, [], -;
    epoll_wait_old: 215, [], -;
    remap_file_pages: 216, [257], 234;
    getdents64: 217, [220], 61;
    set_tid_address: 218, [258], 96;
    restart_syscall: 219, [0], 128;
    semtimedop: 220, [], 192;
    fadvise64: 221, [250], 223;
    timer_create: 222, [259], 107;
    timer_settime: 223, [260], 110;
    timer_gettime: 224, [261], 108;
    timer_getoverrun: 225, [262], 109;
    timer_delete: 226, [263], 111;
    clock_settime: 227, [264], 112;
    clock_gettime: 228, [265], 113;
    clock_getres: 229, [266], 114;
    clock_nanosleep: 230, [267], 115;
    exit_group: 231, [252], 94;
    epoll_wait: 232, [256], -;
    epoll_ctl: 233, [255], 21;
    tgkill: 234, [270], 131;
    utimes: 235, [271], -;
    vserver: 236, [273], -;
    mbind: 237, [274], 235;
    set_mempolicy: 238, [276], 237;
    get_mempolicy: 239, [275], 236;
    mq_open: 240, [277], 180;
    mq_unlink: 241, [278], 181;
    mq_timedsend: 242, [279, 418], 182;
    mq_timedreceive: 243, [280, 419], 183;
    mq_notify: 244, [281], 184;
    mq_getsetattr: 245, [282], 185;
    kexec_load: 246, [283], 104;
    waitid: 247, [284], 95;
    add_key: 248, [286], 217;
    request_key: 249, [287], 218;
    keyctl: 250, [288], 219;
    ioprio_set: 251, [289], 30;
    ioprio_get: 252, [290], 31;
    inotify_init: 253, [291], -;
    inotify_add_watch: 254, [292], 27;
    inotify_rm_watch: 255, [293], 28;
    migrate_pages: 256, [294], 238;
    openat: 257, [295], 56;
    mkdirat: 258, [296], 34;
    mknodat: 259, [297], 33;
    fchownat: 260, [298], 54;
    futimesat: 261, [299], -;
    newfstatat: 262, [300], 79;
    unlinkat: 263, [301], 35;
    renameat: 264, [302], 38;
    linkat: 265, [303], 37;
    symlinkat: 266, [304], 36;
    readlinkat: 267, [305], 78;
    fchmodat: 268, [306], 53;
    faccessat: 269, [307], 48;
    pselect6: 270, [308, 413], 72;
    ppoll: 271, [309, 414], 73;
    unshare: 272, [310], 97;
    set_robust_list: 273, [311], 99;
    get_robust_list: 274, [312], 100;
    splice: 275, [313], 76;
    tee: 276, [315], 77;
    sync_file_range: 277, [314], 84;
    vmsplice: 278, [316], 75;
    move_pages: 279, [317], 239;
    utimensat: 280, [320, 412], 88;
    epoll_pwait: 281, [319], 22;
    signalfd: 282, [321], -;
    timerfd_create: 283, [322], 85;
    eventfd: 284, [323], -;
    fallocate: 285, [324], 47;
    timerfd_settime: 286, [325], 86;
    timerfd_gettime: 287, [326], 87;
    accept4: 288, [364], 242;
    signalfd4: 289, [327], 74;
    eventfd2: 290, [328], 19;
    epoll_create1: 291, [329], 20;
    dup3: 292, [330], 24;
    pipe2: 293, [331], 59;
    inotify_init1: 294, [332], 26;
    preadv: 295, [333], 69;
    pwritev: 296, [334], 70;
    rt_tgsigqueueinfo: 297, [335], 240;
    perf_event_open: 298, [336], 241;
    recvmmsg: 299, [337, 417], 243;
    fanotify_init: 300, [338], 262;
    fanotify_mark: 301, [339], 263;
    prlimit64: 302, [340], 261;
    name_to_handle_at: 303, [341], 264;
    open_by_handle_at: 304, [342], 265;
    clock_adjtime: 305, [343], 266;
    syncfs: 306, [344], 267;
    sendmmsg: 307, [345], 269;
    setns: 308, [346], 268;
    getcpu: 309, [318], 168;
    process_vm_readv: 310, [347], 270;
    process_vm_writev: 311, [348], 271;
    kcmp: 312, [349], 272;
    finit_module: 313, [350], 273;
    sched_setattr: 314, [351], 274;
    sched_getattr: 315, [352], 275;
    renameat2: 316, [353], 276;
    seccomp: 317, [354], 277;
    getrandom: 318, [355], 278;
    memfd_create: 319, [356], 279;
    kexec_file_load: 320, [], 294;
    bpf: 321, [357], 280;
    execveat: 322, [358], 281;
    userfaultfd: 323, [374], 282;
    membarrier: 324, [375], 283;
    mlock2: 325, [376], 284;
    copy_file_range: 326, [377], 285;
    preadv2: 327, [378], 286;
    pwritev2: 328, [379], 287;
    pkey_mprotect: 329, [380], 288;
    pkey_alloc: 330, [381], 289;
    pkey_free: 331, [382], 290;
    statx: 332, [383], 291;
    io_pgetevents: 333, [385], 292;
    rseq: 334, [386], 293;
    pidfd_send_signal: 424, [424], 424;
    io_uring_setup: 425, [425], 425;
    io_uring_enter: 426, [426], 426;
    io_uring_register: 427, [427], 427;
    open_tree: 428, [428], 428;
    move_mount: 429, [429], 429;
    fsopen: 430, [430], 430;
    fsconfig: 431, [431], 431;
    fsmount: 432, [432], 432;
    fspick: 433, [433], 433;
    pidfd_open: 434, [434], 434;
    clone3: 435, [435], 435;
    close_range: 436, [436], 436;
    openat2: 437, [437], 437;
    pidfd_getfd: 438, [438], 438;
    faccessat2: 439, [439], 439;
    process_madvise: 440, [440], 440;
    epoll_pwait2: 441, [441], 441;
    mount_setattr: 442, [442], 442;
    quotactl_fd: 443, [443], 443;
    landlock_create_ruleset: 444, [444], 444;
    landlock_add_rule: 445, [445], 445;
    landlock_restrict_self: 446, [446], 446;
    memfd_secret: 447, [447], 447;
    process_mrelease: 448, [448], 448;
    futex_waitv: 449, [449], 449;
    set_mempolicy_home_node: 450, [450], 450;
    cachestat: 451, [451], 451;
    fchmodat2: 452, [452], 452;
    map_shadow_stack: 453, [453], 453;
    futex_wake: 454, [454], 454;
    futex_wait: 455, [455], 455;
    futex_requeue: 456, [456], 456;
    statmount: 457, [457], 457;
    listmount: 458, [458], 458;
    lsm_get_self_attr: 459, [459], 459;
    lsm_set_self_attr: 460, [460], 460;
    lsm_list_modules: 461, [461], 461;
    mseal: 462, [462], 462;
    setxattrat: 463, [463], 463;
    getxattrat: 464, [464], 464;
    listxattrat: 465, [465], 465;
    removexattrat: 466, [466], 466;
    open_tree_attr: 467, [467], 467;
    file_getattr: 468, [468], 468;
    file_setattr: 469, [469], 469;
    umount: -, [22], -;
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs;
    use std::string::String;
    use std::vec::Vec;

    use super::*;

    #[test]
    fn no_number_means_two_calls() {
        for interface in INTERFACES {
            let mut seen = BTreeMap::new();
            for (name, _) in SYSCALLS {
                for number in numbers(name).of(interface) {
                    assert!(usize::from(number) < NUMBERS, "{name}");
                    assert_eq!(seen.insert(number, name), None, "{number} of {interface:?}");
                }
            }
        }
    }

    #[test]
    fn the_numbers_are_the_headers() {
        let header = |file: &str| -> Option<BTreeMap<String, u16>> {
            let places = ["/usr/include/x86_64-linux-gnu/asm", "/usr/include/asm"];
            let text =
                places.iter().find_map(|place| fs::read_to_string(std::format!("{place}/{file}")).ok())?;
            let define = |line: &str| {
                let (name, number) = line.strip_prefix("#define __NR_")?.split_once(' ')?;
                Some((String::from(name), number.trim().parse().ok()?))
            };
            Some(text.lines().filter_map(define).collect())
        };
        let (Some(x86_64), Some(i386)) = (header("unistd_64.h"), header("unistd_32.h")) else {
            return std::println!("skipped: no headers of the kernel for x86 here");
        };
        for (name, numbers) in SYSCALLS {
            if let (Some(header), Some(own)) = (x86_64.get(*name), numbers.x86_64) {
                assert_eq!(*header, own, "{name}");
            }
            if let Some(header) = i386.get(*name) {
                assert!(numbers.i386.contains(header), "{name}");
            }
        }
        let unknown: Vec<_> =
            x86_64.keys().filter(|name| SYSCALLS.iter().all(|(known, _)| known != name)).collect();
        assert!(unknown.is_empty(), "{unknown:?}");
    }

    #[test]
    fn a_call_is_found_by_its_name() {
        let socket = numbers("socket");
        assert_eq!((socket.x86_64, socket.i386, socket.aarch64), (Some(41), &[359][..], Some(198)));
        assert_eq!(socket.socketcall, [1]);
        assert_eq!(numbers("open").aarch64, None);
    }
}
