//! The table of event types: every name that `evt.type` can take, with the names of its parameters.
//!
//! A name stands for the whole event: Falco's enter and exit codes of one name are one type here. What the sensor captures says
//! itself what it is ([`sensor_ebpf::events`]); of the other events of Falco's table rules can only be checked, and what that
//! needs stands below. System calls without an event of their own in Falco's table come last; Falco maps them to its generic event.

use std::collections::{BTreeSet, HashMap};
use std::sync::LazyLock;

use Is::Subject;
use Kind::{Meta, Syscall};
use sensor_ebpf::events::{Codes, EVENTS, Is, Looks, View, Volume};

use super::event::EventType;
use super::syscall_names::NAMES;
use crate::rules::report::suggest;

/// Where an event comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A system call, seen at its exit.
    Syscall,
    /// Anything else: tracepoints and asynchronous events such as `container`.
    Meta,
}

/// One event type.
#[derive(Debug)]
pub struct Info {
    pub kind: Kind,
    pub name: &'static str,
    /// Parameter names in Falco's order: what `evt.arg.NAME` and `evt.arg[N]` mean.
    pub params: Vec<&'static str>,
    /// What the descriptor is to it that `fd.*` speaks of; `None`: it neither makes nor uses one.
    pub fd: Option<Is>,
    /// Falco has a code for its entry beside that for its exit.
    pub enter: bool,
    /// What the kernel can look at to drop it.
    pub filter: Looks,
    /// Falco has one event for all such system calls.
    pub generic: bool,
    /// Which rules it is captured for.
    pub volume: Volume,
}

impl Info {
    fn captured(view: &View) -> Self {
        Self {
            kind: if view.codes == Codes::Tracepoint { Meta } else { Syscall },
            name: view.name,
            params: view.params.iter().map(|param| param.name).collect(),
            fd: view.fd.map(|fd| fd.is),
            enter: view.codes == Codes::EnterAndExit,
            filter: view.filter,
            generic: NAMES.split_whitespace().any(|name| name == view.name),
            volume: view.volume,
        }
    }

    fn other((kind, fd, name, params): &Row) -> Self {
        let params = params.split_whitespace().collect();
        Self {
            kind: *kind,
            name,
            params,
            fd: *fd,
            enter: false,
            filter: Looks::Nothing,
            generic: false,
            volume: Volume::Normal,
        }
    }
}

/// Kind, descriptor, name, parameters.
type Row = (Kind, Option<Is>, &'static str, &'static str);

