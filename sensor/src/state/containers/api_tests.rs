//! The runtimes' APIs, answered by servers in this process.

use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use axum::routing::{get, post};
use prost::Message;
use serde_json::json;
use tonic::Status;
use tonic_prost::ProstCodec;

use super::Container;
use super::containerd::{
    Any, Descriptor, GetContainerRequest, GetContainerResponse, GetImageRequest, GetImageResponse, Image,
    Record, Timestamp,
};
use super::cri::{
    ContainerMetadata, ContainerStatus, ContainerStatusResponse, CriMount, ImageSpec, NamespaceOption,
    SandboxLinux, SandboxMetadata, SandboxNamespaces, SandboxNetwork, SandboxStatus, SandboxStatusResponse,
    StatusRequest,
};
use super::tests::{ID, Machine, SANDBOX};

/// Serves `router` on a unix socket until the test ends.
fn serve(socket: &Path, router: Router) -> tokio::runtime::Runtime {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    std::fs::create_dir_all(socket.parent().unwrap()).unwrap();
    let listener = UnixListener::bind(socket).unwrap();
    listener.set_nonblocking(true).unwrap();
    runtime.spawn(async move {
        let listener = tokio::net::UnixListener::from_std(listener).unwrap();
        axum::serve(listener, router).await.unwrap();
    });
    runtime
}

/// A gRPC method.
fn method<Q, A>(
    answer: impl Fn(tonic::Request<Q>) -> Result<A, Status> + Clone + Send + Sync + 'static,
) -> axum::routing::MethodRouter
where
    Q: Message + Default + Send + Sync + 'static,
    A: Message + Default + Send + Sync + 'static,
{
    post(move |request: Request<Body>| async move {
        let service = tower::service_fn(move |request| {
            let answer = answer(request).map(tonic::Response::new);
            async move { answer }
        });
        let mut grpc = tonic::server::Grpc::new(ProstCodec::<A, Q>::default());
        grpc.unary(service, request).await.map(Body::new)
    })
}

const GET: &str = "/containerd.services.containers.v1.Containers/Get";
const DIGEST: &str = "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

