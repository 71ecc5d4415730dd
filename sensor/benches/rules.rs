//! What loading rules and judging one event cost: the upstream rules (where their files are at hand), the stock rules, and
//! generated sets of 1 to 10,000 rules in the shape of the upstream ones: shared macros and lists, allowed programs,
//! families of paths, words in command lines, ancestors, addresses; most rules share their words with some others, so
//! that no single key tells them apart. `cargo bench --bench rules`; compare numbers of one run only.

#![expect(clippy::expect_used, reason = "a benchmark that cannot be set up has nothing to say")]

use std::fmt::Write;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};

use falconet::rules::load;
use falconet::rules::registry::event_types;
use falconet::rules::stock;
use falconet::rules::{
    Event, EventType, Field, FieldArg, FieldRef, Matching, Options, RuleSet, Scratch, Source, Value,
};

/// An event whose values stand in a struct, as in the engine.
#[derive(Clone)]
struct Sample {
    event: EventType,
    name: &'static [u8],
    exepath: &'static [u8],
    cmdline: &'static [u8],
    args: &'static [u8],
    /// The parent, its parent and so on.
    ancestors: &'static [&'static [u8]],
    container: &'static [u8],
    image: &'static [u8],
    fd: Option<Descriptor>,
    write: bool,
}

#[derive(Clone, Copy)]
struct Descriptor {
    name: &'static [u8],
    kind: &'static [u8],
    server: Option<(IpAddr, u16)>,
}

const CLIENT: (IpAddr, u16) = (IpAddr::V4(Ipv4Addr::new(10, 1, 2, 3)), 50412);

impl Sample {
    /// What is true of most events: a service at work.
    fn new(event: &str) -> Self {
        Self {
            event: event_types::by_name(event).expect("the event is known"),
            name: b"app-server",
            exepath: b"/usr/local/bin/app-server",
            cmdline: b"app-server --config /srv/app/config.toml --listen 0.0.0.0:8080 --workers 16 --log-level info",
            args: b"--config /srv/app/config.toml --listen 0.0.0.0:8080 --workers 16 --log-level info",
            ancestors: &[b"supervisord", b"containerd-shim", b"systemd"],
            container: b"3f5a1c9d0e2b",
            image: b"registry.example.com/team/app-server",
            fd: None,
            write: false,
        }
    }

    fn opened(name: &'static [u8], write: bool) -> Self {
        let fd = Some(Descriptor { name, kind: b"f", server: None });
        Self { fd, write, ..Self::new("openat") }
    }

    fn connected(name: &'static [u8], ip: [u8; 4], port: u16) -> Self {
        let fd = Some(Descriptor { name, kind: b"4", server: Some((ip.into(), port)) });
        Self { fd, ..Self::new("connect") }
    }

    fn file(&self) -> Option<Descriptor> {
        self.fd.filter(|fd| fd.kind == b"f")
    }

    fn server(&self) -> Option<(IpAddr, u16)> {
        self.fd?.server
    }
}

impl Event for Sample {
    fn event_type(&self) -> EventType {
        self.event
    }

    fn time(&self) -> i64 {
        0
    }

