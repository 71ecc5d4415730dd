//! The OCI bundle: what `config.json` tells of a container, before it runs.
//!
//! The annotations that Kubernetes' runtimes write into it hold pod, namespace, container name and image, so that for these no
//! API is needed to name a container.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::container::{Container, Mount, Pod, short_id};
use super::image::ImageName;
use super::runtime::Runtime;

/// The parts of an OCI runtime specification that are of interest; all of them may be missing.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Spec {
    pub annotations: BTreeMap<String, String>,
    process: Process,
    mounts: Vec<SpecMount>,
    linux: Linux,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Process {
    env: Vec<String>,
    user: User,
    apparmor_profile: String,
    selinux_label: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct User {
    uid: u32,
    username: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct SpecMount {
    pub destination: String,
    #[serde(rename = "type")]
    pub kind: String,
    pub source: String,
    pub options: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Linux {
    namespaces: Vec<Namespace>,
    masked_paths: Option<Vec<String>>,
    readonly_paths: Option<Vec<String>>,
    seccomp: Option<serde::de::IgnoredAny>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Namespace {
    #[serde(rename = "type")]
    kind: String,
}

impl Spec {
    /// `None` when it is no JSON object of that shape.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        // An array would do for a struct whose members may all be missing.
        serde_json::from_slice(bytes).ok().filter(|_| bytes.trim_ascii_start().starts_with(b"{"))
    }

    fn annotation(&self, key: &str) -> &str {
        self.annotations.get(key).map(String::as_str).unwrap_or_default()
    }

    /// An annotation that holds JSON.
    fn object<T: for<'a> Deserialize<'a> + Default>(&self, key: &str) -> T {
        serde_json::from_str(self.annotation(key)).unwrap_or_default()
    }

    fn has_namespace(&self, kind: &str) -> bool {
        self.linux.namespaces.iter().any(|n| n.kind == kind)
    }

    /// Nothing is hidden from it and nothing confines it, as Falco judges containerd's containers.
    fn is_privileged(&self) -> bool {
        let none = |paths: &Option<Vec<String>>| paths.as_ref().is_none_or(Vec::is_empty);
        let read_only =
            |kind: &str| self.mounts.iter().any(|m| m.kind == kind && m.options.iter().any(|o| o == "ro"));
        none(&self.linux.masked_paths)
            && none(&self.linux.readonly_paths)
            && self.linux.seccomp.is_none()
            && self.process.apparmor_profile.is_empty()
            && self.process.selinux_label.is_empty()
            && !read_only("sysfs")
            && !read_only("cgroup")
    }

    /// The directories and files that were mounted into it from outside.
    pub fn mounts(&self) -> impl Iterator<Item = &SpecMount> {
        self.mounts
            .iter()
            .filter(|m| m.kind == "bind" || m.options.iter().any(|o| o == "bind" || o == "rbind"))
    }

    /// Adds what it tells to `container`.
    pub fn describe(&self, container: &mut Container) {
        container.env.clone_from(&self.process.env);
        container.user = if self.process.user.username.is_empty() {
            self.process.user.uid.to_string()
        } else {
            self.process.user.username.clone()
        };
        // Podman says it; of the others it has to be concluded.
        container.privileged = match self.annotation("io.podman.annotations.privileged") {
            "" => self.is_privileged(),
            said => said.eq_ignore_ascii_case("true"),
        };
        container.mounts = self.mounts().map(SpecMount::shown).collect();
        container.host_network = !self.has_namespace("network");
        container.host_pid = !self.has_namespace("pid");
        container.host_ipc = !self.has_namespace("ipc");
        if self.annotations.contains_key("io.kubernetes.cri.container-type") {
            self.describe_containerd(container);
        } else if self.annotations.contains_key("io.kubernetes.cri-o.ContainerType") {
            self.describe_crio(container);
        }
    }

    /// Annotations of containerd's CRI plugin.
    fn describe_containerd(&self, container: &mut Container) {
        container.runtime = Runtime::Cri;
        container.is_pod_sandbox = self.annotation("io.kubernetes.cri.container-type") == "sandbox";
        container.name = if container.is_pod_sandbox {
            self.annotation("io.kubernetes.cri.sandbox-name").into()
        } else {
            self.annotation("io.kubernetes.cri.container-name").into()
        };
        let own = self.annotation("io.kubernetes.cri.podsandbox.image-name");
        let image = if container.is_pod_sandbox && !own.is_empty() {
            own
        } else {
            self.annotation("io.kubernetes.cri.image-name")
        };
        container.image = ImageName::parse(image);
        container.pod = Some(Pod {
            name: self.annotation("io.kubernetes.cri.sandbox-name").into(),
            namespace: self.annotation("io.kubernetes.cri.sandbox-namespace").into(),
            uid: self.annotation("io.kubernetes.cri.sandbox-uid").into(),
            sandbox_id: self.annotation("io.kubernetes.cri.sandbox-id").into(),
            ..Pod::default()
        });
        container.label_pod();
    }

    /// What CRI-O writes into the bundle of a sandbox alone: the pod's labels and what the network plugin made.
    pub fn describe_crio_pod(&self, pod: &mut Pod) {
        pod.labels = self.object("io.kubernetes.cri-o.Labels");
        pod.cni = self.annotation("io.kubernetes.cri-o.CNIResult").into();
        if pod.ip.is_empty() {
            pod.ip = self.annotation("io.kubernetes.cri-o.IP.0").into();
        }
    }

    /// Annotations of CRI-O.
    fn describe_crio(&self, container: &mut Container) {
        let get = |key: &str| self.annotation(&format!("io.kubernetes.cri-o.{key}"));
        container.runtime = Runtime::CriO;
        container.is_pod_sandbox = get("ContainerType") == "sandbox";
        container.labels = self.object("io.kubernetes.cri-o.Labels");
        let annotations: BTreeMap<String, String> = self.object("io.kubernetes.cri-o.Annotations");
        let metadata: CrioMetadata = self.object("io.kubernetes.cri-o.Metadata");
        let label = |key: &str| container.labels.get(key).cloned().unwrap_or_default();
        let first = |a: String, b: String| if a.is_empty() { b } else { a };
        let pod = Pod {
            name: first(label("io.kubernetes.pod.name"), get("KubeName").into()),
            namespace: first(label("io.kubernetes.pod.namespace"), get("Namespace").into()),
            uid: label("io.kubernetes.pod.uid"),
            sandbox_id: get("SandboxID").into(),
            labels: if container.is_pod_sandbox { container.labels.clone() } else { BTreeMap::new() },
            ip: get("IP.0").into(),
            cni: get("CNIResult").into(),
        };
        container.name = first(first(label("io.kubernetes.container.name"), metadata.name), pod.name.clone());
        container.ip.clone_from(&pod.ip);
        container.pod = Some(pod);
        let name = first(
            get("ImageName").into(),
            annotations.get("io.kubernetes.cri-o.ImageName").cloned().unwrap_or_default(),
        );
        container.image = ImageName::parse(&name);
        let reference = ImageName::parse(first(get("ImageRef").into(), get("Image").into()).as_str());
        if container.image.is_empty() {
            container.image = reference;
        } else if container.image.digest.is_empty() {
            container.image.digest = reference.digest;
        }
        let id = get("Image").rsplit(':').next().unwrap_or_default();
        if id.len() == 64 {
            container.image_id = id.into();
        }
        let volumes: Vec<CrioVolume> = self.object("io.kubernetes.cri-o.Volumes");
        if !volumes.is_empty() {
            container.mounts = volumes.into_iter().map(CrioVolume::shown).collect();
        }
        container.label_pod();
    }
}

/// What a runtime keeps of a running container: runc's `state.json`, crun's `status`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct State {
    /// Its first process.
    pub pid: u32,
    pub bundle: String,
}

impl State {
    /// `None` when it is no such file.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        #[derive(Deserialize)]
        struct File {
            #[serde(alias = "init_process_pid")]
            pid: u32,
            /// crun's.
            #[serde(default)]
            bundle: String,
            #[serde(default)]
            config: Config,
        }
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Config {
            /// `KEY=VALUE`.
            labels: Vec<String>,
        }
        let file: File = serde_json::from_slice(bytes).ok()?;
        let label = file.config.labels.iter().find_map(|label| label.strip_prefix("bundle="));
        let bundle = label.map_or(file.bundle, str::to_owned);
        Some(Self { pid: file.pid, bundle })
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct CrioMetadata {
    name: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct CrioVolume {
    container_path: String,
    host_path: String,
    readonly: bool,
    /// `MountPropagation` of CRI.
    propagation: i32,
}

impl CrioVolume {
    fn shown(self) -> Mount {
        Mount {
            source: self.host_path,
            destination: self.container_path,
            mode: String::new(),
            writable: !self.readonly,
            propagation: super::cri::propagation(self.propagation).into(),
        }
    }
}

impl SpecMount {
    fn shown(&self) -> Mount {
        let has = |option: &str| self.options.iter().any(|o| o == option);
        let propagation = ["private", "rprivate", "slave", "rslave", "shared", "rshared"];
        Mount {
            source: self.source.clone(),
            destination: self.destination.clone(),
            mode: String::new(),
            writable: !has("ro"),
            propagation: propagation.into_iter().find(|p| has(p)).unwrap_or_default().into(),
        }
    }
}

impl Container {
    /// Brings the pod and the labels that kubelet sets into line: runtimes know the one or the other, and `k8s.*` fields read
    /// labels.
    pub(super) fn label_pod(&mut self) {
        let label = |key: &str| self.labels.get(key).cloned().unwrap_or_default();
        let name = label("io.kubernetes.pod.name");
        if self.pod.is_none() && !name.is_empty() {
            self.pod = Some(Pod {
                name,
                namespace: label("io.kubernetes.pod.namespace"),
                uid: label("io.kubernetes.pod.uid"),
                // cri-dockerd's.
                sandbox_id: label("io.kubernetes.sandbox.id"),
                ..Pod::default()
            });
            self.is_pod_sandbox |= label("io.kubernetes.docker.type") == "podsandbox";
        }
        let Some(pod) = &self.pod else { return };
        for (key, value) in [
            ("io.kubernetes.pod.name", &pod.name),
            ("io.kubernetes.pod.namespace", &pod.namespace),
            ("io.kubernetes.pod.uid", &pod.uid),
        ] {
            if !value.is_empty() {
                self.labels.entry(key.into()).or_insert_with(|| value.clone());
            }
        }
    }

    /// Cuts what is too much.
    pub(super) fn limit(&mut self, label_max_len: usize) {
        /// Entries of each list: a hostile image must not fill the memory.
        const MANY: usize = 1024;
        /// Bytes of the network plugin's result, as in Falco.
        const CNI_MAX: usize = 4096;
        let limit = |labels: &mut BTreeMap<String, String>| {
            labels.retain(|key, value| key.len() <= 1024 && value.len() <= label_max_len);
            while labels.len() > MANY {
                labels.pop_last();
            }
        };
        limit(&mut self.labels);
        if let Some(pod) = &mut self.pod {
            limit(&mut pod.labels);
            pod.cni.truncate(pod.cni.floor_char_boundary(CNI_MAX));
        }
        self.env.truncate(MANY);
        self.mounts.truncate(MANY);
        self.ports.truncate(MANY);
        if self.name.is_empty() && self.runtime == Runtime::Containerd {
            // containerd has no names; nerdctl keeps its own in a label.
            let name = self.labels.get("nerdctl/name").map_or(short_id(&self.full_id), String::as_str);
            self.name = name.into();
        }
    }
}
