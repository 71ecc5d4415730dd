//! Every number that Prometheus can scrape here, one file for each part of the program that counts. `docs/` and dashboards rely
//! on the names.

pub mod http;
pub mod log;
pub mod outputs;
pub mod process;
pub mod sensor;

#[cfg(test)]
mod tests;
