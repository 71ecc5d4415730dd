//! Alerts that are made up, always the same ones: a small cluster with its everyday noise, and now and then something
//! that a person should look at. For the tests of the web app and for looking at it.

use falconet::alert::Alert;
use falconet::alert::json::utc;
use falconet::rules::{Options, Priority, Source, cases, load};
use falconet::telemetry::StatusSource;
use falconet::telemetry::status::{
    FailedLoad, Loss, OutputState, OutputStatus, PriorityName, RuleDetail, RuleRow, RuleState, Rules,
    SensorStatus, Status, Watching,
};
use serde_json::{Value, json};
use std::sync::LazyLock;
use uuid::Uuid;

pub const SECOND: i64 = 1_000_000_000;

/// Numbers that look random and are the same in each run (xorshift64*).
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    pub fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % sides.max(1)
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[usize::try_from(self.roll(from.len() as u64)).unwrap()]
    }
}

struct Kind {
    weight: u64,
    rule: &'static str,
    priority: Priority,
    tags: &'static [&'static str],
    sentence: &'static str,
    event: &'static str,
    process: &'static str,
    cmdline: &'static str,
    object: &'static str,
}

macro_rules! kind {
    ($weight:literal, $rule:literal, $priority:ident, $tags:expr, $sentence:literal, $event:literal, $process:literal, $cmdline:literal, $object:literal) => {
        Kind {
            weight: $weight,
            rule: $rule,
            priority: Priority::$priority,
            tags: &$tags,
            sentence: $sentence,
            event: $event,
            process: $process,
            cmdline: $cmdline,
            object: $object,
        }
    };
}

const KINDS: &[Kind] = &[
    kind!(
        300,
        "Read sensitive file untrusted",
        Warning,
        ["T1555", "container", "filesystem", "host", "mitre_credential_access"],
        "Sensitive file opened for reading by non-trusted program",
        "openat",
        "cat",
        "cat /etc/shadow",
        "/etc/shadow"
    ),
    kind!(
        420,
        "Contact K8S API Server From Container",
        Notice,
        ["T1565", "container", "k8s", "mitre_discovery", "network"],
        "Unexpected connection to K8s API Server from container",
        "connect",
        "curl",
        "curl -sk https://10.96.0.1:443/api",
        "10.42.1.17:51234->10.96.0.1:443"
    ),
    kind!(
        90,
        "Terminal shell in container",
        Notice,
        ["T1059", "container", "mitre_execution", "shell"],
        "A shell was spawned in a container with an attached terminal",
        "execve",
        "bash",
        "bash -i",
        ""
    ),
    kind!(
        60,
        "Redirect STDOUT/STDIN to Network Connection in Container",
        Notice,
        ["T1059", "container", "mitre_execution", "network", "process"],
        "Redirect stdout/stdin to network connection",
        "dup3",
        "sh",
        "sh -c sh -i",
        "10.42.1.17:40112->203.0.113.9:4444"
    ),
    kind!(
        40,
        "Packet socket created in container",
        Notice,
        ["T1557.002", "container", "mitre_credential_access", "network"],
        "Packet socket was created in a container",
        "socket",
        "tcpdump",
        "tcpdump -i eth0 -w /tmp/x.pcap",
        ""
    ),
    kind!(
        30,
        "Drop and execute new binary in container",
        Critical,
        ["PCI_DSS_11.5.1", "T1059", "TA0003", "container", "mitre_persistence", "process"],
        "Executing binary not part of base image",
        "execve",
        "kworkerds",
        "/tmp/.x/kworkerds -o pool:3333",
        "/tmp/.x/kworkerds"
    ),
    kind!(
        25,
        "Write below etc",
        Error,
        ["T1098", "filesystem", "mitre_persistence"],
        "File below /etc opened for writing",
        "openat",
        "vi",
        "vi /etc/cron.d/backup",
        "/etc/cron.d/backup"
    ),
    kind!(
        160,
        "System user interactive",
        Informational,
        ["T1059", "host", "mitre_execution", "users"],
        "System user ran an interactive command",
        "execve",
        "sh",
        "sh -c id",
        ""
    ),
    kind!(
        200,
        "Outbound or Inbound Traffic not to Authorized Server Process and Port",
        Debug,
        ["network"],
        "Network connection outside authorized port and binary",
        "connect",
        "node_exporter",
        "node_exporter --web.listen-address=:9100",
        "10.0.3.4:9100"
    ),
    kind!(
        3,
        "Linux Kernel Module Injection Detected",
        Alert,
        ["TA0004", "host", "mitre_privilege_escalation", "process"],
        "Linux Kernel Module injection from container",
        "init_module",
        "insmod",
        "insmod rootkit.ko",
        "rootkit.ko"
    ),
    kind!(
        1,
        "Release agent file written by privileged container",
        Emergency,
        ["T1611", "container", "mitre_privilege_escalation"],
        "A privileged container wrote the release_agent of its cgroup",
        "openat",
        "sh",
        "sh -c echo /cmd > /sys/fs/cgroup/rdma/release_agent",
        "/sys/fs/cgroup/rdma/release_agent"
    ),
];

