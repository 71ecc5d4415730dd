//! Names and types of the parameters of events, whichever event has them: what `evt.arg.NAME` and `evt.rawarg.NAME` can
//! name, and what a raw value compares with. As in Falco, a name that several events have is of the type that it has
//! in the first of them, by Falco's order. Names that only captured events have come from these.

use std::collections::HashMap;
use std::sync::LazyLock;

use sensor_ebpf::events::{EVENTS, ParamType};

use super::types::FieldType;
use crate::rules::report::suggest;

/// The names that events have which are not captured, by type; and those of the generic event.
static NAMES: &[(FieldType, &str)] = &[
    (
        FieldType::Int64,
        "arg2_int cur dirfd dpid fd fd1 fd2 fd_in fd_out fdin fdlimit fdout in_fd linkdirfd max maxevents \
         mountfd newcur newdir newmax next oldcur olddir oldmax out_fd pgid pid pid_fd ppid ptid res sid \
         spid target_fd tid timeout vpgid vpid vtgid vtid",
    ),
    (FieldType::Int32, "aux backlog key nsems semid semnum"),
    (FieldType::Int16, "sem_op_0 sem_op_1"),
    (
        FieldType::Uint8,
        "clockid cmd dqi_flags fd_type how level optname queuepct quota_fmt quota_fmt_out resource sig \
         whence",
    ),
    (
        FieldType::Uint16,
        "ID nativeID op opcode request sem_flg_0 sem_flg_1 sem_num_0 sem_num_1 sk_proto sk_type",
    ),
    (
        FieldType::Uint32,
        "action cpu cq_entries dev domain egid entries error euid event_type features first flags gid id \
         last loginuid mask min_complete mnt_id mode nr_args nsops nstype operation option optlen plugin_id \
         prot proto queuelen queuemax ratio rgid ruid semflg sgid size sq_entries sq_thread_cpu \
         sq_thread_idle suid to_submit tty type uid vm_rss vm_size vm_swap",
    ),
    (
        FieldType::Uint64,
        "arg argument cap_effective cap_inheritable cap_permitted cpu_sys cpu_usr dqb_bhardlimit \
         dqb_bsoftlimit dqb_curspace dqb_ihardlimit dqb_isoftlimit event_data exe_ino_num initval ino \
         ino_num ip len length offin offout offset peer pgft_maj pgft_min pgoffset pidns_init_start_ts pos \
         sk_pointer source",
    ),
    (
        FieldType::CharBuf,
        "arg2_str comm container_id cwd desc description exe home json quotafilepath scope shell special \
         target uargs value_charbuf",
    ),
    (FieldType::FsPath, "dir exepath filename linkpath name newpath oldpath path pathname root sun_path"),
    (FieldType::ByteBuf, "args cgroups data env img msgcontrol value_bytebuf"),
    (FieldType::RelTime, "dqb_btime dqb_itime dqi_bgrace dqi_igrace interval"),
    (FieldType::AbsTime, "exe_ino_ctime exe_ino_mtime start_time"),
    (FieldType::Port, "local_port remote_port"),
    (FieldType::IpAddr, "local_ip remote_ip"),
    (FieldType::Dynamic, "addr arg2 arg3 arg4 arg5 argv fds sigmask tuple val"),
];

/// Names that only events of older versions had; rules may still hold them.
const OLD: &str = "image tags";

/// Name and type of every parameter.
fn all() -> impl Iterator<Item = (&'static str, FieldType)> {
    let listed = NAMES.iter().flat_map(|(kind, names)| names.split_whitespace().map(|name| (name, *kind)));
    let old = OLD.split_whitespace().map(|name| (name, FieldType::CharBuf));
    let views = EVENTS.iter().filter_map(|event| event.info.rules.as_ref());
    let captured = views.flat_map(|view| view.params).map(|param| (param.name, of(param.ty)));
    listed.chain(old).chain(captured)
}

