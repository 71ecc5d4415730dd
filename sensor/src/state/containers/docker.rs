//! Docker, and podman's API that looks like it: files in docker's directory, and HTTP over its unix socket.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Deserializer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

use super::container::{Container, Mount, PortMapping};
use super::image::ImageName;
use super::runtime::Runtime;

/// Longest answer, and longest wait for it.
const ANSWER_MAX: u64 = 4 << 20;
const TIMEOUT: Duration = Duration::from_secs(1);

/// Docker writes `null` for empty lists and maps.
fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(value: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(value)?.unwrap_or_default())
}

/// What `config.v2.json` and `GET /containers/ID/json` have in common.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Inspect {
    #[serde(alias = "ID")]
    id: String,
    name: String,
    created: String,
    /// Image id.
    image: String,
    config: Config,
    host_config: HostConfig,
    /// In the API's answer.
    #[serde(deserialize_with = "or_default")]
    mounts: Vec<MountPoint>,
    /// In the file.
    #[serde(deserialize_with = "or_default")]
    mount_points: BTreeMap<String, MountPoint>,
    network_settings: Network,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Config {
    user: String,
    #[serde(deserialize_with = "or_default")]
    env: Vec<String>,
    image: String,
    #[serde(deserialize_with = "or_default")]
    labels: BTreeMap<String, String>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct HostConfig {
    privileged: bool,
    network_mode: String,
    pid_mode: String,
    ipc_mode: String,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct MountPoint {
    source: String,
    destination: String,
    mode: String,
    #[serde(rename = "RW")]
    rw: bool,
    propagation: String,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Network {
    #[serde(rename = "IPAddress")]
    ip: String,
    #[serde(deserialize_with = "or_default")]
    networks: BTreeMap<String, Option<Endpoint>>,
    #[serde(deserialize_with = "or_default")]
    ports: BTreeMap<String, Option<Vec<Port>>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Endpoint {
    #[serde(rename = "IPAddress")]
    ip: String,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Port {
    host_ip: String,
    host_port: String,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Image {
    #[serde(deserialize_with = "or_default")]
    repo_tags: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    repo_digests: Vec<String>,
}

/// Adds what docker's files tell; false when they are not about `container`.
pub(super) fn describe_config(config: &[u8], host_config: &[u8], container: &mut Container) -> bool {
    let Ok(mut inspect) = serde_json::from_slice::<Inspect>(config) else { return false };
    inspect.host_config = serde_json::from_slice(host_config).unwrap_or_default();
    container.runtime = Runtime::Docker;
    inspect.describe(container)
}

/// Asks the API about `container`. `None`: it does not know it, or does not answer.
pub(super) async fn describe(socket: &Path, runtime: Runtime, container: &mut Container) -> Option<()> {
    let path = format!("/containers/{}/json", container.full_id);
    let inspect: Inspect = serde_json::from_slice(&get(socket, &path).await?).ok()?;
    container.runtime = runtime;
    inspect.describe(container).then_some(())
}

/// Asks for the digest and the names of the container's image.
pub(super) async fn describe_image(socket: &Path, container: &mut Container) -> Option<()> {
    if container.image_id.is_empty() || !container.image_id.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return None;
    }
    let body = get(socket, &format!("/images/{}/json", container.image_id)).await?;
    let image: Image = serde_json::from_slice(&body).ok()?;
    let ours = |names: &[String]| {
        let names = names.iter().map(|n| ImageName::parse(n));
        names.reduce(|first, n| if n.repository == container.image.repository { n } else { first })
    };
    let (digest, tag) = (ours(&image.repo_digests), ours(&image.repo_tags));
    let name = &mut container.image;
    // Started by id: the image's own names are better than none.
    if let (true, Some(named)) = (is_image_id(&name.full), tag.as_ref().or(digest.as_ref())) {
        name.repository.clone_from(&named.repository);
        name.tag.clone_from(&named.tag);
    }
    if let Some(digest) = digest.filter(|d| name.digest.is_empty() && d.repository == name.repository) {
        name.digest = digest.digest;
    }
    Some(())
}

/// An image named by (the start of) its id.
fn is_image_id(name: &str) -> bool {
    let id = name.strip_prefix("sha256:").unwrap_or(name);
    id.len() >= 12 && id.bytes().all(|b| b.is_ascii_hexdigit())
}

impl Inspect {
    fn describe(self, container: &mut Container) -> bool {
        if self.id != container.full_id {
            return false;
        }
        container.name = self.name.trim_start_matches('/').into();
        let mut image = ImageName::parse(&self.config.image);
        if image.tag.is_empty() && image.digest.is_empty() && !image.is_empty() && !is_image_id(&image.full) {
            image.tag = "latest".into();
        }
        container.image = image;
        container.image_id = self.image.strip_prefix("sha256:").unwrap_or(&self.image).into();
        container.created = self.created.parse::<jiff::Timestamp>().map_or(0, jiff::Timestamp::as_second);
        container.user = self.config.user;
        container.env = self.config.env;
        container.labels = self.config.labels;
        container.label_pod();
        container.privileged = self.host_config.privileged;
        container.host_network = self.host_config.network_mode == "host";
        container.host_pid = self.host_config.pid_mode == "host";
        container.host_ipc = self.host_config.ipc_mode == "host";
        container.mounts = self
            .mounts
            .into_iter()
            .chain(self.mount_points.into_values())
            .map(|m| Mount {
                source: m.source,
                destination: m.destination,
                mode: m.mode,
                writable: m.rw,
                propagation: m.propagation,
            })
            .collect();
        let network = self.network_settings;
        let endpoints = network.networks.into_values().flatten().map(|e| e.ip);
        container.ip =
            std::iter::once(network.ip).chain(endpoints).find(|ip| !ip.is_empty()).unwrap_or_default();
        for (port, bindings) in network.ports {
            let Some(container_port) = port.split('/').next().and_then(|p| p.parse().ok()) else { continue };
            container.ports.extend(bindings.unwrap_or_default().into_iter().filter_map(|b| {
                Some(PortMapping { host_ip: b.host_ip, host_port: b.host_port.parse().ok()?, container_port })
            }));
        }
        true
    }
}

/// `GET` with HTTP/1.0, whose answer ends with the connection. `None` unless it succeeds in time and in bounds.
async fn get(socket: &Path, path: &str) -> Option<Vec<u8>> {
    let exchange = async {
        let mut stream = UnixStream::connect(socket).await.ok()?;
        let request = format!("GET {path} HTTP/1.0\r\nHost: docker\r\nAccept: application/json\r\n\r\n");
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = Vec::new();
        stream.take(ANSWER_MAX).read_to_end(&mut answer).await.ok()?;
        Some(answer)
    };
    let answer = tokio::time::timeout(TIMEOUT, exchange).await.ok().flatten()?;
    let end = memchr::memmem::find(&answer, b"\r\n\r\n")?;
    let status = answer.get(..end)?.split(|&b| b == b' ').nth(1)?;
    (status == b"200").then(|| answer[end + 4..].to_vec())
}
