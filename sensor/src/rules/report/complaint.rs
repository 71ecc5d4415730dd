//! What the stages of loading return: a message with Falco's code, before its place is looked up in the files.

use super::source::Origin;

macro_rules! codes {
    ($($variant:ident $code:literal $desc:literal;)*) => {
        /// Falco's code of an error (`LOAD_ERR_…`) or warning (`LOAD_…`). Those of extension items are missing: there is
        /// none here.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Code { $($variant),* }

        impl Code {
            pub const ALL: &[Self] = &[$(Self::$variant),*];

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

/// Something that a place lies in: Falco's `item_type`, its name and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    pub kind: &'static str,
    pub name: String,
    pub at: Origin,
}

/// The text of a condition as it was parsed, lists and exceptions put in, and the offset in it that a message is about.
#[derive(Debug, Clone)]
pub(super) struct Expression {
    pub(super) text: String,
    pub(super) at: usize,
}

/// A message before its place is looked up in the files: what the stages return. Boxed, for it travels up through
/// deep recursion.
#[derive(Debug, Clone)]
pub struct Complaint(pub(super) Box<Inner>);

#[derive(Debug, Clone)]
pub struct Inner {
    pub code: Code,
    pub message: String,
    pub at: Origin,
    /// Bytes to underline; 0 or 1 is a single caret.
    pub len: usize,
    /// The items the place lies in, outermost first.
    pub(super) context: Vec<Item>,
    pub(super) expression: Option<Expression>,
    pub suggestion: Option<String>,
    /// What to do about it, for people.
    pub advice: Option<String>,
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
            expression: None,
            suggestion: None,
            advice: None,
            deprecated_field: None,
        }))
    }

    /// Underlines `len` bytes.
    #[must_use]
    pub fn spanning(mut self, len: usize) -> Self {
        self.len = len;
        self
    }

    /// Gives it another code.
    #[must_use]
    pub fn coded(mut self, code: Code) -> Self {
        self.code = code;
        self
    }

    /// Proposes a name in place of a misspelt one.
    #[must_use]
    pub fn suggesting(mut self, suggestion: Option<impl Into<String>>) -> Self {
        self.suggestion = suggestion.map(Into::into);
        self
    }

    /// Says what to do about it.
    #[must_use]
    pub fn advising(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }

    /// Adds the item around it, which begins at `at`.
    #[must_use]
    pub fn within(mut self, kind: &'static str, name: &str, at: Origin) -> Self {
        self.context.insert(0, Item { kind, name: name.to_owned(), at });
        self
    }

    /// The place lies at byte `at` of the condition `text`.
    #[must_use]
    pub fn in_expression(mut self, text: &str, at: usize) -> Self {
        self.expression = Some(Expression { text: text.to_owned(), at });
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
