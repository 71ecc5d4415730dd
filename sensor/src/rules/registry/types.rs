//! The types of fields and of the parameters of events.

/// The type that Falco prints for a field; decides which operators and which literals it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FieldType {
    /// A string of bytes.
    CharBuf,
    /// A path; compares like a string.
    FsPath,
    /// Raw bytes, NUL included.
    ByteBuf,
    Int16,
    Int32,
    Int64,
    Uint8,
    Uint16,
    Uint32,
    Uint64,
    Bool,
    Double,
    /// Nanoseconds of a duration.
    RelTime,
    /// Nanoseconds since the Unix epoch.
    AbsTime,
    Port,
    IpAddr,
    /// An address that is compared with networks.
    IpNet,
    /// The type depends on the argument (`evt.rawarg`).
    Dynamic,
}

impl FieldType {
    /// Falco's name of the type, as its `--list` prints it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CharBuf => "CHARBUF",
            Self::FsPath => "FSPATH",
            Self::ByteBuf => "BYTEBUF",
            Self::Int16 => "INT16",
            Self::Int32 => "INT32",
            Self::Int64 => "INT64",
            Self::Uint8 => "UINT8",
            Self::Uint16 => "UINT16",
            Self::Uint32 => "UINT32",
            Self::Uint64 => "UINT64",
            Self::Bool => "BOOL",
            Self::Double => "DOUBLE",
            Self::RelTime => "RELTIME",
            Self::AbsTime => "ABSTIME",
            Self::Port => "PORT",
            Self::IpAddr => "IPADDR",
            Self::IpNet => "IPNET",
            Self::Dynamic => "DYNAMIC",
        }
    }
}
