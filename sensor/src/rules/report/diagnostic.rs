//! What loading says: errors and warnings with Falco's codes, each pointing at its place in the file.
//!
//! A message has two forms. For tools, Falco's: the chain of the items it lies in, each with its place counted from 0 (in
//! a condition from 1), and Falco's words alone. For people: file, line and column counted from 1 of the very text that is
//! wrong (the item of a list, the value of an exception, the macro), the text with a marker under it, and what was
//! probably meant.

use std::collections::HashMap;
use std::fmt;

use super::complaint::{Code, Complaint};
use super::source::{Origin, Source};

/// A link of the chain of items that a message lies in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// Falco's `item_type`.
    pub kind: &'static str,
    pub name: String,
    /// The file; of a condition, its beginning.
    pub file: String,
    /// Counted from 0; in a condition from 1.
    pub line: usize,
    /// Counted from 0, in characters; in a condition from 1.
    pub column: usize,
    pub offset: usize,
}

impl Location {
    /// The location as Falco's JSON has it.
    fn json(&self) -> serde_json::Value {
        serde_json::json!({
            "item_type": self.kind,
            "item_name": self.name,
            "position": {
                "name": self.file, "line": self.line, "column": self.column, "offset": self.offset,
            },
        })
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind)?;
        if !self.name.is_empty() {
            write!(f, " '{}'", self.name)?;
        }
        let base = usize::from(self.kind != EXPRESSION);
        write!(f, ": ({}:{}:{})", self.file, self.line + base, self.column + base)
    }
}

const EXPRESSION: &str = "condition expression";

/// Longest snippet, in characters (Falco's length).
const SNIPPET: usize = 160;

/// The line of a text in which an offset lies.
struct Excerpt {
    /// Line and column of the offset, counted from 0, in characters.
    line: usize,
    column: usize,
    offset: usize,
    /// The line, cut to [`SNIPPET`] around the offset.
    snippet: String,
    /// Where in the snippet the offset is, in characters.
    at: usize,
}

impl Excerpt {
    fn of(source: &Source, offset: usize) -> Self {
        let text = source.text.as_str();
        let mut offset = offset.min(text.len());
        while !text.is_char_boundary(offset) {
            offset -= 1;
        }
        let (number, start) = source.line(offset);
        let end = text[offset..].find('\n').map_or(text.len(), |at| offset + at);
        let column = text[start..offset].chars().count();
        let line = text[start..end].trim_end();
        let length = line.chars().count();
        let skip = if length > SNIPPET { column.saturating_sub(SNIPPET / 2).min(length - 1) } else { 0 };
        let shown = line.chars().skip(skip).take(SNIPPET);
        let mut snippet: Vec<char> = shown.map(|c| if c.is_control() { ' ' } else { c }).collect();
        if skip > 0 && snippet.len() > 3 {
            snippet[..3].fill('.');
        }
        if length > skip + SNIPPET {
            snippet[SNIPPET - 3..].fill('.');
        }
        Self { line: number, column, offset, snippet: snippet.into_iter().collect(), at: column - skip }
    }

    /// The snippet as Falco's JSON has it.
    fn json(&self) -> String {
        if self.snippet.is_empty() {
            return "<No context available>\n".to_owned();
        }
        format!("{}\n{}^\n", self.snippet, " ".repeat(self.at))
    }
}

/// An error or a warning, complete with its place.
#[derive(Debug, Clone)]
pub struct Diagnostic {
    pub code: Code,
    /// In Falco's words.
    pub message: String,
    pub file: String,
    /// Counted from 1.
    pub line: usize,
    /// Counted from 1, in characters.
    pub column: usize,
    /// Byte offset in the file.
    pub offset: usize,
    /// At most 160 characters of the offending line.
    pub snippet: String,
    /// Where in `snippet` the trouble begins and how long it is, in characters.
    pub caret: (usize, usize),
    /// The items it lies in, outermost first: the file, and so on.
    pub context: Vec<Location>,
    /// What was probably meant.
    pub suggestion: Option<String>,
    /// What to do about it.
    pub advice: Option<String>,
    pub deprecated_field: Option<String>,
    /// The snippet of the innermost item, as Falco's JSON has it.
    falco_snippet: String,
}

