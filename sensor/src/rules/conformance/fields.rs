//! Every field of the specification (sections 3.3, 3.5, 3.6) by name, type and flags.

use crate::rules::registry::fields::{FIELDS, FieldRef, Flags, by_name};

/// Type, flags, names. Flags as in the specification: F filter only, P print only, D deprecated, R argument required, O
/// argument optional, L list.
const TABLE: &[(&str, &str, &str)] = &[
    (
        "UINT64",
        "",
        "
        evt.num evt.buflen evt.buflen.in evt.buflen.out evt.buflen.file evt.buflen.file.in
        evt.buflen.file.out evt.buflen.net evt.buflen.net.in evt.buflen.net.out proc.cmdnargs
        proc.cmdlenargs proc.fdopencount proc.vmsize proc.vmrss proc.vmswap proc.nthreads
        proc.nchilds thread.vmsize thread.vmrss thread.vmsize.b thread.vmrss.b thread.pfmajor
        thread.pfminor util.cnt
    ",
    ),
    (
        "CHARBUF",
        "",
        "
        evt.time evt.time.s evt.time.iso8601 evt.datetime evt.datetime.s evt.type syscall.type
        evt.category evt.args evt.info evt.res evt.io_dir evt.infra.docker.name
        evt.infra.docker.container.id evt.infra.docker.container.name
        evt.infra.docker.container.image evt.pluginname evt.plugininfo evt.source evt.asynctype
        evt.hostname proc.exe proc.pexe proc.exepath proc.pexepath proc.name proc.pname proc.cmdline
        proc.pcmdline proc.exeline proc.cwd proc.sname proc.sid.exe proc.sid.exepath proc.pgid.name
        proc.pgid.exe proc.pgid.exepath proc.vpgid.name proc.vpgid.exe proc.vpgid.exepath
        proc.stdin.type proc.stdin.name proc.stdout.type proc.stdout.name proc.stderr.type
        proc.stderr.name thread.nametid thread.cap_permitted thread.cap_inheritable
        thread.cap_effective thread.cgroups user.name user.homedir user.shell user.loginname
        group.name fd.type fd.typechar fd.name fd.directory fd.filename fd.nameraw fd.l4proto
        fd.sockfamily fd.uid fd.containername fd.containerdirectory fd.cproto fd.sproto fd.lproto
        fd.rproto fd.cip.name fd.sip.name fd.lip.name fd.rip.name fs.path.name fs.path.nameraw
        fs.path.source fs.path.sourceraw fs.path.target fs.path.targetraw container.id
        container.full_id container.name container.image container.image.id
        container.image.repository container.image.tag container.image.digest container.type
        container.mounts container.ip container.cni.json container.labels k8s.pod.name k8s.ns.name
        k8s.pod.uid k8s.pod.id k8s.pod.sandbox_id k8s.pod.full_sandbox_id k8s.pod.labels k8s.pod.ip
        k8s.pod.cni.json k8smeta.pod.name k8smeta.pod.uid k8smeta.pod.ip k8smeta.ns.name
        k8smeta.ns.uid k8smeta.deployment.name k8smeta.deployment.uid k8smeta.rs.name k8smeta.rs.uid
        k8smeta.rc.name k8smeta.rc.uid fdlist.nums fdlist.names fdlist.cips fdlist.sips
        fdlist.cports fdlist.sports
    ",
    ),
    (
        "ABSTIME",
        "",
        "
        evt.rawtime evt.rawtime.s evt.rawtime.ns proc.exe_ino.ctime proc.exe_ino.mtime
        proc.exe_ino.ctime_duration_proc_start proc.exe_ino.ctime_duration_pidns_start
        proc.pidns_init_start_ts container.start_ts
    ",
    ),
    (
        "RELTIME",
        "",
        "
        evt.reltime evt.reltime.s evt.reltime.ns evt.deltatime evt.deltatime.s evt.deltatime.ns
        proc.duration proc.ppid.duration proc.pid.ts proc.ppid.ts thread.exectime thread.totexectime
        container.duration
    ",
    ),
    (
        "CHARBUF",
        "P",
        "
        evt.outputtime
    ",
    ),
    (
        "RELTIME",
        "D",
        "
        evt.latency evt.latency.s evt.latency.ns evt.wait_latency
    ",
    ),
    (
        "CHARBUF",
        "D",
        "
        evt.latency.human evt.dir container.healthcheck container.liveness_probe
        container.readiness_probe k8s.rc.name k8s.rc.id k8s.rc.labels k8s.svc.name k8s.svc.id
        k8s.svc.labels k8s.rs.name k8s.rs.id k8s.rs.labels k8s.deployment.name k8s.deployment.id
        k8s.deployment.labels k8s.ns.id k8s.ns.labels
    ",
    ),
    (
        "UINT64",
        "D",
        "
        evt.latency.quantized
    ",
    ),
    (
        "UINT32",
        "R",
        "
        evt.type.is
    ",
    ),
    (
        "INT16",
        "",
        "
        evt.cpu
    ",
    ),
    (
        "CHARBUF",
        "R",
        "
        evt.arg thread.cgroup container.mount container.mount.source container.mount.dest
        container.mount.mode container.mount.rdwr container.mount.propagation container.label
        k8s.pod.label k8smeta.pod.label k8smeta.ns.label k8smeta.deployment.label k8smeta.rs.label
        k8smeta.rc.label static
    ",
    ),
    (
        "DYNAMIC",
        "R",
        "
        evt.rawarg
    ",
    ),
    (
        "BYTEBUF",
        "",
        "
        evt.buffer
    ",
    ),
    (
        "INT64",
        "",
        "
        evt.rawres proc.loginshellid proc.pid proc.ppid proc.vpid proc.pvpid proc.sid proc.pgid
        proc.vpgid proc.exe_ino proc.fdlimit thread.tid thread.vtid user.loginuid fd.num fd.ino
    ",
    ),
    (
        "BOOL",
        "",
        "
        evt.failed evt.is_io evt.is_io_read evt.is_io_write evt.is_wait evt.is_syslog
        evt.is_open_read evt.is_open_write evt.is_open_exec evt.is_open_create evt.is_async
        proc.is_exe_writable proc.is_exe_upper_layer proc.is_exe_lower_layer proc.is_exe_from_memfd
        proc.is_sid_leader proc.is_pgid_leader proc.is_vpgid_leader thread.ismain fd.is_server
        fd.connected fd.name_changed fd.is_upper_layer fd.is_lower_layer container.privileged
        container.host_pid container.host_network container.host_ipc
    ",
    ),
    (
        "UINT32",
        "",
        "
        evt.count evt.count.procinfo evt.count.threadinfo evt.count.exit evt.count.error
        evt.count.error.file evt.count.error.net evt.count.error.memory evt.count.error.other
        proc.tty user.uid group.gid
    ",
    ),
    (
        "UINT64",
        "FR",
        "
        evt.around
    ",
    ),
    (
        "CHARBUF",
        "O",
        "
        evt.abspath proc.aexe proc.aexepath proc.aname proc.args proc.aargs proc.acmdline proc.env
        proc.aenv
    ",
    ),
    (
        "INT64",
        "O",
        "
        proc.apid
    ",
    ),
    (
        "DOUBLE",
        "",
        "
        proc.fdusage thread.cpu thread.cpu.user thread.cpu.system
    ",
    ),
    (
        "BOOL",
        "D",
        "
        proc.is_container_healthcheck proc.is_container_liveness_probe
        proc.is_container_readiness_probe
    ",
    ),
    (
        "IPADDR",
        "F",
        "
        fd.ip
    ",
    ),
    (
        "IPADDR",
        "",
        "
        fd.cip fd.sip fd.lip fd.rip
    ",
    ),
    (
        "PORT",
        "F",
        "
        fd.port fd.proto
    ",
    ),
    (
        "PORT",
        "",
        "
        fd.cport fd.sport fd.lport fd.rport
    ",
    ),
    (
        "IPNET",
        "F",
        "
        fd.net fd.cnet fd.snet fd.lnet fd.rnet
    ",
    ),
    (
        "INT32",
        "",
        "
        fd.dev fd.dev.major fd.dev.minor
    ",
    ),
    (
        "CHARBUF",
        "OL",
        "
        fd.types
    ",
    ),
    (
        "CHARBUF",
        "DR",
        "
        k8s.rc.label k8s.svc.label k8s.rs.label k8s.deployment.label k8s.ns.label
    ",
    ),
    (
        "CHARBUF",
        "L",
        "
        k8smeta.pod.labels k8smeta.ns.labels k8smeta.deployment.labels k8smeta.svc.name
        k8smeta.svc.uid k8smeta.svc.labels k8smeta.rs.labels k8smeta.rc.labels
    ",
    ),
    (
        "CHARBUF",
        "RL",
        "
        k8smeta.svc.label
    ",
    ),
];

#[test]
fn the_registry_has_every_field_with_its_type_and_flags_and_no_other() {
    let letters = [
        ('F', Flags::FILTER),
        ('P', Flags::PRINT),
        ('D', Flags::DEPRECATED),
        ('R', Flags::REQUIRED),
        ('O', Flags::OPTIONAL),
        ('L', Flags::LIST),
    ];
    let mut count = 0;
    for (kind, flags, names) in TABLE {
        for name in names.split_whitespace() {
            count += 1;
            let info = by_name(name).unwrap_or_else(|| panic!("{name} is not known"));
            assert_eq!(info.kind.as_str(), *kind, "{name}");
            let found: String =
                letters.iter().filter(|(_, flag)| info.flags.has(*flag)).map(|(letter, _)| letter).collect();
            assert_eq!(found, *flags, "{name}");
            assert_eq!(FieldRef::parse(name).is_ok(), !flags.contains('R'), "{name}");
        }
    }
    assert_eq!(count, FIELDS.len(), "a name stands twice, or the registry has more");
}
