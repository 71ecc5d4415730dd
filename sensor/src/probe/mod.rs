//! The kernel half's keeper: feature probe, BTF offsets, load, attach, ring readers.
