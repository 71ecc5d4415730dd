//! A real containerd with a real container, both private to the test.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use sensor_ebpf::events::Kind;
use sha2::{Digest as _, Sha256};

use super::*;
use crate::probe;

const IMAGE: &str = "registry.example:5000/team/falconet-test:1.0";

/// containerd with its own root, state and socket; stopped when dropped.
struct Containerd {
    dir: tempfile::TempDir,
    process: Child,
    /// The test's container.
    name: String,
}

impl Containerd {
    fn start() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name).display().to_string();
        let config = format!(
            "version = 2\nroot = {:?}\nstate = {:?}\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n\
             [grpc]\naddress = {:?}\n[ttrpc]\naddress = {:?}\n[plugins.\"io.containerd.internal.v1.opt\"]\npath = {:?}\n",
            path("root"),
            path("state"),
            path("c.sock"),
            path("t.sock"),
            path("opt")
        );
        fs::write(dir.path().join("config.toml"), config).unwrap();
        let log = File::create(dir.path().join("log")).unwrap();
        let process = Command::new("containerd")
            .arg("-c")
            .arg(dir.path().join("config.toml"))
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let name = format!("falconet-test-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let containerd = Self { dir, process, name };
        let until = Instant::now() + Duration::from_secs(20);
        while containerd.ctr(&["version"]).is_err() {
            if Instant::now() > until {
                let log = fs::read_to_string(containerd.dir.path().join("log")).unwrap_or_default();
                panic!("containerd does not start here:\n{log}");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        containerd
    }

    fn ctr(&self, arguments: &[&str]) -> Result<(), String> {
        let socket = self.dir.path().join("c.sock");
        let mut command = Command::new("ctr");
        let output =
            command.arg("--address").arg(socket).args(arguments).stdin(Stdio::null()).output().unwrap();
        if output.status.success() {
            Ok(())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }

    /// Imports an image with nothing but busybox, as `docker save` would write it.
    fn import_image(&self) {
        let dir = self.dir.path().join("image");
        layer(&dir);
        let digest = Sha256::digest(fs::read(dir.join("layer.tar")).unwrap());
        let digest = digest.iter().fold(String::new(), |text, b| text + &format!("{b:02x}"));
        let config = serde_json::json!({"architecture": "amd64", "os": "linux", "config": {"Env": ["PATH=/bin"]},
            "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{digest}")]}});
        fs::write(dir.join("config.json"), config.to_string()).unwrap();
        let manifest =
            serde_json::json!([{"Config": "config.json", "RepoTags": [IMAGE], "Layers": ["layer.tar"]}]);
        fs::write(dir.join("manifest.json"), manifest.to_string()).unwrap();
        tar(&dir, &dir.join("image.tar"), &["config.json", "manifest.json", "layer.tar"]);
        self.ctr(&[
            "image",
            "import",
            "--snapshotter",
            "native",
            &dir.join("image.tar").display().to_string(),
        ])
        .unwrap();
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        // Of a test that failed: its container and with it the shim go first.
        let _ = self.ctr(&["task", "rm", "--force", &self.name]);
        let _ = self.process.kill();
        let _ = self.process.wait();
        remove_cgroups("default");
    }
}

fn tar(from: &Path, to: &Path, names: &[&str]) {
    let status = Command::new("tar").arg("-C").arg(from).arg("-cf").arg(to).args(names).status();
    assert!(status.unwrap().success());
}

/// Writes `layer.tar`, a root file system with nothing but busybox.
fn layer(dir: &Path) {
    let bin = dir.join("layer/bin");
    fs::create_dir_all(&bin).unwrap();
    fs::copy("/bin/busybox", bin.join("busybox")).unwrap();
    std::os::unix::fs::symlink("busybox", bin.join("sleep")).unwrap();
    tar(&dir.join("layer"), &dir.join("layer.tar"), &["bin"]);
}