/// Falco's events that the sensor does not capture. An event that it captures is taken from its own file, and its row here is
/// read no more: it may go.
#[rustfmt::skip]
static OTHERS: &[Row] = &[
    (Meta, None, "container", "plugin_id name data"),
    (Meta, None, "container_removed", "plugin_id name data"),
    (Syscall, Some(Subject), "close", "res fd"),
    (Syscall, Some(Subject), "send", "res data fd size tuple"),
    (Syscall, Some(Subject), "recv", "res data fd size tuple"),
    (Syscall, None, "futex", "res addr op val"),
    (Syscall, None, "stat64", "res path"),
    (Syscall, None, "lstat64", "res path"),
    (Syscall, None, "fstat64", "res"),
    (Syscall, Some(Subject), "epoll_wait", "res maxevents"),
    (Syscall, Some(Subject), "poll", "res fds timeout"),
    (Syscall, Some(Subject), "select", "res"),
    (Syscall, Some(Subject), "llseek", "res fd offset whence"),
    (Syscall, None, "getcwd", "res path"),
    (Syscall, None, "chdir", "res path"),
    (Syscall, Some(Subject), "fchdir", "res fd"),
    (Syscall, None, "kill", "res pid sig"),
    (Syscall, None, "tkill", "res tid sig"),
    (Syscall, None, "tgkill", "res pid tid sig"),
    (Syscall, None, "nanosleep", "res interval"),
    (Syscall, None, "getrlimit", "res cur max resource"),
    (Syscall, None, "setrlimit", "res cur max resource"),
    (Syscall, None, "prlimit", "res newcur newmax oldcur oldmax pid resource"),
    (Meta, Some(Subject), "drop", "ratio"),
    (Meta, Some(Subject), "switch", "next pgft_maj pgft_min vm_size vm_rss vm_swap"),
    (Syscall, None, "brk", "res vm_size vm_rss vm_swap addr"),
    (Syscall, Some(Subject), "mmap", "res vm_size vm_rss vm_swap addr length prot flags fd offset"),
    (Syscall, Some(Subject), "mmap2", "res vm_size vm_rss vm_swap addr length prot flags fd pgoffset"),
    (Syscall, None, "munmap", "res vm_size vm_rss vm_swap addr length"),
    (Syscall, None, "quotactl",
     "res special quotafilepath dqb_bhardlimit dqb_bsoftlimit dqb_curspace dqb_ihardlimit dqb_isoftlimit \
      dqb_btime dqb_itime dqi_bgrace dqi_igrace dqi_flags quota_fmt_out cmd type id quota_fmt"),
    (Syscall, None, "setresuid", "res ruid euid suid"),
    (Syscall, None, "setresgid", "res rgid egid sgid"),
    (Meta, Some(Subject), "scapevent", "event_type event_data"),
    (Syscall, None, "setgid", "res gid"),
    (Syscall, None, "getuid", "uid"),
    (Syscall, None, "geteuid", "euid"),
    (Syscall, None, "getgid", "gid"),
    (Syscall, None, "getegid", "egid"),
    (Syscall, None, "getresuid", "res ruid euid suid"),
    (Syscall, None, "getresgid", "res rgid egid sgid"),
    (Syscall, None, "clone",
     "res exe args tid pid ptid cwd fdlimit pgft_maj pgft_min vm_size vm_rss vm_swap comm cgroups flags \
      uid gid vtid vpid pidns_init_start_ts"),
    (Syscall, None, "fork",
     "res exe args tid pid ptid cwd fdlimit pgft_maj pgft_min vm_size vm_rss vm_swap comm cgroups flags \
      uid gid vtid vpid pidns_init_start_ts"),
    (Syscall, None, "vfork",
     "res exe args tid pid ptid cwd fdlimit pgft_maj pgft_min vm_size vm_rss vm_swap comm cgroups flags \
      uid gid vtid vpid pidns_init_start_ts"),
    (Meta, Some(Subject), "signaldeliver", "spid dpid sig"),
    (Meta, Some(Subject), "procinfo", "cpu_usr cpu_sys"),
    (Syscall, Some(Subject), "setns", "res fd nstype"),
    (Meta, Some(Subject), "cpu_hotplug", "cpu action"),
    (Syscall, None, "semop", "res nsops sem_num_0 sem_op_0 sem_flg_0 sem_num_1 sem_op_1 sem_flg_1 semid"),
    (Syscall, None, "semctl", "res semid semnum cmd val"),
    (Syscall, Some(Subject), "ppoll", "res fds timeout sigmask"),
    (Syscall, None, "semget", "res key nsems semflg"),
    (Syscall, None, "setsid", "res"),
    (Meta, Some(Subject), "notification", "id desc"),
    (Syscall, None, "unshare", "res flags"),
    (Meta, Some(Subject), "infra", "source name description scope"),
    (Meta, Some(Subject), "page_fault", "addr ip error"),
    (Syscall, None, "setpgid", "res pid pgid"),
    (Syscall, None, "seccomp", "res op flags"),
    (Syscall, Some(Subject), "userfaultfd", "res flags"),
    (Meta, Some(Subject), "pluginevent", "plugin_id event_data"),
    (Syscall, None, "mprotect", "res addr length prot"),
    (Syscall, None, "clone3",
     "res exe args tid pid ptid cwd fdlimit pgft_maj pgft_min vm_size vm_rss vm_swap comm cgroups flags \
      uid gid vtid vpid pidns_init_start_ts"),
    (Syscall, Some(Subject), "io_uring_setup",
     "res entries sq_entries cq_entries flags sq_thread_cpu sq_thread_idle features"),
    (Syscall, Some(Subject), "io_uring_enter", "res fd to_submit min_complete flags sig"),
    (Syscall, Some(Subject), "io_uring_register", "res fd opcode arg nr_args"),
    (Syscall, None, "mlock", "res addr len"),
    (Syscall, None, "munlock", "res addr len"),
    (Syscall, None, "mlockall", "res flags"),
    (Syscall, None, "munlockall", "res"),
    (Syscall, None, "capset", "res cap_inheritable cap_permitted cap_effective"),
    (Meta, Some(Subject), "useradded", "uid gid name home shell container_id"),
    (Meta, Some(Subject), "userdeleted", "uid gid name home shell container_id"),
    (Meta, Some(Subject), "groupadded", "gid name container_id"),
    (Meta, Some(Subject), "groupdeleted", "gid name container_id"),
    (Syscall, Some(Subject), "bpf", "fd cmd"),
    (Syscall, None, "mlock2", "res addr len flags"),
    (Syscall, Some(Subject), "fsconfig", "res fd cmd key value_bytebuf value_charbuf aux"),
    (Syscall, Some(Subject), "epoll_create", "res size"),
    (Syscall, None, "umount", "res name"),
    (Syscall, None, "prctl", "res option arg2_str arg2_int"),
    (Syscall, Some(Subject), "pidfd_getfd", "fd pid_fd target_fd flags"),
    (Syscall, Some(Subject), "pidfd_open", "fd pid flags"),
    (Syscall, None, "init_module", "res img length uargs"),
    (Syscall, Some(Subject), "finit_module", "res fd uargs flags"),
    (Syscall, None, "process_vm_readv", "res pid data"),
    (Syscall, None, "process_vm_writev", "res pid data"),
    (Syscall, None, "delete_module", "res name flags"),
    (Syscall, None, "setreuid", "res ruid euid"),
    (Syscall, None, "setregid", "res rgid egid"),
    (Syscall, None, "keyctl", "res operation arg2 arg3 arg4 arg5"),
    (Meta, Some(Subject), "asyncevent", "plugin_id name data"),
    (Meta, Some(Subject), "task",
     "ppid pgid vpgid sid comm argv exepath flags env cwd fdlimit euid egid cap_permitted cap_effective \
      cap_inheritable exe_ino_num exe_ino_ctime exe_ino_mtime vm_size vm_rss vm_swap pgft_maj pgft_min \
      vtgid vpid pidns_init_start_ts cgroups root start_time tty loginuid"),
    (Meta, Some(Subject), "task_file_pipe", "fd path ino_num"),
    (Meta, Some(Subject), "task_file_memfd", "fd path ino_num"),
    (Meta, Some(Subject), "task_file_regular", "fd path flags mnt_id ino_num"),
    (Meta, Some(Subject), "task_file_directory", "fd path ino_num"),
    (Meta, Some(Subject), "task_file_socket_inet",
     "fd sk_type sk_proto local_ip local_port remote_ip remote_port ino_num"),
    (Meta, Some(Subject), "task_file_socket_inet6",
     "fd sk_type sk_proto local_ip local_port remote_ip remote_port ino_num"),
    (Meta, Some(Subject), "task_file_socket_unix", "fd sk_type sk_proto sk_pointer sun_path ino_num"),
    (Meta, Some(Subject), "task_file_socket_netlink", "fd sk_type sk_proto ino_num"),
    (Meta, Some(Subject), "task_file_anon_inode", "fd fd_type path ino_num"),
];

