//! Every stock rule, by the real binary on the running kernel: a near-by action that the rule must not mind, then the action
//! that it is about, and one alert with the right fields.
//!
//! One sensor for all cases. The near-by action always comes first, so the alert of the second action proves that the first
//! one has been judged; that it raised nothing is counted when the sensor has ended. Nothing leaves this machine, and the
//! only files written are in containers and in the temporary directory.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeSet;
use std::ffi::CString;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{IpAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use falconet::rules::{self, Options};
use serde_json::{Value, json};
use support::containerd::{Container, Containerd};
use support::image;
use support::need::{self, Need};
use support::sensor::Falconet;

support::harness::tests! {
    every_stock_rule_fires_for_what_it_is_about_and_not_beside_it needs Need::Sensor, Need::Containerd, Need::Program("bash");
}

/// A rule, the alerts that are about the actions of its case, and the first of these.
struct Told {
    rule: &'static str,
    about: Box<dyn Fn(&Value) -> bool>,
    alert: Value,
}

/// The sensor, and what it has told.
struct Watch {
    falconet: Falconet,
    told: Vec<Told>,
    /// Rules whose case cannot run on this machine.
    skipped: Vec<&'static str>,
}

impl Watch {
    /// Does both actions and returns the first alert of the rule that is `about` either of them: the caller checks that it is
    /// the second's.
    fn case(
        &mut self,
        rule: &'static str,
        about: impl Fn(&Value) -> bool + 'static,
        near_by: impl FnOnce(),
        action: impl FnOnce(),
    ) -> &Value {
        near_by();
        action();
        let line = self.falconet.wait_for(rule, |line| {
            parse(line).is_some_and(|alert| alert["rule"] == rule && about(&alert["output_fields"]))
        });
        self.told.push(Told { rule, about: Box::new(about), alert: parse(&line).unwrap() });
        &self.told.last().unwrap().alert["output_fields"]
    }

    /// Ends the sensor: each case has had one alert, and each stock rule a case. An error names the rules that had none.
    fn end(mut self) -> Result<(), String> {
        assert!(self.falconet.interrupt().success(), "{:?}", self.falconet.log());
        let alerts: Vec<Value> = self.falconet.lines().iter().filter_map(|line| parse(line)).collect();
        for told in &self.told {
            let of_case =
                |alert: &&Value| alert["rule"] == told.rule && (told.about)(&alert["output_fields"]);
            let found: Vec<&Value> = alerts.iter().filter(of_case).collect();
            assert_eq!(found, [&told.alert], "{}", told.rule);
        }
        let with_case: BTreeSet<&str> =
            self.told.iter().map(|told| told.rule).chain(self.skipped.iter().copied()).collect();
        let stock = rules::load(&rules::stock(), &Options::default()).rules.unwrap();
        let all: BTreeSet<&str> = stock.rules().iter().map(|rule| rule.name.as_str()).collect();
        assert_eq!(with_case, all, "each stock rule needs a case here");
        if self.skipped.is_empty() {
            return Ok(());
        }
        Err(format!("all but {}: this machine has no address but loopback", self.skipped.join(", ")))
    }
}

fn parse(line: &str) -> Option<Value> {
    serde_json::from_str(line).ok()
}

/// These fields have these values; a text that ends with `*` is a beginning.
fn assert_fields(fields: &Value, wanted: &Value) {
    for (name, wanted) in wanted.as_object().unwrap() {
        let equal = match wanted.as_str().and_then(|text| text.strip_suffix('*')) {
            Some(start) => fields[name].as_str().is_some_and(|text| text.starts_with(start)),
            None => fields[name] == *wanted,
        };
        assert!(equal, "{name} is not {wanted} in {fields}");
    }
}

fn every_stock_rule_fires_for_what_it_is_about_and_not_beside_it() -> Result<(), String> {
    let containerd = Containerd::start();
    let dir = tempfile::tempdir().unwrap();
    let falconet = Falconet::with_state("run", dir.path(), &["json_output=true"]);
    falconet.wait_for_log("ready", |line| line.trim_start().starts_with("ready"));
    let mut watch = Watch { falconet, told: Vec::new(), skipped: Vec::new() };

    let container = container_spawned(&mut watch, &containerd);
    terminal_shell(&mut watch, &container);
    read_in_container(&mut watch, &container);
    read_on_host(&mut watch, dir.path());
    write_below_etc(&mut watch, &container);
    dropped_program(&mut watch, &container);
    drop(container);
    outbound_connection(&mut watch);
    redirected_stream(&mut watch);
    ptrace_attach(&mut watch);
    fileless(&mut watch, dir.path());
    watch.end()
}

/// Alerts about this container.
fn in_container(container: &Container<'_>) -> impl Fn(&Value) -> bool + 'static {
    let id = container.id[..12].to_owned();
    move |fields| fields["container.id"] == id
}

/// What every alert about a container says of it, and `more`.
fn with_container(container: &Container<'_>, more: &Value) -> Value {
    let (repository, tag) = image::NAME.rsplit_once(':').unwrap();
    let mut fields = json!({
        "container.id": container.id[..12],
        // containerd has no names; Falco shows the id.
        "container.name": container.id[..12],
        "container.image.repository": repository,
        "container.image.tag": tag,
    });
    fields.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    fields
}

fn container_spawned<'a>(watch: &mut Watch, containerd: &'a Containerd) -> Container<'a> {
    let container = containerd.start_container(&[], &["/bin/sleep", "600"]);
    // The starts of processes in it and its end come later, and must add nothing.
    let fields = watch.case("Container spawned", in_container(&container), || (), || ());
    assert_fields(fields, &with_container(&container, &json!({ "container.privileged": false })));
    container
}

