//! `container.*` and `k8s.*`: on the host, ids say `host` and the rest is empty; metadata that is not known is missing.

use std::fmt::Write as _;

use bumpalo::collections::String as BumpString;

use super::text::text;
use crate::engine::live::Live;
use crate::rules::registry::fields::{ContainerField, K8sField};
use crate::rules::{FieldArg, Value};
use crate::state::Container;
use crate::state::containers::{Mount, Pod, short_id};

/// Whose a field is, and what of it.
#[derive(Clone, Copy)]
pub enum Part {
    /// Of the pid namespace, which the kernel tells of.
    Namespace(for<'a> fn(&'a Live<'_>) -> Option<Value<'a>>),
    /// Of what the cgroup tells: known of each container. On the host it is `host`.
    Cgroup(for<'a> fn(&'a Container) -> &'a str),
    /// A name: of the metadata, and `host` on the host.
    Name(for<'a> fn(&'a Container) -> &'a str),
    /// A text of the metadata; empty on the host.
    Text(for<'a> fn(&'a Container) -> &'a str),
    /// A flag of the metadata; false on the host.
    Flag(fn(&Container) -> bool),
    /// A text that is made of the metadata; empty on the host.
    Made(for<'a> fn(&'a Live<'_>, &'a Container) -> Value<'a>),
    /// What the field's argument chooses of the metadata; missing on the host.
    Chosen(for<'a> fn(&'a Live<'_>, &'a Container, &FieldArg) -> Option<Value<'a>>),
    /// A text of the container's pod; missing where it is empty, and where there is none.
    Pod(for<'a> fn(&'a Pod) -> &'a str),
    /// The same by the field's argument.
    PodChosen(for<'a> fn(&'a Live<'_>, &'a Pod, &FieldArg) -> Option<Value<'a>>),
}

pub const fn of(field: ContainerField) -> Option<Part> {
    use ContainerField as F;
    use Part::{Cgroup, Chosen, Flag, Made, Name, Namespace, Text};
    Some(match field {
        F::ContainerId => Cgroup(|c| &c.id),
        F::ContainerFullId => Cgroup(|c| &c.full_id),
        F::ContainerType => Cgroup(|c| c.runtime.name()),
        F::ContainerName => Name(|c| &c.name),
        F::ContainerImage => Text(|c| &c.image.full),
        F::ContainerImageId => Text(|c| &c.image_id),
        F::ContainerImageRepository => Text(|c| &c.image.repository),
        F::ContainerImageTag => Text(|c| &c.image.tag),
        F::ContainerImageDigest => Text(|c| &c.image.digest),
        F::ContainerIp => Text(|c| &c.ip),
        F::ContainerCniJson => Text(|c| c.pod.as_ref().map_or("", |pod| &pod.cni)),
        F::ContainerPrivileged => Flag(|c| c.privileged),
        F::ContainerHostPid => Flag(|c| c.host_pid),
        F::ContainerHostNetwork => Flag(|c| c.host_network),
        F::ContainerHostIpc => Flag(|c| c.host_ipc),
        F::ContainerMounts => Made(|event, c| mounts(event, &c.mounts)),
        F::ContainerMount => {
            Chosen(|event, c, arg| by_source(c, arg).map(|mount| mounts(event, std::slice::from_ref(mount))))
        }
        F::ContainerMountSource => {
            Chosen(|_, c, arg| find(c, arg, |mount| &mount.destination).and_then(|m| text(&m.source)))
        }
        F::ContainerMountDest => Chosen(|_, c, arg| by_source(c, arg).and_then(|m| text(&m.destination))),
        F::ContainerMountMode => Chosen(|_, c, arg| by_source(c, arg).and_then(|m| text(&m.mode))),
        F::ContainerMountRdwr => Chosen(|_, c, arg| by_source(c, arg).and_then(|m| text(flag(m.writable)))),
        F::ContainerMountPropagation => {
            Chosen(|_, c, arg| by_source(c, arg).and_then(|m| text(&m.propagation)))
        }
        F::ContainerLabel => Chosen(|_, c, arg| c.labels.get(key(arg)?).and_then(|label| text(label))),
        F::ContainerLabels => Made(|event, c| labels(event, &c.labels)),
        F::ContainerStartTs => Namespace(|event| started(event).map(Value::Int)),
        F::ContainerDuration => Namespace(|event| Some(Value::Int(event.time - started(event)?))),
        // Falco fills them no longer either.
        F::ContainerHealthcheck | F::ContainerLivenessProbe | F::ContainerReadinessProbe => {
            return None;
        }
    })
}