impl Diagnostic {
    /// Looks up the place of a complaint in the files.
    pub fn new(complaint: Complaint, files: &[Source]) -> Self {
        let complaint = *complaint.0;
        let none = Source::new("", "");
        let source = |origin: Origin| files.get(origin.file as usize).unwrap_or(&none);
        let file = source(complaint.at);
        let excerpt = Excerpt::of(file, complaint.at.at as usize);
        let outermost = complaint.context.first().map_or(complaint.at, |item| item.at);
        let mut context = vec![Location {
            kind: "rules content",
            name: String::new(),
            file: source(outermost).name.clone(),
            line: 0,
            column: 0,
            offset: 0,
        }];
        // A message about the file as such has no other item.
        let mut falco_snippet = excerpt.json();
        for item in complaint.context {
            let file = source(item.at);
            let place = Excerpt::of(file, item.at.at as usize);
            falco_snippet = place.json();
            context.push(Location {
                kind: item.kind,
                name: item.name,
                file: file.name.clone(),
                line: place.line,
                column: place.column,
                offset: place.offset,
            });
        }
        if let Some(expression) = &complaint.expression {
            let place = Excerpt::of(&Source::new("", expression.text.as_str()), expression.at);
            falco_snippet = place.json();
            context.push(Location {
                kind: EXPRESSION,
                name: String::new(),
                file: beginning(&expression.text),
                line: place.line + 1,
                column: place.column + 1,
                offset: place.offset,
            });
        }
        let room = excerpt.snippet.chars().count().saturating_sub(excerpt.at).max(1);
        Self {
            code: complaint.code,
            message: complaint.message,
            file: file.name.clone(),
            line: excerpt.line + 1,
            column: excerpt.column + 1,
            offset: excerpt.offset,
            caret: (excerpt.at, complaint.len.clamp(1, room)),
            snippet: excerpt.snippet,
            context,
            suggestion: complaint.suggestion,
            advice: complaint.advice,
            deprecated_field: complaint.deprecated_field,
            falco_snippet,
        }
    }

    /// About a file that could not be read, which has no lines to show.
    pub fn unread(file: &str, message: String) -> Self {
        let sources = [Source::new(file, "")];
        Self::new(Complaint::new(Code::FileRead, Origin::default(), message), &sources)
    }

    /// The entry of Falco's JSON load result.
    pub fn json(&self) -> serde_json::Value {
        let locations: Vec<_> = self.context.iter().map(Location::json).collect();
        let mut entry = serde_json::json!({
            "context": {"locations": locations, "snippet": self.falco_snippet},
            "code": self.code.as_str(),
            "codedesc": self.code.description(),
            "message": self.message,
        });
        if let (Some(field), Some(object)) = (&self.deprecated_field, entry.as_object_mut()) {
            object.insert("deprecated_field".to_owned(), field.clone().into());
        }
        entry
    }

    /// The message, what was probably meant and what to do.
    pub fn full_message(&self) -> String {
        let meant = self.suggestion.as_ref().map(|name| format!(" (did you mean '{name}'?)"));
        let advice = self.advice.as_ref().map(|advice| format!("; {advice}"));
        format!("{}{}{}", self.message, meant.unwrap_or_default(), advice.unwrap_or_default())
    }

    /// The name of the rule, macro or list that it lies in.
    fn owner(&self) -> Option<&str> {
        let owner =
            self.context.iter().find(|location| matches!(location.kind, "rule" | "macro" | "list"))?;
        Some(&owner.name)
    }
}

/// The first characters of a condition, in quotes: what Falco calls it by.
fn beginning(text: &str) -> String {
    const LONGEST: usize = 20;
    let flat = |text: &str| text.replace(['\n', '\r'], " ");
    if text.chars().count() <= LONGEST {
        return format!("\"{}\"", flat(text));
    }
    let start: String = text.chars().take(LONGEST - 3).collect();
    format!("\"{}...\"", flat(&start))
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}:{}:{}: {}", self.file, self.line, self.column, self.full_message())?;
        for (n, location) in self.context.iter().enumerate() {
            writeln!(f, "{}{location}", if n == 0 { "In " } else { "    " })?;
        }
        if !self.snippet.is_empty() {
            let (at, len) = self.caret;
            writeln!(f, "------\n{}\n{}{}\n------", self.snippet, " ".repeat(at), "^".repeat(len))?;
        }
        write!(f, "{} ({}): {}", self.code.as_str(), self.code.description(), self.message)
    }
}

/// What the informative check of a file against the schema of rule files said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Schema {
    /// It was not made: the file could not be read or is no YAML.
    #[default]
    None,
    Ok,
    /// What does not fit.
    Failed(Vec<String>),
}

