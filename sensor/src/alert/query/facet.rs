//! Facets: what alerts are filtered and counted by. One table, from which follow the keys of the query language and their
//! help, the columns of the alert log, what the API counts by, and through its description the web app's types.

use std::borrow::Cow;

use serde::Serialize;
use utoipa::ToSchema;

use super::text::text_of;
use crate::alert::Alert;

/// How a facet is named, kept and counted.
struct Info {
    word: &'static str,
    /// Other spellings of the key.
    others: &'static [&'static str],
    means: &'static str,
    columns: &'static [Column],
    /// What is counted: an SQL expression over `alert AS a` (and `t`, an element of the list of tags).
    counted: &'static str,
}

/// A text of an alert that the log keeps in a column of its own. A key holds when one of its columns' texts fits.
pub(crate) struct Column {
    pub name: &'static str,
    pub of: for<'a> fn(&'a Alert) -> Option<Cow<'a, str>>,
}

const fn column(name: &'static str, of: for<'a> fn(&'a Alert) -> Option<Cow<'a, str>>) -> Column {
    Column { name, of }
}

macro_rules! facets {
    ($($(#[$doc:meta])* $name:ident: $word:literal $others:tt $means:literal, $columns:tt, $counted:literal;)*) => {
        /// What alerts are counted by. The words are keys of the query language.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, ToSchema)]
        #[serde(rename_all = "lowercase")]
        #[schema(as = GroupName)]
        pub enum Facet {
            $($(#[$doc])* $name),*
        }

        impl Facet {
            /// All facets, in the order in which they are offered.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            fn info(self) -> &'static Info {
                match self {
                    $(Self::$name => {
                        static INFO: Info = Info {
                            word: $word, others: &$others, means: $means, columns: &$columns, counted: $counted,
                        };
                        &INFO
                    })*
                }
            }
        }
    };
}

// The columns are those of the log's schema. Priority and tags are no texts: they have columns and comparisons of their own.
facets! {
    Priority: "priority" ["severity", "level"] "priority of the rule; compare with >=, >, <=, <", [], "a.priority";
    Rule: "rule" [] "name of the rule", [column("rule", |a| own(&a.rule))], "a.rule";
    Source: "source" [] "event source, e.g. syscall", [column("source", |a| own(&a.source))], "a.source";
    Host: "host" ["hostname", "node"] "host of the sensor", [column("hostname", |a| own(&a.hostname))], "a.hostname";
    /// Counted by name, or by id where the name is not known.
    Container: "container" [] "container id or name", [
        column("container", |a| field(a, "container.id")),
        column("container_name", |a| field(a, "container.name")),
    ], "ifnull(nullif(a.container_name, ''), a.container)";
    Image: "image" [] "container image, with or without tag", [
        column("image", image),
        column("repository", |a| field(a, "container.image.repository")),
    ], "a.image";
    Namespace: "namespace" ["ns"] "Kubernetes namespace", [column("namespace", |a| field(a, "k8s.ns.name"))],
        "a.namespace";
    Pod: "pod" [] "Kubernetes pod", [column("pod", |a| field(a, "k8s.pod.name"))], "a.pod";
    Process: "process" ["proc"] "process name (proc.name)", [column("process", |a| field(a, "proc.name"))],
        "a.process";
    User: "user" [] "user name (user.name)", [column("user", |a| field(a, "user.name"))], "a.user";
    Tag: "tag" ["tags"] "tag of the rule", [], "t.value";
}

impl Facet {
    /// Its key in the query language.
    pub fn word(self) -> &'static str {
        self.info().word
    }

    /// Other spellings of the key.
    pub fn others(self) -> &'static [&'static str] {
        self.info().others
    }

    /// What it is, in a few words.
    pub fn means(self) -> &'static str {
        self.info().means
    }

    /// The facet of this key, in any case and spelling.
    pub fn named(word: &str) -> Option<Self> {
        let is = |name: &&str| name.eq_ignore_ascii_case(word);
        Self::ALL.iter().copied().find(|facet| is(&facet.word()) || facet.others().iter().any(is))
    }

    /// The columns that it looks at; none for priority and tags.
    pub(crate) fn columns(self) -> &'static [Column] {
        self.info().columns
    }

    /// The SQL expression that it is counted by.
    pub(crate) fn counted(self) -> &'static str {
        self.info().counted
    }
}

fn own(text: &str) -> Option<Cow<'_, str>> {
    Some(Cow::Borrowed(text))
}

fn field<'a>(alert: &'a Alert, name: &str) -> Option<Cow<'a, str>> {
    text_of(&alert.output_fields, name)
}

/// The image as people name it: `container.image`, else repository and tag.
fn image(alert: &Alert) -> Option<Cow<'_, str>> {
    if let Some(image) = field(alert, "container.image") {
        return Some(image);
    }
    let repository = field(alert, "container.image.repository")?;
    Some(match field(alert, "container.image.tag").filter(|tag| !tag.is_empty()) {
        Some(tag) => Cow::Owned(format!("{repository}:{tag}")),
        None => repository,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_one_in_query_and_api() {
        for facet in Facet::ALL {
            assert_eq!(serde_json::to_value(facet).unwrap(), facet.word());
            for word in std::iter::once(&facet.word()).chain(facet.others()) {
                assert_eq!(Facet::named(&word.to_uppercase()), Some(*facet), "{word}");
            }
        }
        assert_eq!(Facet::named("since"), None);
    }
}
