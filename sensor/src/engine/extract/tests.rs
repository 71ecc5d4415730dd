//! Every field that is filled, with an event that has a value for it: made as the kernel makes records, taken through the tables
//! of processes, users and containers, and judged. What containers are comes from runtimes that answer as real ones do.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use sensor_ebpf::events::Kind;
use sensor_ebpf::events::connect::Connected;
use sensor_ebpf::events::dup::Duplicated;
use sensor_ebpf::events::io::Moved;
use sensor_ebpf::events::open::Opened;
use sensor_ebpf::events::process::Exec;
use sensor_ebpf::events::rename::Renamed;
use sensor_ebpf::record::{
    EXE_FROM_MEMFD, EXE_LOWER_LAYER, EXE_UPPER_LAYER, EXE_WRITABLE, Exe, FD_CONNECTED, FD_LOWER_LAYER,
    FD_UPPER_LAYER, Fd, Header, Tail, Task,
};

use super::{Live, UNFILLED};
use crate::engine::clock::Clock;
use crate::engine::raise::TextOptions;
use crate::engine::{Judge, Stats};
use crate::rules::{Event, Field, FieldRef, Held, Names, Options, RuleSet, Source, Value, load};
use crate::state::containers::Runtime;
use crate::state::containers::api_tests::{in_a_pod, of_docker};
use crate::state::containers::cgroup::Candidate;
use crate::state::testing::{Made, Who, record};
use crate::state::users::User;
use crate::state::{
    Container, ContainerEvent, ContainerKey, Containers, Listing, Processes, Users, processes,
};

const INIT: Who = Who { pid: 1, start: 1 };
const SHELL: Who = Who { pid: 100, start: 5 };
const CAT: Who = Who { pid: 101, start: 6 };
/// Cgroups; the shell's is the host's.
const HOST: u64 = 1;
const POD: u64 = 7;
const DOCKER: u64 = 8;
/// Wall clock minus boot clock, and the boot time of the events, ns.
const OFFSET: i64 = 1_700_000_000_000_000_000;
const TIME: u64 = 20_250_000_007;

