//! A cause is given once. An error's message says its cause where it belongs in the sentence, mostly before the remedy; so the error
//! has no `source()`, or whoever prints the chain (`{:#}`) would tell the cause twice, and whoever prints the message alone (`{}`) of
//! an error that keeps to its `source()` would not tell it at all.

use std::fmt::Write as _;
use std::fs;

use anyhow::{Context, Result, bail};
use syn::visit::{self, Visit};
use syn::{Attribute, Fields, Ident, ItemEnum, ItemStruct, Meta};

use crate::workspace;

/// Checks all error types that are derived.
pub fn check() -> Result<()> {
    let root = workspace::root();
    let mut files = Vec::new();
    workspace::walk(&root, &mut files).context("cannot read the sources")?;
    files.retain(|file| file.extension().is_some_and(|e| e == "rs"));
    files.sort();
    let mut findings = String::new();
    for file in &files {
        let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        if !text.contains("Error") {
            continue;
        }
        let name = file.strip_prefix(&root).unwrap_or(file).display();
        for error in with_source(&text).with_context(|| format!("cannot parse {name}"))? {
            let remedy = "tell the cause in the message, in a field of another name and without `#[from]` and `#[source]`";
            writeln!(findings, "{name}: `{error}` has a `source()`: {remedy}")?;
        }
    }
    if !findings.is_empty() {
        bail!("causes that are told twice or not at all:\n{findings}");
    }
    Ok(())
}

/// Names of the errors that have a `source()` and a message.
fn with_source(text: &str) -> Result<Vec<String>> {
    let mut found = Found::default();
    found.visit_file(&syn::parse_file(text)?);
    Ok(found.0)
}

#[derive(Default)]
struct Found(Vec<String>);

impl Found {
    fn fields(&mut self, name: &Ident, of: &[Attribute], fields: &Fields) {
        // What is transparent has no message of its own.
        let told = |a: &Attribute| a.path().is_ident("error") && text(a).contains("transparent");
        if of.iter().any(told) {
            return;
        }
        for field in fields {
            let named = field.ident.as_ref().is_some_and(|name| name == "source");
            let marked = |a: &Attribute| a.path().is_ident("source") || a.path().is_ident("from");
            if named || field.attrs.iter().any(marked) {
                self.0.push(name.to_string());
            }
        }
    }
}

impl Visit<'_> for Found {
    fn visit_item_enum(&mut self, item: &ItemEnum) {
        if is_error(&item.attrs) {
            for variant in &item.variants {
                self.fields(&variant.ident, &variant.attrs, &variant.fields);
            }
        }
        visit::visit_item_enum(self, item);
    }

    fn visit_item_struct(&mut self, item: &ItemStruct) {
        if is_error(&item.attrs) {
            self.fields(&item.ident, &item.attrs, &item.fields);
        }
        visit::visit_item_struct(self, item);
    }
}

fn is_error(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|a| a.path().is_ident("derive") && text(a).contains("Error"))
}

fn text(attribute: &Attribute) -> String {
    match &attribute.meta {
        Meta::List(list) => list.tokens.to_string(),
        Meta::Path(_) | Meta::NameValue(_) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_found_and_nothing_else() {
        let text = r#"
            #[derive(Debug, thiserror::Error)]
            enum A {
                #[error("x: {source}")]
                Named { source: io::Error },
                #[error("x: {0}")]
                From(#[from] io::Error),
                #[error("x")]
                Marked(#[source] io::Error),
                #[error("x: {cause}")]
                Told { cause: io::Error },
                #[error(transparent)]
                Passed(#[from] io::Error),
            }
            struct Alert { source: String }
        "#;
        assert_eq!(with_source(text).unwrap(), ["Named", "From", "Marked"]);
    }
}
