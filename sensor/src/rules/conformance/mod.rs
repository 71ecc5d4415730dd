//! Conformance tables: the language as its specification tells it, as data.

mod files;