/// Parameters of the generic event.
pub const GENERIC: [&str; 2] = ["ID", "nativeID"];

static TYPES: LazyLock<Vec<Info>> = LazyLock::new(|| {
    let generic = |name| Info {
        kind: Syscall,
        name,
        params: GENERIC.to_vec(),
        fd: Some(Subject),
        enter: false,
        filter: Looks::Nothing,
        generic: true,
        volume: Volume::Normal,
    };
    let captured = EVENTS.iter().filter_map(|event| event.info.rules.as_ref()).map(Info::captured);
    let all = captured.chain(OTHERS.iter().map(Info::other)).chain(NAMES.split_whitespace().map(generic));
    let mut known = BTreeSet::new();
    all.filter(|info| known.insert(info.name)).collect()
});

static BY_NAME: LazyLock<HashMap<&'static str, EventType, foldhash::fast::RandomState>> =
    LazyLock::new(|| all().map(|(event, info)| (info.name, event)).collect());

/// Every event type.
pub fn all() -> impl Iterator<Item = (EventType, &'static Info)> {
    // The table has a few hundred lines.
    (0u16..).map(EventType).zip(TYPES.iter())
}

/// Number of event types; [`EventType`] counts from 0 up to it.
pub fn count() -> usize {
    TYPES.len()
}

