//! What somebody may have meant by what is no rule file, or no item of one.

use super::reader::File;
use crate::rules::report::complaint::{Code, Complaint};
use crate::rules::report::suggest;
use crate::yaml::{Node, Yaml};

/// The complaint about a file that is a mapping, and what it may be instead.
pub fn no_rules(file: File<'_>, document: &Node) -> Complaint {
    let complaint = file.invalid(document, "Rules content is not yaml array of objects");
    let helm =
        document.get("customRules").or_else(|| document.get("falco").and_then(|of| of.get("customRules")));
    if let Some(custom) = helm {
        let names: Vec<&str> = match &custom.yaml {
            Yaml::Map(pairs) => pairs.iter().filter_map(|(key, _)| key.text()).take(5).collect(),
            _ => Vec::new(),
        };
        let which = if names.is_empty() { String::new() } else { format!(" ({})", names.join(", ")) };
        return complaint.advising(format!(
            "this is a file of Helm values; the rules are the texts under its key `customRules`{which}, each of which is a file \
             of its own"
        ));
    }
    if document.get("rules_files").or_else(|| document.get("rules_file")).is_some() {
        return complaint.advising("this is a configuration; the rule files are those that it names");
    }
    if document.get("cases").is_some() {
        return complaint.advising("these are test cases; `falconet rules test` takes them");
    }
    complaint.advising("a rule file is a list: each rule, macro and list begins with `- `")
}

/// The warning about an item that is neither rule, macro, list nor requirement.
pub fn unknown_item(file: File<'_>, item: &Node) -> Complaint {
    let mut near = None;
    let mut at = item;
    if let Yaml::Map(pairs) = &item.yaml {
        let kinds = ["required_engine_version", "required_plugin_versions", "list", "macro", "rule"];
        for (key, _) in pairs {
            if let Some(kind) = key.text().and_then(|key| suggest::nearest(key, kinds)) {
                (near, at) = (Some(kind), key);
                break;
            }
        }
    }
    Complaint::new(Code::UnknownItem, file.origin(at), "Unknown top level item").suggesting(near).within(
        "rules content item",
        "",
        file.origin(item),
    )
}