/// `field`, the event that has it, its value; `#` stands for a digit that depends on the time zone.
const ROWS: &[(&str, &str, &str)] = &[
    ("evt.num", "connect", "10"),
    ("evt.time", "open", "##:##:40.250000007"),
    ("evt.time.s", "open", "##:##:40"),
    ("evt.time.iso8601", "open", "2023-11-14T22:13:40.250000007+0000"),
    ("evt.datetime", "open", "2023-11-1# ##:##:40.250000007"),
    ("evt.datetime.s", "open", "2023-11-1# ##:##:40"),
    ("evt.rawtime", "open", "1700000020250000007"),
    ("evt.rawtime.s", "open", "1700000020"),
    ("evt.rawtime.ns", "open", "250000007"),
    ("evt.around[1700000020]", "open", "1700000020250000007"),
    ("evt.latency", "open", "0"),
    ("evt.latency.s", "open", "0"),
    ("evt.latency.ns", "open", "0"),
    ("evt.latency.human", "open", "0ns"),
    ("evt.latency.quantized", "open", "0"),
    ("evt.wait_latency", "open", "0"),
    ("evt.dir", "open", "<"),
    ("evt.type", "open", "openat"),
    ("evt.type.is.openat", "open", "1"),
    ("syscall.type", "open", "openat"),
    ("evt.category", "open", "file"),
    (
        "evt.args",
        "rename",
        "res=0 olddirfd=-100(AT_FDCWD) oldpath=a(/srv/a) newdirfd=-100(AT_FDCWD) newpath=/srv/b flags=1(RENAME_NOREPLACE)",
    ),
    ("evt.arg.name", "open", "/srv/data/x"),
    ("evt.rawarg.name", "open", "data//x"),
    ("evt.info", "dup", "res=9(<4t>10.0.0.9:50000->10.0.0.1:8080) oldfd=5"),
    ("evt.res", "failed", "ENOENT"),
    ("evt.rawres", "failed", "-2"),
    ("evt.failed", "failed", "true"),
    ("evt.count", "open", "1"),
    ("evt.abspath", "open", "/srv/data/x"),
    ("evt.is_open_read", "open", "true"),
    ("evt.is_open_write", "create", "true"),
    ("evt.is_open_exec", "create", "true"),
    ("evt.is_open_create", "create", "true"),
    ("evt.is_io", "open", "false"),
    ("evt.io_dir", "write", "write"),
    ("evt.buffer", "write", "GET /\r\n"),
    ("evt.buflen", "write", "200"),
    ("evt.is_io_read", "open", "false"),
    ("evt.is_io_write", "open", "false"),
    ("evt.source", "open", "syscall"),
    ("evt.is_async", "added", "true"),
    ("evt.asynctype", "added", "container"),
    ("evt.hostname", "open", "node1"),
    ("proc.exe", "open", "cat"),
    ("proc.pexe", "open", "-bash"),
    ("proc.aexe[1]", "open", "-bash"),
    ("proc.exepath", "open", "/bin/cat"),
    ("proc.pexepath", "open", "/bin/bash"),
    ("proc.aexepath[2]", "open", "/usr/lib/systemd/systemd"),
    ("proc.name", "open", "cat"),
    ("proc.pname", "open", "bash"),
    ("proc.aname", "open", "bash, systemd"),
    ("proc.args", "open", "-n data//x"),
    ("proc.aargs[1]", "open", "-i"),
    ("proc.cmdline", "open", "cat -n data//x"),
    ("proc.pcmdline", "open", "bash -i"),
    ("proc.acmdline[1]", "open", "bash -i"),
    ("proc.cmdnargs", "open", "2"),
    ("proc.cmdlenargs", "open", "9"),
    ("proc.exeline", "open", "cat -n data//x"),
    ("proc.env[HOME]", "open", "/home/alice"),
    ("proc.aenv[TERM]", "open", "xterm"),
    ("proc.cwd", "open", "/srv/"),
    ("proc.loginshellid", "open", "100"),
    ("proc.tty", "open", "34816"),
    ("proc.pid", "open", "101"),
    ("proc.ppid", "open", "100"),
    ("proc.apid", "open", "100, 1"),
    ("proc.vpid", "open", "41"),
    ("proc.pvpid", "open", "40"),
    ("proc.sid", "open", "40"),
    ("proc.sname", "open", "bash"),
    ("proc.sid.exe", "open", "-bash"),
    ("proc.sid.exepath", "open", "/bin/bash"),
    ("proc.pgid", "open", "100"),
    ("proc.pgid.name", "open", "bash"),
    ("proc.pgid.exe", "open", "-bash"),
    ("proc.pgid.exepath", "open", "/bin/bash"),
    ("proc.vpgid", "open", "40"),
    ("proc.vpgid.name", "open", "bash"),
    ("proc.vpgid.exe", "open", "-bash"),
    ("proc.vpgid.exepath", "open", "/bin/bash"),
    ("proc.duration", "open", "14250000007"),
    ("proc.ppid.duration", "open", "15250000007"),
    ("proc.pid.ts", "open", "1700000006000000000"),
    ("proc.ppid.ts", "open", "1700000005000000000"),
    ("proc.is_exe_writable", "open", "true"),
    ("proc.is_exe_upper_layer", "open", "true"),
    ("proc.is_exe_lower_layer", "open", "true"),
    ("proc.is_exe_from_memfd", "open", "true"),
    ("proc.is_sid_leader", "host", "true"),
    ("proc.is_pgid_leader", "host", "true"),
    ("proc.is_vpgid_leader", "host", "true"),
    ("proc.exe_ino", "open", "55"),
    ("proc.exe_ino.ctime", "open", "1600000000000000000"),
    ("proc.exe_ino.mtime", "open", "1500000000000000000"),
    ("proc.exe_ino.ctime_duration_proc_start", "open", "100000006000000000"),
    ("proc.exe_ino.ctime_duration_pidns_start", "open", "100000003000000000"),
    ("proc.pidns_init_start_ts", "open", "1700000003000000000"),
    ("thread.tid", "host", "105"),
    ("thread.ismain", "open", "true"),
    ("thread.cap_permitted", "open", "CAP_CHOWN CAP_DAC_OVERRIDE"),
    ("thread.cap_inheritable", "open", "CAP_DAC_READ_SEARCH"),
    ("thread.cap_effective", "open", "CAP_CHOWN"),
    ("user.uid", "open", "1000"),
    ("user.name", "open", "alice"),
    ("user.homedir", "open", "/home/alice"),
    ("user.shell", "open", "/bin/bash"),
    ("user.loginuid", "open", "1001"),
    ("user.loginname", "open", "bob"),
    ("group.gid", "open", "50"),
    ("group.name", "open", "staff"),
    ("fd.num", "open", "3"),
    ("fd.type", "open", "file"),
    ("fd.typechar", "open", "f"),
    ("fd.name", "open", "/srv/data/x"),
    ("fd.directory", "open", "/srv/data"),
    ("fd.filename", "open", "x"),
    ("fd.nameraw", "open", "data/x"),
    ("fd.ip", "connect", "10.0.0.1, 93.184.216.34"),
    ("fd.cip", "connect", "10.0.0.1"),
    ("fd.sip", "connect", "93.184.216.34"),
    ("fd.lip", "connect", "10.0.0.1"),
    ("fd.rip", "connect", "93.184.216.34"),
    ("fd.port", "connect", "40000, 443"),
    ("fd.cport", "connect", "40000"),
    ("fd.sport", "connect", "443"),
    ("fd.lport", "connect", "40000"),
    ("fd.rport", "connect", "443"),
    ("fd.l4proto", "connect", "tcp"),
    ("fd.sockfamily", "connect", "ip"),
    ("fd.is_server", "dup", "true"),
    ("fd.uid", "open", "1013"),
    ("fd.containername", "open", "3ad7b26ded6d:/srv/data/x"),
    ("fd.containerdirectory", "open", "3ad7b26ded6d:/srv/data"),
    ("fd.proto", "connect", "40000, 443"),
    ("fd.cproto", "connect", "40000"),
    ("fd.sproto", "connect", "443"),
    ("fd.lproto", "connect", "40000"),
    ("fd.rproto", "connect", "443"),
    ("fd.net", "connect", "10.0.0.1, 93.184.216.34"),
    ("fd.cnet", "connect", "10.0.0.1"),
    ("fd.snet", "connect", "93.184.216.34"),
    ("fd.lnet", "connect", "10.0.0.1"),
    ("fd.rnet", "connect", "93.184.216.34"),
    ("fd.connected", "connect", "true"),
    ("fd.name_changed", "connect", "true"),
    ("fd.cip.name", "connect", "client.example"),
    ("fd.sip.name", "connect", "server.example"),
    ("fd.lip.name", "connect", "client.example"),
    ("fd.rip.name", "connect", "server.example"),
    ("fd.dev", "open", "2051"),
    ("fd.dev.major", "open", "8"),
    ("fd.dev.minor", "open", "3"),
    ("fd.ino", "open", "77"),
    ("fd.is_upper_layer", "open", "true"),
    ("fd.is_lower_layer", "create", "true"),
    ("fs.path.name", "open", "/srv/data/x"),
    ("fs.path.nameraw", "open", "data//x"),
    ("fs.path.source", "rename", "/srv/a"),
    ("fs.path.sourceraw", "rename", "a"),
    ("fs.path.target", "rename", "/srv/b"),
    ("fs.path.targetraw", "rename", "/srv/b"),
    ("container.id", "open", "3ad7b26ded6d"),
    ("container.full_id", "open", "3ad7b26ded6d8e7b23da7d48fe889434573036c27ae5a74837233de441c3601e"),
    ("container.name", "open", "web"),
    ("container.image", "open", "docker.io/library/nginx:1.27"),
    ("container.image.id", "open", "aabb"),
    ("container.image.repository", "open", "docker.io/library/nginx"),
    ("container.image.tag", "open", "1.27"),
    (
        "container.image.digest",
        "open",
        "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    ),
    ("container.type", "create", "docker"),
    ("container.privileged", "open", "true"),
    ("container.mounts", "open", "/:/host::true:rshared"),
    ("container.mount[0]", "open", "/:/host::true:rshared"),
    ("container.mount.source[/host]", "open", "/"),
    ("container.mount.dest[0]", "open", "/host"),
    ("container.mount.mode[0]", "create", "z"),
    ("container.mount.rdwr[0]", "open", "true"),
    ("container.mount.propagation[0]", "open", "rshared"),
    ("container.ip", "open", "10.1.1.1"),
    ("container.cni.json", "open", r#"{"eth0":{"IPConfigs":[{"Gateway":"10.1.0.1","IP":"10.1.1.1"}]}}"#),
    ("container.host_pid", "create", "true"),
    ("container.host_network", "open", "true"),
    ("container.host_ipc", "open", "true"),
    ("container.label[tier]", "create", "front"),
    ("container.labels", "create", "tier:front"),
    ("container.start_ts", "open", "1700000003000000000"),
    ("container.duration", "open", "17250000007"),
    ("k8s.pod.name", "open", "web-7d9"),
    ("k8s.ns.name", "open", "shop"),
    ("k8s.pod.uid", "open", "1b01"),
    ("k8s.pod.id", "open", "1b01"),
    ("k8s.pod.sandbox_id", "open", "c1e6f2b2f5d8"),
    ("k8s.pod.full_sandbox_id", "open", "c1e6f2b2f5d8a5b1aa2f0a4df5e9a7c65cf8fd1f23bb6d1f5e7a9bb1e8a1d2f3"),
    ("k8s.pod.label[app]", "open", "shop"),
    ("k8s.pod.labels", "open", "app:shop"),
    ("k8s.pod.ip", "open", "10.1.1.1"),
    ("k8s.pod.cni.json", "open", r#"{"eth0":{"IPConfigs":[{"Gateway":"10.1.0.1","IP":"10.1.1.1"}]}}"#),
];

fn header(who: Who, cgroup: u64) -> Header {
    Header {
        time: TIME,
        cgroup,
        uid: 1000,
        gid: 50,
        cap_permitted: 3,
        cap_inheritable: 4,
        cap_effective: 1,
        ..who.header(0)
    }
}

fn task(who: Who, parent: Who, name: &str) -> Task {
    Task {
        sid: SHELL.pid,
        pgid: SHELL.pid,
        vpid: who.pid - 60,
        vsid: SHELL.pid - 60,
        vpgid: SHELL.pid - 60,
        uid: 1000,
        gid: 50,
        loginuid: 1001,
        tty: 0x8800,
        mntns: 1,
        pidns_start: 3_000_000_000,
        cap_permitted: 3,
        cap_inheritable: 4,
        cap_effective: 1,
        ..who.task(parent, name)
    }
}

fn exec(who: Who, task: Task, path: &str, args: &[u8], env: &[u8]) -> Made {
    let header = Header { cgroup: if who.pid == CAT.pid { POD } else { HOST }, ..who.header(who.start) };
    record(Kind::Exec, header, &[path.as_bytes(), args, env, b"/srv"], |tails| Exec {
        task,
        exe: Exe {
            ino: 55,
            ctime: 1_600_000_000_000_000_000,
            mtime: 1_500_000_000_000_000_000,
            dev: 1,
            flags: EXE_WRITABLE | EXE_UPPER_LAYER | EXE_LOWER_LAYER | EXE_FROM_MEMFD,
        },
        exepath: tails[0],
        filename: tails[0],
        args: tails[1],
        env: tails[2],
        cwd: tails[3],
        reserved: 0,
    })
}

fn file(path: Tail, flags: u8) -> Fd {
    Fd { ino: 77, dev: 0x803, kind: b'f', flags, path, ..Fd::NONE }
}

fn socket(local: [u8; 4], local_port: u16, remote: [u8; 4], remote_port: u16) -> Fd {
    let bytes = |ip: [u8; 4]| std::array::from_fn(|n| ip.get(n).copied().unwrap_or(0));
    Fd {
        kind: b'4',
        proto: 6,
        sock_type: 1,
        flags: FD_CONNECTED,
        local: bytes(local),
        remote: bytes(remote),
        local_port,
        remote_port,
        ..Fd::NONE
    }
}

/// An openat: what it gave, with which flags, of which path below `/srv`.
fn opened(header: Header, ret: i64, flags: u32, layer: u8, raw: &str, path: &str) -> Made {
    record(Kind::Openat, header, &[raw.as_bytes(), b"/srv", path.as_bytes()], |tails| Opened {
        ret,
        file: if ret < 0 { Fd::NONE } else { file(tails[2], layer) },
        resolve: 0,
        flags,
        mode: 0o755,
        dirfd: -100,
        created: u32::from(flags & 0o100 != 0),
        raw: tails[0],
        base: tails[1],
    })
}

/// The events, each under its name, in order.
fn events() -> Vec<(&'static str, Made)> {
    let shell = Header { tid: 105, ..header(SHELL, HOST) };
    vec![
        ("open", opened(header(CAT, POD), 3, 2, FD_UPPER_LAYER, "data//x", "/srv/data/x")),
        ("create", opened(header(CAT, DOCKER), 3, 0o101, FD_LOWER_LAYER, "y", "/srv/y")),
        ("failed", opened(header(CAT, POD), -2, 0, 0, "/nope", "")),
        ("host", opened(shell, 3, 0, 0, "/etc/passwd", "/etc/passwd")),
        (
            "connect",
            record(Kind::Connect, header(CAT, POD), &[&[2, 0, 1, 187, 93, 184, 216, 34]], |tails| {
                Connected {
                    ret: 0,
                    sock: socket([10, 0, 0, 1], 40_000, [93, 184, 216, 34], 443),
                    num: 4,
                    addr: tails[0],
                }
            }),
        ),
        (
            "dup",
            record(Kind::Dup, header(CAT, POD), &[], |_| Duplicated {
                ret: 9,
                file: socket([10, 0, 0, 1], 8080, [10, 0, 0, 9], 50_000),
                oldfd: 5,
                newfd: 9,
                flags: 0,
                reserved: 0,
            }),
        ),
        (
            "write",
            record(Kind::Write, header(CAT, POD), &[b"GET /\r\n", b"/srv/data/x"], |tails| Moved {
                ret: 200,
                file: file(tails[1], 0),
                pos: 0,
                num: 3,
                size: 300,
                data: tails[0],
                reserved: 0,
            }),
        ),
        (
            "rename",
            record(Kind::Renameat2, header(CAT, POD), &[b"a", b"/srv", b"/srv/b"], |tails| Renamed {
                ret: 0,
                olddirfd: -100,
                newdirfd: -100,
                flags: 1,
                old: tails[0],
                old_base: tails[1],
                new: tails[2],
                new_base: Tail::EMPTY,
                reserved: 0,
            }),
        ),
    ]
}

/// Rules that want every event that there is, the names of its users, and those of two hosts.
fn rules() -> Arc<RuleSet> {
    let text = "- rule: all\n  desc: d\n  priority: INFO\n  output: '%user.name %user.loginname %group.name'\n  \
                condition: evt.num >= 0 or evt.type = write or fd.sip.name in (client.example, server.example)\n";
    let options = Options { names: Arc::new(Hosts), ..Options::default() };
    Arc::new(load(&[Source::new("r.yaml", text)], &options).rules.unwrap())
}

/// The host names of the two ends of a connection.
#[derive(Debug)]
struct Hosts;

impl Names for Hosts {
    fn port(&self, _: &str) -> Option<u16> {
        None
    }

    fn hold(&self, _: &str) -> Held {
        Arc::new(())
    }

    fn any_of(&self, address: IpAddr, test: &mut dyn FnMut(&str) -> bool) -> bool {
        let names = [([10, 0, 0, 1], "client.example"), ([93, 184, 216, 34], "server.example")];
        names.iter().any(|(ip, name)| IpAddr::from(*ip) == address && test(name))
    }
}

/// What each event has for each field of its rows.
type Seen = Arc<Mutex<BTreeMap<(&'static str, &'static str), String>>>;

fn judge(seen: &Seen) -> Judge {
    let mut judge = Judge::new(
        Processes::sealed(processes::Options::default()),
        Users::sealed(1),
        Containers::sealed(),
        rules(),
        "node1".to_owned(),
        TextOptions::default(),
        Box::new(|_| true),
        Arc::new(Stats::default()),
    );
    judge.clock = Clock::standing(OFFSET, TIME);
    let user = |name: &str| User {
        name: name.into(),
        home: format!("/home/{name}").into(),
        shell: "/bin/bash".into(),
    };
    let users = Some([(1000, user("alice")), (1001, user("bob"))].into());
    judge.users.insert(Listing { mntns: 1, users, groups: Some([(50, "staff".into())].into()) });
    let init = INIT.task(Who { pid: 0, start: 0 }, "systemd");
    judge.record(&exec(INIT, init, "/usr/lib/systemd/systemd", b"/sbin/init\0", b"").record());
    let shell = task(SHELL, INIT, "bash");
    judge.record(&SHELL.fork(SHELL.start, shell).record());
    judge.record(&exec(SHELL, shell, "/bin/bash", b"-bash\0-i\0", b"TERM=xterm\0").record());
    observe(&mut judge, "added", seen);
    for (cgroup, container) in [(POD, in_a_pod()), (DOCKER, of_docker())] {
        live_in(&mut judge, cgroup, container);
    }
    judge.observer = None;
    let cat = task(CAT, SHELL, "cat");
    judge.record(&CAT.fork(CAT.start, cat).record());
    judge.record(&exec(CAT, cat, "/bin/cat", b"cat\0-n\0data//x\0", b"HOME=/home/alice\0").record());
    judge
}

/// Says what runs in a cgroup.
fn live_in(judge: &mut Judge, cgroup: u64, container: Arc<Container>) {
    let id = container.full_id.clone();
    let candidate = Candidate { id, runtime: Runtime::Docker, namespace: None, doubtful: false };
    let key = ContainerKey(cgroup);
    assert!(judge.containers.assign(cgroup, key, candidate, None));
    judge.containers.settle(ContainerEvent::Ready(key, Some(container)));
    judge.poll();
}

/// Has the rows of an event looked at when it is judged.
fn observe(judge: &mut Judge, event: &'static str, seen: &Seen) {
    let seen = seen.clone();
    judge.observer = Some(Box::new(move |readings| {
        let live = &readings[0];
        for (field, of, _) in ROWS.iter().filter(|(_, of, _)| *of == event) {
            if let Some(value) = value(live, &FieldRef::parse(field).unwrap()) {
                seen.lock().unwrap().insert((*field, *of), value);
            }
        }
    }));
}

/// The value as text; of fields with several, all of them.
fn value(event: &Live<'_>, field: &FieldRef) -> Option<String> {
    if !field.is_any() {
        return event.get(field).map(text);
    }
    let mut all = Vec::new();
    event.any(field, &mut |value| {
        all.push(text(value));
        false
    });
    (!all.is_empty()).then(|| all.join(", "))
}

fn text(value: Value<'_>) -> String {
    match value {
        Value::Str(bytes) | Value::Buf(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Value::Int(n) => n.to_string(),
        Value::Uint(n) => n.to_string(),
        Value::Bool(truth) => truth.to_string(),
        Value::Ip(address) => address.to_string(),
    }
}

fn is_like(value: &str, pattern: &str) -> bool {
    let fits = |(c, p): (char, char)| c == p || (p == '#' && c.is_ascii_digit());
    value.chars().count() == pattern.chars().count() && value.chars().zip(pattern.chars()).all(fits)
}

#[test]
fn every_filled_field_has_a_value_for_some_event() {
    let seen = Seen::default();
    let mut judge = judge(&seen);
    for (name, made) in events() {
        observe(&mut judge, name, &seen);
        judge.record(&made.record());
    }
    let seen = seen.lock().unwrap();
    let mut wrong = Vec::new();
    for (field, event, expected) in ROWS {
        let found = seen.get(&(*field, *event)).map_or("nothing", String::as_str);
        if !is_like(found, expected) {
            wrong.push(format!("{field} of {event}: {found:?} instead of {expected:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let shown: Vec<Field> = ROWS.iter().map(|(field, ..)| FieldRef::parse(field).unwrap().field).collect();
    for field in Field::ALL {
        let name = field.name();
        if UNFILLED.contains(*field) {
            assert!(!shown.contains(field), "{name} has no value, and a row says which");
        } else {
            assert!(shown.contains(field), "{name} is filled, and no event shows it: add a row");
        }
    }
}
