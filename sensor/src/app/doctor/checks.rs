//! The checks of `falconet doctor`, in the order in which the sensor would stumble over them.

use std::net::TcpListener;
use std::path::Path;
use std::{fs, io};

use sensor_ebpf::config::OFFSETS;
use sensor_ebpf::events::{EVENTS, Hook};

use super::check::Check;
use super::machine::{CAP_BPF, CAP_DAC_READ_SEARCH, CAP_PERFMON, CAP_SYS_ADMIN, CAP_SYS_PTRACE, Machine};
use crate::engine::foreign;
use crate::probe::btf::{KERNEL_BTF, KernelTypes};
use crate::state::cgroups::Layout;
use crate::state::containers::EnginesConfig;

/// The oldest kernel that the sensor knows, as in the probe's own error.
const OLDEST: (u32, u32) = (5, 11);
/// Inode number of the first process id namespace (`PROC_PID_INIT_INO` of `include/linux/proc_ns.h`).
const HOST_PID_NAMESPACE: &str = "pid:[4026531836]";
const EVERYTHING: &str = "everything: no system call is seen";

/// Runs all of them.
pub fn all(machine: &Machine) -> Vec<Check> {
    let types = KernelTypes::open(&machine.path(KERNEL_BTF));
    let mut checks = vec![kernel(machine), programs(machine)];
    match types {
        Ok(types) => checks.extend([type_information(&types), tracepoints(&types)]),
        Err(error) => checks.push(Check::missing(
            "BTF",
            error.to_string(),
            EVERYTHING,
            "use a kernel of the distribution (built with CONFIG_DEBUG_INFO_BTF=y), or run `falconet hub` here",
        )),
    }
    checks.extend([
        foreign_calls(machine),
        privileges(machine),
        lockdown(machine),
        sight(machine),
        cgroups(machine),
        runtimes(machine),
        state(machine),
    ]);
    checks.extend(machine.addresses.iter().map(|(what, address)| port(what, *address)));
    checks.push(security_modules(machine));
    checks
}

fn kernel(machine: &Machine) -> Check {
    let release = machine.text("/proc/sys/kernel/osrelease").unwrap_or_default();
    let found = format!("Linux {release} {}", machine.architecture);
    if machine.architecture != "x86_64" {
        let remedy = "an x86-64 machine; here `falconet hub` works";
        return Check::missing("kernel", found, EVERYTHING, remedy);
    }
    let mut numbers = release.split(['.', '-']).map(|n| n.parse::<u32>().unwrap_or(0));
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if version < OLDEST {
        let remedy = format!("Linux {}.{} or newer; here `falconet hub` works", OLDEST.0, OLDEST.1);
        return Check::missing("kernel", found, EVERYTHING, remedy);
    }
    Check::ok("kernel", found)
}

fn programs(machine: &Machine) -> Check {
    let remedy = "build it with `cargo xtask build`, or install a released binary";
    match &machine.programs {
        Some(Ok(contents)) => {
            let names: Vec<&str> = contents.programs.iter().map(|program| program.name.as_str()).collect();
            Check::ok("eBPF programs", format!("{contents}: {}", names.join(", ")))
        }
        Some(Err(error)) => Check::missing("eBPF programs", error.to_string(), EVERYTHING, remedy),
        None => Check::missing("eBPF programs", "this binary was built without them", EVERYTHING, remedy),
    }
}

fn type_information(types: &KernelTypes) -> Check {
    let offsets = types.offsets();
    let names: Vec<&str> = offsets.missing.iter().map(|spec| spec.name).collect();
    let lacks = format!("lacks {}", names.join(", "));
    let remedy = "a kernel that the sensor knows; please report this one";
    if let Some(layout) = types.broken_layout() {
        return Check::missing("BTF", format!("this kernel does not have {layout}"), EVERYTHING, remedy);
    }
    if !offsets.essential().is_empty() {
        return Check::missing("BTF", lacks, EVERYTHING, remedy);
    }
    if !names.is_empty() {
        return Check::limited("BTF", lacks, offsets.costs().join("; "), remedy);
    }
    Check::ok("BTF", format!("all {} offsets found", OFFSETS.len()))
}

