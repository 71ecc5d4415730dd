//! What loading says: texts with places, errors and warnings, "did you mean".

pub mod complaint;
pub mod diagnostic;
pub mod source;
pub mod suggest;
pub mod text;
