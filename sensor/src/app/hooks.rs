//! Whether each hook of the probe comes back when it is fired, and which rules are blind where one does not.

use std::process::Command;

use super::phases::Phases;
use crate::probe::Probe;
use crate::probe::trial::Trial;
use crate::rules::RuleSet;
use crate::rules::registry::event_types;
use crate::state::Layout;
use crate::telemetry::status::DeadHook;

/// Fires them.
pub fn fire(probe: &Probe, layout: &Layout) -> Trial {
    // The one program that is here for sure.
    let mut child = Command::new("/proc/self/exe");
    Trial::run(probe.attached(), probe.counters(), child.arg("version"), layout.mount())
}

/// The hooks that are dead, with the rules that they leave blind.
pub fn dead(trial: &Trial, rules: &RuleSet) -> Vec<DeadHook> {
    let blinded = |name: Option<&str>| {
        let looks_at = |event| event_types::info(event).map(|info| info.name) == name;
        // A hook that no event type is made of feeds the state, which every rule may ask.
        let is_blind = |rule: &&crate::rules::Rule| {
            rule.status.fires() && (name.is_none() || rule.event_types().into_iter().any(looks_at))
        };
        rules.rules().iter().filter(is_blind).map(|rule| rule.name.clone()).collect()
    };
    let row = |event: &&'static sensor_ebpf::events::Event| DeadHook {
        hook: event.program.to_owned(),
        rules: blinded(event.info.name()),
    };
    trial.dead.iter().map(row).collect()
}

/// How they fared.
pub fn words(trial: &Trial) -> String {
    let untried: Vec<&str> = trial.untried.iter().map(|event| event.program).collect();
    let untried =
        if untried.is_empty() { String::new() } else { format!(", not tried: {}", untried.join(", ")) };
    format!("{} of {} came back{untried}", trial.alive.len(), trial.alive.len() + trial.dead.len())
}

/// Says it on standard error.
pub fn tell(trial: &Trial, dead: &[DeadHook], phases: &mut Phases) {
    phases.done("hooks", words(trial));
    for hook in dead {
        Phases::note(format_args!("  {}", hook.words()));
    }
}