fn tracepoints(types: &KernelTypes) -> Check {
    let hooks = EVENTS.iter().filter_map(|event| match event.hook {
        Hook::Tracepoint(name) => Some(name),
        Hook::Syscall(_) => None,
    });
    let wanted: Vec<&str> = hooks.chain(["sys_exit"]).collect();
    // The kernel's BTF has a type `btf_trace_<name>` for each tracepoint that a program can be attached to.
    let absent: Vec<&str> =
        wanted.iter().copied().filter(|name| !types.has_type(&format!("btf_trace_{name}"))).collect();
    let remedy = "a kernel with CONFIG_BPF_EVENTS, CONFIG_FTRACE_SYSCALLS and CONFIG_CGROUPS";
    if !absent.is_empty() {
        return Check::missing("tracepoints", format!("no {}", absent.join(", ")), EVERYTHING, remedy);
    }
    if !types.has_type("bpf_ringbuf") {
        return Check::missing(
            "tracepoints",
            "no ring buffer",
            EVERYTHING,
            "a kernel with CONFIG_BPF_SYSCALL",
        );
    }
    Check::ok("tracepoints", format!("{}, ring buffer", wanted.join(", ")))
}

/// Calls through another interface than the native one.
fn foreign_calls(machine: &Machine) -> Check {
    if machine.architecture == "x86_64" {
        return Check::ok("32-bit calls", "judged like native ones");
    }
    // The kernel has this file if it was built with CONFIG_COMPAT.
    if machine.text("/proc/sys/vm/mmap_rnd_compat_bits").is_none() {
        return Check::ok("32-bit calls", "this kernel takes none");
    }
    Check::limited(
        "32-bit calls",
        "this kernel takes them",
        format!(
            "what is done by 32-bit system calls; they are counted (falconet_probe_foreign_calls_total) and the alert \
             `{}` says that there were some",
            foreign::RULE
        ),
        "a kernel without CONFIG_COMPAT, if nothing here needs them",
    )
}

/// What this process may do.
pub fn privileges(machine: &Machine) -> Check {
    let admin = machine.has(CAP_SYS_ADMIN);
    let needed = [("CAP_BPF", CAP_BPF), ("CAP_PERFMON", CAP_PERFMON)];
    let absent: Vec<&str> =
        needed.iter().filter(|(_, bit)| !admin && !machine.has(*bit)).map(|(name, _)| *name).collect();
    if !absent.is_empty() {
        let place =
            if machine.in_user_namespace() { " (in a user namespace, where they do not count)" } else { "" };
        let unprivileged = match machine.text("/proc/sys/kernel/unprivileged_bpf_disabled").as_deref() {
            Some("0") => "; what the kernel lets every user do is not enough",
            _ => "",
        };
        let found = format!("lacks {}{place}{unprivileged}", absent.join(", "));
        let check =
            Check::missing("privileges", found, EVERYTHING, "run it as root, or as the systemd unit does");
        return Check { privilege: true, ..check };
    }
    let wanted = [
        ("CAP_SYS_PTRACE", CAP_SYS_PTRACE, "what processes of other users did before the start"),
        ("CAP_DAC_READ_SEARCH", CAP_DAC_READ_SEARCH, "metadata of containers that belong to other users"),
    ];
    let lacking: Vec<_> = wanted.iter().filter(|(_, bit, _)| !machine.has(*bit)).collect();
    if lacking.is_empty() {
        return Check::ok("privileges", "CAP_BPF, CAP_PERFMON, CAP_SYS_PTRACE, CAP_DAC_READ_SEARCH");
    }
    let names: Vec<&str> = lacking.iter().map(|(name, ..)| *name).collect();
    let costs: Vec<&str> = lacking.iter().map(|(_, _, costs)| *costs).collect();
    let found = format!("lacks {}", names.join(", "));
    Check::limited("privileges", found, costs.join("; "), "run it as root, or as the systemd unit does")
}

