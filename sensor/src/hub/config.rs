//! falcosidekick's keys for the listener and for what is added to each alert.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// The HTTP intake. Key names are falcosidekick's; case is levelled by the reader of the file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HubConfig {
    /// Address to listen on; empty for all. falcosidekick's default is all addresses, ours is this host only.
    pub listenaddress: String,
    /// 0 for any free port.
    pub listenport: u16,
    /// Fields added to each alert's `output_fields`, over those of the same name: a map, or `name:value,name:value`.
    #[serde(deserialize_with = "fields")]
    pub customfields: BTreeMap<String, String>,
    /// Tags added to each alert: a list, or `tag,tag`.
    #[serde(deserialize_with = "tags")]
    pub customtags: Vec<String>,
}

impl Default for HubConfig {
    fn default() -> Self {
        Self {
            listenaddress: "127.0.0.1".into(),
            listenport: 2801,
            customfields: BTreeMap::new(),
            customtags: Vec::new(),
        }
    }
}

fn fields<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, String>, D::Error> {
    struct Fields;
    impl<'de> Visitor<'de> for Fields {
        type Value = BTreeMap<String, String>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a map of names and values, or `name:value,name:value`")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut fields = BTreeMap::new();
            while let Some((name, value)) = map.next_entry::<String, Scalar>()? {
                fields.insert(name, value.0);
            }
            Ok(fields)
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
            let pairs = text.split(',').map(str::trim).filter(|pair| !pair.is_empty());
            pairs
                .map(|pair| match pair.split_once(':') {
                    Some((name, value)) if !name.trim().is_empty() => {
                        Ok((name.trim().to_owned(), value.trim().to_owned()))
                    }
                    _ => Err(E::custom(format!("`{pair}` is no `name:value`"))),
                })
                .collect()
        }

        fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
            Ok(BTreeMap::new())
        }
    }
    deserializer.deserialize_any(Fields)
}

fn tags<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    struct Tags;
    impl<'de> Visitor<'de> for Tags {
        type Value = Vec<String>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list of tags, or `tag,tag`")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
            let mut tags = Vec::new();
            while let Some(tag) = list.next_element::<Scalar>()? {
                tags.push(tag.0);
            }
            Ok(tags)
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
            Ok(text.split(',').map(str::trim).filter(|tag| !tag.is_empty()).map(ToOwned::to_owned).collect())
        }

        fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
            Ok(Vec::new())
        }
    }
    deserializer.deserialize_any(Tags)
}

/// A YAML scalar as text: `version: 3` is meant as "3".
struct Scalar(String);

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match serde_json::Value::deserialize(deserializer)? {
            serde_json::Value::String(text) => Ok(Self(text)),
            serde_json::Value::Null => Ok(Self(String::new())),
            value @ (serde_json::Value::Bool(_) | serde_json::Value::Number(_)) => {
                Ok(Self(value.to_string()))
            }
            _ => Err(D::Error::custom("a text is wanted here, not a list or map")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_are_read() {
        let map = r#"{"customfields": {"cluster": "prod", "shard": 3}, "customtags": ["a", "b"]}"#;
        let text = r#"{"customfields": "cluster:prod, shard:3", "customtags": "a, b,"}"#;
        let config: HubConfig = serde_json::from_str(map).unwrap();
        assert_eq!(config, serde_json::from_str(text).unwrap());
        assert_eq!(config.customfields["shard"], "3");
        assert_eq!((config.listenaddress.as_str(), config.listenport), ("127.0.0.1", 2801));
        let url: HubConfig = serde_json::from_str(r#"{"customfields": "url:http://x:80"}"#).unwrap();
        assert_eq!(url.customfields["url"], "http://x:80");
    }

    #[test]
    fn mistakes_are_named() {
        for (bad, says) in [
            (r#"{"customfields": "cluster"}"#, "`cluster` is no `name:value`"),
            (r#"{"customfields": {"a": []}}"#, "a text is wanted"),
            (r#"{"listenport": 70000}"#, "70000"),
            (r#"{"listenprt": 1}"#, "listenport"),
        ] {
            let error = serde_json::from_str::<HubConfig>(bad).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}
