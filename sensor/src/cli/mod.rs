//! The command line, one file per subcommand.

mod bench;
mod doctor;
mod fields;
mod hub;
mod outputs;
mod print;
mod record;
mod replay;
mod rules;
mod run;
mod version;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::app::exit::{Class, Failure};

/// Runtime-security sensor: sees system calls, judges them by Falco rules, keeps, shows and forwards the alerts.
#[derive(Parser)]
#[command(name = "falconet", version, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Watch this machine: probe, rules, alert log, outputs, intake and web app.
    Run(run::Args),
    /// Take, keep, show and forward the alerts of other sensors; needs no root.
    Hub(hub::Args),
    /// Tell whether `falconet run` would work on this machine, and what is missing.
    Doctor(doctor::Args),
    /// Measure what the sensor costs on this machine.
    Bench(bench::Args),
    /// Keep what the kernel tells in a file, to be replayed through rules later.
    Record(record::Args),
    /// Judge a recording by any rules; with `--diff`, by two rule sets side by side.
    Replay(replay::Args),
    /// Check and test rule files, watch rules of the running sensor.
    Rules(rules::Args),
    /// List the fields that rules can use.
    Fields(fields::Args),
    /// List the outputs and their configuration keys, as Markdown.
    Outputs(outputs::Args),
    /// Print version, engine and build.
    Version(version::Args),
}

/// Parses the arguments, runs the subcommand and maps its failure to an exit code.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Nothing is left to tell when even that cannot be printed.
            let _ = error.print();
            return if error.use_stderr() { Class::Usage.into() } else { ExitCode::SUCCESS };
        }
    };
    match dispatch(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("falconet: error: {failure}");
            failure.class.into()
        }
    }
}

fn dispatch(command: Command) -> Result<(), Failure> {
    match command {
        Command::Run(args) => run::run(args),
        Command::Hub(args) => hub::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Record(args) => record::run(args),
        Command::Replay(args) => replay::run(&args),
        Command::Rules(args) => rules::run(&args),
        Command::Fields(args) => fields::run(&args),
        Command::Outputs(args) => outputs::run(&args),
        Command::Version(args) => version::run(&args),
    }
}