fn lockdown(machine: &Machine) -> Check {
    // `none [integrity] confidentiality`; the one in brackets holds.
    let text = machine.text("/sys/kernel/security/lockdown");
    let mode = text.as_deref().and_then(|t| t.split_once('[')?.1.split_once(']')).map(|(mode, _)| mode);
    match mode {
        Some("confidentiality") => Check::missing(
            "lockdown",
            "confidentiality: programs may not read kernel memory",
            EVERYTHING,
            "boot with lockdown=integrity",
        ),
        Some(mode) => Check::ok("lockdown", mode),
        None => Check::ok("lockdown", "none that can be seen"),
    }
}

fn sight(machine: &Machine) -> Check {
    let namespace = fs::read_link(machine.path("/proc/self/ns/pid")).unwrap_or_default();
    if namespace == Path::new(HOST_PID_NAMESPACE) {
        return Check::ok("processes", "the host's");
    }
    Check::limited(
        "processes",
        "this is a process id namespace, not the host's",
        "names, parents and users of processes that were there before the start",
        "share the host's process ids (`hostPID: true`, `--pid=host`)",
    )
}

fn cgroups(machine: &Machine) -> Check {
    match Layout::detect(&machine.path("/proc")) {
        Ok(layout) => {
            let kind = layout.controller().map_or("unified".to_owned(), |name| format!("v1, by `{name}`"));
            Check::ok("cgroups", format!("{kind}, at {}", layout.mount().display()))
        }
        Err(error) => Check::limited(
            "cgroups",
            error.to_string(),
            "container.* and k8s.* fields; every process counts as the host's",
            "mount the cgroup file system, in a container read-only from the host",
        ),
    }
}

fn runtimes(machine: &Machine) -> Check {
    let engines = EnginesConfig::default();
    let listed = [
        ("docker", &engines.docker.sockets),
        ("podman", &engines.podman.sockets),
        ("containerd", &engines.containerd.sockets),
        ("CRI", &engines.cri.sockets),
    ];
    let found: Vec<String> = listed
        .iter()
        .flat_map(|(name, sockets)| sockets.iter().map(move |socket| (name, socket)))
        .filter(|(_, socket)| socket.to_str().is_some_and(|path| machine.path(path).exists()))
        .map(|(name, socket)| format!("{name} ({})", socket.display()))
        .collect();
    // A machine without containers is a whole machine.
    let none = "no socket of docker, podman, containerd or CRI-O; fine where no containers run";
    Check::ok("runtimes", if found.is_empty() { none.to_owned() } else { found.join(", ") })
}

fn state(machine: &Machine) -> Check {
    let directory = machine.state.as_path();
    // The directory may not be there yet: then its first parent that is there has to let it be made.
    let existing = directory.ancestors().find(|path| path.exists()).unwrap_or(directory);
    let probe = existing.join(format!(".falconet-doctor-{}", std::process::id()));
    let tried = fs::OpenOptions::new().write(true).create_new(true).open(&probe);
    match tried.and_then(|_| fs::remove_file(&probe)) {
        Ok(()) => Check::ok("alert log", format!("{} can be written", directory.display())),
        Err(error) => {
            let found = format!("{} cannot be written: {error}", existing.display());
            let remedy = "run it as root, or choose another directory with `alert_log`";
            let check = Check::missing("alert log", found, "alerts would not be kept", remedy);
            Check { privilege: error.kind() == io::ErrorKind::PermissionDenied, ..check }
        }
    }
}

fn port(what: &str, address: std::net::SocketAddr) -> Check {
    match TcpListener::bind(address) {
        Ok(_) => Check::ok("port", format!("{address} is free ({what})")),
        Err(error) => Check::missing(
            "port",
            format!("{address} cannot be had ({what}): {error}"),
            format!("the {what}"),
            format!(
                "see who has it with `ss -ltnp 'sport = :{}'` (a falconet or falcosidekick that runs already?), \
                 or choose another in the configuration",
                address.port()
            ),
        ),
    }
}