fn terminal_shell(watch: &mut Watch, container: &Container<'_>) {
    // The shell that the shell starts is part of the case: it must not be told again.
    let script = "/bin/sh -c :; cat /etc/passwd";
    let fields = watch.case(
        "Terminal shell in container",
        in_container(container),
        || drop(container.exec(&["/bin/sh", "-c", ":"])),
        || {
            let printed = container.exec_on_terminal(&["/bin/sh", "-c", script]);
            assert!(printed.contains("root:x:0:0"), "{printed}");
        },
    );
    let wanted = json!({ "proc.cmdline": format!("sh -c {script}"), "user.name": "root", "user.uid": 0 });
    assert_fields(fields, &with_container(container, &wanted));
    assert!(fields["proc.tty"].as_i64().is_some_and(|tty| tty != 0), "{fields}");
}

fn read_in_container(watch: &mut Watch, container: &Container<'_>) {
    let fields = watch.case(
        "Read sensitive file",
        in_container(container),
        || drop(container.exec(&["/bin/cat", "/etc/passwd"])),
        || drop(container.exec(&["/bin/cat", "/etc/shadow"])),
    );
    let wanted = json!({ "fd.name": "/etc/shadow", "proc.cmdline": "cat /etc/shadow" });
    assert_fields(fields, &with_container(container, &wanted));
}

fn read_on_host(watch: &mut Watch, dir: &Path) {
    // Names our two processes.
    let mark = dir.join("mark");
    File::create(&mark).unwrap();
    let mark = mark.display().to_string();
    let cat = |file: &str| {
        let status = Command::new("cat").args([file, &mark]).stdout(Stdio::null()).status().unwrap();
        assert!(status.success());
    };
    let ours = mark.clone();
    let fields = watch.case(
        "Read sensitive file",
        move |fields| fields["proc.cmdline"].as_str().is_some_and(|line| line.ends_with(&ours)),
        || cat("/etc/passwd"),
        || cat("/etc/shadow"),
    );
    let command = format!("cat /etc/shadow {mark}");
    let wanted = json!({ "fd.name": "/etc/shadow", "proc.cmdline": command, "container.id": "host" });
    assert_fields(fields, &wanted);
}

fn write_below_etc(watch: &mut Watch, container: &Container<'_>) {
    let write = |file: &str| drop(container.exec(&["/bin/sh", "-c", &format!("echo x >{file}")]));
    let fields = watch.case(
        "Write below etc",
        in_container(container),
        || {
            write("/tmp/etc");
            container.exec(&["/bin/cat", "/etc/passwd"]);
        },
        || write("/etc/planted"),
    );
    let wanted = json!({ "fd.name": "/etc/planted", "proc.cmdline": "sh -c echo x >/etc/planted" });
    assert_fields(fields, &with_container(container, &wanted));
}

fn dropped_program(watch: &mut Watch, container: &Container<'_>) {
    let fields = watch.case(
        "Drop and execute new binary in container",
        in_container(container),
        || drop(container.exec(&["/bin/cp", "/bin/busybox", "/tmp/ls"])),
        || {
            let printed = container.exec(&["/tmp/ls", "/tmp"]);
            assert!(printed.contains("ls"), "{printed}");
        },
    );
    let wanted = json!({ "proc.exepath": "/tmp/ls", "proc.cmdline": "ls /tmp" });
    assert_fields(fields, &with_container(container, &wanted));
    let flags = fields["evt.arg.flags"].as_str().unwrap_or_default();
    assert!(flags.contains("EXE_UPPER_LAYER"), "{fields}");
}

fn outbound_connection(watch: &mut Watch) {
    let rule = "Outbound connection of a shell";
    let Some(address) = address_of_this_host() else {
        watch.skipped.push(rule);
        return;
    };
    let local = TcpListener::bind((address, 0)).unwrap();
    let loopback = TcpListener::bind("127.0.0.1:0").unwrap();
    let shell = |listener: &TcpListener| {
        let to = listener.local_addr().unwrap();
        let script = format!("exec 3<>/dev/tcp/{}/{}", to.ip(), to.port());
        assert!(Command::new("bash").args(["-c", &script]).status().unwrap().success());
        format!("bash -c {script}")
    };
    let ports = [&local, &loopback].map(|listener| listener.local_addr().unwrap().port().to_string());
    let mut command = String::new();
    let fields = watch.case(
        rule,
        move |fields| {
            let line = fields["proc.cmdline"].as_str().unwrap_or_default();
            ports.iter().any(|port| line.ends_with(port.as_str()))
        },
        || drop(shell(&loopback)),
        || command = shell(&local),
    );
    assert_fields(fields, &json!({ "proc.cmdline": command, "fd.l4proto": "tcp", "container.id": "host" }));
    let connection = fields["fd.name"].as_str().unwrap_or_default();
    let to = local.local_addr().unwrap();
    assert!(connection.ends_with(&format!("->{to}")), "{fields}");
}

