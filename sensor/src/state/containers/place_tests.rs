//! Where a process is, by its cgroup or whatever its cgroup: against records made by hand and fixture directories.

use std::fs;
use std::sync::Arc;

use sensor_ebpf::events::Kind;
use sensor_ebpf::events::process::Exec;
use sensor_ebpf::record::{Header, Tail, Task};

use super::tests::{ID, Machine, SANDBOX, nothing_more, wait_ready};
use super::*;
use crate::state::process::{Image, Process};
use crate::state::testing::{Made, Who, cgroup, cgroup_of, record};

/// A mount namespace of the host, and one of a container.
const HOST: u32 = 0;
const INSIDE: u32 = 77;

const RUNC: Who = Who { pid: 500, start: 5 };
const INIT: Who = Who { pid: 501, start: 5 };
const CHILD: Who = Who { pid: 502, start: 6 };
const GRANDCHILD: Who = Who { pid: 503, start: 7 };
const SHELL: Who = Who { pid: 600, start: 1 };

fn header(who: Who, cgroup: u64) -> Header {
    Header { cgroup, ..who.header(9) }
}

fn fork(who: Who, parent: Who, cgroup: u64) -> Made {
    let task = who.task(parent, "x");
    let forker = task.parent_exec_id;
    record(Kind::Fork, header(who, cgroup), &[], |_| sensor_ebpf::events::process::Fork { task, forker })
}

/// An exec in a cgroup and a mount namespace, by a user.
fn exec(who: Who, cgroup: u64, mntns: u32, uid: u32, line: &str) -> Made {
    let words = line.replace(' ', "\0") + "\0";
    let name = line.split(' ').next().unwrap();
    let task = Task { mntns, uid, ..who.task(SHELL, name) };
    record(Kind::Exec, header(who, cgroup), &[words.as_bytes(), b"/b"], |tails| Exec {
        task,
        exe: Image::unknown().exe,
        exepath: Tail::EMPTY,
        filename: Tail::EMPTY,
        args: tails[0],
        env: Tail::EMPTY,
        cwd: tails[1],
        reserved: 0,
    })
}

fn name(containers: &mut Containers, who: Who, cgroup: u64) -> String {
    match containers.of(&header(who, cgroup)) {
        Where::Host => "host".into(),
        Where::Pending(_) => "pending".into(),
        Where::Container(container) => container.id.clone(),
    }
}

/// A machine on which cgroup 1 is the host's.
fn start(machine: &Machine) -> Containers {
    let mut containers = machine.start();
    containers.apply(&cgroup(Kind::CgroupMkdir, 1, "/").record());
    containers
}

/// Has `runc` make `web` with its first process in `cgroup`; the cgroups are made by it.
fn run_web(containers: &mut Containers, cgroups: &[(u64, &str)], cgroup: u64) {
    containers.apply(&exec(RUNC, 1, HOST, 0, "runc run --bundle /b web").record());
    for (id, path) in cgroups {
        containers.apply(&cgroup_of(RUNC, Kind::CgroupMkdir, *id, path).record());
    }
    containers.apply(&fork(INIT, RUNC, 1).record());
    containers.apply(&exec(INIT, 1, HOST, 0, "runc init").record());
    containers.apply(&exec(INIT, cgroup, INSIDE, 0, "sleep 9").record());
}

fn bundle(machine: &Machine) {
    machine.write("host/b/config.json", "{\"process\":{\"env\":[\"A=1\"]}}");
}

#[test]
fn a_cgroup_that_is_only_named_like_a_containers_is_none() {
    let machine = Machine::new();
    for path in [format!("/docker/{ID}"), format!("/machine.slice/libpod-{ID}.scope"), format!("/{ID}")] {
        assert_eq!(machine.run(&path), None, "{path}");
    }
    let mut containers = start(&machine);
    containers.apply(&cgroup(Kind::CgroupMkdir, 7, &format!("/docker/{ID}")).record());
    wait_ready(&mut containers);
    assert_eq!((name(&mut containers, SHELL, 7), containers.stats().made_by_hand), ("host".into(), 1));
    assert_eq!(containers.iter().count(), 0);
    // A real one of that name makes it one.
    bundle(&machine);
    containers.apply(&exec(RUNC, 1, HOST, 0, &format!("runc run --bundle /b {ID}")).record());
    containers.apply(&cgroup_of(RUNC, Kind::CgroupMkdir, 8, &format!("/a/{ID}")).record());
    let (_, container) = wait_ready(&mut containers);
    assert_eq!(container.unwrap().full_id, ID);
}

