//! The registry of fields: the one source for the rule compiler, JSON, `falconet fields` and the documentation.
//!
//! Adding a field is one line of [`FIELDS`]: variant, name, type, flags, meaning. Whether events have a value for it is not said
//! here: the engine's extraction decides that, field by field, and does not compile until it knows of the new one.

use std::collections::HashMap;
use std::fmt;
use std::sync::LazyLock;

use super::params;
use super::types::FieldType;
use crate::rules::report::suggest;

/// Properties of a field that are not its type; a small bit set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flags(u16);

impl Flags {
    pub const NONE: Self = Self(0);
    /// Yields several values; compared with `in`, `intersects` and `exists` only.
    pub const LIST: Self = Self(1);
    /// Must have an argument.
    pub const REQUIRED: Self = Self(1 << 1);
    /// May have an argument.
    pub const OPTIONAL: Self = Self(1 << 2);
    /// The argument may be a number (`proc.aname[2]`).
    pub const INDEX: Self = Self(1 << 3);
    /// The argument may be a text (`container.label[app]`).
    pub const KEY: Self = Self(1 << 4);
    /// The argument may also follow a dot (`evt.arg.flags`).
    pub const DOTTED: Self = Self(1 << 5);
    /// Only in conditions.
    pub const FILTER: Self = Self(1 << 6);
    /// Only in outputs.
    pub const PRINT: Self = Self(1 << 7);
    /// Accepted for old rules; warned about.
    pub const DEPRECATED: Self = Self(1 << 8);
    /// Without an argument a comparison is true when it is true of any value that [`super::event::Event::any`] yields.
    pub const ANY: Self = Self(1 << 9);
    /// Refused on the right-hand side of a comparison and as the argument of a transformer.
    pub const LEFT_ONLY: Self = Self(1 << 10);

    /// A text argument follows a dot, and does not stand in brackets.
    pub const DOT_ONLY: Self = Self(1 << 11);

    const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// True when every flag of `other` is set.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// True when the field can take an argument.
    pub const fn takes_argument(self) -> bool {
        self.0 & (Self::REQUIRED.0 | Self::OPTIONAL.0) != 0
    }
}

/// A group of fields, as `falconet fields` lists them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Class {
    Evt,
    Process,
    User,
    Group,
    Fd,
    FsPath,
    Container,
    K8s,
    FdList,
    Other,
}

impl Class {
    /// All classes in listing order.
    pub const ALL: [Self; 10] = [
        Self::Evt,
        Self::Process,
        Self::User,
        Self::Group,
        Self::Fd,
        Self::FsPath,
        Self::Container,
        Self::K8s,
        Self::FdList,
        Self::Other,
    ];

    /// Short name of the class.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Evt => "evt",
            Self::Process => "process",
            Self::User => "user",
            Self::Group => "group",
            Self::Fd => "fd",
            Self::FsPath => "fs.path",
            Self::Container => "container",
            Self::K8s => "k8s",
            Self::FdList => "fdlist",
            Self::Other => "other",
        }
    }

    /// One sentence about the class.
    pub const fn doc(self) -> &'static str {
        match self {
            Self::Evt => "The event itself: type, time, arguments, result.",
            Self::Process => "The process and thread that caused the event, and its ancestors.",
            Self::User => "The user the thread acts as.",
            Self::Group => "The group the thread acts as.",
            Self::Fd => "The file descriptor that the event creates or uses.",
            Self::FsPath => "The paths that a successful file operation touches.",
            Self::Container => "The container that the thread runs in.",
            Self::K8s => "The Kubernetes pod that the container belongs to.",
            Self::FdList => "The descriptor sets of poll and ppoll.",
            Self::Other => "Everything else.",
        }
    }
}

/// One line of the registry.
#[derive(Debug)]
pub struct FieldInfo {
    pub field: Field,
    pub class: Class,
    /// The name rules use, without an argument.
    pub name: &'static str,
    pub kind: FieldType,
    pub flags: Flags,
    /// Meaning, one sentence.
    pub doc: &'static str,
}

macro_rules! fields {
    ($($class:ident($own:ident) { $($variant:ident $name:literal $kind:ident [$($flag:ident)*] $doc:literal;)* })*) => {
        /// A field of the rule language.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u16)]
        pub enum Field {
            $($(
                #[doc = concat!("`", $name, "`")]
                $variant,
            )*)*
        }

        $(
            #[doc = concat!("The fields of [`Class::", stringify!($class), "`].")]
            #[derive(Debug, Clone, Copy, PartialEq, Eq)]
            pub enum $own {
                $(
                    #[doc = concat!("`", $name, "`")]
                    $variant,
                )*
            }
        )*

        /// A field as one of its class, for code that treats the classes apart and forgets no field of any.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Classed {
            $(
                #[doc = concat!("[`Class::", stringify!($class), "`]")]
                $class($own),
            )*
        }

        impl Field {
            /// Every field, in the order of the discriminants.
            pub const ALL: &'static [Self] = &[$($(Self::$variant,)*)*];

            /// The field as one of its class.
            pub const fn classed(self) -> Classed {
                match self {
                    $($(Self::$variant => Classed::$class($own::$variant),)*)*
                }
            }
        }

        /// Every field, in listing order; the position is the discriminant of [`Field`].
        pub static FIELDS: &[FieldInfo] = &[
            $($(
                FieldInfo {
                    field: Field::$variant,
                    class: Class::$class,
                    name: $name,
                    kind: FieldType::$kind,
                    flags: Flags::NONE$(.with(Flags::$flag))*,
                    doc: $doc,
                },
            )*)*
        ];
    };
}