/// Container name, image, namespace, pod.
const PLACES: &[(&str, &str, &str, &str)] = &[
    ("nginx", "docker.io/library/nginx", "shop", "storefront-6d9f7c9b8-x2x7k"),
    ("payments", "registry.example/shop/payments", "shop", "payments-7c5ddbdf54-9kq2w"),
    ("redis", "docker.io/library/redis", "shop", "cart-redis-0"),
    ("postgres", "docker.io/library/postgres", "data", "orders-db-0"),
    ("runner", "registry.example/ci/runner", "ci", "runner-4fjx8"),
    ("grafana", "docker.io/grafana/grafana", "observe", "grafana-5f6d7c-l2n5p"),
];
const HOSTS: &[&str] = &["node1", "node2", "node3", "node4", "edge-7"];
const USERS: &[&str] = &["root", "root", "www-data", "deploy", "nobody"];

/// The `n`th alert, that happened at `time` (ns since the epoch).
pub fn alert(n: u64, time: i64) -> Alert {
    let mut dice = Dice::new(n.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0xfa1c);
    for _ in 0..4 {
        dice.roll(2);
    }
    let mut roll = dice.roll(KINDS.iter().map(|k| k.weight).sum());
    let kind = KINDS
        .iter()
        .find(|kind| {
            let hit = roll < kind.weight;
            roll = roll.saturating_sub(kind.weight);
            hit
        })
        .unwrap();
    let on_host = kind.tags.contains(&"host") && dice.roll(3) > 0;
    let place = dice.pick(PLACES);
    let (host, user) = (*dice.pick(HOSTS), *dice.pick(USERS));
    let pid = 2000 + i64::try_from(dice.roll(60)).unwrap();
    let id = if on_host {
        "host".to_owned()
    } else {
        format!("{:012x}", (dice.roll(3) + 7).wrapping_mul(0x1d0c_a5ee_1337) & 0xffff_ffff_ffff)
    };
    let output = format!(
        "{}: {} {} | file={} proc={} cmdline={} user={user} container_id={id}",
        &utc(time)[11..29],
        kind.priority,
        kind.sentence,
        kind.object,
        kind.process,
        kind.cmdline
    );
    let mut fields = json!({
        "container.id": id, "container.name": if on_host { "host" } else { place.0 }, "evt.time": time, "evt.type": kind.event,
        "proc.name": kind.process, "proc.cmdline": kind.cmdline, "proc.pname": "containerd-shim", "user.name": user, "proc.pid": pid,
    });
    if !kind.object.is_empty() {
        fields["fd.name"] = json!(kind.object);
    }
    if !on_host {
        fields["container.image.repository"] = json!(place.1);
        fields["container.image.tag"] = json!("1.29");
        fields["k8s.ns.name"] = json!(place.2);
        fields["k8s.pod.name"] = json!(place.3);
    }
    let start = time - 40 * SECOND;
    let process = |pid: i64, name: &str, cmdline: &str, age: i64| {
        json!({"pid": pid, "name": name, "exe": name, "exepath": format!("/usr/bin/{name}"), "cmdline": cmdline, "cwd": "/",
            "user": user, "uid": if user == "root" { 0 } else { 1000 }, "tty": 0, "start": start - age * SECOND})
    };
    let ancestors = if on_host {
        vec![
            process(1200, "bash", "-bash", 900),
            process(1100, "sshd", "sshd: deploy@pts/0", 901),
            process(1, "systemd", "/sbin/init", 900_000),
        ]
    } else {
        vec![
            process(pid - 1, "sh", "sh /entrypoint.sh", 30),
            process(
                1000,
                "containerd-shim",
                "/usr/bin/containerd-shim-runc-v2 -namespace k8s.io -id 3f2a",
                4000,
            ),
            process(1, "systemd", "/sbin/init", 900_000),
        ]
    };
    let context = json!({
        "process": process(pid, kind.process, kind.cmdline, 0),
        "ancestors": ancestors,
        "container": if on_host { Value::Null } else { json!({"id": id, "name": place.0, "image": format!("{}:1.29", place.1),
            "type": "containerd", "pod": place.3, "namespace": place.2}) },
        "event": {"type": kind.event, "args": {"name": kind.object, "flags": "O_RDONLY|O_CLOEXEC", "res": "3"}},
        "condition": CONDITIONS[KINDS.iter().position(|k| k.rule == kind.rule).unwrap()],
    });
    make(kind.rule, kind.priority, time, host, output, fields, kind.tags, Some(context))
}

