//! Image references: `registry:5000/path/name:tag@sha256:…` and its parts.

use serde::{Deserialize, Serialize};

/// An image reference and its parts; empty where it has no such part.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ImageName {
    /// As the runtime names it.
    pub full: String,
    /// Registry and path, no tag or digest.
    pub repository: String,
    pub tag: String,
    /// `sha256:…`.
    pub digest: String,
}

impl ImageName {
    /// Splits a reference: the digest stands behind `@`, the tag behind the last `:` that follows the last `/`.
    ///
    /// A bare image id (`sha256:…`) is not a name and has none of the parts.
    pub fn parse(reference: &str) -> Self {
        let (name, digest) = match reference.split_once('@') {
            Some((name, digest)) => (name, digest),
            None if reference.starts_with("sha256:") => ("", ""),
            None => (reference, ""),
        };
        let file = name.rfind('/').map_or(0, |slash| slash + 1);
        let (repository, tag) = match name[file..].rfind(':') {
            Some(colon) => (&name[..file + colon], &name[file + colon + 1..]),
            None => (name, ""),
        };
        Self { full: reference.into(), repository: repository.into(), tag: tag.into(), digest: digest.into() }
    }

    /// Whether anything is known.
    pub fn is_empty(&self) -> bool {
        self.full.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_split() {
        let digest = "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
        for (reference, repository, tag, with_digest) in [
            ("nginx", "nginx", "", false),
            ("nginx:1.27", "nginx", "1.27", false),
            ("docker.io/library/nginx:1.27", "docker.io/library/nginx", "1.27", false),
            ("localhost:5000/team/app", "localhost:5000/team/app", "", false),
            ("localhost:5000/team/app:v2", "localhost:5000/team/app", "v2", false),
            ("registry.k8s.io/pause:3.10@DIGEST", "registry.k8s.io/pause", "3.10", true),
            ("host:443/a/b@DIGEST", "host:443/a/b", "", true),
            ("DIGEST", "", "", false),
            ("", "", "", false),
            (":", "", "", false),
            ("a/", "a/", "", false),
            ("é:ü", "é", "ü", false),
        ] {
            let reference = reference.replace("DIGEST", digest);
            let image = ImageName::parse(&reference);
            assert_eq!(
                (image.full.as_str(), image.repository.as_str(), image.tag.as_str(), image.digest.as_str()),
                (reference.as_str(), repository, tag, if with_digest { digest } else { "" }),
                "{reference}"
            );
        }
    }
}
