//! What random conditions and events are made of: few values of each sort, so that they do meet.

/// Names of processes, users and the like; also what commands consist of.
pub const NAMES: &[&[u8]] = &[
    b"a",
    b"b",
    b"ab",
    b"ba",
    b"abc",
    b"ABC",
    b"sh",
    b"bash",
    b"Bash",
    b"",
    b"x y",
    b"a'b\"c",
    b"5",
    b"12",
    b"a\xffb",
    b"b\xc3\xa4h",
    b"and",
    b"oneof",
    b"[a]",
    b"YWJj",
    b"a/b",
    b"-a",
    b"-bv",
    b"--",
    b"true",
    b"<NA>",
    b"l\nn",
];
/// Paths, clean and unclean.
pub const PATHS: &[&[u8]] = &[
    b"/",
    b"/etc",
    b"/etc/",
    b"/etc/shadow",
    b"/bin/sh",
    b"/usr/bin/sh",
    b"/usr/bin",
    b"/var/run/a",
    b"/run/a",
    b"/run/lock/a",
    b"/etc/ssh/sshd_config",
    b"/etcetera",
    b"/root/.ssh/id",
    b"/root",
    b"//etc//ssh",
    b"etc/shadow",
    b"",
    b"/a\xffb/c",
    b"/home/u/.ssh/id_rsa",
    b"/home/v/.ssh",
    b"/tmp/a b",
    b"/tmp/x.sh",
    b"/[a]/b",
    b"sh",
];
pub const PATH_PARTS: &[&[u8]] = &[
    b"/usr/b", b"/run/", b"/bin/", b"/var/", b"var/run", b"/e", b"/etc", b"/etc/s", b"etc", b"shadow",
    b"/root/", b".sh", b"", b"SSH", b"/", b"b/c", b"\xff",
];
pub const NAME_PARTS: &[&[u8]] = &[b"a", b"b", b"sh", b"", b"B", b"ash", b"y", b"\xff", b"ABC", b"-"];
pub const GLOBS: &[&[u8]] = &[
    b"*",
    b"?",
    b"a*",
    b"*sh",
    b"*a*b*",
    b"[ab]*",
    b"[!a]*",
    b"[^b]?",
    b"[a-c]b",
    b"/etc/*",
    b"/home/*/.ssh/*",
    b"*.s?",
    b"\\[a]*",
    b"[]a]*",
    b"[a",
    b"b[[:alpha:]]*",
    b"[[:digit:]]*",
    b"",
    b"??",
    b"*\xff*",
    b"/*/*",
    b"[a-]*",
    b"*[!/]",
    b"[B]*",
    b"a[]",
    b"[\\]a]*",
];
pub const REGEXES: &[&str] = &[
    "a",
    "a*b?",
    "(a|ba)+",
    ".*sh",
    "/etc/.*",
    "[a-c]+",
    "[^/]*",
    "/(etc|root)(/.*)?",
    "",
    "b.h",
    ".{2}",
    "a.b",
    "[[:alpha:]]+",
    "x y|5",
    "-[a-z]v?",
];
pub const PATH_PATTERNS: &[&[u8]] = &[
    b"/etc",
    b"/etc/ssh",
    b"/",
    b"/home/*/.ssh",
    b"/e*",
    b"/root/.ssh/",
    b"etc",
    b"/*/s*",
    b"/etc/shado",
    b"/tmp/?.sh",
    b"/et[a-c]",
    b"//root",
    b"/a?b",
    b"sh",
    b"",
    b"/home/[uv]",
];
pub const NUMBERS: &[&str] = &["0", "1", "-1", "2", "5", "22", "1000", "34816", "80", "443", "007", "+5"];
pub const INTS: &[i64] = &[0, 1, -1, 2, 5, 7, 22, 23, 1000, 34_816];
pub const PORTS: &[&str] = &["22", "ssh", "80", "http", "443", "https", "1000", "domain"];
pub const ADDRESSES: &[&str] =
    &["10.0.0.1", "10.1.2.3", "192.168.0.7", "127.0.0.1", "::1", "fe80::1", "2001:db8::5"];
pub const NETWORKS: &[&str] = &[
    "10.0.0.0/8",
    "10.0.0.0/31",
    "192.168.0.0/16",
    "0.0.0.0/0",
    "127.0.0.1/32",
    "fe80::/10",
    "::/0",
    "2001:db8::/32",
    "10.128.0.0/9",
    "::1/128",
];
pub const TEXTS: &[&str] = &[
    "proc.name",
    "proc.pname",
    "proc.exe",
    "user.name",
    "container.id",
    "evt.arg.flags",
    "evt.arg[1]",
    "proc.aname[2]",
    "proc.env[HOME]",
    "container.label[app]",
    "container.label[\"b c\"]",
];
pub const PATH_FIELDS: &[&str] =
    &["fd.name", "fd.name", "fd.directory", "fd.nameraw", "proc.exepath", "evt.arg.name"];
pub const ANY_TEXTS: &[&str] = &["proc.aname", "proc.aexepath"];
pub const NUMBER_FIELDS: &[&str] = &[
    "fd.num",
    "user.uid",
    "proc.pid",
    "proc.tty",
    "evt.rawres",
    "proc.duration",
    "proc.apid[1]",
    "evt.rawarg.res",
];
pub const PORT_FIELDS: &[&str] = &["fd.sport", "fd.cport"];
pub const BOOLS: &[&str] = &["evt.is_open_read", "evt.is_open_write", "proc.is_exe_writable", "evt.failed"];
/// The rules are loaded as for a sensor that cannot fill these; comparisons count as false.
pub const UNFILLED: &[&str] = &["evt.cpu", "proc.stdin.name", "evt.deltatime"];
pub const TYPES: &[&str] =
    &["open", "openat", "openat2", "creat", "execve", "connect", "container", "procexit"];
