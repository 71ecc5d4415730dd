//! What is known of one container.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::cgroup::{Candidate, is_id};
use super::image::ImageName;
use super::runtime::Runtime;

/// Names a container as long as its cgroup exists; never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ContainerKey(pub u64);

/// One mount, as `container.mount.*` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Mount {
    pub source: String,
    pub destination: String,
    pub mode: String,
    pub writable: bool,
    pub propagation: String,
}

/// One published port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortMapping {
    pub host_ip: String,
    pub host_port: u16,
    pub container_port: u16,
}

/// The pod that a container belongs to. The pod's sandbox has one too.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Pod {
    pub name: String,
    pub namespace: String,
    pub uid: String,
    /// Full id of the sandbox; its first 12 characters are `k8s.pod.sandbox_id`.
    pub sandbox_id: String,
    pub labels: BTreeMap<String, String>,
    pub ip: String,
    /// The interfaces that the network plugin made, as JSON.
    pub cni: String,
}

/// A container. Strings are empty where nothing is known.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Container {
    /// First 12 characters of a `full_id` that a runtime made up; a name is not cut, see [`short_id`].
    pub id: String,
    pub full_id: String,
    pub runtime: Runtime,
    /// As the user named it: docker's and podman's name, CRI's container name in the pod; else the id.
    pub name: String,
    /// `container.image` and what it is made of.
    pub image: ImageName,
    /// `container.image.id`.
    pub image_id: String,
    pub privileged: bool,
    pub mounts: Vec<Mount>,
    pub labels: BTreeMap<String, String>,
    /// `NAME=value`.
    pub env: Vec<String>,
    pub ip: String,
    /// User of the image's or the container's configuration, as written there.
    pub user: String,
    pub pod: Option<Pod>,
    pub is_pod_sandbox: bool,
    pub host_pid: bool,
    pub host_network: bool,
    pub host_ipc: bool,
    pub ports: Vec<PortMapping>,
    /// Seconds since the epoch, 0 unknown.
    pub created: i64,
    /// It ran before the sensor did.
    pub preexisting: bool,
    /// The metadata did not come in time: only what the cgroup tells is known.
    pub incomplete: bool,
}

/// What `container.id` shows: the first 12 characters of an id that a runtime made up. A name that a person chose is shown whole,
/// where Falco cuts it.
pub fn short_id(id: &str) -> &str {
    if is_id(id) { &id[..12] } else { id }
}

impl Container {
    /// What the path of its cgroup tells.
    pub fn of_candidate(candidate: &Candidate) -> Self {
        let full_id = candidate.id.clone();
        let runtime = candidate.runtime;
        if runtime.has_metadata() {
            Self { id: short_id(&full_id).into(), full_id, runtime, ..Self::default() }
        } else {
            // What stands in the path is a name, which is not cut.
            Self { id: full_id.clone(), name: full_id.clone(), full_id, runtime, ..Self::default() }
        }
    }

    /// The payload of Falco's `container` event.
    pub fn payload(&self) -> Value {
        let none = Pod::default();
        let pod = self.pod.as_ref().unwrap_or(&none);
        let mounts: Vec<Value> = self
            .mounts
            .iter()
            .map(|m| {
                json!({"Source": m.source, "Destination": m.destination, "Mode": m.mode, "RW": m.writable,
                    "Propagation": m.propagation})
            })
            .collect();
        let ports: Vec<Value> = self
            .ports
            .iter()
            .map(|p| json!({"HostIp": p.host_ip, "HostPort": p.host_port, "ContainerPort": p.container_port}))
            .collect();
        json!({"container": {
            "type": self.runtime as u8,
            "id": self.id,
            "full_id": self.full_id,
            "name": self.name,
            "image": self.image.full,
            "imageid": self.image_id,
            "imagerepo": self.image.repository,
            "imagetag": self.image.tag,
            "imagedigest": self.image.digest,
            "User": self.user,
            "Mounts": mounts,
            "labels": self.labels,
            "env": self.env,
            "ip": self.ip,
            "cni_json": pod.cni,
            "privileged": self.privileged,
            "host_pid": self.host_pid,
            "host_ipc": self.host_ipc,
            "host_network": self.host_network,
            "is_pod_sandbox": self.is_pod_sandbox,
            "pod_sandbox_id": pod.sandbox_id,
            "pod_sandbox_labels": pod.labels,
            "port_mappings": ports,
            "created_time": self.created,
        }})
    }
}