/// Removes the cgroups that a runtime leaves; not those where anybody else's container is.
fn remove_cgroups(name: &str) {
    let roots = fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten().map(|e| e.path());
    for root in roots.chain([PathBuf::from("/sys/fs/cgroup")]) {
        // The last process may still be on its way out.
        for _ in 0..20 {
            match fs::remove_dir(root.join(name)) {
                Err(error) if error.kind() == std::io::ErrorKind::ResourceBusy => {
                    std::thread::sleep(Duration::from_millis(50));
                }
                _ => break,
            }
        }
    }
}

fn wait_for<T>(mut look: impl FnMut() -> Option<T>, what: &str) -> T {
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < until, "{what} did not come");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
#[cfg_attr(not(has_containerd), ignore = "needs root and containerd")]
fn a_real_container_is_known_in_time() {
    let containerd = Containerd::start();
    containerd.import_image();

    let layout = Arc::new(Layout::detect(Path::new("/proc")).unwrap());
    let mut containers =
        Containers::new(EnginesConfig::default(), layout.clone(), Path::new("/proc")).unwrap();
    let name = containerd.name.clone();
    let run = [
        "run",
        "--snapshotter",
        "native",
        "-d",
        "--label",
        "team=red",
        "--env",
        "A=1",
        IMAGE,
        &name,
        "/bin/sleep",
        "60",
    ];
    let (id, ready) = std::thread::scope(|scope| {
        let starting = scope.spawn(|| containerd.ctr(&run));
        // No probe in this test: look for the cgroup instead.
        let id = wait_for(|| layout.id_of(&format!("/default/{name}")), "the cgroup");
        let made = Instant::now();
        assert!(matches!(containers.of_cgroup(id), Where::Pending(_)));
        let event = wait_for(|| containers.poll().pop(), "the metadata");
        println!("metadata after {:?}", made.elapsed());
        starting.join().unwrap().unwrap();
        (id, event)
    });
    let ContainerEvent::Ready(key, Some(container)) = ready else { panic!("{ready:?}") };
    let image = &container.image;
    assert!(!container.incomplete);
    assert_eq!((container.full_id.as_str(), container.runtime.name()), (name.as_str(), "containerd"));
    assert_eq!(
        (image.repository.as_str(), image.tag.as_str()),
        ("registry.example:5000/team/falconet-test", "1.0")
    );
    assert!(image.digest.starts_with("sha256:"), "{image:?}");
    assert_eq!(container.labels["team"], "red");
    assert!(container.env.contains(&"A=1".to_owned()) && !container.privileged && !container.host_network);

    // A sensor that starts now finds it too.
    let mut later = Containers::new(EnginesConfig::default(), layout.clone(), Path::new("/proc")).unwrap();
    later.seed();
    let found = wait_for(
        || {
            later
                .poll()
                .into_iter()
                .find(|e| matches!(e, ContainerEvent::Ready(_, Some(c)) if c.full_id == name))
        },
        "the running container",
    );
    let ContainerEvent::Ready(_, Some(found)) = found else { unreachable!() };
    assert!(found.preexisting && !found.incomplete);
    assert!(matches!(later.of_cgroup(id), Where::Container(c) if c.labels == container.labels));

    // Its process is in its own namespaces, and its cgroup is what the records would say.
    let procfs = crate::state::ProcFs::new("/proc", Some(layout.clone()));
    let sleeping =
        procfs.pids().into_iter().filter_map(|pid| procfs.read(pid)).find(|p| p.cgroup == id).unwrap();
    assert_eq!((sleeping.comm(), &*sleeping.image.exepath), (&b"sleep"[..], &b"/bin/busybox"[..]));
    assert_eq!((sleeping.task.vpid, &*sleeping.cwd), (1, &b"/"[..]));

    containerd.ctr(&["task", "kill", "-s", "KILL", &name]).unwrap();
    wait_for(|| containerd.ctr(&["task", "rm", &name]).ok(), "the end of the task");
    containerd.ctr(&["container", "rm", &name]).unwrap();
    assert_eq!(layout.id_of(&format!("/default/{name}")), None);
    containers.apply(&crate::state::testing::cgroup(Kind::CgroupRmdir, id, "").record());
    let gone = wait_for(|| containers.poll().pop(), "the removal");
    assert!(matches!(gone, ContainerEvent::Removed(k, _) if k == key), "{gone:?}");
}

