//! The registry of fields: the one source for the rule compiler, JSON, `falconet fields` and the documentation.

/// A field of the rule language.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum Field {
    EvtType,
}

/// The argument of a field.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum FieldArg {
    None,
    /// `proc.aname[2]`, `evt.arg[0]`.
    Index(u32),
    /// `container.label[app]`, `evt.arg.flags`.
    Key(Box<[u8]>),
}

/// A field as written in a rule: which, and with what argument.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FieldRef {
    pub field: Field,
    pub arg: FieldArg,
}