#[expect(clippy::match_same_arms, reason = "fields are missing for reasons of their own")]
pub const fn of_pod(field: K8sField) -> Option<Part> {
    use K8sField as F;
    Some(match field {
        F::K8sPodName => Part::Pod(|p| &p.name),
        F::K8sNsName => Part::Pod(|p| &p.namespace),
        F::K8sPodUid | F::K8sPodId => Part::Pod(|p| &p.uid),
        F::K8sPodSandboxId => Part::Pod(|p| short_id(&p.sandbox_id)),
        F::K8sPodFullSandboxId => Part::Pod(|p| &p.sandbox_id),
        F::K8sPodIp => Part::Pod(|p| &p.ip),
        F::K8sPodCniJson => Part::Pod(|p| &p.cni),
        F::K8sPodLabel => Part::PodChosen(|_, p, arg| p.labels.get(key(arg)?).and_then(|label| text(label))),
        F::K8sPodLabels => Part::PodChosen(|event, p, _| Some(labels(event, &p.labels))),
        // Falco fills them no longer either.
        F::K8sRcName
        | F::K8sRcId
        | F::K8sRcLabel
        | F::K8sRcLabels
        | F::K8sSvcName
        | F::K8sSvcId
        | F::K8sSvcLabel
        | F::K8sSvcLabels
        | F::K8sRsName
        | F::K8sRsId
        | F::K8sRsLabel
        | F::K8sRsLabels
        | F::K8sDeploymentName
        | F::K8sDeploymentId
        | F::K8sDeploymentLabel
        | F::K8sDeploymentLabels
        | F::K8sNsId
        | F::K8sNsLabel
        | F::K8sNsLabels => return None,
        // They come from the API server, which the sensor does not ask.
        F::K8smetaPodName
        | F::K8smetaPodUid
        | F::K8smetaPodLabel
        | F::K8smetaPodLabels
        | F::K8smetaPodIp
        | F::K8smetaNsName
        | F::K8smetaNsUid
        | F::K8smetaNsLabel
        | F::K8smetaNsLabels
        | F::K8smetaDeploymentName
        | F::K8smetaDeploymentUid
        | F::K8smetaDeploymentLabel
        | F::K8smetaDeploymentLabels
        | F::K8smetaSvcName
        | F::K8smetaSvcUid
        | F::K8smetaSvcLabel
        | F::K8smetaSvcLabels
        | F::K8smetaRsName
        | F::K8smetaRsUid
        | F::K8smetaRsLabel
        | F::K8smetaRsLabels
        | F::K8smetaRcName
        | F::K8smetaRcUid
        | F::K8smetaRcLabel
        | F::K8smetaRcLabels => return None,
    })
}

impl Part {
    pub fn get<'a>(&self, event: &'a Live<'_>, arg: &FieldArg) -> Option<Value<'a>> {
        match (self, event.container) {
            (Self::Namespace(get), _) => get(event),
            (_, None) => self.on_host(event),
            (Self::Cgroup(get), Some(container)) => text(get(container)),
            (_, Some(container)) if container.incomplete => None,
            (Self::Name(get) | Self::Text(get), Some(container)) => text(get(container)),
            (Self::Flag(get), Some(container)) => Some(Value::Bool(get(container))),
            (Self::Made(get), Some(container)) => Some(get(event, container)),
            (Self::Chosen(get), Some(container)) => get(event, container, arg),
            (Self::Pod(get), Some(container)) => {
                text(get(container.pod.as_ref()?)).filter(|value| *value != Value::Str(b""))
            }
            (Self::PodChosen(get), Some(container)) => get(event, container.pod.as_ref()?, arg),
        }
    }