/// What the raw value of a captured parameter compares with.
const fn of(ty: ParamType) -> FieldType {
    match ty {
        ParamType::Fd | ParamType::FdPath(_) | ParamType::Pid | ParamType::Errno => FieldType::Int64,
        ParamType::Int(bits) | ParamType::IntHex(bits) => match bits {
            16 => FieldType::Int16,
            32 => FieldType::Int32,
            _ => FieldType::Int64,
        },
        ParamType::Uid | ParamType::Gid | ParamType::SigSet | ParamType::Mode(_) => FieldType::Uint32,
        ParamType::Signal => FieldType::Uint8,
        ParamType::Dec(bits)
        | ParamType::Hex(bits)
        | ParamType::Oct(bits)
        | ParamType::Flags(bits, _)
        | ParamType::Enum(bits, _) => match bits {
            8 => FieldType::Uint8,
            16 => FieldType::Uint16,
            32 => FieldType::Uint32,
            _ => FieldType::Uint64,
        },
        ParamType::Dynamic | ParamType::DynamicDec | ParamType::SockAddr | ParamType::SockTuple => {
            FieldType::Dynamic
        }
        ParamType::Path(_) | ParamType::PathAt(_) | ParamType::Found(_) => FieldType::FsPath,
        ParamType::CharBuf | ParamType::Text(_) => FieldType::CharBuf,
        ParamType::Strings | ParamType::Bytes => FieldType::ByteBuf,
        ParamType::AbsTime => FieldType::AbsTime,
    }
}

static BY_NAME: LazyLock<HashMap<&'static str, FieldType, foldhash::fast::RandomState>> =
    LazyLock::new(|| {
        let mut types = HashMap::default();
        for (name, kind) in all() {
            types.entry(name).or_insert(kind);
        }
        types
    });

/// The type of a parameter's raw value; `None` when no event has such a parameter. [`FieldType::Dynamic`]
/// is one that compares with nothing.
pub fn kind(name: &str) -> Option<FieldType> {
    BY_NAME.get(name).copied()
}

/// The name nearest to a misspelt one.
pub fn suggest(name: &str) -> Option<&'static str> {
    suggest::nearest(name, all().map(|(name, _)| name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_once_and_every_parameter_of_the_table_of_events_has_a_type() {
        let mut names: Vec<&str> = NAMES.iter().flat_map(|(_, names)| names.split_whitespace()).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
        for (_, info) in super::super::event_types::all() {
            for name in &info.params {
                assert!(kind(name).is_some(), "{}.{name}", info.name);
            }
        }
        assert_eq!((kind("flags"), kind("nope")), (Some(FieldType::Uint32), None));
        assert_eq!(suggest("flagz"), Some("flags"));
    }

    #[test]
    #[cfg_attr(not(has_shared), ignore = "needs ../shared")]
    fn a_name_has_the_type_of_falcos_first_event_with_it() {
        let table = crate::rules::upstream_tests::shared("spec/event-params.tsv");
        let mut first = HashMap::new();
        for line in table.lines().skip(1).filter(|line| line.contains("\texit\t")) {
            for param in line.rsplit('\t').next().unwrap().split(';') {
                let mut parts = param.trim().split(':');
                let (name, ty) = (parts.next().unwrap(), parts.next().unwrap_or_default());
                first.entry(name).or_insert(ty);
            }
        }
        for (name, ty) in first.into_iter().filter(|(name, _)| !name.is_empty()) {
            let falco = ty.trim_start_matches("PT_").replace("ENUMFLAGS", "UINT").replace("FLAGS", "UINT");
            let ours = match falco.as_str() {
                "FD" | "PID" | "ERRNO" => "INT64",
                "UID" | "GID" | "MODE" => "UINT32",
                "SIGTYPE" => "UINT8",
                "FSRELPATH" => "FSPATH",
                "DYN" | "SOCKADDR" | "SOCKTUPLE" | "FDLIST" | "SIGSET" => "DYNAMIC",
                "SYSCALLID" => "UINT16",
                other => other,
            };
            assert_eq!(kind(name).map(FieldType::as_str), Some(ours), "{name}");
        }
    }
}