impl Schema {
    /// Falco's word for it.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Ok => "ok",
            Self::Failed(_) => "failed",
        }
    }

    /// What does not fit, one line each.
    pub fn warnings(&self) -> &[String] {
        match self {
            Self::Failed(warnings) => warnings,
            Self::None | Self::Ok => &[],
        }
    }
}

/// What loading one file said. At most one error: reading stops at the first.
#[derive(Debug, Clone, Default)]
pub struct FileReport {
    pub name: String,
    pub schema: Schema,
    pub errors: Vec<Diagnostic>,
    pub warnings: Vec<Diagnostic>,
}

impl FileReport {
    /// True when the file can be used.
    pub fn is_ok(&self) -> bool {
        self.errors.is_empty()
    }

    /// The warnings, those once that are the same at the same place: what a macro is warned about comes with each rule
    /// that uses it. With each, the rules.
    pub fn grouped_warnings(&self) -> Vec<(&Diagnostic, Vec<&str>)> {
        let mut groups: Vec<(&Diagnostic, Vec<&str>)> = Vec::new();
        let mut known = HashMap::new();
        for warning in &self.warnings {
            let key = (warning.code, warning.message.as_str(), warning.file.as_str(), warning.offset);
            let at = *known.entry(key).or_insert(groups.len());
            if at == groups.len() {
                groups.push((warning, Vec::new()));
            }
            if let (Some((_, owners)), Some(owner)) = (groups.get_mut(at), warning.owner())
                && owners.last() != Some(&owner)
            {
                owners.push(owner);
            }
        }
        groups
    }

    /// Falco's words for the outcome.
    pub fn verdict(&self) -> &'static str {
        match (self.is_ok(), self.warnings.is_empty()) {
            (true, true) => "Ok",
            (true, false) => "Ok, with warnings",
            (false, _) => "Invalid",
        }
    }

    /// Falco's log line about the schema.
    pub fn schema_line(&self) -> String {
        format!("{} | schema validation: {}", self.name, self.schema.as_str())
    }

    /// Falco's JSON load result of the file.
    pub fn json(&self) -> serde_json::Value {
        serde_json::json!({
            "name": self.name,
            "successful": self.is_ok(),
            "schema_valid": self.schema.as_str() == "ok",
            "schema_warnings": self.schema.warnings(),
            "errors": self.errors.iter().map(Diagnostic::json).collect::<Vec<_>>(),
            "warnings": self.warnings.iter().map(Diagnostic::json).collect::<Vec<_>>(),
        })
    }
}

/// Where else the same is to be said: ` (in 16 rules: "a", "b", "c" and 13 more)`; nothing for one.
pub fn in_rules(owners: &[&str]) -> String {
    const SHOWN: usize = 3;
    if owners.len() < 2 {
        return String::new();
    }
    let names: Vec<String> = owners.iter().take(SHOWN).map(|name| format!("{name:?}")).collect();
    let more = match owners.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!(" (in {} rules: {}{more})", owners.len(), names.join(", "))
}