    fn on_host<'a>(&self, event: &Live<'_>) -> Option<Value<'a>> {
        event.process()?;
        match self {
            Self::Cgroup(_) | Self::Name(_) => Some(Value::Str(b"host")),
            Self::Text(_) | Self::Made(_) => Some(Value::Str(b"")),
            Self::Flag(_) => Some(Value::Bool(false)),
            Self::Namespace(_) | Self::Chosen(_) | Self::Pod(_) | Self::PodChosen(_) => None,
        }
    }
}

/// Start of the first process of the pid namespace, ns since the epoch.
fn started(event: &Live<'_>) -> Option<i64> {
    let boot = event.process()?.task.pidns_start;
    (boot != 0).then(|| event.known.clock.wall(boot))
}

fn key(arg: &FieldArg) -> Option<&str> {
    match arg {
        FieldArg::Key(key) => std::str::from_utf8(key).ok(),
        FieldArg::Index(_) | FieldArg::None => None,
    }
}

const fn flag(set: bool) -> &'static str {
    if set { "true" } else { "false" }
}

/// The mount at a position or whose source has the pattern; Falco selects all but the source by source.
fn by_source<'a>(container: &'a Container, arg: &FieldArg) -> Option<&'a Mount> {
    find(container, arg, |m| &m.source)
}

fn find<'a>(container: &'a Container, arg: &FieldArg, part: fn(&Mount) -> &str) -> Option<&'a Mount> {
    match arg {
        FieldArg::Index(n) => container.mounts.get(usize::try_from(*n).ok()?),
        FieldArg::Key(_) => {
            let pattern = key(arg)?;
            container.mounts.iter().find(|m| matches(pattern, part(m)))
        }
        FieldArg::None => None,
    }
}

/// Whether the pieces between the pattern's `*` stand in the text one after the other; not anchored, as in Falco.
fn matches(pattern: &str, mut text: &str) -> bool {
    pattern.split('*').all(|piece| match text.find(piece) {
        Some(at) => {
            text = &text[at + piece.len()..];
            true
        }
        None => false,
    })
}

/// `source:destination:mode:rw:propagation`, joined by commas.
fn mounts<'a>(event: &'a Live<'_>, mounts: &[Mount]) -> Value<'a> {
    let mut out = BumpString::new_in(event.bump);
    for mount in mounts {
        let comma = if out.is_empty() { "" } else { "," };
        let Mount { source, destination, mode, writable, propagation } = mount;
        _ = write!(out, "{comma}{source}:{destination}:{mode}:{}:{propagation}", flag(*writable));
    }
    Value::Str(out.into_bump_str().as_bytes())
}

/// `name:value`, joined by `, `, without what the runtime put there.
fn labels<'a>(event: &'a Live<'_>, labels: &std::collections::BTreeMap<String, String>) -> Value<'a> {
    let mut out = BumpString::new_in(event.bump);
    for (name, value) in labels {
        if !name.starts_with("annotation.") && !name.starts_with("io.kubernetes.") {
            let comma = if out.is_empty() { "" } else { ", " };
            _ = write!(out, "{comma}{name}:{value}");
        }
    }
    Value::Str(out.into_bump_str().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn mount_patterns_are_not_anchored() {
        assert!(matches("/proc*", "/host/proc/sys"));
        assert!(matches("/var/run/*.sock", "/var/run/docker.sock"));
        assert!(!matches("/var/run/*.sock", "/run/docker.sock"));
        assert!(matches("/etc", "/etc/ssl"));
    }
}