#[test]
fn inside_of_a_container_such_a_cgroup_is_the_containers() {
    let machine = Machine::new();
    bundle(&machine);
    let mut containers = start(&machine);
    run_web(&mut containers, &[(7, "/custom"), (8, "/custom/a")], 8);
    wait_ready(&mut containers);
    for (id, path) in
        [(9, format!("/custom/a/{ID}")), (10, format!("/custom/a/docker/{ID}/docker/{SANDBOX}"))]
    {
        containers.apply(&cgroup_of(INIT, Kind::CgroupMkdir, id, &path).record());
        assert_eq!(name(&mut containers, CHILD, id), "pending");
        assert_eq!(wait_ready(&mut containers).1, None);
    }
    for id in [8, 9, 10] {
        assert_eq!(name(&mut containers, CHILD, id), "web", "{id}");
    }
    assert_eq!(name(&mut containers, CHILD, 7), "host", "the parent that the runtime made is nobody's");
}

#[test]
fn the_runtime_says_whose_cgroup_it_makes() {
    let machine = Machine::new();
    bundle(&machine);
    // A name that a person chose is not cut, and that the path looks like another container's means nothing.
    for path in ["/custom/a".to_owned(), format!("/docker/{ID}"), "/x".to_owned()] {
        let mut containers = start(&machine);
        let line = "runc --root /r create --bundle /b nightly-backup-7";
        containers.apply(&exec(RUNC, 1, HOST, 0, line).record());
        containers.apply(&cgroup_of(RUNC, Kind::CgroupMkdir, 8, &path).record());
        let (_, container) = wait_ready(&mut containers);
        let container = container.unwrap();
        assert_eq!(
            (container.id.as_str(), container.name.as_str()),
            ("nightly-backup-7", "nightly-backup-7")
        );
        assert_eq!((container.runtime.name(), container.env[0].as_str()), ("oci", "A=1"));
        assert!(!container.incomplete);
    }
}

#[test]
fn who_leaves_the_cgroup_stays_in_the_container() {
    let machine = Machine::new();
    bundle(&machine);
    let mut containers = start(&machine);
    run_web(&mut containers, &[(8, "/custom/a")], 8);
    wait_ready(&mut containers);
    containers.apply(&fork(CHILD, INIT, 8).record());
    // It moves itself to the root of the hierarchy, unshares everything, makes a child, and runs something.
    assert_eq!(name(&mut containers, CHILD, 1), "web");
    containers.apply(&fork(GRANDCHILD, CHILD, 1).record());
    containers.apply(&exec(GRANDCHILD, 1, 99, 0, "sh").record());
    assert_eq!(name(&mut containers, GRANDCHILD, 1), "web");
    // Nor does it leave by making a cgroup of another name.
    containers.apply(&cgroup_of(GRANDCHILD, Kind::CgroupMkdir, 9, &format!("/docker/{ID}")).record());
    wait_ready(&mut containers);
    containers.apply(&exec(GRANDCHILD, 9, 99, 0, "sh").record());
    assert_eq!(name(&mut containers, GRANDCHILD, 9), "web");
    // What it says of containers is not believed.
    containers.apply(&exec(GRANDCHILD, 1, 99, 0, "runc run other").record());
    containers.apply(&cgroup_of(GRANDCHILD, Kind::CgroupMkdir, 10, "/other").record());
    assert_eq!(name(&mut containers, SHELL, 10), "host");
    // A late record of the dead still finds it.
    containers.apply(&GRANDCHILD.exit(10, SHELL).record());
    assert_eq!(name(&mut containers, GRANDCHILD, 1), "web");
}

#[test]
fn who_enters_the_mount_namespace_is_in_the_container() {
    let machine = Machine::new();
    bundle(&machine);
    let mut containers = start(&machine);
    run_web(&mut containers, &[(8, "/custom/a")], 8);
    wait_ready(&mut containers);
    containers.apply(&exec(SHELL, 1, HOST, 0, "nsenter -t 501 -a sh").record());
    assert_eq!(name(&mut containers, SHELL, 1), "host");
    containers.apply(&exec(SHELL, 1, INSIDE, 0, "sh").record());
    assert_eq!(name(&mut containers, SHELL, 1), "web");
    // One of its own is another matter.
    containers.apply(&exec(CHILD, 1, 99, 0, "unshare -m sh").record());
    assert_eq!(name(&mut containers, CHILD, 1), "host");
}