/// The condition of each kind's rule, as the sensor would write it.
static CONDITIONS: LazyLock<Vec<Value>> = LazyLock::new(|| KINDS.iter().map(condition).collect());

fn condition(kind: &Kind) -> Value {
    let rules = format!(
        "- list: known_programs\n  items: [sshd, systemd-logind, passwd, chage]\n\
         - macro: in_container\n  condition: (container.id != host)\n\
         - macro: by_known_program\n  condition: (proc.name in (known_programs) or proc.aname in (known_programs))\n\
         - rule: r\n  desc: d\n  output: o\n  priority: INFO\n  condition: >\n    evt.type = {} and (in_container or proc.tty != 0)\n    \
         and (proc.cmdline icontains password or proc.name = {} and tolower(proc.exepath) startswith /usr)\n    and not by_known_program\n    \
         and not proc.env contains MAINTENANCE\n  exceptions:\n    - {{name: backups, fields: [proc.pname, fd.name], values: [[cron, /etc/shadow]]}}\n",
        kind.event, kind.process
    );
    let event = json!({
        "evt.type": kind.event, "container.id": "1376fe875695", "container.name": "web", "proc.name": kind.process,
        "proc.cmdline": kind.cmdline, "proc.exepath": format!("/usr/bin/{}", kind.process), "proc.tty": 0,
        "proc.aname": ["sh", "containerd-shim", "systemd"], "proc.env": "HOME=/root TOKEN=secret", "fd.name": kind.object,
    });
    let rules = load(&[Source::new("/etc/falco/rules.yaml", rules)], &Options::default()).rules.unwrap();
    let event = cases::event(&Source::new("event", event.to_string())).unwrap();
    let trace = rules.trace(&rules.rules()[0], &event).bounded();
    assert!(trace.fires);
    serde_json::to_value(trace.root).unwrap()
}

