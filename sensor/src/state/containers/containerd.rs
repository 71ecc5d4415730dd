//! containerd's own API: `containerd.services.containers.v1.Containers/Get`.
//!
//! It has the image and the labels of every container as soon as the container object is made, which is before the task starts;
//! of a pod's sandbox too, which CRI only tells of when it runs.

use std::collections::HashMap;

use super::container::Container;
use super::grpc::{Connection, Refusal};
use super::image::ImageName;
use super::oci::Spec;
use super::runtime::Runtime;

const GET: &str = "/containerd.services.containers.v1.Containers/Get";
const GET_IMAGE: &str = "/containerd.services.images.v1.Images/Get";
/// Names the kind of a container of containerd's CRI plugin.
const KIND: &str = "io.cri-containerd.kind";
/// What begins so, containerd notes for itself; CRI does not show it.
const OWN: &str = "io.cri-containerd.";

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct GetContainerRequest {
    #[prost(string, tag = "1")]
    pub id: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct GetContainerResponse {
    #[prost(message, optional, tag = "1")]
    pub container: Option<Record>,
}

/// `containerd.services.containers.v1.Container`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Record {
    #[prost(string, tag = "1")]
    pub id: String,
    #[prost(map = "string, string", tag = "2")]
    pub labels: HashMap<String, String>,
    #[prost(string, tag = "3")]
    pub image: String,
    #[prost(message, optional, tag = "5")]
    pub spec: Option<Any>,
    #[prost(message, optional, tag = "8")]
    pub created_at: Option<Timestamp>,
}

/// `google.protobuf.Any`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Any {
    #[prost(string, tag = "1")]
    pub type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    pub value: Vec<u8>,
}

/// `google.protobuf.Timestamp`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Timestamp {
    #[prost(int64, tag = "1")]
    pub seconds: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct GetImageRequest {
    #[prost(string, tag = "1")]
    pub name: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct GetImageResponse {
    #[prost(message, optional, tag = "1")]
    pub image: Option<Image>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Image {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(message, optional, tag = "3")]
    pub target: Option<Descriptor>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Descriptor {
    #[prost(string, tag = "2")]
    pub digest: String,
}

/// Adds what containerd tells of `container` in its namespace. `spec_known`: the bundle was read already.
pub(super) async fn describe(
    connection: &Connection,
    namespace: &str,
    spec_known: bool,
    container: &mut Container,
) -> Result<(), Refusal> {
    let request = GetContainerRequest { id: container.full_id.clone() };
    let answer: GetContainerResponse = connection.call(GET, request, Some(namespace)).await?;
    let record = answer.container.filter(|c| c.id == container.full_id).ok_or(Refusal::Failed)?;
    if !spec_known && let Some(spec) = record.spec.and_then(|s| Spec::parse(&s.value)) {
        spec.describe(container);
    }
    if container.image.is_empty() {
        container.image = ImageName::parse(&record.image);
    }
    container.is_pod_sandbox |= record.labels.get(KIND).is_some_and(|k| k == "sandbox");
    container.created = record.created_at.map_or(0, |t| t.seconds);
    let cri = container.runtime == Runtime::Cri;
    let shown = |labels: HashMap<String, String>| {
        labels.into_iter().filter(move |(name, _)| !cri || !name.starts_with(OWN))
    };
    container.labels.extend(shown(record.labels));
    container.label_pod();
    if container.is_pod_sandbox {
        let labels = container.labels.clone();
        if let Some(pod) = &mut container.pod {
            pod.labels = labels;
        }
    } else if let Some(pod) = container.pod.as_mut().filter(|p| !p.sandbox_id.is_empty()) {
        let request = GetContainerRequest { id: pod.sandbox_id.clone() };
        let answer: Result<GetContainerResponse, _> = connection.call(GET, request, Some(namespace)).await;
        if let Some(sandbox) = answer.ok().and_then(|a| a.container) {
            pod.labels = shown(sandbox.labels).collect();
        }
    }
    if container.image.digest.is_empty() && !container.image.is_empty() {
        let request = GetImageRequest { name: record.image };
        let answer: Result<GetImageResponse, _> = connection.call(GET_IMAGE, request, Some(namespace)).await;
        // Without it everything but the digest is known.
        if let Some(target) = answer.ok().and_then(|a| a.image?.target) {
            container.image.digest = target.digest;
        }
    }
    Ok(())
}