#[test]
fn a_container_without_a_cgroup_lives_as_long_as_its_first_process() {
    let machine = Machine::new();
    bundle(&machine);
    let mut containers = start(&machine);
    run_web(&mut containers, &[], 1);
    let (key, _) = wait_ready(&mut containers);
    assert_eq!([INIT, RUNC, SHELL].map(|who| name(&mut containers, who, 1)), ["web", "host", "host"]);
    containers.apply(&fork(CHILD, INIT, 1).record());
    containers.apply(&CHILD.exit(10, SHELL).record());
    nothing_more(&mut containers);
    containers.apply(&INIT.exit(11, SHELL).record());
    assert!(matches!(&containers.poll()[..], [ContainerEvent::Removed(k, _)] if *k == key));
}

#[test]
fn what_a_user_says_makes_a_container_and_does_not_describe_it() {
    let machine = Machine::new();
    bundle(&machine);
    let mut containers = start(&machine);
    containers.apply(&exec(RUNC, 1, HOST, 1000, "crun run --bundle /b web").record());
    containers.apply(&cgroup_of(RUNC, Kind::CgroupMkdir, 8, "/user.slice/a").record());
    let (_, container) = wait_ready(&mut containers);
    assert!(container.is_some_and(|c| c.incomplete && c.id == "web" && c.env.is_empty()));
}

#[test]
fn what_runs_already_is_found_by_its_keeper_and_its_first_process() {
    let machine = Machine::new();
    bundle(&machine);
    let inside = |pid: u32, cgroup: &str, mntns: u32| {
        machine.process(pid, "sleep", &["sleep"], "/", 0, cgroup);
        fs::create_dir_all(machine.proc(&format!("{pid}/ns"))).unwrap();
        std::os::unix::fs::symlink(format!("mnt:[{mntns}]"), machine.proc(&format!("{pid}/ns/mnt"))).unwrap();
        machine.write(&format!("proc/{pid}/cgroup"), &format!("0::/{cgroup}\n"));
    };
    // By hand, in a cgroup of its own; and of a conmon, in the same cgroup as that.
    fs::create_dir_all(machine.host("sys/fs/cgroup/custom/a/sub")).unwrap();
    inside(50, "custom/a", 71);
    machine.write(
        "host/run/runc/web/state.json",
        "{\"init_process_pid\":50,\"config\":{\"labels\":[\"bundle=/b\"]}}",
    );
    inside(51, "", 72);
    machine.write("host/c/config.json", "{}");
    machine.write("host/c/pidfile", "51");
    machine.process(41, "conmon", &["conmon", "-c", ID, "-b", "/c", "-n", "db"], "/", 0, "");
    let mut containers = machine.start();
    containers.seed();
    let process = |who: Who, cgroup, mntns| {
        let task = Task { mntns, ..who.task(SHELL, "sleep") };
        Arc::new(Process { task, cgroup, ..Process::unknown(who.exec_id(), who.pid) })
    };
    let of = |path: &str| containers.outside.as_ref().unwrap().layout.id_of(path).unwrap();
    let (root, own, sub) = (of("/"), of("/custom/a"), of("/custom/a/sub"));
    let all = [process(INIT, own, 71), process(CHILD, root, 72), process(SHELL, root, 1)];
    containers.seed_processes(all.iter());
    let mut ready = Vec::new();
    while ready.len() < 2 {
        ready.extend(containers.poll().into_iter().filter_map(|event| match event {
            ContainerEvent::Ready(_, container) => container,
            ContainerEvent::Updated(..) | ContainerEvent::Removed(..) => None,
        }));
        std::thread::yield_now();
    }
    assert!(ready.iter().all(|c| c.preexisting && !c.incomplete), "{ready:?}");
    assert_eq!(name(&mut containers, GRANDCHILD, sub), "web");
    assert_eq!([INIT, CHILD, SHELL].map(|who| name(&mut containers, who, root)), ["web", &ID[..12], "host"]);
    assert!(ready.iter().any(|c| c.name == "db" && c.runtime.name() == "podman"), "{ready:?}");
}