    fn get(&self, field: &FieldRef) -> Option<Value<'_>> {
        let slash = |name: &'static [u8]| name.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
        let ancestor = |n: usize| self.ancestors.get(n).map(|name| Value::Str(name));
        Some(match field.field {
            Field::FdName => Value::Str(self.fd?.name),
            Field::FdDirectory => {
                let name = self.file()?.name;
                Value::Str(&name[..slash(name)])
            }
            Field::FdFilename => {
                let name = self.file()?.name;
                Value::Str(&name[slash(name) + 1..])
            }
            Field::FdTypechar => Value::Str(self.fd?.kind),
            Field::FdType => Value::Str(if self.file().is_some() { b"file" } else { b"ipv4" }),
            Field::FdNum => Value::Int(self.fd.map(|_| 7)?),
            Field::FdL4proto => {
                self.server()?;
                Value::Str(b"tcp")
            }
            Field::FdSip | Field::FdSnet | Field::FdRip | Field::FdRnet => Value::Ip(self.server()?.0),
            Field::FdSport | Field::FdRport => Value::Uint(self.server()?.1.into()),
            Field::FdCip | Field::FdLip => {
                self.server()?;
                Value::Ip(CLIENT.0)
            }
            Field::FdCport | Field::FdLport => {
                self.server()?;
                Value::Uint(CLIENT.1.into())
            }
            Field::FdConnected => Value::Bool(self.server().is_some()),
            Field::ProcName => Value::Str(self.name),
            Field::ProcExe | Field::ProcExepath => Value::Str(self.exepath),
            Field::ProcCmdline | Field::ProcExeline => Value::Str(self.cmdline),
            Field::ProcArgs if field.arg == FieldArg::None => Value::Str(self.args),
            Field::ProcPname => ancestor(0)?,
            Field::ProcPexe | Field::ProcPexepath => Value::Str(b"/usr/bin/supervisord"),
            Field::ProcPcmdline => Value::Str(b"supervisord -n -c /etc/supervisord.conf"),
            Field::ProcAname | Field::ProcAexe => match &field.arg {
                FieldArg::Index(0) => Value::Str(self.name),
                FieldArg::Index(n) => ancestor(*n as usize - 1)?,
                _ => return None,
            },
            Field::ProcSname => ancestor(self.ancestors.len() - 1)?,
            Field::ProcTty => Value::Uint(0),
            Field::ProcVpid | Field::ProcPid => Value::Int(4711),
            Field::ProcDuration => Value::Int(86_400_000_000_000),
            Field::ProcEnv => Value::Str(b"PATH=/usr/bin:/bin LANG=C.UTF-8 HOME=/srv/app"),
            Field::ThreadCapPermitted | Field::ThreadCapEffective => Value::Str(b"CAP_NET_BIND_SERVICE"),
            Field::ContainerId => Value::Str(self.container),
            Field::ContainerImageRepository => Value::Str(self.image),
            Field::UserUid => Value::Uint(1000),
            Field::UserName => Value::Str(b"app"),
            Field::UserLoginuid => Value::Int(-1),
            Field::EvtRes => Value::Str(b"SUCCESS"),
            Field::EvtRawres => Value::Int(if self.fd.is_some() && self.server().is_none() { 7 } else { 0 }),
            Field::FdNameChanged
            | Field::ProcIsExeUpperLayer
            | Field::ProcIsExeFromMemfd
            | Field::ContainerPrivileged
            | Field::EvtFailed
            | Field::EvtIsOpenExec
            | Field::EvtIsOpenCreate => Value::Bool(false),
            Field::EvtIsOpenWrite => Value::Bool(self.file().is_some() && self.write),
            Field::EvtIsOpenRead => Value::Bool(self.file().is_some() && !self.write),
            Field::EvtArg if field.arg == FieldArg::Key(b"flags".as_slice().into()) => {
                Value::Str(b"O_RDONLY|O_CLOEXEC")
            }
            _ => return None,
        })
    }

    fn any(&self, field: &FieldRef, test: &mut dyn FnMut(Value<'_>) -> bool) -> bool {
        match field.field {
            Field::ProcAname | Field::ProcAexe => self.ancestors.iter().any(|name| test(Value::Str(name))),
            Field::ProcAcmdline => test(Value::Str(b"supervisord -n -c /etc/supervisord.conf")),
            Field::FdIp | Field::FdNet => {
                self.server().is_some_and(|(ip, _)| test(Value::Ip(CLIENT.0)) || test(Value::Ip(ip)))
            }
            Field::FdPort => self.server().is_some_and(|(_, port)| {
                test(Value::Uint(CLIENT.1.into())) || test(Value::Uint(port.into()))
            }),
            _ => false,
        }
    }
}

fn rules(sources: &[Source]) -> RuleSet {
    load(sources, &Options { matching: Matching::All, ..Options::default() }).rules.expect("the rules load")
}

/// Macros and lists that the generated rules share.
const SHARED: &str = r#"
- list: shells
  items: [ash, bash, csh, ksh, sh, tcsh, zsh, dash]
- list: packagers
  items: [dnf, rpm, yum, apt, apt-get, aptitude, dpkg, apk, snapd, pip, pip3, npm, gem, microdnf, yumdb, conda,
          unattended-upgr, dpkg-preconfigu, dpkg-divert, rpmq, frontend, preinst, alternatives, chef-client]
- list: user_tools
  items: [useradd, userdel, usermod, groupadd, groupdel, passwd, chage, chsh, vipw, vigr, newgrp, sg, su, sudo, login,
          systemd-logind, nologin, faillog, gpasswd, chfn, expiry, grpck, pwck, adduser, deluser]
- list: servers
  items: [nginx, httpd, lighttpd, apache2, mysqld, postgres, mongod, redis-server, memcached, couchdb]
- list: private_nets
  items: ['"10.0.0.0/8"', '"172.16.0.0/12"', '"192.168.0.0/16"']
- macro: never
  condition: (evt.num=0)