/// The type called `name`.
pub fn by_name(name: &str) -> Option<EventType> {
    BY_NAME.get(name).copied()
}

/// The table line of a type; `None` for a number that is no type.
pub fn info(event: EventType) -> Option<&'static Info> {
    TYPES.get(usize::from(event.0))
}

/// Names of the events that this sensor makes: those that the probe captures, and the two of the containers.
pub fn captured() -> BTreeSet<String> {
    let of_records = EVENTS.iter().filter_map(|event| event.info.name());
    of_records.chain(["container", "container_removed"]).map(str::to_owned).collect()
}

/// The name nearest to a misspelt one.
pub fn suggest(name: &str) -> Option<&'static str> {
    suggest::nearest(name, TYPES.iter().map(|info| info.name))
}

#[cfg(test)]
mod tests {
    use sensor_ebpf::events::{Category, Direction, ParamType};

    use super::*;

    #[test]
    fn names_are_unique_and_found() {
        for (event, info) in all() {
            assert_eq!(by_name(info.name), Some(event), "{}", info.name);
        }
        assert!(
            by_name("getpid").is_some() && by_name("container").is_some() && by_name("socketcall").is_some()
        );
        assert_eq!(suggest("opnat"), Some("openat"));
    }

    /// The table of the specification.
    #[test]
    #[cfg_attr(not(has_shared), ignore = "needs ../shared")]
    fn every_event_and_parameter_of_falcos_table_is_here() {
        let table = crate::rules::upstream_tests::shared("spec/event-params.tsv");
        for line in table.lines().skip(1) {
            let columns: Vec<&str> = line.split('\t').collect();
            let (code, name, params) = (columns[0], columns[1], columns.get(6).copied().unwrap_or_default());
            let names: Vec<&str> = params
                .split(';')
                .filter_map(|param| param.split(':').next().map(str::trim))
                .filter(|name| !name.is_empty())
                .collect();
            for name in &names {
                assert!(super::super::params::kind(name).is_some(), "{code}: {name}");
            }
            // The generic event has the name of its system call; `container` is made by a plugin today.
            if code.contains("GENERIC") || name == "container" {
                continue;
            }
            let known = by_name(name).and_then(info).unwrap_or_else(|| panic!("{name} is missing"));
            if columns[2] == "exit" || known.kind == Meta {
                assert_eq!(known.params, names, "{code}");
            } else {
                assert!(names.iter().all(|name| known.params.contains(name)), "{code}");
            }
        }
    }

    /// Events of one name must agree, for rules see one type.
    #[test]
    fn every_event_of_the_probe_is_here_as_it_says() {
        for view in EVENTS.iter().filter_map(|event| event.info.rules.as_ref()) {
            let known =
                by_name(view.name).and_then(info).unwrap_or_else(|| panic!("{} is missing", view.name));
            assert_eq!(format!("{known:?}"), format!("{:?}", Info::captured(view)));
        }
    }

