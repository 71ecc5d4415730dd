//! Globals and maps that user space fills before load.