- macro: reads
  condition: (evt.type in (open,openat,openat2) and evt.is_open_read=true and fd.typechar='f' and fd.num>=0)
- macro: writes
  condition: (evt.type in (open,openat,openat2) and evt.is_open_write=true and fd.typechar='f' and fd.num>=0)
- macro: starts
  condition: (evt.type in (execve, execveat))
- macro: contained
  condition: (container.id != host)
- macro: first_process
  condition: (starts and proc.vpid=1 and contained)
- macro: named
  condition: (not proc.name in ("<NA>","N/A"))
- macro: packaging
  condition: (proc.name in (packagers) or proc.pname in (packagers) or proc.aname[2] in (packagers) or
    proc.aname[3] in (packagers) or proc.aname in (needrestart))
- macro: saving
  condition: (proc.name = "exe" and (proc.cmdline contains "/var/lib/docker" or proc.cmdline contains "/var/run/docker")
    and proc.pname in (dockerd, docker))
- macro: entrypoint
  condition: (not proc.pname exists or proc.pname in (runc:[0:PARENT], runc:[1:CHILD], runc, docker-runc, exe, docker-runc-cur))
- macro: trusted_images
  condition: (container.image.repository in (falcosecurity/falco, docker.io/calico/node, quay.io/calico/node, sysdig/sysdig)
    or container.image.repository startswith istio/proxy_ or container.image.repository startswith quay.io/sysdig/
    or (container.image.repository startswith openshift3/ and (container.image.repository endswith /logging-kibana or
    container.image.repository endswith /ose-haproxy-router or container.image.repository endswith /ose-pod)))
- macro: outwards
  condition: ((evt.type = connect or (evt.type in (sendto,sendmsg) and fd.l4proto != tcp and fd.connected=false and
    fd.name_changed=true)) and (fd.typechar = 4 or fd.typechar = 6) and (fd.ip != "0.0.0.0" and fd.net != "127.0.0.0/8"
    and not fd.snet in (private_nets)) and (evt.rawres >= 0 or evt.res = EINPROGRESS))
"#;

/// The kinds of rules: `{n}` is the rule's number, `{g}` that of a group that 50 rules of a large set share.
const KINDS: [&str; 16] = [
    // Opens.
    "reads and (fd.name startswith /etc/svc{g}/ or fd.name in (/srv/keys/{n}, /srv/shared/{g})) and named and not proc.name in \
     (user_tools, helper{n}, agent{g}) and not proc.cmdline contains \"--allow-{n}\" and not packaging and not never",
    "writes and (fd.directory in (/opt/{n}/bin, /opt/shared/{g}) or fd.name startswith /usr/lib/{n}/) and not packaging and not \
     saving and not proc.pname in (updater{n}, initdb)",
    "(reads or writes) and (fd.name glob '/home/*/.cfg{n}/*' or fd.name startswith /root/.cfg{n}) and not proc.name in (ssh, \
     sshd, cfg{g})",
    "writes and contained and fd.name endswith .part{n} and not fd.name startswith /tmp/ and not trusted_images",
    "reads and fd.filename in (.rc{n}, .profile{g}, .history{g}) and not proc.name in (shells, tool{n}) and not saving",
    "writes and fd.name pmatch (/var/lib/db{n}, /var/spool/q{g}) and not proc.name in (servers, db{n}) and not proc.aname in \
     (backup{g})",
    "reads and contained and fd.name contains \"/secret-{n}/\" and not proc.exepath startswith /usr/libexec/secrets{g}/",
    // Starts of programs.
    "starts and contained and ((proc.name = tool{n} and (proc.args contains \"-e{g}\" or proc.args contains \"--exec{n}\")) or \
     (proc.name in (nmap{n}, scan{g}) and not entrypoint))",
    "starts and proc.pname in (server{g}, unit{n}) and proc.name in (shells) and not proc.cmdline in (\"sh -c ok{n}\", \"sh -c \
     true\") and not proc.aname in (jenkins{g}, needrestart) and not never",
    "starts and (proc.cmdline contains \"http://h{n}.example\" or proc.cmdline contains \"|base64 -d{g}\") and not packaging",
    "starts and proc.exepath startswith /dev/shm/{n} and proc.tty != 0 and not proc.name startswith runc and not entrypoint",
    "starts and proc.name in (grep, find, rg{g}) and (proc.args icontains \"id_rsa{n}\" or proc.args endswith \".pem{n}\") and \
     not proc.pname in (audit{n})",
    "first_process and container.image.repository endswith /img{n} and container.privileged=true and not trusted_images",
    // Connections.
    "outwards and proc.name in (miner{n}, pool{g}) and not fd.sip in (\"198.51.100.1\", \"198.51.100.2\")",
    "outwards and contained and fd.sport in (3333, {port}) and fd.sip=\"203.0.{b}.{c}\" and not proc.name in (servers, relay{n})",
    "evt.type=connect and fd.name startswith /run/svc{n} and not proc.name in (client{n}, client{g}) and not user.name in (root, u{g})",
];

