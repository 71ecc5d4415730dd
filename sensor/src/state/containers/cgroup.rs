//! From the path of a cgroup to the container that it belongs to.
//!
//! Looked at segment by segment, innermost container first, so that cgroups that a container makes for itself (systemd in a
//! container) belong to it. Differs from Falco where Falco is known to be wrong: ids are hexadecimal at any depth, and a
//! two-segment path is only a candidate for containerd, to be confirmed by a shim.

use serde::{Deserialize, Serialize};

use super::config::EnginesConfig;
use super::runtime::Runtime;

/// A container named by a path.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Candidate {
    /// Full id as it stands in the path.
    pub id: String,
    /// Best guess; who answers for the id decides.
    pub runtime: Runtime,
    /// containerd namespace, where the path has one.
    pub namespace: Option<String>,
    /// Only a container if a runtime knows it.
    pub doubtful: bool,
}

impl Candidate {
    fn sure(id: &str, runtime: Runtime) -> Self {
        Self { id: id.into(), runtime, namespace: None, doubtful: false }
    }
}

/// The container that `path` (from the hierarchy's root) belongs to; `None` for the host.
pub fn container_of(path: &str, engines: &EnginesConfig) -> Option<Candidate> {
    containers_of(path, engines).next()
}

/// All containers that `path` names, the innermost first: a container can make cgroups that look like other ones.
pub fn containers_of(path: &str, engines: &EnginesConfig) -> impl Iterator<Item = Candidate> {
    let segments: Vec<&str> = path.split('/').filter(|s| !s.is_empty()).collect();
    (0..segments.len()).rev().filter_map(move |i| at(&segments, i)).filter(|found| is_enabled(found, engines))
}

fn is_enabled(found: &Candidate, engines: &EnginesConfig) -> bool {
    match found.runtime {
        Runtime::Docker | Runtime::Cri | Runtime::Containerd | Runtime::CriO | Runtime::Oci => {
            // These share layouts; the metadata tells them apart.
            engines.docker.enabled || engines.cri.enabled || engines.containerd.enabled
        }
        Runtime::Podman => engines.podman.enabled,
        Runtime::Lxc => engines.lxc.enabled,
        Runtime::LibvirtLxc => engines.libvirt_lxc.enabled,
        Runtime::Bpm => engines.bpm.enabled,
    }
}

/// Scope units and cgroups named `PREFIX-ID`.
const PREFIXES: &[(&str, Runtime)] = &[
    ("docker-", Runtime::Docker),
    ("libpod-payload-", Runtime::Podman),
    ("libpod-", Runtime::Podman),
    ("cri-containerd-", Runtime::Cri),
    ("crio-", Runtime::CriO),
    ("nerdctl-", Runtime::Containerd),
];

/// The container that segment `i` names.
fn at(segments: &[&str], i: usize) -> Option<Candidate> {
    let segment = *segments.get(i)?;
    let parent = i.checked_sub(1).and_then(|p| segments.get(p)).copied();
    let unit = segment.strip_suffix(".scope").unwrap_or(segment);

    if let Some(&(prefix, runtime)) = PREFIXES.iter().find(|(p, _)| unit.starts_with(p)) {
        let id = unit.strip_prefix(prefix)?;
        return is_id(id).then(|| Candidate::sure(id, runtime));
    }
    // runc's notation for systemd, taken literally by a manager that does not use systemd: SLICE:PREFIX:ID.
    if let Some((rest, id)) = unit.rsplit_once(':')
        && is_id(id)
    {
        let prefix = rest.rsplit(':').next().unwrap_or_default();
        let runtime = PREFIXES.iter().find(|(p, _)| p.strip_suffix('-') == Some(prefix));
        return Some(Candidate::sure(id, runtime.map_or(Runtime::Containerd, |&(_, r)| r)));
    }
    if is_id(segment) {
        let kubernetes = segments[..i].iter().any(|s| s.starts_with("kubepods"));
        let runtime = if kubernetes { Runtime::Cri } else { Runtime::Docker };
        // `/NAMESPACE/ID`: docker's parent is `docker` by default; anything else may be a containerd namespace.
        let namespace = (i == 1 && !kubernetes).then_some(parent).flatten().filter(|p| *p != "docker");
        return Some(Candidate { namespace: namespace.map(Into::into), ..Candidate::sure(segment, runtime) });
    }
    if let Some(name) = segment.strip_prefix("lxc.payload.") {
        return named(name, Runtime::Lxc);
    }
    if let Some(name) = segment.strip_suffix(".libvirt-lxc") {
        return named(name, Runtime::LibvirtLxc);
    }
    if let Some(unit) = segment.strip_suffix(".scope") {
        if let Some((_, name)) = unit.split_once("-lxc\\x2d") {
            return named(name, Runtime::LibvirtLxc);
        }
        if let Some(name) = unit.strip_prefix("bpm-") {
            let valid = name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
            return if valid { named(name, Runtime::Bpm) } else { None };
        }
        return None;
    }
    match parent {
        Some("lxc" | "lxc.payload") if i == 1 || parent == Some("lxc.payload") => {
            named(segment, Runtime::Lxc)
        }
        Some("lxc") if segments.get(i.checked_sub(2)?) == Some(&"libvirt") => {
            named(segment, Runtime::LibvirtLxc)
        }
        Some(namespace) if i == 1 && is_containerd(namespace, segment) => Some(Candidate {
            namespace: Some(namespace.into()),
            doubtful: true,
            ..Candidate::sure(segment, Runtime::Containerd)
        }),
        _ => None,
    }
}

