//! Containers end to end, against fixture directories and against servers in this process.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sensor_ebpf::events::Kind;
use serde_json::{Value, json};

use super::*;
use crate::state::testing;

pub(super) const ID: &str = "3ad7b26ded6d8e7b23da7d48fe889434573036c27ae5a74837233de441c3601e";
pub(super) const SANDBOX: &str = "c1e6f2b2f5d8a5b1aa2f0a4df5e9a7c65cf8fd1f23bb6d1f5e7a9bb1e8a1d2f3";

/// A machine made of directories: `proc` with a pid 1 whose root is `host`.
pub(super) struct Machine {
    dir: tempfile::TempDir,
    pub engines: EnginesConfig,
}

impl Machine {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let machine = Self { dir, engines: EnginesConfig { hold_ms: 300, ..EnginesConfig::default() } };
        machine.write("proc/1/mountinfo", "31 30 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
        fs::create_dir_all(machine.host("sys/fs/cgroup")).unwrap();
        symlink(machine.host(""), machine.proc("1/root")).unwrap();
        machine
    }

    pub fn proc(&self, path: &str) -> PathBuf {
        self.dir.path().join("proc").join(path)
    }

    pub fn host(&self, path: &str) -> PathBuf {
        self.dir.path().join("host").join(path)
    }

    pub fn write(&self, path: &str, text: &str) {
        let path = self.dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// A process of root on the host, unless `uid` or `cgroup` say otherwise.
    pub fn process(&self, pid: u32, comm: &str, arguments: &[&str], cwd: &str, uid: u32, cgroup: &str) {
        let dir = format!("proc/{pid}");
        self.write(&format!("{dir}/comm"), &format!("{comm}\n"));
        self.write(&format!("{dir}/cmdline"), &(arguments.join("\0") + "\0"));
        self.write(&format!("{dir}/status"), &format!("Name:\t{comm}\nUid:\t{uid}\t{uid}\t{uid}\t{uid}\n"));
        self.write(&format!("{dir}/cgroup"), &format!("4:memory:/{cgroup}\n0::/\n"));
        let cwd = self.host(cwd.trim_start_matches('/'));
        fs::create_dir_all(&cwd).unwrap();
        symlink(cwd, self.proc(&format!("{pid}/cwd"))).unwrap();
        symlink(self.host(""), self.proc(&format!("{pid}/root"))).unwrap();
    }

    pub fn shim(&self, pid: u32, namespace: &str, id: &str, address: &str, bundle: &str) {
        let arguments =
            ["/usr/bin/containerd-shim-runc-v2", "-namespace", namespace, "-id", id, "-address", address];
        self.process(pid, "containerd-shim", &arguments, bundle, 0, "");
    }

    /// Somebody's keeper of a container of which nothing else is known.
    pub fn keeper(&self, id: &str) {
        self.process(39, "conmon", &["conmon", "--cid", id], "/", 1000, "");
    }

    pub fn start(&self) -> Containers {
        let layout = Layout::detect(&self.proc("")).unwrap();
        Containers::new(self.engines.clone(), Arc::new(layout), &self.proc("")).unwrap()
    }

    /// What becomes of a container whose cgroup is made now.
    pub fn run(&self, path: &str) -> Option<Arc<Container>> {
        let mut containers = self.start();
        containers.apply(&testing::cgroup(Kind::CgroupMkdir, 77, path).record());
        let (_, container) = wait_ready(&mut containers);
        container
    }
}

/// The next `Ready`.
pub(super) fn wait_ready(containers: &mut Containers) -> (ContainerKey, Option<Arc<Container>>) {
    match wait(containers) {
        ContainerEvent::Ready(key, container) => (key, container),
        event @ (ContainerEvent::Updated(..) | ContainerEvent::Removed(..)) => panic!("{event:?}"),
    }
}

fn wait(containers: &mut Containers) -> ContainerEvent {
    let until = Instant::now() + Duration::from_secs(20);
    while Instant::now() < until {
        let mut events = containers.poll();
        assert!(events.len() <= 1, "{events:?}");
        if let Some(event) = events.pop() {
            return event;
        }
        rest(containers);
    }
    panic!("nothing happened");
}

/// Until the workers have something, or for a moment.
fn rest(containers: &Containers) {
    let mut fds = [rustix::event::PollFd::from_borrowed_fd(
        containers.wake_fd().unwrap(),
        rustix::event::PollFlags::IN,
    )];
    let limit = rustix::event::Timespec { tv_sec: 0, tv_nsec: 20_000_000 };
    rustix::event::poll(&mut fds, Some(&limit)).unwrap();
}

pub(super) fn nothing_more(containers: &mut Containers) {
    std::thread::sleep(Duration::from_millis(50));
    let events = containers.poll();
    assert!(events.is_empty(), "{events:?}");
}

fn cri_bundle(kind: &str) -> Value {
    json!({
        "ociVersion": "1.1.0",
        "process": {"user": {"uid": 101, "gid": 0}, "args": ["nginx"], "env": ["A=1"], "apparmorProfile": "cri"},
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/data", "type": "bind", "source": "/srv/data", "options": ["rbind", "rprivate", "ro"]},
        ],
        "linux": {"namespaces": [{"type": "pid"}, {"type": "ipc"}, {"type": "network", "path": "/proc/9/ns/net"}],
            "maskedPaths": ["/proc/kcore"]},
        "annotations": {
            "io.kubernetes.cri.container-type": kind,
            "io.kubernetes.cri.container-name": "web",
            "io.kubernetes.cri.image-name": "docker.io/library/nginx:1.27",
            "io.kubernetes.cri.podsandbox.image-name": "registry.k8s.io/pause:3.10",
            "io.kubernetes.cri.sandbox-id": SANDBOX,
            "io.kubernetes.cri.sandbox-name": "web-7d9",
            "io.kubernetes.cri.sandbox-namespace": "shop",
            "io.kubernetes.cri.sandbox-uid": "1b011081",
        },
    })
}