fields! {
    Evt(EvtField) {
        EvtNum "evt.num" Uint64 [] "Number of the event, counted from 1.";
        EvtTime "evt.time" CharBuf [] "Local time of the event with nanoseconds; in JSON, nanoseconds since the epoch.";
        EvtTimeS "evt.time.s" CharBuf [] "Local time of the event without a fraction; in JSON, nanoseconds since the epoch.";
        EvtTimeIso8601 "evt.time.iso8601" CharBuf [] "UTC time of the event in ISO 8601 with nanoseconds; in JSON, nanoseconds since the epoch.";
        EvtDatetime "evt.datetime" CharBuf [] "Local date and time of the event with nanoseconds.";
        EvtDatetimeS "evt.datetime.s" CharBuf [] "Local date and time of the event without a fraction.";
        EvtRawtime "evt.rawtime" AbsTime [] "Time of the event in nanoseconds since the epoch.";
        EvtRawtimeS "evt.rawtime.s" AbsTime [] "Whole seconds of the event's time since the epoch.";
        EvtRawtimeNs "evt.rawtime.ns" AbsTime [] "Nanoseconds within the second of the event's time.";
        EvtReltime "evt.reltime" RelTime [] "Nanoseconds since the first event.";
        EvtReltimeS "evt.reltime.s" RelTime [] "Whole seconds since the first event.";
        EvtReltimeNs "evt.reltime.ns" RelTime [] "Nanoseconds within the second since the first event.";
        EvtDeltatime "evt.deltatime" RelTime [] "Nanoseconds since the previous event.";
        EvtDeltatimeS "evt.deltatime.s" RelTime [] "Whole seconds since the previous event.";
        EvtDeltatimeNs "evt.deltatime.ns" RelTime [] "Nanoseconds within the second since the previous event.";
        EvtOutputtime "evt.outputtime" CharBuf [PRINT] "Time at which the alert is printed.";
        EvtLatency "evt.latency" RelTime [DEPRECATED] "Time between entry and exit; always 0, there is no entry any more.";
        EvtLatencyS "evt.latency.s" RelTime [DEPRECATED] "Whole seconds between entry and exit; always 0, there is no entry any more.";
        EvtLatencyNs "evt.latency.ns" RelTime [DEPRECATED] "Nanoseconds within the second between entry and exit; always 0, there is no entry any more.";
        EvtLatencyHuman "evt.latency.human" CharBuf [DEPRECATED] "Time between entry and exit with a unit; always 0, there is no entry any more.";
        EvtLatencyQuantized "evt.latency.quantized" Uint64 [DEPRECATED] "Logarithmic class of the latency; always 0, there is no entry any more.";
        EvtWaitLatency "evt.wait_latency" RelTime [DEPRECATED] "Time spent waiting between entry and exit; always 0, there is no entry any more.";
        EvtDir "evt.dir" CharBuf [DEPRECATED] "`<` for system calls (their exit), `>` for meta events.";
        EvtType "evt.type" CharBuf [] "Name of the event: the system call, or `container` and the like.";
        EvtTypeIs "evt.type.is" Uint32 [REQUIRED KEY DOTTED DOT_ONLY] "1 when the event has the named type, else 0.";
        SyscallType "syscall.type" CharBuf [] "Name of the system call; missing for other events.";
        EvtCategory "evt.category" CharBuf [] "Kind of the event: file, net, process and so on.";
        EvtCpu "evt.cpu" Int16 [] "Number of the CPU on which the event happened.";
        EvtArgs "evt.args" CharBuf [] "All parameters as `name=value`, separated by blanks.";
        EvtArg "evt.arg" CharBuf [REQUIRED INDEX KEY DOTTED DOT_ONLY] "One parameter, by name or position, as text.";
        EvtRawarg "evt.rawarg" Dynamic [REQUIRED KEY DOTTED DOT_ONLY LEFT_ONLY] "One parameter by name, with its own type.";
        EvtInfo "evt.info" CharBuf [] "Summary of the event; its parameters for most types.";
        EvtBuffer "evt.buffer" ByteBuf [] "First bytes of the data of a read or write.";
        EvtBuflen "evt.buflen" Uint64 [] "Length of the data of a read or write.";
        EvtBuflenIn "evt.buflen.in" Uint64 [] "Length of the data of a read.";
        EvtBuflenOut "evt.buflen.out" Uint64 [] "Length of the data of a write.";
        EvtBuflenFile "evt.buflen.file" Uint64 [] "Length of the data of a read or write of a file.";
        EvtBuflenFileIn "evt.buflen.file.in" Uint64 [] "Length of the data of a read of a file.";
        EvtBuflenFileOut "evt.buflen.file.out" Uint64 [] "Length of the data of a write of a file.";
        EvtBuflenNet "evt.buflen.net" Uint64 [] "Length of the data received or sent.";
        EvtBuflenNetIn "evt.buflen.net.in" Uint64 [] "Length of the data received.";
        EvtBuflenNetOut "evt.buflen.net.out" Uint64 [] "Length of the data sent.";
        EvtRes "evt.res" CharBuf [] "`SUCCESS`, or the name of the error.";
        EvtRawres "evt.rawres" Int64 [] "Return value of the system call.";
        EvtFailed "evt.failed" Bool [] "True when the return value is an error.";
        EvtIsIo "evt.is_io" Bool [] "True for events that read or write a descriptor.";
        EvtIsIoRead "evt.is_io_read" Bool [] "True for events that read a descriptor.";
        EvtIsIoWrite "evt.is_io_write" Bool [] "True for events that write a descriptor.";
        EvtIoDir "evt.io_dir" CharBuf [] "`read` or `write`.";
        EvtIsWait "evt.is_wait" Bool [] "True for events that may block.";
        EvtIsSyslog "evt.is_syslog" Bool [] "True for a write to the system log.";
        EvtCount "evt.count" Uint32 [] "Always 1.";
        EvtCountProcinfo "evt.count.procinfo" Uint32 [] "1 for procinfo events of main threads.";
        EvtCountThreadinfo "evt.count.threadinfo" Uint32 [] "1 for procinfo events.";
        EvtCountExit "evt.count.exit" Uint32 [] "1 for exit events.";
        EvtCountError "evt.count.error" Uint32 [] "1 for events with an error.";
        EvtCountErrorFile "evt.count.error.file" Uint32 [] "1 for failed file events.";
        EvtCountErrorNet "evt.count.error.net" Uint32 [] "1 for failed network events.";
        EvtCountErrorMemory "evt.count.error.memory" Uint32 [] "1 for failed memory events.";
        EvtCountErrorOther "evt.count.error.other" Uint32 [] "1 for other failed events.";
        EvtAround "evt.around" Uint64 [REQUIRED KEY FILTER LEFT_ONLY] "`evt.around[T]=D`: the event is at most D milliseconds from T, in nanoseconds since the epoch.";
        EvtAbspath "evt.abspath" CharBuf [OPTIONAL KEY DOTTED DOT_ONLY] "Absolute path computed from directory and name; `.src` and `.dst` where there are two.";
        EvtIsOpenRead "evt.is_open_read" Bool [] "True for open, openat, openat2 and open_by_handle_at that ask to read.";
        EvtIsOpenWrite "evt.is_open_write" Bool [] "True for open, openat, openat2 and open_by_handle_at that ask to write.";
        EvtIsOpenExec "evt.is_open_exec" Bool [] "True for an open or creat that makes an executable file.";
        EvtIsOpenCreate "evt.is_open_create" Bool [] "True for an open that made the file.";
        EvtInfraDockerName "evt.infra.docker.name" CharBuf [] "Name of a Docker event.";
        EvtInfraDockerContainerId "evt.infra.docker.container.id" CharBuf [] "Container id of a Docker event.";
        EvtInfraDockerContainerName "evt.infra.docker.container.name" CharBuf [] "Container name of a Docker event.";
        EvtInfraDockerContainerImage "evt.infra.docker.container.image" CharBuf [] "Image of a Docker event.";
        EvtPluginname "evt.pluginname" CharBuf [] "Plugin that the event comes from.";
        EvtPlugininfo "evt.plugininfo" CharBuf [] "Summary of the event as its plugin gives it.";
        EvtSource "evt.source" CharBuf [] "Source of the event, `syscall`.";
        EvtIsAsync "evt.is_async" Bool [] "True for meta events such as `container`.";
        EvtAsynctype "evt.asynctype" CharBuf [] "Name of the meta event; missing for other events.";
        EvtHostname "evt.hostname" CharBuf [] "Name of the host.";
    }
    Process(ProcessField) {
        ProcExe "proc.exe" CharBuf [] "First argument of the command line (argv[0]).";
        ProcPexe "proc.pexe" CharBuf [] "First argument of the parent's command line.";
        ProcAexe "proc.aexe" CharBuf [OPTIONAL INDEX ANY LEFT_ONLY] "First argument of an ancestor's command line; 1 is the parent.";
        ProcExepath "proc.exepath" CharBuf [] "Path of the executable as the kernel resolved it.";
        ProcPexepath "proc.pexepath" CharBuf [] "Path of the parent's executable.";
        ProcAexepath "proc.aexepath" CharBuf [OPTIONAL INDEX ANY LEFT_ONLY] "Path of an ancestor's executable; 1 is the parent.";
        ProcName "proc.name" CharBuf [] "Name of the process (comm), at most 15 bytes.";
        ProcPname "proc.pname" CharBuf [] "Name of the parent.";
        ProcAname "proc.aname" CharBuf [OPTIONAL INDEX ANY LEFT_ONLY] "Name of an ancestor; 0 is the process itself, 1 the parent.";
        ProcArgs "proc.args" CharBuf [OPTIONAL INDEX] "Arguments of the command line without the first, or one of them counted from 0.";
        ProcAargs "proc.aargs" CharBuf [OPTIONAL INDEX] "Arguments of an ancestor; 1 is the parent.";
        ProcCmdline "proc.cmdline" CharBuf [] "Name and arguments of the process.";
        ProcPcmdline "proc.pcmdline" CharBuf [] "Name and arguments of the parent.";
        ProcAcmdline "proc.acmdline" CharBuf [OPTIONAL INDEX ANY LEFT_ONLY] "Name and arguments of an ancestor; 1 is the parent.";
        ProcCmdnargs "proc.cmdnargs" Uint64 [] "Number of arguments without the first.";
        ProcCmdlenargs "proc.cmdlenargs" Uint64 [] "Total length of the arguments without the first.";
        ProcExeline "proc.exeline" CharBuf [] "The whole command line, argv[0] included.";
        ProcEnv "proc.env" CharBuf [OPTIONAL KEY] "The environment, or one variable of it.";
        ProcAenv "proc.aenv" CharBuf [OPTIONAL INDEX KEY ANY LEFT_ONLY] "Environment of an ancestor, or a variable of the nearest ancestor that has it.";
        ProcCwd "proc.cwd" CharBuf [] "Current directory with a slash at its end.";
        ProcLoginshellid "proc.loginshellid" Int64 [] "Process id of the oldest shell among the ancestors.";
        ProcTty "proc.tty" Uint32 [] "Device number of the controlling terminal; 0 is none.";
        ProcPid "proc.pid" Int64 [] "Process id.";
        ProcPpid "proc.ppid" Int64 [] "Process id of the parent.";
        ProcApid "proc.apid" Int64 [OPTIONAL INDEX ANY LEFT_ONLY] "Process id of an ancestor; 1 is the parent.";
        ProcVpid "proc.vpid" Int64 [] "Process id inside its pid namespace.";
        ProcPvpid "proc.pvpid" Int64 [] "Process id of the parent inside its pid namespace.";
        ProcSid "proc.sid" Int64 [] "Session id.";
        ProcSname "proc.sname" CharBuf [] "Name of the session leader.";
        ProcSidExe "proc.sid.exe" CharBuf [] "First argument of the session leader's command line.";
        ProcSidExepath "proc.sid.exepath" CharBuf [] "Path of the session leader's executable.";
        ProcPgid "proc.pgid" Int64 [] "Process group id.";
        ProcPgidName "proc.pgid.name" CharBuf [] "Name of the process group leader.";
        ProcPgidExe "proc.pgid.exe" CharBuf [] "First argument of the process group leader's command line.";
        ProcPgidExepath "proc.pgid.exepath" CharBuf [] "Path of the process group leader's executable.";
        ProcVpgid "proc.vpgid" Int64 [] "Process group id inside the pid namespace.";
        ProcVpgidName "proc.vpgid.name" CharBuf [] "Name of the process group leader inside the pid namespace.";
        ProcVpgidExe "proc.vpgid.exe" CharBuf [] "First argument of that leader's command line.";
        ProcVpgidExepath "proc.vpgid.exepath" CharBuf [] "Path of that leader's executable.";
        ProcDuration "proc.duration" RelTime [] "Age of the process at the event.";
        ProcPpidDuration "proc.ppid.duration" RelTime [] "Age of the parent at the event.";
        ProcPidTs "proc.pid.ts" RelTime [] "Start of the process.";
        ProcPpidTs "proc.ppid.ts" RelTime [] "Start of the parent.";
        ProcIsExeWritable "proc.is_exe_writable" Bool [] "True when the executable could be written by the user who ran it.";
        ProcIsExeUpperLayer "proc.is_exe_upper_layer" Bool [] "True when the executable is not of the image but was added to the container.";
        ProcIsExeLowerLayer "proc.is_exe_lower_layer" Bool [] "True when the executable belongs to the image.";
        ProcIsExeFromMemfd "proc.is_exe_from_memfd" Bool [] "True when the executable lives in memory only.";
        ProcIsSidLeader "proc.is_sid_leader" Bool [] "True when the process leads its session.";
        ProcIsPgidLeader "proc.is_pgid_leader" Bool [] "True when the process leads its process group.";
        ProcIsVpgidLeader "proc.is_vpgid_leader" Bool [] "True when the process leads its process group inside the pid namespace.";
        ProcExeIno "proc.exe_ino" Int64 [] "Inode number of the executable.";
        ProcExeInoCtime "proc.exe_ino.ctime" AbsTime [] "Last change of the executable's inode.";
        ProcExeInoMtime "proc.exe_ino.mtime" AbsTime [] "Last write of the executable.";
        ProcExeInoCtimeDurationProcStart "proc.exe_ino.ctime_duration_proc_start" AbsTime [] "Start of the process minus change of its executable.";
        ProcExeInoCtimeDurationPidnsStart "proc.exe_ino.ctime_duration_pidns_start" AbsTime [] "Start of the pid namespace minus change of the executable.";
        ProcPidnsInitStartTs "proc.pidns_init_start_ts" AbsTime [] "Start of the pid namespace's first process.";
        ProcFdopencount "proc.fdopencount" Uint64 [] "Number of open descriptors.";
        ProcFdlimit "proc.fdlimit" Int64 [] "Limit of open descriptors.";
        ProcFdusage "proc.fdusage" Double [] "Open descriptors in percent of the limit.";
        ProcVmsize "proc.vmsize" Uint64 [] "Virtual memory in kB.";
        ProcVmrss "proc.vmrss" Uint64 [] "Resident memory in kB.";
        ProcVmswap "proc.vmswap" Uint64 [] "Swapped memory in kB.";
        ProcNthreads "proc.nthreads" Uint64 [] "Number of threads.";
        ProcNchilds "proc.nchilds" Uint64 [] "Number of threads without the leader.";
        ProcStdinType "proc.stdin.type" CharBuf [] "Type of descriptor 0.";
        ProcStdinName "proc.stdin.name" CharBuf [] "Name of descriptor 0.";
        ProcStdoutType "proc.stdout.type" CharBuf [] "Type of descriptor 1.";
        ProcStdoutName "proc.stdout.name" CharBuf [] "Name of descriptor 1.";
        ProcStderrType "proc.stderr.type" CharBuf [] "Type of descriptor 2.";
        ProcStderrName "proc.stderr.name" CharBuf [] "Name of descriptor 2.";
        ProcIsContainerHealthcheck "proc.is_container_healthcheck" Bool [DEPRECATED] "Deprecated; has no value.";
        ProcIsContainerLivenessProbe "proc.is_container_liveness_probe" Bool [DEPRECATED] "Deprecated; has no value.";
        ProcIsContainerReadinessProbe "proc.is_container_readiness_probe" Bool [DEPRECATED] "Deprecated; has no value.";
        ThreadTid "thread.tid" Int64 [] "Thread id.";
        ThreadVtid "thread.vtid" Int64 [] "Thread id inside the pid namespace.";
        ThreadIsmain "thread.ismain" Bool [] "True for the main thread of its process.";
        ThreadNametid "thread.nametid" CharBuf [] "Name and thread id, joined by a colon.";
        ThreadCapPermitted "thread.cap_permitted" CharBuf [] "Permitted capabilities, separated by blanks.";
        ThreadCapInheritable "thread.cap_inheritable" CharBuf [] "Inheritable capabilities, separated by blanks.";
        ThreadCapEffective "thread.cap_effective" CharBuf [] "Effective capabilities, separated by blanks.";
        ThreadCgroups "thread.cgroups" CharBuf [] "Cgroups as `controller=path`, separated by blanks.";
        ThreadCgroup "thread.cgroup" CharBuf [REQUIRED KEY DOTTED] "Cgroup path of one controller.";
        ThreadExectime "thread.exectime" RelTime [] "CPU time since the last switch.";
        ThreadTotexectime "thread.totexectime" RelTime [] "Total CPU time.";
        ThreadCpu "thread.cpu" Double [] "CPU use in percent.";
        ThreadCpuUser "thread.cpu.user" Double [] "CPU use of user code in percent.";
        ThreadCpuSystem "thread.cpu.system" Double [] "CPU use of the kernel in percent.";
        ThreadVmsize "thread.vmsize" Uint64 [] "Virtual memory in kB, for the main thread.";
        ThreadVmrss "thread.vmrss" Uint64 [] "Resident memory in kB, for the main thread.";
        ThreadVmsizeB "thread.vmsize.b" Uint64 [] "Virtual memory in bytes, for the main thread.";
        ThreadVmrssB "thread.vmrss.b" Uint64 [] "Resident memory in bytes, for the main thread.";
        ThreadPfmajor "thread.pfmajor" Uint64 [] "Major page faults.";
        ThreadPfminor "thread.pfminor" Uint64 [] "Minor page faults.";
    }
    User(UserField) {
        UserUid "user.uid" Uint32 [] "Effective user id.";
        UserName "user.name" CharBuf [] "Name of the user.";
        UserHomedir "user.homedir" CharBuf [] "Home directory of the user.";
        UserShell "user.shell" CharBuf [] "Login shell of the user.";
        UserLoginuid "user.loginuid" Int64 [] "User id at login, kept over sudo; -1 without a login.";
        UserLoginname "user.loginname" CharBuf [] "Name of the user who logged in.";
    }
    Group(GroupField) {
        GroupGid "group.gid" Uint32 [] "Effective group id.";
        GroupName "group.name" CharBuf [] "Name of the group.";
    }
    Fd(FdField) {
        FdNum "fd.num" Int64 [] "Number of the descriptor; -1 when the call that makes it failed.";
        FdType "fd.type" CharBuf [] "Type: file, directory, ipv4, ipv6, unix, pipe and so on.";
        FdTypechar "fd.typechar" CharBuf [] "Type as one character: f, d, 4, 6, u, p and so on.";
        FdName "fd.name" CharBuf [] "Full path of a file, or the addresses of a connection.";
        FdDirectory "fd.directory" CharBuf [] "Directory part of the path.";
        FdFilename "fd.filename" CharBuf [] "Last part of the path.";
        FdNameraw "fd.nameraw" CharBuf [] "The path as it was passed.";
        FdIp "fd.ip" IpAddr [FILTER ANY LEFT_ONLY] "Address of either end of a connection.";
        FdCip "fd.cip" IpAddr [] "Address of the client.";
        FdSip "fd.sip" IpAddr [] "Address of the server.";
        FdLip "fd.lip" IpAddr [] "Local address.";
        FdRip "fd.rip" IpAddr [] "Remote address.";
        FdPort "fd.port" Port [FILTER ANY LEFT_ONLY] "Port of either end of a connection.";
        FdCport "fd.cport" Port [] "Port of the client.";
        FdSport "fd.sport" Port [] "Port of the server.";
        FdLport "fd.lport" Port [] "Local port.";
        FdRport "fd.rport" Port [] "Remote port.";
        FdL4proto "fd.l4proto" CharBuf [] "Transport protocol: tcp, udp, icmp or raw.";
        FdSockfamily "fd.sockfamily" CharBuf [] "Family of a socket: ip or unix.";
        FdIsServer "fd.is_server" Bool [] "True when this end of the connection is the server.";
        FdUid "fd.uid" CharBuf [] "Thread id and descriptor, joined.";
        FdContainername "fd.containername" CharBuf [] "Container id and name of the descriptor, joined by a colon.";
        FdContainerdirectory "fd.containerdirectory" CharBuf [] "Container id and directory, joined by a colon.";
        FdProto "fd.proto" Port [FILTER ANY LEFT_ONLY] "Service of either end of a connection.";
        FdCproto "fd.cproto" CharBuf [] "Service name of the client's port.";
        FdSproto "fd.sproto" CharBuf [] "Service name of the server's port.";
        FdLproto "fd.lproto" CharBuf [] "Service name of the local port.";
        FdRproto "fd.rproto" CharBuf [] "Service name of the remote port.";
        FdNet "fd.net" IpNet [FILTER ANY LEFT_ONLY] "Address of either end, compared with networks.";
        FdCnet "fd.cnet" IpNet [FILTER LEFT_ONLY] "Address of the client, compared with networks.";
        FdSnet "fd.snet" IpNet [FILTER LEFT_ONLY] "Address of the server, compared with networks.";
        FdLnet "fd.lnet" IpNet [FILTER LEFT_ONLY] "Local address, compared with networks.";
        FdRnet "fd.rnet" IpNet [FILTER LEFT_ONLY] "Remote address, compared with networks.";
        FdConnected "fd.connected" Bool [] "True for a connected internet socket.";
        FdNameChanged "fd.name_changed" Bool [] "True when this event changed the name of the descriptor.";
        FdCipName "fd.cip.name" CharBuf [ANY LEFT_ONLY] "Domain name of the client's address, of the names used in rules.";
        FdSipName "fd.sip.name" CharBuf [ANY LEFT_ONLY] "Domain name of the server's address, of the names used in rules.";
        FdLipName "fd.lip.name" CharBuf [ANY LEFT_ONLY] "Domain name of the local address, of the names used in rules.";
        FdRipName "fd.rip.name" CharBuf [ANY LEFT_ONLY] "Domain name of the remote address, of the names used in rules.";
        FdDev "fd.dev" Int32 [] "Device number of the file.";
        FdDevMajor "fd.dev.major" Int32 [] "Major device number of the file.";
        FdDevMinor "fd.dev.minor" Int32 [] "Minor device number of the file.";
        FdIno "fd.ino" Int64 [] "Inode number of the file.";
        FdTypes "fd.types" CharBuf [OPTIONAL INDEX LIST LEFT_ONLY] "Types of all descriptors of the event, or of the given one.";
        FdIsUpperLayer "fd.is_upper_layer" Bool [] "True when the file is in the upper layer of an overlay.";
        FdIsLowerLayer "fd.is_lower_layer" Bool [] "True when the file is in the lower layer of an overlay.";
    }
    FsPath(FsPathField) {
        FsPathName "fs.path.name" CharBuf [] "Path that a successful operation touched.";
        FsPathNameraw "fs.path.nameraw" CharBuf [] "That path as it was passed.";
        FsPathSource "fs.path.source" CharBuf [] "First path of rename, link, symlink and mount.";
        FsPathSourceraw "fs.path.sourceraw" CharBuf [] "That path as it was passed.";
        FsPathTarget "fs.path.target" CharBuf [] "Second path of rename, link, symlink and mount.";
        FsPathTargetraw "fs.path.targetraw" CharBuf [] "That path as it was passed.";
    }
    Container(ContainerField) {
        ContainerId "container.id" CharBuf [] "Id of the container: the first 12 characters of one that a runtime made up, a chosen name whole; `host` outside containers.";
        ContainerFullId "container.full_id" CharBuf [] "Id of the container in full.";
        ContainerName "container.name" CharBuf [] "Name of the container; in Kubernetes, its name in the pod.";
        ContainerImage "container.image" CharBuf [] "Image of the container as it was asked for.";
        ContainerImageId "container.image.id" CharBuf [] "Id of the image.";
        ContainerImageRepository "container.image.repository" CharBuf [] "Repository part of the image.";
        ContainerImageTag "container.image.tag" CharBuf [] "Tag of the image.";
        ContainerImageDigest "container.image.digest" CharBuf [] "Digest of the image.";
        ContainerType "container.type" CharBuf [] "Runtime: docker, containerd, cri-o, podman and so on.";
        ContainerPrivileged "container.privileged" Bool [] "True for a privileged container.";
        ContainerMounts "container.mounts" CharBuf [] "All mounts as `source:destination:mode:rw:propagation`.";
        ContainerMount "container.mount" CharBuf [REQUIRED INDEX KEY] "One mount, by position or source.";
        ContainerMountSource "container.mount.source" CharBuf [REQUIRED INDEX KEY] "Source of a mount, by position or destination.";
        ContainerMountDest "container.mount.dest" CharBuf [REQUIRED INDEX KEY] "Destination of a mount, by position or source.";
        ContainerMountMode "container.mount.mode" CharBuf [REQUIRED INDEX KEY] "Mode of a mount, by position or source.";
        ContainerMountRdwr "container.mount.rdwr" CharBuf [REQUIRED INDEX KEY] "`true` when a mount can be written, by position or source.";
        ContainerMountPropagation "container.mount.propagation" CharBuf [REQUIRED INDEX KEY] "Propagation of a mount, by position or source.";
        ContainerIp "container.ip" CharBuf [] "Address of the container.";
        ContainerCniJson "container.cni.json" CharBuf [] "Result of the network plugin for the pod.";
        ContainerHostPid "container.host_pid" Bool [] "True when the container shares the host's pid namespace.";
        ContainerHostNetwork "container.host_network" Bool [] "True when the container shares the host's network namespace.";
        ContainerHostIpc "container.host_ipc" Bool [] "True when the container shares the host's ipc namespace.";
        ContainerLabel "container.label" CharBuf [REQUIRED KEY] "One label of the container.";
        ContainerLabels "container.labels" CharBuf [] "All labels as `name:value`.";
        ContainerStartTs "container.start_ts" AbsTime [] "Start of the container's first process.";
        ContainerDuration "container.duration" RelTime [] "Age of the container at the event.";
        ContainerHealthcheck "container.healthcheck" CharBuf [DEPRECATED] "Deprecated; has no value.";
        ContainerLivenessProbe "container.liveness_probe" CharBuf [DEPRECATED] "Deprecated; has no value.";
        ContainerReadinessProbe "container.readiness_probe" CharBuf [DEPRECATED] "Deprecated; has no value.";
    }
    K8s(K8sField) {
        K8sPodName "k8s.pod.name" CharBuf [] "Name of the pod.";
        K8sNsName "k8s.ns.name" CharBuf [] "Namespace of the pod.";
        K8sPodUid "k8s.pod.uid" CharBuf [] "Unique id of the pod.";
        K8sPodId "k8s.pod.id" CharBuf [] "Unique id of the pod.";
        K8sPodSandboxId "k8s.pod.sandbox_id" CharBuf [] "First 12 characters of the pod sandbox's id.";
        K8sPodFullSandboxId "k8s.pod.full_sandbox_id" CharBuf [] "Id of the pod sandbox in full.";
        K8sPodLabel "k8s.pod.label" CharBuf [REQUIRED KEY] "One label of the pod.";
        K8sPodLabels "k8s.pod.labels" CharBuf [] "All labels of the pod as `name:value`.";
        K8sPodIp "k8s.pod.ip" CharBuf [] "Address of the pod.";
        K8sPodCniJson "k8s.pod.cni.json" CharBuf [] "Result of the network plugin for the pod.";
        K8sRcName "k8s.rc.name" CharBuf [DEPRECATED] "Deprecated; has no value.";
        K8sRcId "k8s.rc.id" CharBuf [DEPRECATED] "Deprecated; has no value.";
        K8sRcLabel "k8s.rc.label" CharBuf [REQUIRED KEY DEPRECATED] "Deprecated; has no value.";
        K8sRcLabels "k8s.rc.labels" CharBuf [DEPRECATED] "Deprecated; has no value.";
        K8sSvcName "k8s.svc.name" CharBuf [DEPRECATED] "Deprecated; has no value.";
        K8sSvcId "k8s.svc.id" CharBuf [DEPRECATED] "Deprecated; has no value.";
        K8sSvcLabel "k8s.svc.label" CharBuf [REQUIRED KEY DEPRECATED] "Deprecated; has no value.";
        K8sSvcLabels "k8s.svc.labels" CharBuf [DEPRECATED] "Deprecated; has no value.";
        K8sRsName "k8s.rs.name" CharBuf [DEPRECATED] "Deprecated; has no value.";
        K8sRsId "k8s.rs.id" CharBuf [DEPRECATED] "Deprecated; has no value.";
        K8sRsLabel "k8s.rs.label" CharBuf [REQUIRED KEY DEPRECATED] "Deprecated; has no value.";
        K8sRsLabels "k8s.rs.labels" CharBuf [DEPRECATED] "Deprecated; has no value.";
        K8sDeploymentName "k8s.deployment.name" CharBuf [DEPRECATED] "Deprecated; has no value.";
        K8sDeploymentId "k8s.deployment.id" CharBuf [DEPRECATED] "Deprecated; has no value.";
        K8sDeploymentLabel "k8s.deployment.label" CharBuf [REQUIRED KEY DEPRECATED] "Deprecated; has no value.";
        K8sDeploymentLabels "k8s.deployment.labels" CharBuf [DEPRECATED] "Deprecated; has no value.";
        K8sNsId "k8s.ns.id" CharBuf [DEPRECATED] "Deprecated; has no value.";
        K8sNsLabel "k8s.ns.label" CharBuf [REQUIRED KEY DEPRECATED] "Deprecated; has no value.";
        K8sNsLabels "k8s.ns.labels" CharBuf [DEPRECATED] "Deprecated; has no value.";
        K8smetaPodName "k8smeta.pod.name" CharBuf [] "Name of the pod, from the k8smeta plugin.";
        K8smetaPodUid "k8smeta.pod.uid" CharBuf [] "Unique id of the pod, from the k8smeta plugin.";
        K8smetaPodLabel "k8smeta.pod.label" CharBuf [REQUIRED KEY] "One label of the pod, from the k8smeta plugin.";
        K8smetaPodLabels "k8smeta.pod.labels" CharBuf [LIST] "All labels of the pod, from the k8smeta plugin.";
        K8smetaPodIp "k8smeta.pod.ip" CharBuf [] "Address of the pod, from the k8smeta plugin.";
        K8smetaNsName "k8smeta.ns.name" CharBuf [] "Name of the pod's namespace, from the k8smeta plugin.";
        K8smetaNsUid "k8smeta.ns.uid" CharBuf [] "Unique id of the pod's namespace, from the k8smeta plugin.";
        K8smetaNsLabel "k8smeta.ns.label" CharBuf [REQUIRED KEY] "One label of the pod's namespace, from the k8smeta plugin.";
        K8smetaNsLabels "k8smeta.ns.labels" CharBuf [LIST] "All labels of the pod's namespace, from the k8smeta plugin.";
        K8smetaDeploymentName "k8smeta.deployment.name" CharBuf [] "Name of the pod's deployment, from the k8smeta plugin.";
        K8smetaDeploymentUid "k8smeta.deployment.uid" CharBuf [] "Unique id of the pod's deployment, from the k8smeta plugin.";
        K8smetaDeploymentLabel "k8smeta.deployment.label" CharBuf [REQUIRED KEY] "One label of the pod's deployment, from the k8smeta plugin.";
        K8smetaDeploymentLabels "k8smeta.deployment.labels" CharBuf [LIST] "All labels of the pod's deployment, from the k8smeta plugin.";
        K8smetaSvcName "k8smeta.svc.name" CharBuf [LIST] "Name of the pod's services, from the k8smeta plugin.";
        K8smetaSvcUid "k8smeta.svc.uid" CharBuf [LIST] "Unique id of the pod's services, from the k8smeta plugin.";
        K8smetaSvcLabel "k8smeta.svc.label" CharBuf [REQUIRED KEY LIST] "One label of the pod's services, from the k8smeta plugin.";
        K8smetaSvcLabels "k8smeta.svc.labels" CharBuf [LIST] "All labels of the pod's services, from the k8smeta plugin.";
        K8smetaRsName "k8smeta.rs.name" CharBuf [] "Name of the pod's replica set, from the k8smeta plugin.";
        K8smetaRsUid "k8smeta.rs.uid" CharBuf [] "Unique id of the pod's replica set, from the k8smeta plugin.";
        K8smetaRsLabel "k8smeta.rs.label" CharBuf [REQUIRED KEY] "One label of the pod's replica set, from the k8smeta plugin.";
        K8smetaRsLabels "k8smeta.rs.labels" CharBuf [LIST] "All labels of the pod's replica set, from the k8smeta plugin.";
        K8smetaRcName "k8smeta.rc.name" CharBuf [] "Name of the pod's replication controller, from the k8smeta plugin.";
        K8smetaRcUid "k8smeta.rc.uid" CharBuf [] "Unique id of the pod's replication controller, from the k8smeta plugin.";
        K8smetaRcLabel "k8smeta.rc.label" CharBuf [REQUIRED KEY] "One label of the pod's replication controller, from the k8smeta plugin.";
        K8smetaRcLabels "k8smeta.rc.labels" CharBuf [LIST] "All labels of the pod's replication controller, from the k8smeta plugin.";
    }
    FdList(FdListField) {
        FdlistNums "fdlist.nums" CharBuf [] "Numbers of the polled descriptors.";
        FdlistNames "fdlist.names" CharBuf [] "Names of the polled descriptors.";
        FdlistCips "fdlist.cips" CharBuf [] "Client addresses of the polled descriptors.";
        FdlistSips "fdlist.sips" CharBuf [] "Server addresses of the polled descriptors.";
        FdlistCports "fdlist.cports" CharBuf [] "Client ports of the polled descriptors.";
        FdlistSports "fdlist.sports" CharBuf [] "Server ports of the polled descriptors.";
    }
    Other(OtherField) {
        StaticField "static" CharBuf [REQUIRED KEY DOTTED DOT_ONLY] "A constant of the configuration.";
        UtilCnt "util.cnt" Uint64 [] "A counter that rises with each use.";
    }
}

