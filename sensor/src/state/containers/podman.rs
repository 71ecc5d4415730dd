//! Podman: its index of containers on disk. (Its API is docker's, see [`super::docker`].)

use serde::Deserialize;

use super::container::Container;
use super::image::ImageName;
use super::runtime::Runtime;

/// One entry of `containers.json` of containers/storage.
#[derive(Deserialize)]
struct Entry {
    id: String,
    #[serde(default)]
    names: Vec<String>,
    /// JSON, see [`Metadata`].
    #[serde(default)]
    metadata: String,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
struct Metadata {
    image_name: String,
    image_id: String,
    name: String,
}

/// Adds name and image of `container`, if the index has it.
pub(super) fn describe_index(index: &[u8], container: &mut Container) {
    let entries: Vec<Entry> = serde_json::from_slice(index).unwrap_or_default();
    let Some(entry) = entries.into_iter().find(|e| e.id == container.full_id) else { return };
    let metadata: Metadata = serde_json::from_str(&entry.metadata).unwrap_or_default();
    container.runtime = Runtime::Podman;
    container.image = ImageName::parse(&metadata.image_name);
    container.image_id = metadata.image_id;
    container.name = entry.names.into_iter().next().unwrap_or(metadata.name);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_names_containers() {
        let index = br#"[{"id":"other"},{"id":"abc","names":["web"],"image":"i","layer":"l",
            "metadata":"{\"image-name\":\"docker.io/library/nginx:1.27\",\"image-id\":\"77\",\"name\":\"web\"}"}]"#;
        let mut container = Container { full_id: "abc".into(), ..Container::default() };
        describe_index(index, &mut container);
        assert_eq!((container.name.as_str(), container.image_id.as_str()), ("web", "77"));
        assert_eq!(container.image.repository, "docker.io/library/nginx");

        let before = Container { full_id: "none".into(), ..Container::default() };
        for bytes in [&b"{"[..], b"[]", b"[{}]", index] {
            let mut container = before.clone();
            describe_index(bytes, &mut container);
            assert_eq!(container, before);
        }
    }
}