const POD: &str = "/kubepods/besteffort/pod1b011081";

#[test]
fn the_bundle_names_a_kubernetes_container() {
    let machine = Machine::new();
    // Not where any runtime puts it by default: the pod's shim leads there.
    let bundle = format!("host/odd/state/k8s.io/{ID}/config.json");
    machine.write(&bundle, &cri_bundle("container").to_string());
    machine.shim(40, "k8s.io", SANDBOX, "/none.sock", &format!("/odd/state/k8s.io/{SANDBOX}"));
    let container = machine.run(&format!("{POD}/{ID}")).unwrap();
    let pod = container.pod.as_ref().unwrap();
    assert!(!container.incomplete);
    assert_eq!((container.id.as_str(), container.name.as_str()), (&ID[..12], "web"));
    assert_eq!(
        (container.image.repository.as_str(), container.image.tag.as_str()),
        ("docker.io/library/nginx", "1.27")
    );
    assert_eq!(
        (pod.name.as_str(), pod.namespace.as_str(), pod.uid.as_str()),
        ("web-7d9", "shop", "1b011081")
    );
    assert_eq!((pod.sandbox_id.as_str(), container.is_pod_sandbox), (SANDBOX, false));
    assert_eq!(container.labels["io.kubernetes.pod.name"], "web-7d9");
    assert_eq!(
        (container.runtime.name(), container.user.as_str(), container.privileged),
        ("cri", "101", false)
    );
    assert_eq!(container.mounts.len(), 1);
    assert_eq!((container.mounts[0].source.as_str(), container.mounts[0].writable), ("/srv/data", false));
    assert_eq!(container.payload()["container"]["pod_sandbox_id"], SANDBOX);
}

#[test]
fn a_sandbox_is_known_as_such() {
    let machine = Machine::new();
    let bundle = format!("host/run/containerd/io.containerd.runtime.v2.task/k8s.io/{SANDBOX}/config.json");
    machine.write(&bundle, &cri_bundle("sandbox").to_string());
    let container = machine.run(&format!("{POD}/{SANDBOX}")).unwrap();
    assert!(container.is_pod_sandbox);
    assert_eq!(
        (container.name.as_str(), container.image.repository.as_str()),
        ("web-7d9", "registry.k8s.io/pause")
    );
}

