//! `container.*` and `k8s.*`: on the host, ids say `host` and the rest is empty; metadata that is not known is missing.

use std::fmt::Write as _;

use bumpalo::collections::String as BumpString;

use crate::engine::live::Live;
use crate::rules::{Field, FieldArg, FieldRef, Value};
use crate::state::Container;
use crate::state::containers::{Mount, Pod};

pub fn get<'a>(event: &'a Live<'_>, field: &FieldRef) -> Option<Value<'a>> {
    match field.field {
        Field::ContainerStartTs => started(event).map(Value::Int),
        Field::ContainerDuration => Some(Value::Int(event.time - started(event)?)),
        _ => match event.container {
            None => on_host(event, field.field),
            Some(container) => of(event, container, field),
        },
    }
}

/// Start of the first process of the pid namespace, ns since the epoch.
fn started(event: &Live<'_>) -> Option<i64> {
    let boot = event.process()?.task.pidns_start;
    (boot != 0).then(|| event.known.clock.wall(boot))
}

fn on_host<'a>(event: &Live<'_>, field: Field) -> Option<Value<'a>> {
    event.process()?;
    Some(match field {
        Field::ContainerId | Field::ContainerFullId | Field::ContainerName | Field::ContainerType => {
            Value::Str(b"host")
        }
        Field::ContainerPrivileged
        | Field::ContainerHostPid
        | Field::ContainerHostNetwork
        | Field::ContainerHostIpc => Value::Bool(false),
        Field::ContainerImage
        | Field::ContainerImageId
        | Field::ContainerImageRepository
        | Field::ContainerImageTag
        | Field::ContainerImageDigest
        | Field::ContainerMounts
        | Field::ContainerIp
        | Field::ContainerCniJson
        | Field::ContainerLabels => Value::Str(b""),
        _ => return None,
    })
}

fn of<'a>(event: &'a Live<'_>, container: &'a Container, field: &FieldRef) -> Option<Value<'a>> {
    let text = |text: &'a str| Some(Value::Str(text.as_bytes()));
    match field.field {
        Field::ContainerId => return text(&container.id),
        Field::ContainerFullId => return text(&container.full_id),
        Field::ContainerType => return text(container.runtime.name()),
        _ if container.incomplete => return None,
        _ => {}
    }
    let pod = container.pod.as_ref();
    let known = |text: &'a str| (!text.is_empty()).then_some(Value::Str(text.as_bytes()));
    let of_pod = |get: fn(&Pod) -> &str| pod.map(get).and_then(known);
    match field.field {
        Field::ContainerName => text(&container.name),
        Field::ContainerImage => text(&container.image.full),
        Field::ContainerImageId => text(&container.image_id),
        Field::ContainerImageRepository => text(&container.image.repository),
        Field::ContainerImageTag => text(&container.image.tag),
        Field::ContainerImageDigest => text(&container.image.digest),
        Field::ContainerPrivileged => Some(Value::Bool(container.privileged)),
        Field::ContainerHostPid => Some(Value::Bool(container.host_pid)),
        Field::ContainerHostNetwork => Some(Value::Bool(container.host_network)),
        Field::ContainerHostIpc => Some(Value::Bool(container.host_ipc)),
        Field::ContainerIp => text(&container.ip),
        Field::ContainerMounts => Some(mounts(event, &container.mounts)),
        Field::ContainerMount => {
            by_source(container, &field.arg).map(|m| mounts(event, std::slice::from_ref(m)))
        }
        Field::ContainerMountSource => {
            find(container, &field.arg, |m| &m.destination).and_then(|m| text(&m.source))
        }
        Field::ContainerMountDest => by_source(container, &field.arg).and_then(|m| text(&m.destination)),
        Field::ContainerMountMode => by_source(container, &field.arg).and_then(|m| text(&m.mode)),
        Field::ContainerMountRdwr => by_source(container, &field.arg).and_then(|m| text(flag(m.writable))),
        Field::ContainerMountPropagation => {
            by_source(container, &field.arg).and_then(|m| text(&m.propagation))
        }
        Field::ContainerLabel => container.labels.get(key(&field.arg)?).and_then(|l| text(l)),
        Field::ContainerLabels => Some(labels(event, &container.labels)),
        Field::K8sPodName => of_pod(|p| &p.name),
        Field::K8sNsName => of_pod(|p| &p.namespace),
        Field::K8sPodUid | Field::K8sPodId => of_pod(|p| &p.uid),
        Field::K8sPodSandboxId => {
            let id = pod.map(|p| p.sandbox_id.as_str())?;
            known(id.get(..12).unwrap_or(id))
        }
        Field::K8sPodFullSandboxId => of_pod(|p| &p.sandbox_id),
        Field::K8sPodLabel => pod?.labels.get(key(&field.arg)?).and_then(|l| text(l)),
        Field::K8sPodLabels => pod.map(|p| labels(event, &p.labels)),
        Field::K8sPodIp => of_pod(|p| &p.ip),
        _ => None,
    }
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
