//! The targets under libFuzzer, which brings its own `main` and reads the arguments. The environment names the target, for
//! one program serves them all: linking seven would take longer than running them.

#![no_main]

use std::sync::LazyLock;

static RUN: LazyLock<fn(&[u8])> = LazyLock::new(|| {
    let name = std::env::var("FALCONET_FUZZ_TARGET").unwrap_or_default();
    match falconet_fuzz::target(&name) {
        Some(target) => target.run,
        None => {
            eprintln!("FALCONET_FUZZ_TARGET={name:?} is no target; `cargo xtask fuzz` sets it");
            std::process::exit(2);
        }
    }
});

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| RUN(bytes));