fn named(name: &str, runtime: Runtime) -> Option<Candidate> {
    (!name.is_empty()).then(|| Candidate::sure(name, runtime))
}

/// The ids that runtimes make up: 64 hexadecimal digits.
pub(super) fn is_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// Whether `/namespace/id` can be a container of containerd (its `identifiers` package).
fn is_containerd(namespace: &str, id: &str) -> bool {
    let identifier = |text: &str| {
        (1..=76).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
            && text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric())
            && text.bytes().last().is_some_and(|b| b.is_ascii_alphanumeric())
    };
    let unit = |text: &str| {
        [".service", ".slice", ".scope", ".mount", ".socket", ".swap"].iter().any(|s| text.ends_with(s))
    };
    identifier(namespace) && identifier(id) && !unit(namespace) && !unit(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "3ad7b26ded6d8e7b23da7d48fe889434573036c27ae5a74837233de441c3601e";
    const ID2: &str = "c1e6f2b2f5d8a5b1aa2f0a4df5e9a7c65cf8fd1f23bb6d1f5e7a9bb1e8a1d2f3";

    #[test]
    fn layouts() {
        use Runtime::{Bpm, Containerd, Cri, CriO, Docker, LibvirtLxc, Lxc, Podman};
        let pod = "/kubepods/besteffort/pod1b011081-6e8e-4839-b225-4685eae5fd59";
        let slice = "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podbd12dd3393227d950605a2444b13c27a.slice";
        let user = "/user.slice/user-1000.slice/user@1000.service/user.slice";
        for (path, expected) in [
            // docker
            (format!("/docker/{ID}"), Some((ID, Docker))),
            (format!("/system.slice/docker-{ID}.scope"), Some((ID, Docker))),
            (format!("/my/parent/{ID}"), Some((ID, Docker))),
            (format!("/docker/{ID}/init.scope"), Some((ID, Docker))),
            (format!("/docker/{ID}/system.slice/ssh.service"), Some((ID, Docker))),
            (format!("{user}/docker-{ID}.scope"), Some((ID, Docker))),
            // Docker or kubelet inside a container: the inner one.
            (format!("/docker/{ID2}/docker/{ID}"), Some((ID, Docker))),
            (format!("/docker/{ID2}/kubelet/kubepods/pod1/{ID}"), Some((ID, Cri))),
            // podman
            (format!("/machine.slice/libpod-{ID}.scope"), Some((ID, Podman))),
            (format!("/machine.slice/libpod-{ID}.scope/container"), Some((ID, Podman))),
            (format!("{user}/libpod-{ID}.scope/container"), Some((ID, Podman))),
            (format!("/libpod_parent/libpod-{ID}"), Some((ID, Podman))),
            (format!("/user.slice/podman.service/libpod-payload-{ID}"), Some((ID, Podman))),
            (format!("/machine.slice/libpod_pod_{ID2}.slice/libpod-{ID}.scope"), Some((ID, Podman))),
            (format!("/machine.slice/libpod-conmon-{ID}.scope"), None),
            (format!("/machine.slice/libpod_pod_{ID}.slice"), None),
            // CRI
            (format!("{pod}/{ID}"), Some((ID, Cri))),
            (format!("{slice}/cri-containerd-{ID}.scope"), Some((ID, Cri))),
            (format!("{slice}/docker-{ID}.scope"), Some((ID, Docker))),
            (format!("{slice}/crio-{ID}.scope"), Some((ID, CriO))),
            (format!("{slice}/crio-{ID}.scope/container"), Some((ID, CriO))),
            (format!("{pod}/crio-{ID}"), Some((ID, CriO))),
            (format!("{slice}/crio-conmon-{ID}.scope"), None),
            (
                format!("/system.slice/containerd.service/kubepods-pod1.slice:cri-containerd:{ID}"),
                Some((ID, Cri)),
            ),
            (format!("/kubelet.slice{slice}/cri-containerd-{ID}.scope/a/b"), Some((ID, Cri))),
            (slice.to_owned(), None),
            (pod.to_owned(), None),
            // containerd
            (format!("/system.slice/nerdctl-{ID}.scope"), Some((ID, Containerd))),
            ("/default/my-container".to_owned(), Some(("my-container", Containerd))),
            ("/k8s.io/a.b_c/init.scope".to_owned(), Some(("a.b_c", Containerd))),
            // LXC
            ("/lxc/web".to_owned(), Some(("web", Lxc))),
            ("/lxc.payload/web/system.slice/x.service".to_owned(), Some(("web", Lxc))),
            ("/lxc.payload.web".to_owned(), Some(("web", Lxc))),
            ("/lxc.payload.web/init.scope".to_owned(), Some(("web", Lxc))),
            ("/lxc.monitor.web".to_owned(), None),
            ("/libvirt/lxc/web".to_owned(), Some(("web", LibvirtLxc))),
            ("/machine/web.libvirt-lxc".to_owned(), Some(("web", LibvirtLxc))),
            (
                "/machine.slice/machine-lxc\\x2d7\\x2dweb.scope/libvirt".to_owned(),
                Some(("7\\x2dweb", LibvirtLxc)),
            ),
            // BOSH
            ("/system.slice/bpm-garden.scope".to_owned(), Some(("garden", Bpm))),
            // The host
            ("/".to_owned(), None),
            (String::new(), None),
            ("/init.scope".to_owned(), None),
            ("/system.slice/sshd.service".to_owned(), None),
            (format!("{user}/app.slice/app-{ID}.service"), None),
            ("/user.slice/user-0.slice/session-1.scope".to_owned(), None),
            (format!("/docker/{}", &ID[..63]), None),
            (format!("/a/b/{}g", &ID[..63]), None),
        ] {
            let found = container_of(&path, &EnginesConfig::default());
            // A path of two plain names may be containerd's, and is marked as such; that is tested below.
            let found = found.as_ref().filter(|f| !f.doubtful || expected.is_some());
            assert_eq!(found.map(|f| (f.id.as_str(), f.runtime)), expected, "{path}");
        }
    }

    #[test]
    fn two_plain_segments_are_doubtful() {
        let engines = EnginesConfig::default();
        let found = container_of("/process_api/9c737e98", &engines).unwrap();
        assert_eq!((found.namespace.as_deref(), found.doubtful), (Some("process_api"), true));
        let found = container_of(&format!("/default/{ID}"), &engines).unwrap();
        assert_eq!((found.namespace.as_deref(), found.doubtful), (Some("default"), false));
    }

    proptest::proptest! {
        #[test]
        fn any_path_is_judged(path in "(/?[a-z.:é-]{0,9}(libpod-|docker-|lxc|:|-lxc\\\\x2d)?[0-9a-f]{0,65}(\\.scope)?){0,5}") {
            if let Some(found) = container_of(&path, &EnginesConfig::default()) {
                proptest::prop_assert!(!found.id.is_empty() && path.contains(&found.id));
            }
        }
    }

    #[test]
    fn switched_off_engines_see_nothing() {
        let mut engines = EnginesConfig::default();
        engines.podman.enabled = false;
        assert_eq!(container_of(&format!("/machine.slice/libpod-{ID}.scope"), &engines), None);
        engines.lxc.enabled = false;
        assert_eq!(container_of("/lxc/web", &engines), None);
    }
}
