//! What loading says: errors and warnings with Falco's codes, each pointing at its place in the file.

use std::fmt;

use super::text::Origin;

macro_rules! codes {
    ($($variant:ident $code:literal $desc:literal;)*) => {
        /// Falco's code of an error (`LOAD_ERR_…`) or warning (`LOAD_…`).
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Code { $($variant),* }

        impl Code {
            /// The name, as in the JSON report.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $code),* }
            }

            /// The short text, as in the JSON report's `codedesc`.
            pub const fn description(self) -> &'static str {
                match self { $(Self::$variant => $desc),* }
            }
        }
    };
}

codes! {
    FileRead "LOAD_ERR_FILE_READ" "File read error";
    YamlParse "LOAD_ERR_YAML_PARSE" "YAML parse error";
    YamlValidate "LOAD_ERR_YAML_VALIDATE" "Error validating internal structure of YAML file";
    CompileCondition "LOAD_ERR_COMPILE_CONDITION" "Error compiling condition";
    CompileOutput "LOAD_ERR_COMPILE_OUTPUT" "Error compiling output";
    Validate "LOAD_ERR_VALIDATE" "Error validating rule/macro/list/exception objects";
    UnknownSource "LOAD_UNKNOWN_SOURCE" "Unknown event source";
    UnsafeNaCheck "LOAD_UNSAFE_NA_CHECK" "Unsafe <NA> comparison in condition";
    NoEvttype "LOAD_NO_EVTTYPE" "Condition has no event-type restriction";
    UnknownFilter "LOAD_UNKNOWN_FILTER" "Unknown field or event-type in condition or output";
    UnusedMacro "LOAD_UNUSED_MACRO" "Unused macro";
    UnusedList "LOAD_UNUSED_LIST" "Unused list";
    UnknownItem "LOAD_UNKNOWN_ITEM" "Unknown rules file item";
    DeprecatedItem "LOAD_DEPRECATED_ITEM" "Used deprecated item";
    AppendNoValues "LOAD_APPEND_NO_VALUES" "Overriding/appending with no values";
    ExceptionNameNotUnique "LOAD_EXCEPTION_NAME_NOT_UNIQUE" "Multiple exceptions defined with the same name";
    InvalidMacroName "LOAD_INVALID_MACRO_NAME" "Invalid macro name";
    InvalidListName "LOAD_INVALID_LIST_NAME" "Invalid list name";
    WarnCondition "LOAD_COMPILE_CONDITION" "Warning in rule condition";
    UnknownKey "LOAD_UNKNOWN_KEY" "Unknown key in item definition";
}

/// What kind of thing a message is about, with its name; Falco's `item_type`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    pub kind: &'static str,
    pub name: String,
}

impl Item {
    pub fn new(kind: &'static str, name: impl Into<String>) -> Self {
        Self { kind, name: name.into() }
    }
}

/// A message before its place is looked up in the files: what the stages return. Boxed, for it travels up through
/// deep recursion.
#[derive(Debug, Clone)]
pub struct Complaint(Box<Inner>);

#[derive(Debug, Clone)]
pub struct Inner {
    pub code: Code,
    pub message: String,
    pub at: Origin,
    /// Bytes to underline; 0 or 1 is a single caret.
    pub len: usize,
    /// The items the place lies in, outermost first.
    pub context: Vec<Item>,
    pub suggestion: Option<String>,
    pub deprecated_field: Option<String>,
}

impl Complaint {
    pub fn new(code: Code, at: Origin, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            code,
            message: message.into(),
            at,
            len: 1,
            context: Vec::new(),
            suggestion: None,
            deprecated_field: None,
        }))
    }

    /// Underlines `len` bytes.
    #[must_use]
    pub fn spanning(mut self, len: usize) -> Self {
        self.len = len;
        self
    }

    /// Proposes a name in place of a misspelt one.
    #[must_use]
    pub fn suggesting(mut self, suggestion: Option<impl Into<String>>) -> Self {
        self.suggestion = suggestion.map(Into::into);
        self
    }

    /// Adds an enclosing item.
    #[must_use]
    pub fn within(mut self, kind: &'static str, name: &str) -> Self {
        self.context.insert(0, Item::new(kind, name));
        self
    }
}

