//! The CRI: `runtime.v1.RuntimeService/ContainerStatus` and `/PodSandboxStatus`.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::Value;

use super::cgroup::is_id;
use super::container::{Container, Mount, Pod};
use super::grpc::{Connection, Refusal};
use super::image::ImageName;
use super::runtime::Runtime;

const CONTAINER_STATUS: &str = "/runtime.v1.RuntimeService/ContainerStatus";
const SANDBOX_STATUS: &str = "/runtime.v1.RuntimeService/PodSandboxStatus";
/// `NamespaceMode` of CRI: the host's.
const NODE: i32 = 2;

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct StatusRequest {
    #[prost(string, tag = "1")]
    pub id: String,
    #[prost(bool, tag = "2")]
    pub verbose: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ContainerStatusResponse {
    #[prost(message, optional, tag = "1")]
    pub status: Option<ContainerStatus>,
    #[prost(map = "string, string", tag = "2")]
    pub info: HashMap<String, String>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ContainerStatus {
    #[prost(string, tag = "1")]
    pub id: String,
    #[prost(message, optional, tag = "2")]
    pub metadata: Option<ContainerMetadata>,
    /// ns since the epoch.
    #[prost(int64, tag = "4")]
    pub created_at: i64,
    #[prost(message, optional, tag = "8")]
    pub image: Option<ImageSpec>,
    #[prost(string, tag = "9")]
    pub image_ref: String,
    #[prost(map = "string, string", tag = "12")]
    pub labels: HashMap<String, String>,
    #[prost(message, repeated, tag = "14")]
    pub mounts: Vec<CriMount>,
    #[prost(string, tag = "17")]
    pub image_id: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ContainerMetadata {
    #[prost(string, tag = "1")]
    pub name: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ImageSpec {
    #[prost(string, tag = "1")]
    pub image: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct CriMount {
    #[prost(string, tag = "1")]
    pub container_path: String,
    #[prost(string, tag = "2")]
    pub host_path: String,
    #[prost(bool, tag = "3")]
    pub readonly: bool,
    #[prost(int32, tag = "5")]
    pub propagation: i32,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct SandboxStatusResponse {
    #[prost(message, optional, tag = "1")]
    pub status: Option<SandboxStatus>,
    #[prost(map = "string, string", tag = "2")]
    pub info: HashMap<String, String>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct SandboxStatus {
    #[prost(string, tag = "1")]
    pub id: String,
    #[prost(message, optional, tag = "2")]
    pub metadata: Option<SandboxMetadata>,
    #[prost(message, optional, tag = "5")]
    pub network: Option<SandboxNetwork>,
    #[prost(message, optional, tag = "6")]
    pub linux: Option<SandboxLinux>,
    #[prost(map = "string, string", tag = "7")]
    pub labels: HashMap<String, String>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct SandboxMetadata {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, tag = "2")]
    pub uid: String,
    #[prost(string, tag = "3")]
    pub namespace: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct SandboxNetwork {
    #[prost(string, tag = "1")]
    pub ip: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct SandboxLinux {
    #[prost(message, optional, tag = "1")]
    pub namespaces: Option<SandboxNamespaces>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct SandboxNamespaces {
    #[prost(message, optional, tag = "2")]
    pub options: Option<NamespaceOption>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct NamespaceOption {
    #[prost(int32, tag = "1")]
    pub network: i32,
    #[prost(int32, tag = "2")]
    pub pid: i32,
    #[prost(int32, tag = "3")]
    pub ipc: i32,
}

/// Falco's names of CRI's `MountPropagation`.
pub(super) fn propagation(mode: i32) -> &'static str {
    match mode {
        1 => "rslave",
        2 => "rshared",
        _ => "private",
    }
}

/// The `info` entry of a verbose answer; what is in it depends on the runtime.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Info {
    sandbox_id: String,
    #[serde(alias = "sandboxID")]
    sandbox_id_upper: String,
    privileged: Option<bool>,
    config: Value,
    runtime_spec: Value,
}

impl Info {
    /// The places where runtimes say it, in Falco's order.
    fn privileged(&self) -> Option<bool> {
        let in_config = |v: &Value| v.pointer("/linux/security_context/privileged").and_then(Value::as_bool);
        in_config(&self.runtime_spec).or_else(|| in_config(&self.config)).or(self.privileged)
    }

    fn sandbox_id(&self) -> &str {
        if self.sandbox_id.is_empty() { &self.sandbox_id_upper } else { &self.sandbox_id }
    }

    /// The image as the kubelet asked for it: an image id.
    fn image(&self) -> &str {
        self.config.pointer("/image/image").and_then(Value::as_str).unwrap_or_default()
    }
}

/// The id in `sha256:ID`, or one without that.
fn image_id(text: &str) -> Option<&str> {
    text.strip_prefix("sha256:").or_else(|| is_id(text).then_some(text))
}

/// What the network plugin made for a pod, out of the `info` entry of a verbose answer about it: containerd keeps the result,
/// CRI-O writes it into an annotation.
fn cni(info: &str) -> Option<String> {
    let info: Value = serde_json::from_str(info).ok()?;
    if let Some(Value::Object(interfaces)) = info.pointer("/cniResult/Interfaces") {
        // Falco leaves out what every pod has: the loopback, and the host's ends.
        let own = interfaces.iter().filter(|(name, _)| *name != "lo" && !name.starts_with("veth"));
        let own: serde_json::Map<String, Value> = own.map(|(k, v)| (k.clone(), v.clone())).collect();
        return Some(Value::Object(own).to_string());
    }
    let annotation = info.pointer("/runtimeSpec/annotations")?.get("io.kubernetes.cri-o.CNIResult")?;
    annotation.as_str().map(str::to_owned)
}

/// Adds what the CRI tells of `container`, which is no sandbox, and of its pod.
pub(super) async fn describe(connection: &Connection, container: &mut Container) -> Result<(), Refusal> {
    let request = StatusRequest { id: container.full_id.clone(), verbose: true };
    let answer: ContainerStatusResponse = connection.call(CONTAINER_STATUS, request, None).await?;
    let status = answer.status.filter(|s| s.id == container.full_id).ok_or(Refusal::Failed)?;
    let info: Info = answer.info.get("info").and_then(|i| serde_json::from_str(i).ok()).unwrap_or_default();
    if !matches!(container.runtime, Runtime::CriO | Runtime::Docker) {
        container.runtime = Runtime::Cri;
    }
    if let Some(metadata) = status.metadata.filter(|m| !m.name.is_empty()) {
        container.name = metadata.name;
    }
    let named = ImageName::parse(&status.image.unwrap_or_default().image);
    let reference = ImageName::parse(&status.image_ref);
    // Of an image that was not pulled, containerd itself alone tells the digest.
    let digests = [named.digest.clone(), reference.digest.clone(), container.image.digest.clone()];
    if !named.repository.is_empty() {
        container.image = named;
    } else if container.image.is_empty() {
        container.image = reference;
    }
    container.image.digest = digests.into_iter().find(|digest| !digest.is_empty()).unwrap_or_default();
    // The kubelet asks for an image by its id. Others may by its name, which is none.
    let ids = [info.image(), &status.image_id, &status.image_ref];
    if let Some(id) = ids.into_iter().find_map(image_id) {
        container.image_id = id.into();
    }
    container.created = status.created_at / 1_000_000_000;
    container.labels.extend(status.labels);
    container.mounts = status
        .mounts
        .into_iter()
        .map(|m| Mount {
            source: m.host_path,
            destination: m.container_path,
            mode: String::new(),
            writable: !m.readonly,
            propagation: propagation(m.propagation).into(),
        })
        .collect();
    if let Some(privileged) = info.privileged() {
        container.privileged = privileged;
    }
    let pod = container.pod.get_or_insert_with(Pod::default);
    if pod.sandbox_id.is_empty() {
        pod.sandbox_id = info.sandbox_id().into();
    }
    if !pod.sandbox_id.is_empty() {
        // The container is known in any case; its pod's labels are not worth an error.
        let _ = describe_pod(connection, container).await;
    }
    container.label_pod();
    Ok(())
}

/// Adds what the CRI tells of the container's pod.
pub(super) async fn describe_pod(connection: &Connection, container: &mut Container) -> Result<(), Refusal> {
    let Some(pod) = &mut container.pod else { return Ok(()) };
    // The network plugin's result is in the verbose part only.
    let request = StatusRequest { id: pod.sandbox_id.clone(), verbose: true };
    let answer: SandboxStatusResponse = connection.call(SANDBOX_STATUS, request, None).await?;
    let status = answer.status.filter(|s| s.id == pod.sandbox_id).ok_or(Refusal::Failed)?;
    if let Some(metadata) = status.metadata {
        pod.name = metadata.name;
        pod.namespace = metadata.namespace;
        pod.uid = metadata.uid;
    }
    pod.labels.extend(status.labels);
    pod.ip = status.network.unwrap_or_default().ip;
    if let Some(cni) = answer.info.get("info").and_then(|info| cni(info)) {
        pod.cni = cni;
    }
    container.ip.clone_from(&pod.ip);
    if let Some(options) = status.linux.and_then(|l| l.namespaces?.options) {
        container.host_network = options.network == NODE;
        container.host_pid = options.pid == NODE;
        container.host_ipc = options.ipc == NODE;
    }
    Ok(())
}