    /// `evt.arg[N]` counts in Falco's order: names, types and order of all parameters, and what else Falco's table says.
    #[test]
    #[cfg_attr(not(has_shared), ignore = "needs ../shared")]
    fn captured_events_are_those_of_falcos_table() {
        let table = crate::rules::upstream_tests::shared("spec/event-params.tsv");
        let rows: Vec<Vec<&str>> = table.lines().skip(1).map(|line| line.split('\t').collect()).collect();
        for view in EVENTS.iter().filter_map(|event| event.info.rules.as_ref()) {
            // Of these Falco has the name alone.
            if NAMES.split_whitespace().any(|name| name == view.name) {
                continue;
            }
            let of_name = || rows.iter().filter(|row| row[1] == view.name);
            let at = |dir: &str| of_name().any(|row| row[2] == dir);
            let codes = match (at("enter"), at("exit")) {
                (true, true) => Codes::EnterAndExit,
                (false, true) => Codes::Exit,
                _ => Codes::Tracepoint,
            };
            assert_eq!(view.codes, codes, "{}", view.name);
            let row = of_name().next_back().unwrap_or_else(|| panic!("{} is no event of Falco's", view.name));
            let params: Vec<String> =
                view.params.iter().map(|p| format!("{}:{}", p.name, falco(p.ty))).collect();
            assert_eq!(params.join("; "), bare(row[6]), "{}", view.name);
            let mut categories = row[3].split(' ');
            assert!(categories.any(|falco| is_falcos(view.category, falco)), "{}: {}", view.name, row[3]);
            let flag = |flag: &str| row[4].split(' ').any(|known| known == flag);
            let io = (flag("EF_READS_FROM_FD"), flag("EF_WRITES_TO_FD"));
            let ours = (view.io.is_some_and(Direction::reads), view.io.is_some_and(Direction::writes));
            assert_eq!(ours, io, "{}", view.name);
            let has_fd = ["CREATES_FD", "USES_FD", "DESTROYS_FD"].iter().any(|flag| row[4].contains(flag));
            assert_eq!(view.fd.is_some(), has_fd, "{}", view.name);
        }
    }

    /// Falco's parameters without what only its printing and its plugins need.
    fn bare(params: &str) -> String {
        if params.is_empty() {
            return String::new();
        }
        let one = |param: &str| {
            let mut parts = param.trim().split(':');
            let (name, ty) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
            let print = parts.next().unwrap_or_default();
            let number = ty.starts_with("PT_UINT");
            let print = if number { format!(":{print}") } else { String::new() };
            format!("{name}:{ty}{print}")
        };
        params.split(';').map(one).collect::<Vec<_>>().join("; ")
    }

    fn falco(ty: ParamType) -> String {
        match ty {
            ParamType::Fd | ParamType::FdPath(_) => "PT_FD".to_owned(),
            ParamType::Pid => "PT_PID".to_owned(),
            ParamType::Errno => "PT_ERRNO".to_owned(),
            ParamType::Int(bits) | ParamType::IntHex(bits) => format!("PT_INT{bits}"),
            ParamType::Uid => "PT_UID".to_owned(),
            ParamType::Gid => "PT_GID".to_owned(),
            ParamType::SigSet => "PT_SIGSET".to_owned(),
            ParamType::Signal => "PT_SIGTYPE".to_owned(),
            ParamType::Dec(bits) => format!("PT_UINT{bits}:PF_DEC"),
            ParamType::Hex(bits) => format!("PT_UINT{bits}:PF_HEX"),
            ParamType::Oct(bits) => format!("PT_UINT{bits}:PF_OCT"),
            ParamType::Flags(bits, _) => format!("PT_FLAGS{bits}"),
            ParamType::Enum(bits, _) => format!("PT_ENUMFLAGS{bits}"),
            ParamType::Dynamic | ParamType::DynamicDec => "PT_DYN".to_owned(),
            ParamType::Path(_) | ParamType::Found(_) => "PT_FSPATH".to_owned(),
            ParamType::PathAt(_) => "PT_FSRELPATH".to_owned(),
            ParamType::Mode(_) => "PT_MODE".to_owned(),
            ParamType::CharBuf | ParamType::Text(_) => "PT_CHARBUF".to_owned(),
            ParamType::Strings | ParamType::Bytes => "PT_BYTEBUF".to_owned(),
            ParamType::SockAddr => "PT_SOCKADDR".to_owned(),
            ParamType::SockTuple => "PT_SOCKTUPLE".to_owned(),
            ParamType::AbsTime => "PT_ABSTIME".to_owned(),
        }
    }

    fn is_falcos(category: Category, falco: &str) -> bool {
        match category {
            Category::OfDescriptor => ["EC_IO_OTHER", "EC_IO_READ", "EC_IO_WRITE"].contains(&falco),
            category => falco == format!("EC_{}", category.name(None).to_uppercase()),
        }
    }
}
