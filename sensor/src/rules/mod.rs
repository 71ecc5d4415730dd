//! Falco's rule language: load, parse, resolve, check, compile, evaluate.
