//! HTTP intake for alerts of other sensors, health and metrics.