/// containerd's services, as it would answer for a container in the namespace `default` and for a pod.
fn containerd(asked: Arc<Mutex<Vec<(String, String)>>>) -> Router {
    let get = move |request: tonic::Request<GetContainerRequest>| {
        let namespace = request.metadata().get("containerd-namespace").unwrap().to_str().unwrap().to_owned();
        let id = request.into_inner().id;
        asked.lock().unwrap().push((namespace, id.clone()));
        let labels = match id.as_str() {
            "box" => vec![("app", "shop")],
            ID => vec![("io.cri-containerd.kind", "container"), ("tier", "front")],
            SANDBOX => vec![("io.cri-containerd.kind", "sandbox"), ("team", "red")],
            _ => return Err(Status::not_found("no such container")),
        };
        let record = Record {
            id,
            labels: labels.into_iter().map(|(k, v)| (k.into(), v.into())).collect(),
            image: "docker.io/library/busybox:1.36".into(),
            spec: Some(Any { type_url: "x".into(), value: br#"{"process":{"env":["FROM=api"]}}"#.to_vec() }),
            created_at: Some(Timestamp { seconds: 1_700_000_000 }),
        };
        Ok(GetContainerResponse { container: Some(record) })
    };
    let image = |request: tonic::Request<GetImageRequest>| {
        let target = Some(Descriptor { digest: DIGEST.into() });
        Ok(GetImageResponse { image: Some(Image { name: request.into_inner().name, target }) })
    };
    Router::new().route(GET, method(get)).route("/containerd.services.images.v1.Images/Get", method(image))
}

/// As CRI names an image that was pulled.
const PULLED: &str =
    "docker.io/library/nginx@sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

#[test]
fn containerd_adds_image_and_labels() {
    let machine = Machine::new();
    let asked = Arc::default();
    let socket = machine.host("odd/c.sock");
    let _server = serve(&socket, containerd(Arc::clone(&asked)));
    machine.write("host/odd/state/default/box/config.json", r#"{"process":{"env":["FROM=disk"]}}"#);
    machine.shim(40, "default", "box", "/odd/c.sock", "/odd/state/default/box");
    let c = machine.run("/default/box").unwrap();
    assert_eq!(
        (c.name.as_str(), c.image.repository.as_str(), c.image.tag.as_str()),
        ("box", "docker.io/library/busybox", "1.36")
    );
    assert_eq!(
        (c.image.digest.as_str(), c.labels["app"].as_str(), c.created),
        (DIGEST, "shop", 1_700_000_000)
    );
    assert_eq!((c.runtime.name(), &c.env[0], c.incomplete), ("containerd", &"FROM=disk".to_owned(), false));
    assert_eq!(
        *asked.lock().unwrap(),
        [("default".to_owned(), "box".to_owned())],
        "asked once, in its namespace"
    );
}

#[test]
fn containerd_is_enough_when_the_bundle_cannot_be_read() {
    let machine = Machine::new();
    let _server = serve(&machine.host("odd/c.sock"), containerd(Arc::default()));
    machine.shim(40, "default", "box", "/odd/c.sock", "/odd/state/default/box");
    let c = machine.run("/default/box").unwrap();
    assert_eq!((&c.env[0], c.image.tag.as_str()), (&"FROM=api".to_owned(), "1.36"));
}

/// The CRI of a pod with one container. `asked`: the image that the kubelet asked for; `reference`: what was pulled.
fn cri(asked: &'static str, reference: &'static str) -> Router {
    let container = move |request: tonic::Request<StatusRequest>| {
        let request = request.into_inner();
        assert!(request.verbose);
        if request.id != ID {
            return Err(Status::not_found("no such container"));
        }
        let info = json!({"sandboxID": SANDBOX, "config": {"image": {"image": asked},
            "linux": {"security_context": {"privileged": true}}}, "runtimeSpec": {"linux": {}}});
        let status = ContainerStatus {
            id: request.id,
            metadata: Some(ContainerMetadata { name: "web".into() }),
            created_at: 1_700_000_001_000_000_000,
            image: Some(ImageSpec { image: "docker.io/library/nginx:1.27".into() }),
            image_ref: reference.into(),
            labels: [("io.kubernetes.container.name".to_owned(), "web".to_owned())].into(),
            mounts: vec![CriMount {
                container_path: "/host".into(),
                host_path: "/".into(),
                readonly: false,
                propagation: 2,
            }],
            image_id: String::new(),
        };
        Ok(ContainerStatusResponse {
            status: Some(status),
            info: [("info".to_owned(), info.to_string())].into(),
        })
    };
    let sandbox = |request: tonic::Request<StatusRequest>| {
        let status = SandboxStatus {
            id: request.into_inner().id,
            metadata: Some(SandboxMetadata {
                name: "web-7d9".into(),
                uid: "1b01".into(),
                namespace: "shop".into(),
            }),
            network: Some(SandboxNetwork { ip: "10.1.1.1".into() }),
            linux: Some(SandboxLinux {
                namespaces: Some(SandboxNamespaces {
                    options: Some(NamespaceOption { network: 2, pid: 0, ipc: 2 }),
                }),
            }),
            labels: [("app".to_owned(), "shop".to_owned())].into(),
        };
        let info = json!({"cniResult": {"Interfaces": {
            "lo": {"IPConfigs": [{"IP": "127.0.0.1"}]},
            "veth12ab": {"IPConfigs": null},
            "eth0": {"IPConfigs": [{"IP": "10.1.1.1", "Gateway": "10.1.0.1"}]},
        }}});
        let info = [("info".to_owned(), info.to_string())].into();
        Ok(SandboxStatusResponse { status: Some(status), info })
    };
    Router::new()
        .route("/runtime.v1.RuntimeService/ContainerStatus", method(container))
        .route("/runtime.v1.RuntimeService/PodSandboxStatus", method(sandbox))
}

/// A container of a pod, as containerd and its CRI tell of it.
pub(crate) fn in_a_pod() -> Arc<Container> {
    of_image("sha256:aabb", PULLED)
}

fn of_image(asked: &'static str, reference: &'static str) -> Arc<Container> {
    let machine = Machine::new();
    // One socket serves both, as containerd's does; nothing is on disk.
    let router = containerd(Arc::default()).merge(cri(asked, reference));
    let _server = serve(&machine.host("run/k3s/containerd/containerd.sock"), router);
    machine.run(&format!("/kubepods/pod1/{ID}")).unwrap()
}

#[test]
fn the_cri_tells_of_a_container_and_its_pod() {
    let c = in_a_pod();
    let pod = c.pod.as_ref().unwrap();
    assert_eq!((c.name.as_str(), c.runtime.name(), c.privileged), ("web", "cri", true));
    assert_eq!((c.image.repository.as_str(), c.image.tag.as_str()), ("docker.io/library/nginx", "1.27"));
    assert_eq!((c.image.digest.as_str(), c.image_id.as_str()), (DIGEST, "aabb"));
    assert_eq!(
        (pod.name.as_str(), pod.namespace.as_str(), pod.sandbox_id.as_str()),
        ("web-7d9", "shop", SANDBOX)
    );
    assert_eq!((pod.labels["app"].as_str(), pod.ip.as_str()), ("shop", "10.1.1.1"));
    assert_eq!(pod.cni, r#"{"eth0":{"IPConfigs":[{"Gateway":"10.1.0.1","IP":"10.1.1.1"}]}}"#);
    assert_eq!((c.host_network, c.host_pid, c.host_ipc), (true, false, true));
    assert_eq!((c.mounts[0].source.as_str(), c.mounts[0].propagation.as_str()), ("/", "rshared"));
    assert_eq!(c.labels["io.kubernetes.pod.namespace"], "shop");
}

#[test]
fn an_image_that_was_imported_and_is_asked_for_by_name_has_its_own_id() {
    let c = of_image("docker.io/library/nginx:1.27", "sha256:ccdd");
    assert_eq!((c.image_id.as_str(), c.image.tag.as_str(), c.image.digest.as_str()), ("ccdd", "1.27", ""));
}

#[test]
fn a_sandbox_gets_its_labels_from_containerd() {
    let machine = Machine::new();
    let _server = serve(&machine.host("odd/c.sock"), containerd(Arc::default()));
    let spec = json!({"annotations": {"io.kubernetes.cri.container-type": "sandbox",
        "io.kubernetes.cri.sandbox-id": SANDBOX, "io.kubernetes.cri.sandbox-name": "web-7d9"}});
    machine.write(&format!("host/odd/k8s.io/{SANDBOX}/config.json"), &spec.to_string());
    machine.shim(40, "k8s.io", SANDBOX, "/odd/c.sock", &format!("/odd/k8s.io/{SANDBOX}"));
    let c = machine.run(&format!("/kubepods/pod1/{SANDBOX}")).unwrap();
    assert!(c.is_pod_sandbox);
    assert_eq!(c.pod.as_ref().unwrap().labels["team"], "red");

    // A container of it has its own labels and the pod's.
    let spec = json!({"annotations": {"io.kubernetes.cri.container-type": "container",
        "io.kubernetes.cri.sandbox-id": SANDBOX, "io.kubernetes.cri.container-name": "web"}});
    machine.write(&format!("host/odd/k8s.io/{ID}/config.json"), &spec.to_string());
    let c = machine.run(&format!("/kubepods/pod1/{ID}")).unwrap();
    assert_eq!((c.name.as_str(), c.labels["tier"].as_str()), ("web", "front"));
    let labels = &c.pod.as_ref().unwrap().labels;
    assert_eq!(labels["team"], "red");
    // What containerd notes for itself is not shown.
    assert!(
        !labels.contains_key("io.cri-containerd.kind") && !c.labels.contains_key("io.cri-containerd.kind")
    );
}

#[test]
fn the_sandbox_of_a_pod_that_runs_has_its_address() {
    let machine = Machine::new();
    let router = containerd(Arc::default()).merge(cri("sha256:aabb", PULLED));
    let _server = serve(&machine.host("odd/c.sock"), router);
    let spec = json!({"annotations": {"io.kubernetes.cri.container-type": "sandbox",
        "io.kubernetes.cri.sandbox-id": SANDBOX, "io.kubernetes.cri.sandbox-name": "web-7d9"}});
    machine.write(&format!("host/odd/k8s.io/{SANDBOX}/config.json"), &spec.to_string());
    machine.shim(40, "k8s.io", SANDBOX, "/odd/c.sock", &format!("/odd/k8s.io/{SANDBOX}"));
    let c = machine.run(&format!("/kubepods/pod1/{SANDBOX}")).unwrap();
    let pod = c.pod.as_ref().unwrap();
    assert_eq!((c.ip.as_str(), pod.ip.as_str(), pod.uid.as_str()), ("10.1.1.1", "10.1.1.1", "1b01"));
    assert!(c.is_pod_sandbox && pod.cni.contains("eth0"));
}

#[test]
fn a_hanging_runtime_does_not_hide_what_the_disk_tells() {
    let mut machine = Machine::new();
    machine.engines.hold_ms = 2_000;
    let socket = machine.host("odd/c.sock");
    let spec = json!({"annotations": {"io.kubernetes.cri.container-type": "container",
        "io.kubernetes.cri.sandbox-name": "web-7d9", "io.kubernetes.cri.container-name": "web"}});
    machine.write(&format!("host/odd/k8s.io/{ID}/config.json"), &spec.to_string());
    machine.shim(40, "k8s.io", ID, "/odd/c.sock", &format!("/odd/k8s.io/{ID}"));
    // Connections are taken by the kernel and never answered.
    let _listener = UnixListener::bind(&socket).unwrap();
    let c = machine.run(&format!("/kubepods/pod1/{ID}")).unwrap();
    assert_eq!((c.name.as_str(), c.incomplete), ("web", false));
}

/// A container as docker, or what answers as it does, tells of it.
fn inspected(socket: &str, cgroup: &str) -> Arc<Container> {
    let machine = Machine::new();
    let inspect = json!({"Id": ID, "Name": "/shop", "Image": "sha256:77",
        "Config": {"Image": "nginx:1.27", "Labels": {"tier": "front"}},
        "HostConfig": {"Privileged": false, "PidMode": "host"},
        "Mounts": [{"Source": "/srv", "Destination": "/data", "Mode": "z", "RW": false, "Propagation": "rprivate"}],
        "NetworkSettings": {"IPAddress": "172.17.0.3"}});
    let image = json!({"RepoTags": ["nginx:1.27"], "RepoDigests": [format!("nginx@{DIGEST}")]});
    let answer = |body: serde_json::Value| get(move || async move { axum::Json(body) });
    let router = Router::new()
        .route(&format!("/containers/{ID}/json"), answer(inspect))
        .route("/images/77/json", answer(image));
    let _server = serve(&machine.host(socket), router);
    machine.run(cgroup).unwrap()
}

/// A container of docker.
pub(crate) fn of_docker() -> Arc<Container> {
    inspected("var/run/docker.sock", &format!("/system.slice/docker-{ID}.scope"))
}

#[test]
fn docker_and_podman_answer_over_http() {
    let podman =
        inspected("run/user/1000/podman/podman.sock", &format!("/user.slice/libpod-{ID}.scope/container"));
    for (c, runtime) in [(of_docker(), "docker"), (podman, "podman")] {
        assert_eq!((c.name.as_str(), c.runtime.name(), c.ip.as_str()), ("shop", runtime, "172.17.0.3"));
        assert_eq!(
            (c.image.repository.as_str(), c.image.digest.as_str(), c.host_pid),
            ("nginx", DIGEST, true)
        );
        assert_eq!((c.mounts[0].mode.as_str(), c.labels["tier"].as_str()), ("z", "front"));
        assert!(!c.incomplete);
    }
}

#[test]
fn a_runtime_that_talks_nonsense_or_hangs_does_not_hold_events_for_longer_than_the_hold() {
    use std::io::{Read as _, Write as _};
    for speech in [
        &b""[..],
        b"HTTP/1.0 200 OK\r\n\r\n{\"Id\":7}",
        b"HTTP/1.0 500 no\r\n\r\n{}",
        b"\r\n\r\n",
        &[0xff; 9_000],
    ] {
        let machine = Machine::new();
        machine.keeper(ID);
        let socket = machine.host("var/run/docker.sock");
        std::fs::create_dir_all(socket.parent().unwrap()).unwrap();
        let listener = UnixListener::bind(&socket).unwrap();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let _ = stream.read(&mut [0; 1024]);
                if speech.is_empty() {
                    // Left open: never an answer, never an end.
                    std::mem::forget(stream);
                } else {
                    let _ = stream.write_all(speech);
                }
            }
        });
        let started = std::time::Instant::now();
        let c = machine.run(&format!("/docker/{ID}")).unwrap();
        assert!(c.incomplete, "{:?}", &speech[..speech.len().min(30)]);
        assert!(started.elapsed() < std::time::Duration::from_secs(2));
    }
}