impl Field {
    /// The registry line of the field.
    pub fn info(self) -> &'static FieldInfo {
        // The table and the enum come out of one macro, in one order.
        &FIELDS[self as usize]
    }

    /// The name rules use, without an argument.
    pub fn name(self) -> &'static str {
        self.info().name
    }
}

/// The argument of a field.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum FieldArg {
    None,
    /// `proc.aname[2]`, `evt.arg[0]`.
    Index(u32),
    /// `container.label[app]`, `evt.arg.flags`.
    Key(Box<[u8]>),
}

/// A field as written in a rule: which, and with what argument.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FieldRef {
    pub field: Field,
    pub arg: FieldArg,
}

impl From<Field> for FieldRef {
    fn from(field: Field) -> Self {
        Self { field, arg: FieldArg::None }
    }
}

/// Why a text does not name a field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FieldError {
    #[error("nonexistent field {name}")]
    Unknown { name: String },
    #[error("field {name} needs an argument")]
    MissingArgument { name: &'static str },
    #[error("field {name} needs an argument, which stands in brackets")]
    InBrackets { name: &'static str, key: String },
    #[error("field {name} takes no argument")]
    UnexpectedArgument { name: &'static str },
    #[error("the argument of field {name} must be a number, not {arg:?}")]
    NotAnIndex { name: &'static str, arg: String },
    #[error("the argument of field {name} follows a dot, as in {name}.x")]
    DotOnly { name: &'static str },
    #[error("unknown event argument {field}.{name}: no event has that parameter")]
    UnknownParameter { field: &'static str, name: String },
    #[error("the argument of field {name} is not closed by ]")]
    Unclosed { name: String },
}

impl FieldError {
    /// What was probably meant. Looked for when it is asked: most texts that are tried are not meant as fields.
    pub fn suggestion(&self) -> Option<String> {
        match self {
            Self::Unknown { name } if name.starts_with("evt.abspath.") => Some("evt.abspath".to_owned()),
            Self::InBrackets { name, key } => Some(format!("{name}[{key}]")),
            Self::Unknown { name } => {
                if let Some((info, key)) = in_brackets(name) {
                    return Some(format!("{}[{key}]", info.name));
                }
                suggest::nearest(name, FIELDS.iter().map(|info| info.name)).map(str::to_owned)
            }
            Self::UnknownParameter { field, name } => {
                params::suggest(name).map(|nearest| format!("{field}.{nearest}"))
            }
            _ => None,
        }
    }
}

static BY_NAME: LazyLock<HashMap<&'static str, &'static FieldInfo, foldhash::fast::RandomState>> =
    LazyLock::new(|| FIELDS.iter().map(|info| (info.name, info)).collect());

/// A field whose argument was written behind a dot, and the argument: `k8s.pod.label.role`.
fn in_brackets(name: &str) -> Option<(&'static FieldInfo, &str)> {
    let mut end = name.len();
    while let Some(dot) = name[..end].rfind('.') {
        end = dot;
        let Some(info) = by_name(&name[..dot]) else { continue };
        let wants =
            info.flags.has(Flags::REQUIRED) && info.flags.has(Flags::KEY) && !info.flags.has(Flags::DOTTED);
        return wants.then_some((info, &name[dot + 1..])).filter(|(_, key)| !key.is_empty());
    }
    None
}

/// The registry line of the field called `name` (no argument).
pub fn by_name(name: &str) -> Option<&'static FieldInfo> {
    BY_NAME.get(name).copied()
}

impl FieldRef {
    /// The field's type; that of `evt.rawarg` is its parameter's.
    pub fn kind(&self) -> FieldType {
        match &self.arg {
            FieldArg::Key(name) if self.field == Field::EvtRawarg => {
                let known = std::str::from_utf8(name).ok().and_then(params::kind);
                // Falco reads no literal for raw bytes.
                known.filter(|kind| *kind != FieldType::ByteBuf).unwrap_or(FieldType::Dynamic)
            }
            _ => self.field.info().kind,
        }
    }

    /// True for the fields of either end of a connection and for domain names: all of their values must differ for `!=`.
    pub fn all_must_differ(&self) -> bool {
        matches!(self.field, Field::FdIp | Field::FdPort | Field::FdNet | Field::FdProto) || self.is_domain()
    }

    /// True for the domain names of addresses.
    pub fn is_domain(&self) -> bool {
        matches!(self.field, Field::FdCipName | Field::FdSipName | Field::FdLipName | Field::FdRipName)
    }

    /// True when Falco warns that the field is deprecated. It does not of all that are.
    pub fn is_warned_about(&self) -> bool {
        use Field::{EvtDir, EvtLatency, EvtLatencyHuman, EvtLatencyNs, EvtLatencyS, EvtWaitLatency};
        matches!(
            self.field,
            EvtDir | EvtLatency | EvtLatencyS | EvtLatencyNs | EvtLatencyHuman | EvtWaitLatency
        )
    }

    /// True when a comparison holds as soon as it holds for any of the values of [`super::event::Event::any`].
    pub fn is_any(&self) -> bool {
        self.field.info().flags.has(Flags::ANY) && self.arg == FieldArg::None
    }

    /// True when the field yields a list.
    pub fn is_list(&self) -> bool {
        self.field.info().flags.has(Flags::LIST)
    }

    /// Parses a field as rules write it: `proc.name`, `proc.aname[2]`, `evt.arg.flags`, `container.label[app]`.
    pub fn parse(text: &str) -> Result<Self, FieldError> {
        let Some((name, rest)) = text.split_once('[') else { return Self::resolve(text, None) };
        let Some(arg) = rest.strip_suffix(']') else {
            return Err(FieldError::Unclosed { name: name.to_owned() });
        };
        let unquoted = match arg.as_bytes() {
            [b'"', .., b'"'] | [b'\'', .., b'\''] => &arg[1..arg.len() - 1],
            _ => arg,
        };
        Self::resolve(name, Some(unquoted))
    }

    /// As [`parse`](Self::parse), with the bracket argument already taken off the name and unquoted.
    pub fn resolve(name: &str, arg: Option<&str>) -> Result<Self, FieldError> {
        if let Some(info) = by_name(name) {
            return Self::with_argument(info, arg, false);
        }
        // `evt.arg.flags`: the longest registered prefix that takes a dotted argument. With both a dot and a
        // bracket there is one argument too many.
        let mut end = name.len();
        while let Some(dot) = name[..end].rfind('.') {
            end = dot;
            let (Some(info), dotted) = (by_name(&name[..dot]), &name[dot + 1..]) else { continue };
            if info.flags.has(Flags::DOTTED) && !dotted.is_empty() {
                return match arg {
                    None => Self::with_argument(info, Some(dotted), true),
                    Some(_) => Err(FieldError::UnexpectedArgument { name: info.name }),
                };
            }
        }
        // Falco reads these as the field without its argument, others as an unknown field.
        match in_brackets(name).filter(|(info, _)| info.class == Class::K8s) {
            Some((info, key)) => Err(FieldError::InBrackets { name: info.name, key: key.to_owned() }),
            None => Err(FieldError::Unknown { name: name.to_owned() }),
        }
    }

    fn with_argument(info: &'static FieldInfo, arg: Option<&str>, dotted: bool) -> Result<Self, FieldError> {
        let (name, flags) = (info.name, info.flags);
        let Some(arg) = arg else {
            if flags.has(Flags::REQUIRED) {
                return Err(FieldError::MissingArgument { name });
            }
            return Ok(info.field.into());
        };
        if !flags.takes_argument() {
            return Err(FieldError::UnexpectedArgument { name });
        }
        let digits = arg.bytes().all(|byte| byte.is_ascii_digit());
        if flags.has(Flags::INDEX)
            && digits
            && let Ok(index) = arg.parse::<u32>()
        {
            return Ok(Self { field: info.field, arg: FieldArg::Index(index) });
        }
        if !flags.has(Flags::KEY) || (info.field == Field::EvtAround && !digits) {
            return Err(FieldError::NotAnIndex { name, arg: arg.to_owned() });
        }
        if flags.has(Flags::DOT_ONLY) && !dotted {
            return Err(FieldError::DotOnly { name });
        }
        match info.field {
            Field::EvtArg | Field::EvtRawarg if params::kind(arg).is_none() => {
                Err(FieldError::UnknownParameter { field: name, name: arg.to_owned() })
            }
            Field::EvtAbspath if !matches!(arg, "src" | "dst") => {
                Err(FieldError::Unknown { name: format!("{name}.{arg}") })
            }
            field => Ok(Self { field, arg: FieldArg::Key(arg.as_bytes().into()) }),
        }
    }
}

impl fmt::Display for FieldRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let info = self.field.info();
        match &self.arg {
            FieldArg::None => f.write_str(info.name),
            FieldArg::Index(index) => write!(f, "{}[{index}]", info.name),
            FieldArg::Key(key) if info.flags.has(Flags::DOTTED) => {
                write!(f, "{}.{}", info.name, String::from_utf8_lossy(key))
            }
            FieldArg::Key(key) => write!(f, "{}[{}]", info.name, String::from_utf8_lossy(key)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> FieldArg {
        FieldArg::Key(text.as_bytes().into())
    }

    #[test]
    fn the_position_in_the_table_is_the_discriminant_and_names_are_unique() {
        for (at, info) in FIELDS.iter().enumerate() {
            assert_eq!(info.field as usize, at, "{}", info.name);
            assert_eq!(by_name(info.name).map(|i| i.field), Some(info.field), "{} stands twice", info.name);
            assert!(!info.doc.is_empty());
        }
    }

    #[test]
    fn a_field_that_takes_an_argument_says_of_which_kind() {
        for info in FIELDS {
            let kinds = info.flags.has(Flags::INDEX) || info.flags.has(Flags::KEY);
            assert_eq!(info.flags.takes_argument(), kinds, "{}", info.name);
        }
    }

    #[test]
    fn arguments_in_brackets_and_after_a_dot() {
        for (text, field, arg) in [
            ("proc.name", Field::ProcName, FieldArg::None),
            ("proc.aname", Field::ProcAname, FieldArg::None),
            ("proc.aname[2]", Field::ProcAname, FieldArg::Index(2)),
            ("evt.arg.flags", Field::EvtArg, key("flags")),
            ("evt.arg[0]", Field::EvtArg, FieldArg::Index(0)),
            ("evt.rawarg.res", Field::EvtRawarg, key("res")),
            ("thread.cgroup.memory", Field::ThreadCgroup, key("memory")),
            ("thread.cgroup[memory]", Field::ThreadCgroup, key("memory")),
            ("evt.type.is.open", Field::EvtTypeIs, key("open")),
            ("evt.abspath.src", Field::EvtAbspath, key("src")),
            ("container.label[app]", Field::ContainerLabel, key("app")),
            ("container.label[\"my app\"]", Field::ContainerLabel, key("my app")),
            ("container.mount.dest[/proc*]", Field::ContainerMountDest, key("/proc*")),
            ("container.mount.dest[0]", Field::ContainerMountDest, FieldArg::Index(0)),
            ("proc.env[HOME]", Field::ProcEnv, key("HOME")),
            ("proc.aenv[2]", Field::ProcAenv, FieldArg::Index(2)),
        ] {
            assert_eq!(FieldRef::parse(text), Ok(FieldRef { field, arg }), "{text}");
        }
    }

    #[test]
    fn what_is_no_field_is_named_with_the_nearest_one() {
        let unknown = |text: &str| match FieldRef::parse(text) {
            Err(error @ FieldError::Unknown { .. }) => error.suggestion(),
            other => panic!("{text}: {other:?}"),
        };
        assert_eq!(unknown("proc.nane").as_deref(), Some("proc.name"));
        assert_eq!(unknown("container.label.app").as_deref(), Some("container.label[app]"));
        let error = FieldRef::parse("k8s.pod.label.role").unwrap_err();
        assert_eq!(error.to_string(), "field k8s.pod.label needs an argument, which stands in brackets");
        assert_eq!(error.suggestion().as_deref(), Some("k8s.pod.label[role]"));
        assert_eq!(FieldRef::parse("evt.arg"), Err(FieldError::MissingArgument { name: "evt.arg" }));
        assert_eq!(
            FieldRef::parse("proc.name[1]"),
            Err(FieldError::UnexpectedArgument { name: "proc.name" })
        );
        assert!(matches!(FieldRef::parse("proc.aname[x]"), Err(FieldError::NotAnIndex { .. })));
        assert!(matches!(FieldRef::parse("proc.aname[1"), Err(FieldError::Unclosed { .. })));
        assert_eq!(FieldRef::parse("evt.arg[flags]"), Err(FieldError::DotOnly { name: "evt.arg" }));
        let unknown = FieldRef::parse("evt.arg.flag").unwrap_err();
        assert_eq!(unknown.suggestion().as_deref(), Some("evt.arg.flags"));
    }

    #[test]
    #[cfg_attr(not(has_shared), ignore = "needs ../shared")]
    fn every_field_of_the_upstream_rules_is_known() {
        let table = crate::rules::upstream_tests::shared("spec/fields-used.tsv");
        for line in table.lines().skip(1) {
            let name = line.split('\t').next().unwrap_or_default();
            let known = FieldRef::parse(name);
            assert!(
                known.is_ok() || matches!(known, Err(FieldError::MissingArgument { .. })),
                "{name}: {known:?}"
            );
        }
    }
}