#[test]
#[cfg_attr(not(all(has_containerd, has_btf)), ignore = "needs root, containerd and a kernel with BTF")]
fn the_kernel_tells_of_a_container_that_lives_for_a_moment() {
    let containerd = Containerd::start();
    containerd.import_image();
    let layout = Arc::new(Layout::detect(Path::new("/proc")).unwrap());
    let options = probe::Options {
        cgroup_controller: layout.controller().map(str::to_owned),
        cgroup_hierarchy: layout.hierarchy(),
        ..probe::Options::default()
    };
    let (_probe, mut lanes) = probe::Probe::load(&options).unwrap();
    let mut containers =
        Containers::new(EnginesConfig::default(), layout.clone(), Path::new("/proc")).unwrap();
    containers.seed();
    let procfs = crate::state::ProcFs::new("/proc", Some(layout));
    let options = crate::state::processes::Options::default();
    let mut processes = crate::state::Processes::new(options, procfs).unwrap();
    processes.seed();

    let name = containerd.name.as_str();
    let run = ["run", "--rm", "--snapshotter", "native", IMAGE, name, "/bin/sleep", "0"];
    let (mut execs, mut events, mut children) = (Vec::new(), Vec::new(), 0);
    std::thread::scope(|scope| {
        let running = scope.spawn(|| containerd.ctr(&run));
        let until = Instant::now() + Duration::from_secs(20);
        let removed = |events: &[ContainerEvent]| {
            events.iter().any(|e| matches!(e, ContainerEvent::Removed(_, c) if c.full_id == name))
        };
        while !removed(&events) && Instant::now() < until {
            lanes.wait(Duration::from_millis(50), containers.wake_fd().as_slice()).unwrap();
            lanes.drain(usize::MAX, |record| {
                processes.apply(&record);
                containers.apply(&record);
                let header = record.header();
                if header.kind != Kind::Exec as u16 {
                    return;
                }
                // This test was found in /proc, its child by the probe: both must give it the same identity.
                let process = processes.get(header.exec_id).unwrap();
                if process.comm() == b"ctr" {
                    let parent = processes.parent(process, header.time).unwrap();
                    children += usize::from(parent.tgid == std::process::id());
                }
                let known = match containers.of_cgroup(header.cgroup) {
                    Where::Host => return,
                    Where::Pending(_) => false,
                    Where::Container(container) => container.full_id == name,
                };
                let parent = processes.parent(process, header.time).unwrap();
                execs.push((known, process.clone(), parent.clone()));
            });
            events.extend(containers.poll());
        }
        running.join().unwrap().unwrap();
    });
    let Some(ContainerEvent::Ready(key, Some(container))) =
        events.iter().find(|e| matches!(e, ContainerEvent::Ready(_, Some(c)) if c.full_id == name))
    else {
        panic!("{events:?}")
    };
    assert_eq!((container.image.tag.as_str(), container.incomplete), ("1.0", false));
    let ends = events.iter().filter(|e| matches!(e, ContainerEvent::Removed(k, _) if k == key)).count();
    assert_eq!(ends, 1);
    assert!(children > 0);
    assert_eq!(containers.stats().cgroups_resolved, 0, "the kernel told of every cgroup");
    // What runs in it is never taken for the host's, known or not.
    let (known, process, parent) = execs.iter().find(|(_, p, _)| p.comm() == b"sleep").unwrap();
    println!("at its first exec the container was {}", if *known { "known" } else { "awaited" });
    assert_eq!(
        (&*process.image.exepath, &*process.image.args),
        (&b"/bin/busybox"[..], &b"/bin/sleep\x000\0"[..])
    );
    assert_eq!((process.task.vpid, parent.comm()), (1, &b"containerd-shim"[..]));
}

