//! What `append` and `override` of an item ask for.

use super::reader::File;
use crate::rules::report::complaint::{Code, Complaint};
use crate::rules::report::suggest;
use crate::yaml::{Node, Yaml};

/// The keys that an item changes instead of defining it anew.
#[derive(Debug, Default)]
pub struct Change<'n> {
    pub append: Vec<Entry<'n>>,
    pub replace: Vec<Entry<'n>>,
    /// Written as the old `append: true`.
    pub legacy: bool,
}

/// One line of `override`.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'n> {
    pub key: &'n str,
    /// Where the key stands below `override`.
    pub node: &'n Node,
}

impl<'n> Change<'n> {
    /// Reads the two keys of `item`.
    pub fn read(
        file: File<'_>,
        item: &'n Node,
        appendable: &[&'static str],
        replaceable: &[&'static str],
        warnings: &mut Vec<Complaint>,
    ) -> Result<Self, Complaint> {
        let mut change = Self { legacy: file.boolean(item, "append")?.unwrap_or(false), ..Self::default() };
        if change.legacy {
            let message = "'append' key is deprecated. Add an 'append' entry (e.g. 'condition: append') under 'override' \
                           instead.";
            let at = item.get("append").unwrap_or(item);
            warnings.push(Complaint::new(Code::DeprecatedItem, file.origin(at), message));
        }
        let Some(node) = item.get("override").filter(|node| !node.is_null()) else { return Ok(change) };
        let around = |complaint: Complaint| complaint.within("overrides", "", file.origin(node));
        let Yaml::Map(pairs) = &node.yaml else {
            let complaint = file.invalid(node, "Value of 'override' is not a mapping");
            let is_list = matches!(node.yaml, Yaml::Seq(_));
            let code = if is_list { Code::Validate } else { Code::YamlValidate };
            return Err(around(complaint.coded(code)));
        };
        for (key, operation) in pairs {
            change.entry(file, key, operation, appendable, replaceable).map_err(around)?;
        }
        if change.legacy && change.overrides() {
            let message = "Keys 'override' and 'append: true' cannot be used together. Add an 'append' entry (e.g. \
                           'condition: append') under 'override' instead.";
            return Err(file.invalid(node, message));
        }
        Ok(change)
    }

    fn entry(
        &mut self,
        file: File<'_>,
        node: &'n Node,
        operation: &Node,
        appendable: &[&'static str],
        replaceable: &[&'static str],
    ) -> Result<(), Complaint> {
        let key =
            node.text().ok_or_else(|| file.invalid(node, "A key of 'override' is not a scalar value"))?;
        let (may_append, may_replace) = (appendable.contains(&key), replaceable.contains(&key));
        let refuse = |message: String| {
            let known = appendable.iter().chain(replaceable).copied();
            let near = if may_append || may_replace { None } else { suggest::nearest(key, known) };
            file.invalid(node, message).spanning(key.len()).suggesting(near).within(
                "overrides",
                key,
                file.origin(node),
            )
        };
        if self.append.iter().chain(&self.replace).any(|entry| entry.key == key) {
            return Err(refuse(format!("Key '{key}' is overridden twice")));
        }
        match operation.text() {
            Some("append") if may_append => self.append.push(Entry { key, node }),
            Some("append") => {
                return Err(refuse(format!("Key '{key}' cannot be appended to, use 'replace' instead")));
            }
            Some("replace") if may_replace => self.replace.push(Entry { key, node }),
            Some("replace") => return Err(refuse(format!("Key '{key}' cannot be replaced"))),
            other => {
                let word = other.unwrap_or_default();
                let allowed: Vec<&str> = [("append", may_append), ("replace", may_replace)]
                    .into_iter()
                    .filter_map(|(word, may)| may.then_some(word))
                    .collect();
                let message = format!(
                    "Invalid override operation for key '{key}': '{word}'. Allowed values are: {}",
                    allowed.join(" ")
                );
                return Err(file
                    .invalid(operation, message)
                    .suggesting(suggest::nearest(word, allowed))
                    .within("value for", key, file.origin(operation)));
            }
        }
        Ok(())
    }

    /// True when `override` names a key.
    pub fn overrides(&self) -> bool {
        !self.append.is_empty() || !self.replace.is_empty()
    }

    /// True when `key` is to be appended to.
    pub fn appends(&self, key: &str) -> bool {
        self.append.iter().any(|entry| entry.key == key)
    }

    /// Every key that is changed must be there.
    pub fn defined(
        file: File<'_>,
        item: &Node,
        entries: &[Entry<'_>],
        operation: &str,
    ) -> Result<(), Complaint> {
        match entries.iter().find(|entry| item.get(entry.key).is_none()) {
            None => Ok(()),
            Some(Entry { key, node }) => {
                let message =
                    format!("An {operation} override for '{key}' was specified but '{key}' is not defined");
                Err(file.invalid(node, message).spanning(key.len()))
            }
        }
    }

    /// Every key that could be changed must be named by `override`.
    pub fn expected(
        &self,
        file: File<'_>,
        item: &Node,
        appendable: &[&'static str],
        replaceable: &[&'static str],
    ) -> Result<(), Complaint> {
        let Yaml::Map(pairs) = &item.yaml else { return Ok(()) };
        for (node, _) in pairs {
            let Some(key) = node.text() else { continue };
            let named = self.append.iter().chain(&self.replace).any(|entry| entry.key == key);
            if !named && (appendable.contains(&key) || replaceable.contains(&key)) {
                let message =
                    format!("Unexpected key '{key}': no corresponding entry under 'override' is defined.");
                return Err(file.invalid(node, message).spanning(key.len()).within(
                    "overrides",
                    key,
                    file.origin(node),
                ));
            }
        }
        Ok(())
    }
}