/// Not needed; what could be used to see more at less cost.
fn security_modules(machine: &Machine) -> Check {
    let active = machine.text("/sys/kernel/security/lsm").unwrap_or_default();
    let found = if active.is_empty() {
        "cannot be told (no /sys/kernel/security)".to_owned()
    } else if active.split(',').any(|module| module == "bpf") {
        "bpf is active".to_owned()
    } else {
        format!("bpf is not among {active}")
    };
    Check::ok("BPF LSM", format!("{found}; not needed"))
}

#[cfg(test)]
mod tests {
    use super::super::check::State;
    use super::*;
    use crate::probe::object::{Contents, Program};
    use std::net::SocketAddr;

    fn contents() -> Contents {
        let open = Program { name: "open".to_owned(), instructions: 7 };
        Contents { programs: vec![open], functions: Vec::new(), license: "GPL".to_owned() }
    }

    /// A machine on which all is well, but for BTF, which cannot be faked in a line.
    struct Fake {
        machine: Machine,
        _dir: tempfile::TempDir,
    }

    impl Fake {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let machine = Machine {
                root: dir.path().to_owned(),
                architecture: "x86_64",
                programs: Some(Ok(contents())),
                addresses: Vec::new(),
                state: dir.path().join("state/log"),
            };
            let this = Self { machine, _dir: dir };
            this.put("/proc/sys/kernel/osrelease", "6.1.0-13-amd64\n");
            this.put("/proc/self/status", "Name:\tx\nCapEff:\t000001ffffffffff\n");
            this.put("/proc/self/uid_map", "         0          0 4294967295\n");
            this.link("/proc/self/ns/pid", HOST_PID_NAMESPACE);
            this
        }

        fn put(&self, path: &str, text: &str) {
            let file = self.machine.path(path);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        }

