//! The event thread: merges the ring lanes by time, keeps the state, judges, raises alerts.