/// An alert whose every text attacks the page that shows it.
pub fn hostile(time: i64) -> Alert {
    const ATTACK: &str =
        "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>";
    let bidi = "safe\u{202e}gpj.exe\u{200b}\u{feff}\nnext\tline\u{0007}\u{00a0}x";
    let long = format!("{}{}", "A".repeat(5000), ATTACK);
    let fields = json!({
        "proc.name": ATTACK, "proc.cmdline": format!("{bidi} {long}"), "user.name": bidi, "container.name": ATTACK,
        "container.id": "deadbeef0001", "k8s.ns.name": "</bdi></a>", "fd.name": bidi, "odd\u{202e}key": null, "nested": {"a": [ATTACK]},
        "big": 9_007_199_254_740_993_i64,
    });
    let context = json!({"process": {"pid": 66, "name": ATTACK, "cmdline": long, "user": bidi},
        "ancestors": [{"name": bidi, "cmdline": ATTACK, "pid": "x"}, 7, null], "event": {"type": "execve", "args": {ATTACK: bidi}},
        "condition": {"kind": "and", "holds": true, "from": [{"kind": "macro", "name": ATTACK, "place": format!("{bidi}:1:1")}],
            "parts": [{"kind": "leaf", "text": format!("proc.name = {ATTACK}{bidi}"), "truth": "true", "actual": [
                {"field": "proc.name", "value": ATTACK}, {"field": bidi, "value": [bidi, ATTACK, long]}], "place": null}]}});
    let output = format!("{}: Critical Hostile {ATTACK} {bidi} | x={long}", &utc(time)[11..29]);
    make(
        &format!("Hostile {ATTACK}{bidi}"),
        Priority::Critical,
        time,
        "node\u{202e}1",
        output,
        fields,
        &["T1059.004", "<b>tag</b>"],
        Some(context),
    )
}

#[expect(clippy::too_many_arguments, reason = "one call per field of an alert, here only")]
fn make(
    rule: &str,
    priority: Priority,
    time: i64,
    host: &str,
    output: String,
    fields: Value,
    tags: &[&str],
    context: Option<Value>,
) -> Alert {
    let Value::Object(output_fields) = fields else { unreachable!() };
    let mut tags: Vec<String> = tags.iter().map(ToString::to_string).collect();
    tags.sort();
    Alert {
        uuid: Uuid::now_v7(),
        time,
        received: time + 3_000_000,
        rule: rule.into(),
        priority,
        source: "syscall".into(),
        hostname: host.into(),
        output,
        output_fields,
        tags,
        context,
    }
}

/// `count` alerts, oldest first, over the `seconds` before `now`, busier by day and with a burst in the end.
pub fn history(count: u64, seconds: i64, now: i64) -> impl Iterator<Item = Alert> {
    let mut dice = Dice::new(count);
    let mut times: Vec<i64> = (0..count)
        .map(|n| {
            let back = i64::try_from(dice.roll(u64::try_from(seconds).unwrap())).unwrap();
            let hour = (now / SECOND - back) / 3600 % 24;
            let night = !(8..19).contains(&hour);
            let back = if n % 23 == 0 {
                seconds / 6 + back % (seconds / 40).max(1)
            } else if night && n % 3 > 0 {
                back / 2
            } else {
                back
            };
            now - back * SECOND - i64::try_from(dice.roll(1_000_000_000)).unwrap()
        })
        .collect();
    times.sort_unstable();
    times.into_iter().enumerate().map(|(n, time)| alert(n as u64, time))
}

/// A process that does well, but for one output.
pub struct MadeUpStatus {
    pub started: i64,
}

