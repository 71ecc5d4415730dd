//! The `falconet` binary; everything is in the library.

fn main() -> std::process::ExitCode {
    falconet::cli::main()
}