/// `count` rules of all kinds in turn.
fn generated(count: usize) -> Source {
    let mut text = String::from(SHARED);
    for n in 0..count {
        let condition = KINDS[n % KINDS.len()]
            .replace("{n}", &n.to_string())
            .replace("{g}", &(n % 197).to_string())
            .replace("{port}", &(20_000 + n % 900).to_string())
            .replace("{b}", &(n / 16 % 256).to_string())
            .replace("{c}", &(n % 251).to_string());
        writeln!(
            text,
            "- rule: rule {n}\n  desc: d\n  output: '%evt.time %proc.cmdline file=%fd.name'\n  priority: INFO\n  condition: >\n    {condition}"
        )
        .expect("a string takes all");
    }
    Source::new("generated", text)
}

/// Events that nothing matches, by name.
fn harmless() -> Vec<(&'static str, Sample)> {
    vec![
        ("read", Sample::opened(b"/usr/lib/x86_64-linux-gnu/libc.so.6", false)),
        ("write", Sample::opened(b"/var/log/app/current.log", true)),
        ("exec", Sample::new("execve")),
        ("connect", Sample::connected(b"10.1.2.3:50412->93.184.216.34:443", [93, 184, 216, 34], 443)),
        // Half of what some rules ask for.
        ("near miss", Sample { name: b"sudo", ..Sample::opened(b"/srv/shared/0", false) }),
    ]
}

/// An event that exactly the first of the generated rules matches.
fn matching() -> Sample {
    Sample::opened(b"/srv/keys/0", false)
}

/// The upstream files, where they are at hand.
fn upstream() -> Option<Vec<Source>> {
    let here = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |name: &str| {
        let path = format!("shared/falco-rules/{name}");
        let text = here.ancestors().find_map(|folder| std::fs::read_to_string(folder.join(&path)).ok())?;
        Some(Source::new(name, text))
    };
    ["falco_rules.yaml", "falco-incubating_rules.yaml", "falco-sandbox_rules.yaml"]
        .into_iter()
        .map(read)
        .collect()
}

fn judge(c: &mut Criterion) {
    let mut group = c.benchmark_group("judge");
    group
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(700));
    let mut run = |name: &str, kind: &str, rules: &RuleSet, event: &Sample, expected: Option<usize>| {
        let mut scratch = Scratch::default();
        let mut fired = 0;
        rules.evaluate(&mut scratch, event, |_| fired += 1);
        assert!(expected.is_none_or(|expected| fired == expected), "{name} {kind}: {fired} rules fire");
        group.bench_function(BenchmarkId::new(kind, name), |b| {
            b.iter(|| {
                let mut fired = 0;
                rules.evaluate(&mut scratch, black_box(event), |_| fired += 1);
                fired
            });
        });
    };
    let mut sets: Vec<(String, RuleSet, bool)> = vec![("stock".to_owned(), rules(&stock()), false)];
    match upstream() {
        Some(sources) => sets.push(("upstream 93".to_owned(), rules(&sources), false)),
        None => println!("skipped: upstream rules: shared/falco-rules is not here"),
    }
    for count in [1, 25, 93, 1000, 10_000] {
        sets.push((count.to_string(), rules(&[generated(count)]), true));
    }
    for (name, rules, ours) in &sets {
        for (kind, event) in harmless() {
            run(name, kind, rules, &event, ours.then_some(0));
        }
        if *ours {
            run(name, "match", rules, &matching(), Some(1));
        }
    }
    group.finish();
}

fn loading(c: &mut Criterion) {
    let mut group = c.benchmark_group("load");
    group.sample_size(10).warm_up_time(Duration::from_millis(200)).measurement_time(Duration::from_secs(2));
    let mut run = |name: &str, sources: &[Source]| {
        group.bench_function(name, |b| b.iter(|| rules(black_box(sources)).rules().len()));
    };
    if let Some(sources) = upstream() {
        run("upstream 93", &sources);
    }
    for count in [1000, 10_000] {
        run(&count.to_string(), &[generated(count)]);
    }
    group.finish();
}

criterion_group!(benches, judge, loading);
criterion_main!(benches);