/// Podman with its own storage; its container is removed when dropped.
struct Podman {
    dir: tempfile::TempDir,
}

impl Podman {
    fn command(&self) -> Command {
        let path = |name: &str| self.dir.path().join(name);
        let mut command = Command::new("podman");
        command
            .arg("--root")
            .arg(path("root"))
            .arg("--runroot")
            .arg(path("run"))
            .arg("--tmpdir")
            .arg(path("tmp"));
        // crun refuses hybrid hierarchies, systemd may not run, and overlays do not stack.
        command.args(["--runtime", "runc", "--cgroup-manager", "cgroupfs", "--storage-driver", "vfs"]);
        command.stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Result<String, String> {
        let output = self.command().args(arguments).output().unwrap();
        let text = |bytes| String::from_utf8_lossy(bytes).trim().to_owned();
        if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        let _ = self.run(&["rm", "--all", "--force", "--time", "0"]);
        remove_cgroups("libpod_parent/conmon");
        remove_cgroups("libpod_parent");
    }
}

#[test]
#[cfg_attr(not(has_podman), ignore = "needs root and podman")]
fn podmans_container_is_named_from_disk_and_labelled_by_its_api() {
    let podman = Podman { dir: tempfile::tempdir().unwrap() };
    layer(podman.dir.path());
    let image = podman.dir.path().join("layer.tar").display().to_string();
    // The limits that podman sets by default need CAP_SYS_RESOURCE.
    let run = [
        "run",
        "--detach",
        "--name",
        "web",
        "--label",
        "team=red",
        "--network",
        "none",
        "--ulimit",
        "nofile=1024:1024",
        "--ulimit",
        "nproc=1024:1024",
        IMAGE,
        "/bin/sleep",
        "60",
    ];
    let started = podman.run(&["import", &image, IMAGE]).and_then(|_| podman.run(&run));
    let id = started.unwrap();

    let layout = Arc::new(Layout::detect(Path::new("/proc")).unwrap());
    let look = |engines: EnginesConfig| {
        let mut containers = Containers::new(engines, layout.clone(), Path::new("/proc")).unwrap();
        containers.seed();
        wait_for(
            || {
                containers.poll().into_iter().find_map(|e| match e {
                    ContainerEvent::Ready(_, Some(c)) if c.full_id == id => Some(c),
                    _ => None,
                })
            },
            "the container",
        )
    };
    let mut engines = EnginesConfig::default();
    engines.podman.sockets.clear();
    let c = look(engines.clone());
    assert_eq!((c.name.as_str(), c.runtime.name(), c.incomplete), ("web", "podman", false));
    assert_eq!(
        (c.image.repository.as_str(), c.image.tag.as_str()),
        ("registry.example:5000/team/falconet-test", "1.0")
    );
    assert!(c.labels.is_empty() && c.image_id.len() == 64 && !c.privileged);

    let socket = podman.dir.path().join("p.sock");
    let address = format!("unix://{}", socket.display());
    let mut service = podman.command().args(["system", "service", "--time", "0", &address]).spawn().unwrap();
    wait_for(|| std::os::unix::net::UnixStream::connect(&socket).ok(), "podman's API");
    engines.podman.sockets = vec![socket];
    let c = look(engines);
    let _ = service.kill();
    let _ = service.wait();
    assert_eq!((c.name.as_str(), c.runtime.name(), c.labels["team"].as_str()), ("web", "podman", "red"));
    assert_eq!(
        (c.image.repository.as_str(), c.incomplete),
        ("registry.example:5000/team/falconet-test", false)
    );
}