#[test]
fn only_root_outside_of_containers_is_believed() {
    let inside = format!("docker/{SANDBOX}");
    for (uid, cgroup) in [(1000, ""), (0, inside.as_str())] {
        let mut machine = Machine::new();
        machine.engines.hold_ms = 100;
        machine
            .write(&format!("host/odd/state/k8s.io/{ID}/config.json"), &cri_bundle("container").to_string());
        let arguments = ["shim", "-namespace", "k8s.io", "-id", SANDBOX];
        machine.process(
            40,
            "containerd-shim",
            &arguments,
            &format!("/odd/state/k8s.io/{SANDBOX}"),
            uid,
            cgroup,
        );
        let container = machine.run(&format!("{POD}/{ID}"));
        if uid == 0 {
            assert_eq!(container, None, "a shim in a container");
            continue;
        }
        // Somebody runs something like it; what it is, only root may say.
        let container = container.unwrap();
        assert!(container.incomplete, "uid {uid}, {cgroup}");
        assert_eq!((container.id.as_str(), container.name.as_str()), (&ID[..12], ""));
    }
}

#[test]
fn crio_and_podman_are_read_from_disk() {
    let machine = Machine::new();
    let spec = json!({"process": {"env": ["X=1"]}, "annotations": {
        "io.kubernetes.cri-o.ContainerType": "container",
        "io.kubernetes.cri-o.ContainerName": "k8s_web_web-7d9_shop_1b011081_0",
        "io.kubernetes.cri-o.ImageName": "quay.io/shop/web:2",
        "io.kubernetes.cri-o.SandboxID": SANDBOX,
        "io.kubernetes.cri-o.KubeName": "web-7d9",
        "io.kubernetes.cri-o.Namespace": "shop",
        "io.kubernetes.cri-o.IP.0": "10.0.0.9",
        "io.kubernetes.cri-o.Metadata": "{\"name\":\"web\",\"attempt\":1}",
        "io.kubernetes.cri-o.Labels": "{\"io.kubernetes.pod.uid\":\"1b011081\",\"app\":\"shop\"}",
        "io.kubernetes.cri-o.Volumes": "[{\"container_path\":\"/data\",\"host_path\":\"/srv\",\"readonly\":true,\"propagation\":1}]",
    }});
    machine.write(
        &format!("host/run/containers/storage/overlay-containers/{ID}/userdata/config.json"),
        &spec.to_string(),
    );
    let sandbox = json!({"annotations": {
        "io.kubernetes.cri-o.Labels": "{\"app\":\"pod\"}",
        "io.kubernetes.cri-o.CNIResult": "{\"ips\":[{\"address\":\"10.0.0.9/24\"}]}",
    }});
    machine.write(
        &format!("host/run/containers/storage/overlay-containers/{SANDBOX}/userdata/config.json"),
        &sandbox.to_string(),
    );
    let container = machine.run(&format!("/kubepods.slice/crio-{ID}.scope")).unwrap();
    let pod = container.pod.as_ref().unwrap();
    assert_eq!(
        (pod.labels["app"].as_str(), pod.cni.as_str()),
        ("pod", r#"{"ips":[{"address":"10.0.0.9/24"}]}"#)
    );
    assert_eq!(
        (container.name.as_str(), container.runtime.name(), container.ip.as_str()),
        ("web", "cri-o", "10.0.0.9")
    );
    assert_eq!(
        (container.labels["app"].as_str(), container.pod.as_ref().unwrap().uid.as_str()),
        ("shop", "1b011081")
    );
    assert_eq!(
        (container.image.repository.as_str(), container.mounts[0].propagation.as_str()),
        ("quay.io/shop/web", "rslave")
    );

    let machine = Machine::new();
    let storage = "/mnt/graph/overlay-containers";
    machine.write(&format!("host{storage}/{ID}/userdata/config.json"), "{\"process\":{\"env\":[\"Y=2\"]}}");
    let index =
        json!([{"id": ID, "names": ["db"], "metadata": "{\"image-name\":\"docker.io/library/redis:7\"}"}]);
    machine.write(&format!("host{storage}/containers.json"), &index.to_string());
    let bundle = format!("{storage}/{ID}/userdata");
    machine.process(41, "conmon", &["conmon", "-c", ID, "-b", &bundle, "-n", "db"], "/", 0, "");
    let container = machine.run(&format!("/machine.slice/libpod-{ID}.scope/container")).unwrap();
    assert_eq!(
        (container.name.as_str(), container.image.repository.as_str()),
        ("db", "docker.io/library/redis")
    );
    assert_eq!((container.env.as_slice(), container.runtime.name()), (&["Y=2".to_owned()][..], "podman"));
}

#[test]
fn dockers_own_file_is_found_by_its_mounts() {
    let machine = Machine::new();
    let data = "/mnt/docker-data/containers";
    let spec = json!({"mounts": [{"destination": "/etc/hosts", "type": "bind", "source": format!("{data}/{ID}/hosts")}]});
    machine.write(
        &format!("host/run/containerd/io.containerd.runtime.v2.task/moby/{ID}/config.json"),
        &spec.to_string(),
    );
    let config = json!({
        "ID": ID, "Name": "/shop", "Image": "sha256:77", "Created": "2025-11-24T14:22:42.07Z",
        "Config": {"Image": "nginx", "User": "www", "Env": ["A=1"], "Labels": {"app": "shop", "long": "x".repeat(101)}},
        "MountPoints": {"/data": {"Source": "/srv", "Destination": "/data", "RW": true, "Propagation": "rprivate"}},
        "NetworkSettings": {"Networks": {"bridge": {"IPAddress": "172.17.0.2"}, "none": null},
            "Ports": {"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}], "81/tcp": null}},
    });
    machine.write(&format!("host{data}/{ID}/config.v2.json"), &config.to_string());
    machine
        .write(&format!("host{data}/{ID}/hostconfig.json"), "{\"Privileged\":true,\"NetworkMode\":\"host\"}");
    let c = machine.run(&format!("/system.slice/docker-{ID}.scope")).unwrap();
    assert_eq!(
        (c.name.as_str(), c.image.repository.as_str(), c.image.tag.as_str()),
        ("shop", "nginx", "latest")
    );
    assert_eq!(
        (c.image_id.as_str(), c.user.as_str(), c.ip.as_str(), c.created),
        ("77", "www", "172.17.0.2", 1_763_994_162)
    );
    assert!(c.privileged && c.host_network && !c.host_pid && !c.incomplete);
    assert_eq!(c.labels.keys().collect::<Vec<_>>(), ["app"], "long labels are left out");
    let payload = c.payload();
    assert_eq!(payload["container"]["Mounts"][0]["RW"], true);
    assert_eq!(
        payload["container"]["port_mappings"][0],
        json!({"HostIp": "0.0.0.0", "HostPort": 8080, "ContainerPort": 80})
    );
}

#[test]
fn hostile_files_cost_the_hold_and_nothing_else() {
    let bundle = format!("host/run/containerd/io.containerd.runtime.v2.task/k8s.io/{ID}/config.json");
    for text in ["", "[]", "{\"process\":7}", "{\"annotations\":{\"a\":{}}}", &"[".repeat(100_000)] {
        let mut machine = Machine::new();
        machine.engines.hold_ms = 50;
        machine.write(&bundle, text);
        let container = machine.run(&format!("{POD}/{ID}")).unwrap();
        assert_eq!((container.incomplete, container.id.as_str()), (true, &ID[..12]), "{text:.20}");
    }
}

#[test]
fn a_doubtful_path_is_the_hosts_unless_a_shim_knows_it() {
    let machine = Machine::new();
    assert!(machine.run("/process_api/9c737e98").is_none());
    machine.write("host/odd/default/box/config.json", "{}");
    machine.shim(40, "default", "box", "/none.sock", "/odd/default/box");
    assert_eq!(machine.run("/default/box").unwrap().runtime.name(), "containerd");
}

#[test]
fn a_container_comes_and_goes_once() {
    let machine = Machine::new();
    machine.keeper(ID);
    let mut containers = machine.start();
    let path = format!("/machine/libpod-{ID}");
    containers.apply(&testing::cgroup(Kind::CgroupMkdir, 5, "/machine").record());
    containers.apply(&testing::cgroup(Kind::CgroupMkdir, 7, &path).record());
    containers.apply(&testing::cgroup(Kind::CgroupMkdir, 8, &format!("{path}/container\0")).record());
    assert!(matches!(containers.of_cgroup(5), Where::Host));
    let Where::Pending(pending) = containers.of_cgroup(8) else { panic!("not pending") };
    let (key, container) = wait_ready(&mut containers);
    assert_eq!(key, pending);
    assert!(container.unwrap().incomplete);
    for id in [7, 8] {
        assert!(matches!(containers.of_cgroup(id), Where::Container(c) if c.full_id == ID), "{id}");
    }
    assert_eq!(containers.iter().count(), 1);
    containers.give_up(key);
    nothing_more(&mut containers);
    containers.apply(&testing::cgroup(Kind::CgroupRmdir, 8, &path).record());
    nothing_more(&mut containers);
    containers.apply(&testing::cgroup(Kind::CgroupRmdir, 7, &path).record());
    containers.apply(&testing::cgroup(Kind::CgroupRmdir, 7, &path).record());
    assert!(matches!(wait(&mut containers), ContainerEvent::Removed(k, _) if k == key));
    nothing_more(&mut containers);
    assert!(matches!(containers.of_cgroup(7), Where::Container(_)), "late records find it");
    assert_eq!(containers.iter().count(), 0);
    // The same container again is another life of it.
    containers.apply(&testing::cgroup(Kind::CgroupMkdir, 9, &path).record());
    assert!(wait_ready(&mut containers).0 > key);
    assert_eq!(containers.stats().incomplete, 2);
}

#[test]
fn one_that_ends_before_it_is_known_is_added_then_removed() {
    let machine = Machine::new();
    machine.keeper(ID);
    let mut containers = machine.start();
    let path = format!("/docker/{ID}");
    containers.apply(&testing::cgroup(Kind::CgroupMkdir, 7, &path).record());
    containers.apply(&testing::cgroup(Kind::CgroupRmdir, 7, &path).record());
    let until = Instant::now() + Duration::from_secs(20);
    let mut events = Vec::new();
    while events.len() < 2 && Instant::now() < until {
        events.extend(containers.poll());
        rest(&containers);
    }
    assert!(
        matches!(events[..], [ContainerEvent::Ready(a, Some(_)), ContainerEvent::Removed(b, _)] if a == b),
        "{events:?}"
    );
}

#[test]
fn containers_that_run_already_are_found() {
    let machine = Machine::new();
    fs::create_dir_all(machine.host("sys/fs/cgroup/lxc/web/init.scope")).unwrap();
    let mut containers = machine.start();
    containers.seed();
    let (_, container) = wait_ready(&mut containers);
    let container = container.unwrap();
    assert_eq!(
        (container.id.as_str(), container.runtime.name(), container.preexisting),
        ("web", "lxc", true)
    );
    assert!(!container.incomplete);
    let id = containers.outside.as_ref().unwrap().layout.id_of("/lxc/web/init.scope").unwrap();
    assert!(matches!(containers.of_cgroup(id), Where::Container(_)));
    // An id that nobody can resolve is the host's.
    assert!(matches!(containers.of_cgroup(u64::MAX), Where::Host));
}

#[test]
fn metadata_that_comes_late_replaces_what_was_incomplete() {
    let machine = Machine::new();
    machine.keeper(ID);
    let mut containers = machine.start();
    containers.apply(&testing::cgroup(Kind::CgroupMkdir, 7, &format!("{POD}/{ID}")).record());
    assert!(wait_ready(&mut containers).1.unwrap().incomplete);
    let bundle = format!("host/run/containerd/io.containerd.runtime.v2.task/k8s.io/{ID}/config.json");
    machine.write(&bundle, &cri_bundle("container").to_string());
    let late = wait(&mut containers);
    assert!(matches!(&late, ContainerEvent::Updated(_, c) if c.name == "web" && !c.incomplete), "{late:?}");
    assert!(matches!(containers.of_cgroup(7), Where::Container(c) if c.name == "web"));
    nothing_more(&mut containers);
}

#[test]
fn the_configuration_is_falcos() {
    let engines: EnginesConfig = serde_json::from_value(json!({
        "label_max_len": 50,
        "docker": {"enabled": false, "sockets": ["/x.sock"]},
        "lxc": {"enabled": false},
    }))
    .unwrap();
    assert!(!engines.docker.enabled && !engines.lxc.enabled && engines.cri.enabled);
    assert_eq!(engines.docker.sockets, [Path::new("/x.sock")]);
    assert_eq!(engines.cri.sockets.len(), 4);
    assert!(serde_json::from_value::<EnginesConfig>(json!({"dokcer": {}})).is_err());
}