impl fmt::Display for FileReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}", self.name, self.verdict())?;
        if let Schema::Failed(warnings) = &self.schema {
            writeln!(f, "   {}", self.schema_line())?;
            warnings.iter().try_for_each(|warning| writeln!(f, "      {warning}"))?;
        }
        if !self.errors.is_empty() {
            writeln!(f, "{} Errors:", self.errors.len())?;
            self.errors.iter().try_for_each(|error| writeln!(f, "{error}"))?;
        }
        let warnings = self.grouped_warnings();
        if !warnings.is_empty() {
            writeln!(f, "{} Warnings:", warnings.len())?;
        }
        for (warning, owners) in warnings {
            writeln!(f, "{warning}{}", in_rules(&owners))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::load;
    use crate::rules::source::options::Options;

    fn report(text: &str) -> FileReport {
        load(&[Source::new("f.yaml", text)], &Options::default()).files.remove(0)
    }

    #[test]
    fn the_json_is_falcos() {
        let text = "- rule: r\n  desc: d\n  output: o\n  priority: info\n  condition: evt.type=open and proc.nmae=x\n";
        let position = |name: &str, line: usize, column: usize, offset: usize| serde_json::json!({"name": name, "line": line, "column": column, "offset": offset});
        let expression = "\"evt.type=open and...\"";
        assert_eq!(
            report(text).json(),
            serde_json::json!({
                "name": "f.yaml",
                "successful": false,
                "schema_valid": false,
                "schema_warnings": ["line 4: [0].priority is none of EMERGENCY, ALERT, CRITICAL, ERROR, WARNING, NOTICE, \
                                     INFORMATIONAL, INFO, DEBUG"],
                "errors": [{
                    "code": "LOAD_ERR_COMPILE_CONDITION",
                    "codedesc": "Error compiling condition",
                    "message": "filter_check called with nonexistent field proc.nmae",
                    "context": {
                        "locations": [
                            {"item_type": "rules content", "item_name": "", "position": position("f.yaml", 0, 0, 0)},
                            {"item_type": "rule", "item_name": "r", "position": position("f.yaml", 0, 2, 2)},
                            {"item_type": "rule condition", "item_name": "", "position": position("f.yaml", 4, 13, 62)},
                            {"item_type": "condition expression", "item_name": "", "position": position(expression, 1, 19, 18)},
                        ],
                        "snippet": "evt.type=open and proc.nmae=x\n                  ^\n",
                    },
                }],
                "warnings": [],
            })
        );
    }

    #[test]
    fn a_warning_about_a_macro_is_told_once_with_the_rules_that_use_it() {
        let rule = |name: &str| {
            format!(
                "- rule: {name}\n  desc: d\n  output: o\n  priority: INFO\n  condition: evt.type=open and m\n"
            )
        };
        let rules: String = ["a", "b", "c", "d", "e"].map(rule).concat();
        let report = report(&format!("- macro: m\n  condition: evt.dir = <\n{rules}"));
        assert_eq!(report.warnings.len(), 5);
        let shown = report.to_string();
        assert!(
            shown.contains("\n1 Warnings:\nf.yaml:2:14: usage of deprecated field 'evt.dir'; "),
            "{shown}"
        );
        assert!(
            shown.ends_with(
                "usage of deprecated field 'evt.dir' (in 5 rules: \"a\", \"b\", \"c\" and 2 more)\n"
            ),
            "{shown}"
        );
    }

    #[test]
    fn what_is_no_rule_file_is_told_what_it_is() {
        for (text, advice) in [
            (
                "image: x\ncustomRules:\n  mine.yaml: |-\n    - macro: m\n",
                "; this is a file of Helm values; the rules are the texts under its key `customRules` (mine.yaml), each",
            ),
            ("rules_files: [/etc/falco/x.yaml]\n", "; this is a configuration;"),
            ("cases: []\n", "; these are test cases;"),
            ("rule: r\n", "; a rule file is a list:"),
        ] {
            let error = report(text).errors[0].full_message();
            assert!(
                error.starts_with("Rules content is not yaml array of objects") && error.contains(advice),
                "{error}"
            );
        }
    }

    #[test]
    fn a_long_line_is_cut_around_the_mistake() {
        let many = vec!["proc.name=x"; 100].join(" or ");
        let condition = format!("evt.type=open and ({many} or proc.nmae=é or {many})");
        let report =
            report(&format!("- {{rule: r, desc: d, output: o, priority: INFO, condition: '{condition}'}}\n"));
        let error = &report.errors[0];
        let (at, len) = error.caret;
        let snippet: Vec<char> = error.snippet.chars().collect();
        assert_eq!(snippet.len(), 160);
        assert_eq!(snippet[at..at + len].iter().collect::<String>(), "proc.nmae");
        assert!(error.snippet.starts_with("...") && error.snippet.ends_with("..."));
        let json = error.json()["context"]["snippet"].as_str().unwrap().to_owned();
        let mut lines = json.lines();
        assert!(lines.next().unwrap().chars().count() <= 160);
        assert!(lines.next().unwrap().ends_with('^'));
    }

    #[test]
    fn the_text_tells_what_was_meant_and_what_the_schema_misses() {
        let shown =
            report("- rule: r\n  desc: d\n  output: o\n  priority: warnng\n  condition: evt.type=open\n")
                .to_string();
        for part in [
            "f.yaml: Invalid\n   f.yaml | schema validation: failed\n      line 4: [0].priority is none of",
            "1 Errors:\nf.yaml:4:13: Invalid priority (did you mean 'Warning'?); the priorities are EMERGENCY, ALERT, CRITICAL, ERROR, \
             WARNING, NOTICE, INFORMATIONAL, INFO, DEBUG\nIn rules content: (f.yaml:1:1)\n    \
             rule 'r': (f.yaml:1:3)\n    rule priority: (f.yaml:4:13)\n------\n  priority: warnng\n            ^^^^^^\n------\n\
             LOAD_ERR_YAML_VALIDATE (Error validating internal structure of YAML file): Invalid priority\n",
        ] {
            assert!(shown.contains(part), "{shown}");
        }
    }
}
