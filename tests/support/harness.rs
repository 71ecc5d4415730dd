//! Runs the tests of a file as `#[test]` would, but looks first whether the machine has what a test needs. A test for which
//! it has not counts as ignored, with the reason: a test that did not run has not passed.
//!
//! The list at the head of a file is all that is run. A test that is not in it is dead code, which the compiler tells.

use std::process::ExitCode;

use libtest_mimic::{Arguments, Completion, Trial};

use super::need::Need;

/// How a test ends that does not fail.
pub trait End {
    fn completion(self) -> Completion;
}

impl End for () {
    fn completion(self) -> Completion {
        Completion::Completed
    }
}

/// Of a test that found out on the way that this machine lacks something.
impl End for Result<(), String> {
    fn completion(self) -> Completion {
        self.map_or_else(Completion::ignored_with, |()| Completion::Completed)
    }
}

/// One line of the list.
pub fn trial<E: End + 'static>(name: &str, needs: &'static [Need], test: fn() -> E) -> Trial {
    Trial::ignorable_test(name, move || {
        let missing = needs.iter().find_map(|need| need.missing());
        Ok(missing.map_or_else(|| test().completion(), Completion::ignored_with))
    })
}

/// Runs what the command line asks for.
pub fn run(trials: Vec<Trial>) -> ExitCode {
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// Tests by name: `name;`, or `name needs Need::A, Need::B;`.
macro_rules! list {
    ($($name:ident $(needs $($need:expr),+)?;)+) => {
        vec![$($crate::support::harness::trial(stringify!($name), &[$($($need),+)?], $name)),+]
    };
}
pub(crate) use list;

/// The tests of a file, as in [`list!`], and the `main` that runs them.
#[allow(unused_macros, reason = "a file that makes its list otherwise has no use for it")]
macro_rules! tests {
    ($($tests:tt)+) => {
        fn main() -> std::process::ExitCode {
            $crate::support::harness::run($crate::support::harness::list! { $($tests)+ })
        }
    };
}
#[allow(
    unused_imports,
    unused_macros,
    reason = "a file that makes its list otherwise has no use for it"
)]
pub(crate) use tests;