impl std::ops::Deref for Complaint {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl std::ops::DerefMut for Complaint {
    fn deref_mut(&mut self) -> &mut Inner {
        &mut self.0
    }
}

/// An error or a warning, complete with its place.
#[derive(Debug, Clone)]
pub struct Diagnostic {
    pub code: Code,
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
    pub context: Vec<Item>,
    pub suggestion: Option<String>,
    pub deprecated_field: Option<String>,
}

/// Longest snippet, in characters (Falco's length).
const SNIPPET: usize = 160;

impl Diagnostic {
    /// Looks up the place of a complaint in the text of its file.
    pub fn new(complaint: Complaint, file: &str, text: &str) -> Self {
        let complaint = *complaint.0;
        let mut offset = (complaint.at.at as usize).min(text.len());
        while !text.is_char_boundary(offset) {
            offset -= 1;
        }
        let start = text[..offset].rfind('\n').map_or(0, |at| at + 1);
        let end = text[offset..].find('\n').map_or(text.len(), |at| offset + at);
        let before = text[start..offset].chars().count();
        let line: Vec<char> = text[start..end].trim_end().chars().collect();
        let skip = if line.len() > SNIPPET { before.saturating_sub(SNIPPET / 2) } else { 0 };
        let shown = line.iter().skip(skip).take(SNIPPET);
        let snippet: String = shown.map(|c| if c.is_control() { ' ' } else { *c }).collect();
        let at = before - skip;
        let room = snippet.chars().count().saturating_sub(at).max(1);
        Self {
            code: complaint.code,
            message: complaint.message,
            file: file.to_owned(),
            line: 1 + text[..start].bytes().filter(|b| *b == b'\n').count(),
            column: before + 1,
            offset,
            snippet,
            caret: (at, complaint.len.clamp(1, room)),
            context: complaint.context,
            suggestion: complaint.suggestion,
            deprecated_field: complaint.deprecated_field,
        }
    }

    /// About a file that could not be read, which has no lines to show.
    pub fn unread(code: Code, file: &str, message: String) -> Self {
        Self::new(Complaint::new(code, Origin::default(), message), file, "")
    }

    /// The entry of Falco's JSON load result.
    pub fn json(&self) -> serde_json::Value {
        let position = serde_json::json!({
            "name": self.file, "line": self.line, "column": self.column, "offset": self.offset,
        });
        let mut locations = vec![
            serde_json::json!({"item_type": "rules content", "item_name": "", "position": position.clone()}),
        ];
        locations.extend(self.context.iter().map(|item| {
            serde_json::json!({"item_type": item.kind, "item_name": item.name, "position": position.clone()})
        }));
        let mut entry = serde_json::json!({
            "context": {"locations": locations, "snippet": format!("{}\n{}\n", self.snippet, self.marker())},
            "code": self.code.as_str(),
            "codedesc": self.code.description(),
            "message": self.full_message(),
        });
        if let (Some(field), Some(object)) = (&self.deprecated_field, entry.as_object_mut()) {
            object.insert("deprecated_field".to_owned(), field.clone().into());
        }
        entry
    }

    fn marker(&self) -> String {
        format!("{}{}", " ".repeat(self.caret.0), "^".repeat(self.caret.1))
    }

    fn full_message(&self) -> String {
        match &self.suggestion {
            Some(name) => format!("{} (did you mean '{name}'?)", self.message),
            None => self.message.clone(),
        }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}:{}:{}: {}", self.file, self.line, self.column, self.full_message())?;
        for item in &self.context {
            writeln!(f, "  in {} {:?}", item.kind, item.name)?;
        }
        writeln!(f, "  | {}", self.snippet)?;
        writeln!(f, "  | {}", self.marker())?;
        write!(f, "  {} ({})", self.code.as_str(), self.code.description())
    }
}

/// What loading one file said. At most one error: reading stops at the first.
#[derive(Debug, Clone, Default)]
pub struct FileReport {
    pub name: String,
    pub errors: Vec<Diagnostic>,
    pub warnings: Vec<Diagnostic>,
}

impl FileReport {
    /// True when the file can be used.
    pub fn is_ok(&self) -> bool {
        self.errors.is_empty()
    }

    /// Falco's JSON load result of the file.
    pub fn json(&self) -> serde_json::Value {
        serde_json::json!({
            "name": self.name,
            "successful": self.is_ok(),
            "schema_valid": "none",
            "schema_warnings": [],
            "errors": self.errors.iter().map(Diagnostic::json).collect::<Vec<_>>(),
            "warnings": self.warnings.iter().map(Diagnostic::json).collect::<Vec<_>>(),
        })
    }
}

impl fmt::Display for FileReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match (self.is_ok(), self.warnings.is_empty()) {
            (true, true) => "Ok",
            (true, false) => "Ok, with warnings",
            (false, _) => "Invalid",
        };
        writeln!(f, "{}: {verdict}", self.name)?;
        for (title, list) in [("Errors", &self.errors), ("Warnings", &self.warnings)] {
            if !list.is_empty() {
                writeln!(f, "{} {title}:", list.len())?;
                for diagnostic in list {
                    writeln!(f, "{diagnostic}")?;
                }
            }
        }
        Ok(())
    }
}