impl StatusSource for MadeUpStatus {
    fn status(&self) -> Status {
        let now = falconet::alert::now();
        let up = u64::try_from((now - self.started) / SECOND).unwrap();
        Status {
            version: env!("CARGO_PKG_VERSION").into(),
            hostname: "node1".into(),
            kernel: Some("6.12.41".into()),
            started: Some(utc(self.started)),
            watching: Watching {
                rules: 42,
                limited: 1,
                inactive: rules().iter().filter(|rule| matches!(rule.status, RuleState::Inactive)).count()
                    as u64,
                event_types: [
                    "connect",
                    "dup",
                    "dup2",
                    "dup3",
                    "execve",
                    "execveat",
                    "init_module",
                    "open",
                    "openat",
                    "openat2",
                    "ptrace",
                    "renameat2",
                    "setuid",
                    "socket",
                    "unlinkat",
                ]
                .map(Into::into)
                .into(),
                intake: Some("127.0.0.1:2801".into()),
            },
            sensor: Some(SensorStatus {
                state: "running".into(),
                seen: 1_204_331 + up * 310,
                filtered: 48_220_119 + up * 21_000,
                lost: 12,
                losses: vec![Loss { event: "openat".into(), reason: "ring full".into(), count: 12 }],
                dead_hooks: Vec::new(),
                last_event: Some(utc(now)),
            }),
            outputs: vec![
                OutputStatus { name: "webhook".into(), delivered: 12_482, ..OutputStatus::default() },
                OutputStatus {
                    name: "teams".into(),
                    delivered: 311,
                    waiting: 27,
                    oldest_waiting: Some(now - 900 * SECOND),
                    state: OutputState::Failing,
                    since: now - 840 * SECOND,
                    failed_tries: 9,
                    last_error: Some("429 Too Many Requests, asked to wait 60 s".into()),
                    ..OutputStatus::default()
                },
            ],
        }
    }

    fn rules(&self) -> Option<Rules> {
        Some(Rules {
            rules: rules(),
            origin: "2 files".into(),
            loaded: utc(self.started),
            loads: 3,
            failures: 1,
            failed: Some(FailedLoad {
                time: utc(self.started + 60 * SECOND),
                reason: "/etc/falconet/rules.d/own.yaml:12:16: unknown field \"proc.nam\"; did you mean \"proc.name\"?".into(),
                diagnostics: Some(
                    "/etc/falconet/rules.d/own.yaml:12:16: unknown field \"proc.nam\"; did you mean \"proc.name\"?\n  in rule \"Own\"\n  \
                     | condition: proc.nam = sh\n  |            ^^^^^^^^\n  LOAD_ERR_COMPILE_CONDITION (Error compiling condition)"
                        .into(),
                ),
            }),
        })
    }

    fn rule(&self, name: &str) -> Option<RuleDetail> {
        let row = rules().into_iter().find(|rule| rule.name == name)?;
        Some(RuleDetail {
            condition: "spawned_process and container\nand shell_procs".into(),
            effective: "evt.type in (execve, execveat) and container.id != host and proc.name in (bash, dash, sh, zsh)".into(),
            place: Some("/etc/falconet/rules.d/shell.yaml:31".into()),
            event_types: vec!["execve".into(), "execveat".into()],
            unfiltered: vec!["execve".into(), "execveat".into()],
            row,
        })
    }
}

/// The rules that the alerts are made up of, in every state.
#[expect(clippy::cast_precision_loss, reason = "small numbers")]
fn rules() -> Vec<RuleRow> {
    let row = |(n, kind): (usize, &Kind)| {
        let n = n as u64;
        let (status, reason) = match n % 7 {
            4 => (
                RuleState::Limited,
                Some("the parts that ask for proc.stdin.type, which this sensor cannot fill, never hold"),
            ),
            5 => (RuleState::Inactive, Some("it needs thread.cgroups, which this sensor cannot fill")),
            6 => (RuleState::Disabled, None),
            _ => (RuleState::Active, None),
        };
        let runs = matches!(status, RuleState::Active | RuleState::Limited);
        RuleRow {
            name: kind.rule.into(),
            priority: PriorityName::from(kind.priority),
            source: "syscall".into(),
            tags: kind.tags.iter().map(|tag| (*tag).into()).collect(),
            desc: format!("{}, which is rarely meant well.", kind.sentence),
            status,
            reason: reason.map(Into::into),
            matched: if runs { 1201 / (n + 1) } else { 0 },
            left_out: 0,
            evaluated: if runs { 48_220_119 / (n + 1) } else { 0 },
            ns_per_event: (runs && n != 3).then_some(3.7 + n as f64 * 11.3),
        }
    };
    KINDS.iter().enumerate().map(row).collect()
}
