//! `cargo xtask <task>`: everything that is done with this repository, one file per task.
//!
//! Plain Rust with two dependencies, because it is the first thing that a newcomer's machine compiles.

mod build;
mod build_ebpf;
mod build_ui;
mod fuzz;
mod lint;
mod process;
mod run;
mod setup;
mod test;
mod vm;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Tasks of the falconet repository.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Install what building and testing needs; says what and why first.
    Setup(setup::Args),
    /// Compile the eBPF programs into target/bpf/falconet.bpf.o.
    BuildEbpf(build_ebpf::Args),
    /// Build the web app in sensor/ui.
    BuildUi(build_ui::Args),
    /// Build everything, the binary last.
    Build(build::Args),
    /// Build everything for release and start `falconet run` as root.
    Run(run::Args),
    /// Run every test, as root where that is possible.
    Test(test::Args),
    /// Run the suite of system calls on other kernels, in virtual machines.
    Vm(vm::Args),
    /// Feed what reads foreign bytes with inputs that nobody wrote.
    Fuzz(fuzz::Args),
    /// Formatting, clippy and the rules of this house.
    Lint(lint::Args),
}

fn main() -> ExitCode {
    let result = match Cli::parse().task {
        Task::Setup(args) => setup::task(&args),
        Task::BuildEbpf(args) => build_ebpf::task(&args),
        Task::BuildUi(args) => build_ui::task(&args),
        Task::Build(args) => build::task(&args),
        Task::Run(args) => run::task(&args),
        Task::Test(args) => test::task(&args),
        Task::Vm(args) => vm::task(&args),
        Task::Fuzz(args) => fuzz::task(&args),
        Task::Lint(args) => lint::task(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