/// The address that a packet to another machine would come from. Connecting a datagram socket sends nothing.
fn address_of_this_host() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_loopback() && !address.is_unspecified()).then_some(address)
}

/// Alerts about this process and its children before their exec.
fn of_this_program() -> impl Fn(&Value) -> bool + 'static {
    let own = std::env::current_exe().unwrap().display().to_string();
    move |fields| fields["proc.exepath"] == own
}

fn redirected_stream(watch: &mut Watch) {
    // `Command` puts the descriptor in its place with dup2, in the child.
    let run = |input: OwnedFd| assert!(Command::new("true").stdin(input).status().unwrap().success());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let name = format!("{}->{}", stream.local_addr().unwrap(), stream.peer_addr().unwrap());
    let fields = watch.case(
        "Standard stream redirected to network connection",
        of_this_program(),
        || {
            run(File::open("/dev/null").unwrap().into());
            run(UnixStream::pair().unwrap().0.into());
            // SAFETY: a new descriptor of an open one, owned by nobody else.
            drop(unsafe { OwnedFd::from_raw_fd(libc::dup(stream.as_raw_fd())) });
        },
        || run(stream.try_clone().unwrap().into()),
    );
    assert_fields(fields, &json!({ "fd.name": name, "evt.rawres": 0, "container.id": "host" }));
}

fn ptrace_attach(watch: &mut Watch) {
    let mut target = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    // `spawn` returns before execve does; a program that answers has its own name.
    target.stdin.as_mut().unwrap().write_all(b"x").unwrap();
    target.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
    let pid = target.id().cast_signed();
    let none = std::ptr::null_mut::<libc::c_void>();
    let fields = watch.case(
        "PTRACE attached to process",
        of_this_program(),
        || {
            let own = std::process::id().cast_signed();
            // SAFETY: the kernel refuses to attach a process to itself; no memory is passed.
            assert_eq!(unsafe { libc::ptrace(libc::PTRACE_ATTACH, own, none, none) }, -1);
        },
        || {
            // SAFETY: stops our own child and lets it go on; no memory is passed, and the status is not wanted.
            unsafe {
                assert_eq!(libc::ptrace(libc::PTRACE_ATTACH, pid, none, none), 0);
                assert_eq!(libc::waitpid(pid, std::ptr::null_mut(), libc::__WALL), pid);
                assert_eq!(libc::ptrace(libc::PTRACE_DETACH, pid, none, none), 0);
            }
        },
    );
    target.kill().unwrap();
    target.wait().unwrap();
    assert_fields(fields, &json!({ "evt.arg.request": "PTRACE_ATTACH", "container.id": "host" }));
    let of = fields["evt.arg.pid"].as_str().unwrap_or_default();
    assert!(of.contains("cat"), "{fields}");
}

fn fileless(watch: &mut Watch, dir: &Path) {
    let program = need::find("true").unwrap();
    let on_disk = dir.join("true");
    fs::copy(&program, &on_disk).unwrap();
    // Names our two processes.
    let argument = dir.display().to_string();
    let ours = argument.clone();
    let fields = watch.case(
        "Fileless execution",
        move |fields| fields["proc.cmdline"].as_str().is_some_and(|line| line.ends_with(&ours)),
        || execute(&File::open(&on_disk).unwrap(), &argument),
        || {
            // SAFETY: the name is a C string; the descriptor is new and owned by nobody else.
            let memory = unsafe {
                let fd = libc::memfd_create(c"implant".as_ptr(), libc::MFD_CLOEXEC);
                assert!(fd >= 0, "memfd_create");
                File::from_raw_fd(fd)
            };
            (&memory).write_all(&fs::read(program).unwrap()).unwrap();
            execute(&memory, &argument);
        },
    );
    // proc.name, which begins the command line, is the file's name or the descriptor's number, as the kernel has it.
    assert_fields(fields, &json!({ "proc.exepath": "memfd:implant*", "container.id": "host" }));
}

/// Runs the program behind a descriptor with `fexecve`, as `true` with one argument.
fn execute(program: &File, argument: &str) {
    let fd = program.as_raw_fd();
    let argument = CString::new(argument).unwrap();
    let mut command = Command::new("true");
    // SAFETY: between fork and exec only a system call on memory that was made before.
    unsafe {
        command.pre_exec(move || {
            let arguments = [c"true".as_ptr(), argument.as_ptr(), std::ptr::null()];
            libc::fexecve(fd, arguments.as_ptr(), [std::ptr::null()].as_ptr());
            Err(std::io::Error::last_os_error())
        });
    }
    assert!(command.status().unwrap().success());
}