        fn link(&self, path: &str, to: &str) {
            let file = self.machine.path(path);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            // A second call replaces the first one's.
            let _ = fs::remove_file(&file);
            std::os::unix::fs::symlink(to, file).unwrap();
        }
    }

    #[test]
    fn kernels_are_told_by_number_and_machine() {
        let mut fake = Fake::new();
        assert_eq!(kernel(&fake.machine), Check::ok("kernel", "Linux 6.1.0-13-amd64 x86_64"));
        fake.put("/proc/sys/kernel/osrelease", "5.4.0-generic");
        assert_eq!(kernel(&fake.machine).state, State::Missing);
        fake.put("/proc/sys/kernel/osrelease", "5.11.0");
        assert_eq!(kernel(&fake.machine).state, State::Ok);
        fake.machine.architecture = "aarch64";
        assert!(kernel(&fake.machine).remedy.unwrap().contains("falconet hub"));
    }

    #[test]
    fn calls_that_no_rule_sees_are_said() {
        let mut fake = Fake::new();
        fake.put("/proc/sys/vm/mmap_rnd_compat_bits", "8");
        assert_eq!(foreign_calls(&fake.machine).state, State::Ok);
        fake.machine.architecture = "aarch64";
        let check = foreign_calls(&fake.machine);
        assert_eq!(check.state, State::Limited);
        assert!(check.costs.unwrap().contains(foreign::RULE));
    }

    #[test]
    fn a_binary_without_programs_cannot_see() {
        let mut fake = Fake::new();
        let found = programs(&fake.machine);
        assert_eq!(found, Check::ok("eBPF programs", "1 programs, 7 instructions, licence GPL: open"));
        fake.machine.programs = None;
        assert!(programs(&fake.machine).remedy.unwrap().contains("cargo xtask build"));
    }

    #[test]
    fn privileges_are_needed_wanted_or_there() {
        let fake = Fake::new();
        assert_eq!(privileges(&fake.machine).state, State::Ok);
        let with = |bits: &[u32]| {
            let mask = bits.iter().fold(0u64, |mask, bit| mask | 1 << bit);
            fake.put("/proc/self/status", &format!("CapEff:\t{mask:016x}\n"));
            privileges(&fake.machine)
        };
        let none = with(&[]);
        assert_eq!((none.state, none.privilege), (State::Missing, true));
        assert_eq!(none.found, "lacks CAP_BPF, CAP_PERFMON");
        assert_eq!(with(&[CAP_BPF]).found, "lacks CAP_PERFMON");
        let limited = with(&[CAP_BPF, CAP_PERFMON, CAP_SYS_PTRACE]);
        assert_eq!((limited.state, limited.found.as_str()), (State::Limited, "lacks CAP_DAC_READ_SEARCH"));
        assert_eq!(with(&[CAP_SYS_ADMIN, CAP_SYS_PTRACE, CAP_DAC_READ_SEARCH]).state, State::Ok);
        fake.put("/proc/self/uid_map", "0 100000 65536\n");
        assert!(with(&[CAP_BPF, CAP_PERFMON]).found.contains("user namespace"));
    }

    #[test]
    fn only_confidentiality_locks_the_sensor_out() {
        let fake = Fake::new();
        assert_eq!(lockdown(&fake.machine).state, State::Ok);
        fake.put("/sys/kernel/security/lockdown", "none [integrity] confidentiality\n");
        assert_eq!(lockdown(&fake.machine), Check::ok("lockdown", "integrity"));
        fake.put("/sys/kernel/security/lockdown", "none integrity [confidentiality]\n");
        assert_eq!(lockdown(&fake.machine).state, State::Missing);
    }

    #[test]
    fn a_namespace_of_process_ids_is_noticed() {
        let fake = Fake::new();
        assert_eq!(sight(&fake.machine).state, State::Ok);
        fake.link("/proc/self/ns/pid", "pid:[4026532601]");
        assert_eq!(sight(&fake.machine).state, State::Limited);
    }

    #[test]
    fn cgroups_and_runtimes_are_found() {
        let fake = Fake::new();
        assert_eq!(cgroups(&fake.machine).state, State::Limited);
        fake.put("/proc/self/mountinfo", "29 22 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw\n");
        let found = cgroups(&fake.machine);
        assert_eq!(found.state, State::Ok, "{found:?}");
        assert!(found.found.starts_with("unified, at "), "{found:?}");
        assert!(runtimes(&fake.machine).found.starts_with("no socket"));
        fake.put("/run/containerd/containerd.sock", "");
        let found = runtimes(&fake.machine).found;
        assert!(found.contains("containerd (/run/containerd/containerd.sock)"), "{found}");
    }

    #[test]
    fn the_state_directory_is_tried_and_left_as_it_was() {
        let mut fake = Fake::new();
        assert_eq!(state(&fake.machine).state, State::Ok);
        assert!(!fake.machine.state.exists(), "nothing is made");
        let before = fs::read_dir(&fake.machine.root).unwrap().count();
        state(&fake.machine);
        assert_eq!(fs::read_dir(&fake.machine.root).unwrap().count(), before);
        // Below a file there is no directory, whoever asks.
        fake.put("/file", "");
        fake.machine.state = fake.machine.path("/file").join("log");
        assert_eq!(state(&fake.machine).state, State::Missing);
    }

    #[test]
    fn a_port_in_use_is_named_with_a_way_to_find_its_owner() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let taken = port("intake", address);
        assert_eq!(taken.state, State::Missing);
        assert!(taken.remedy.unwrap().contains(&format!(":{}", address.port())));
        assert_eq!(port("intake", SocketAddr::from(([127, 0, 0, 1], 0))).state, State::Ok);
    }

    #[test]
    fn absent_btf_is_reported_with_all_other_checks() {
        let checks = all(&Fake::new().machine);
        let missing: Vec<_> = checks.iter().filter(|c| c.state == State::Missing).map(|c| c.name).collect();
        assert_eq!(missing, ["BTF"]);
        assert!(checks.len() >= 9, "{checks:?}");
    }

    #[test]
    #[cfg_attr(not(has_btf), ignore = "needs a kernel with BTF")]
    fn this_kernel_has_types_and_tracepoints() {
        let types = KernelTypes::open(Path::new(KERNEL_BTF)).unwrap();
        assert_eq!(type_information(&types).state, State::Ok);
        assert_eq!(tracepoints(&types).state, State::Ok);
        assert!(!types.has_type("btf_trace_of_nothing"));
    }
}
