//! falconet: a runtime-security sensor. The modules stand in the order in which an event passes
//! through them; each may use the ones above it and none below.
//!
//! `probe` -> `state` -> `rules` -> `alert` -> `engine` -> `capture` -> `net` -> `telemetry` -> `hub`, `outputs`,
//! `ui` -> `control` -> `config` -> `app` -> `cli`; `yaml` serves rules, their test cases and the configuration,
//! `blocking` the alert log and the web app.
//!
//! Unsafe code is denied. What needs it says why: `probe`, the values kept while an event is judged, and `app` when it gives
//! memory back.
#![deny(unsafe_code)]

pub mod blocking;
pub mod yaml;

pub mod probe;
pub mod state;

pub mod rules;

pub mod alert;

pub mod engine;

pub mod capture;

pub mod net;

pub mod telemetry;

pub mod hub;
pub mod outputs;
pub mod ui;

pub mod control;

pub mod config;

pub mod app;

pub mod cli;
