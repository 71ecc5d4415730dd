//! Readers shared by the handlers.
