//! Other rules without a restart: when a rule file or the configuration changes, on SIGHUP, and when asked by the control socket.
//!
//! On a thread of its own, beside the old rules, which go on judging: read, compile, ask the kernel for what either set needs,
//! exchange the sets on the event thread between two records, ask for what the new set needs. So no event is lost, and none is judged
//! by half a set. Whatever fails before the exchange leaves everything unchanged, and an alert says why.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender, TryRecvError};
use std::thread::JoinHandle;
use std::time::Instant;

use rustix::event::{EventfdFlags, eventfd};
use sha2::{Digest as _, Sha256};
use tokio::sync::oneshot;

use super::in_use::{InUse, Refused};
use super::names::HostNames;
use super::phases::Phases;
use super::settings::Settings;
use super::watch::{Watcher, Woken};
use super::{memory, ruleset};
use crate::alert::log::AlertLog;
use crate::alert::now;
use crate::config::{Config, RulesConfig};
use crate::control::Reloaded;
use crate::engine::{Orders, Stats, internal, stats};
use crate::probe::{Probe, Wanted};
use crate::rules::registry::event_types;
use crate::rules::{RuleSet, Sight, Source};

/// What came of a reload.
pub type Outcome = Result<Reloaded, Arc<Refused>>;

/// What the thread is asked for.
enum Request {
    Reload(Option<oneshot::Sender<Outcome>>),
    /// Let pass every event on which the rule can fire, whatever its condition says of it; or no longer.
    Open {
        rule: String,
        open: bool,
        reply: oneshot::Sender<Result<(), String>>,
    },
    Stop,
}

/// How to ask for a reload. Cloned freely.
#[derive(Clone)]
pub struct Handle {
    requests: Sender<Request>,
    wake: Arc<OwnedFd>,
}

impl Handle {
    /// Loads the rules again, whether something changed or not, and waits for nothing.
    pub fn reload(&self) {
        self.ask(Request::Reload(None));
    }

    /// The same, and what came of it; `None` when the process is ending.
    pub async fn reloaded(&self) -> Option<Outcome> {
        let (reply, answer) = oneshot::channel();
        self.ask(Request::Reload(Some(reply)));
        answer.await.ok()
    }

    /// Shows a rule all events of its types, also those that the kernel's filter keeps from the rules, until [`Self::close`].
    pub async fn open(&self, rule: &str) -> Result<(), String> {
        let (reply, answer) = oneshot::channel();
        self.ask(Request::Open { rule: rule.to_owned(), open: true, reply });
        answer.await.unwrap_or_else(|_| Err("the sensor is ending".to_owned()))
    }

    /// Ends one [`Self::open`].
    pub fn close(&self, rule: &str) {
        let (reply, _) = oneshot::channel();
        self.ask(Request::Open { rule: rule.to_owned(), open: false, reply });
    }

    fn ask(&self, request: Request) {
        // Both fail only when the thread has ended, and then nobody needs it.
        let _ = self.requests.send(request);
        let _ = rustix::io::write(&self.wake, &1u64.to_ne_bytes());
    }
}

/// The thread that loads rules, and keeps the probe meanwhile.
pub struct Running {
    handle: Handle,
    thread: JoinHandle<Probe>,
}

impl Running {
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// True when the thread ended by itself, which it should not.
    pub fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }

    /// Ends it and gives the probe back; `None` when it had ended, and the probe with it.
    pub fn stop(self) -> Option<Probe> {
        self.handle.ask(Request::Stop);
        self.thread.join().ok()
    }
}

/// All that a reload takes part in.
pub struct Reloader {
    /// How the configuration is read: file, `-o` options, `-r` files.
    pub settings: Settings,
    /// As at the start, but for [`Config::rules`].
    pub config: Config,
    pub sight: Sight,
    pub names: Arc<HostNames>,
    pub probe: Probe,
    pub orders: Orders,
    pub in_use: Arc<InUse>,
    pub log: AlertLog,
    pub stats: Arc<Stats>,
    pub hostname: String,
}

/// What was read, as a number: to know whether it differs.
type Print = [u8; 32];

struct Thread {
    parts: Reloader,
    watcher: Watcher,
    requests: Receiver<Request>,
    wake: Arc<OwnedFd>,
    /// The kernel is asked for this.
    wanted: Wanted,
    /// Rules for which the kernel filters nothing; a name per watching client.
    open: Vec<String>,
    /// What is in use, and what was refused last.
    used: Option<Print>,
    refused: Option<(Print, Arc<Refused>)>,
    /// Keys of the configuration of which it was told that they need a restart.
    told: Vec<String>,
}

impl Reloader {
    /// Starts the thread. `sources` are those that the rules in use were made of.
    pub fn start(self, sources: &[Source]) -> io::Result<Running> {
        let wake = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        let (sender, requests) = mpsc::channel();
        let handle = Handle { requests: sender, wake: wake.clone() };
        let watcher = Watcher::new(!self.config.sensor.watch_config_files);
        let wanted = ruleset::wanted(&self.in_use.now().rules, self.config.sensor.kernel_filter);
        let used = Some(print(&self.config.rules, sources));
        let mut thread = Thread {
            parts: self,
            watcher,
            requests,
            wake,
            wanted,
            open: Vec::new(),
            used,
            refused: None,
            told: Vec::new(),
        };
        let thread = std::thread::Builder::new().name("rules".into()).spawn(move || {
            thread.run();
            thread.parts.probe
        })?;
        Ok(Running { handle, thread })
    }
}

impl Thread {
    fn run(&mut self) {
        self.arm();
        if self.watcher.is_partial() {
            tracing::warn!(
                "not every rule file can be watched (fs.inotify limits?); they are looked at every few seconds"
            );
        }
        // What changed since the rules were read is seen now.
        let mut look = self.parts.config.sensor.watch_config_files;
        loop {
            if look {
                // It is told by the log and the alert.
                let _ = self.reload(false);
            }
            look = match self.watcher.wait(self.wake.as_fd()) {
                Ok(Woken::Files) => true,
                Ok(Woken::Other) => {
                    let mut count = [0; 8];
                    // It was readable a moment ago; whatever it says, the requests tell.
                    let _ = rustix::io::read(&*self.wake, &mut count);
                    if self.answer() {
                        return;
                    }
                    false
                }
                Err(error) => {
                    tracing::error!(%error, "rule files cannot be watched any more; send SIGHUP after a change");
                    self.watcher = Watcher::new(true);
                    false
                }
            };
        }
    }

    /// Does what was asked; true when that is to stop.
    fn answer(&mut self) -> bool {
        loop {
            match self.requests.try_recv() {
                Ok(Request::Reload(reply)) => {
                    let outcome = self.reload(true);
                    if let Some(reply) = reply {
                        // Whoever asked may have gone.
                        let _ = reply.send(outcome);
                    }
                }
                Ok(Request::Open { rule, open, reply }) => {
                    let done = self.open(rule, open);
                    if let Err(error) = &done {
                        tracing::warn!(
                            "the kernel's filter could not be changed for a watched rule: {error}"
                        );
                    }
                    // Whoever asked may have gone.
                    let _ = reply.send(done);
                }
                Ok(Request::Stop) | Err(TryRecvError::Disconnected) => return true,
                Err(TryRecvError::Empty) => return false,
            }
        }
    }

    /// Changes what the kernel is asked for, on behalf of a client that watches a rule.
    fn open(&mut self, rule: String, open: bool) -> Result<(), String> {
        if open {
            self.open.push(rule);
        } else if let Some(at) = self.open.iter().position(|name| *name == rule) {
            self.open.swap_remove(at);
        }
        let rules = self.parts.in_use.now().rules;
        let wanted = self.wanted(&self.parts.config, &rules);
        self.parts.probe.change(&wanted).map_err(|error| error.to_string())?;
        self.wanted = wanted;
        Ok(())
    }

    /// What rules need, and what watching clients need.
    fn wanted(&self, config: &Config, rules: &RuleSet) -> Wanted {
        let mut wanted = ruleset::wanted(rules, config.sensor.kernel_filter);
        for rule in rules.rules().iter().filter(|rule| self.open.contains(&rule.name)) {
            for info in rule.event_types().into_iter().filter_map(event_types::info) {
                wanted.event_types.insert(info.name.to_owned());
                wanted.filters.remove(info.name);
            }
        }
        wanted
    }

    fn arm(&mut self) {
        let config = &self.parts.config;
        let mut paths = config.rules.rules_files.clone();
        paths.extend(self.parts.settings.config.clone().or_else(|| Some(crate::config::DEFAULT_FILE.into())));
        self.watcher.arm(&paths);
    }

    /// Loads what is in the files. Unless `asked`, only when that is something new.
    fn reload(&mut self, asked: bool) -> Outcome {
        let start = Instant::now();
        self.arm();
        let config = self.configuration().map_err(|error| self.refuse(None, asked, Problem::of(&error)))?;
        if config.rules.rules_files != self.parts.config.rules.rules_files {
            self.parts.config.rules.rules_files.clone_from(&config.rules.rules_files);
            self.arm();
        }
        let sources =
            ruleset::read(&config.rules).map_err(|error| self.refuse(None, asked, Problem::of(&error)))?;
        let print = print(&config.rules, &sources);
        let origin = ruleset::origin(&config.rules, sources.len());
        if !asked {
            if self.used == Some(print) {
                if self.refused.take().is_some() {
                    Phases::note("rules: the files are again as those in use");
                    self.parts.in_use.settled();
                }
                return Ok(Reloaded { rules: self.rules(), origin, warnings: Vec::new() });
            }
            if let Some((refused, why)) = &self.refused
                && *refused == print
            {
                return Err(why.clone());
            }
        }
        let loaded = ruleset::load(&config.rules, &sources, &self.parts.sight, self.parts.names.clone());
        let warnings: Vec<String> =
            loaded.files.iter().flat_map(|file| &file.warnings).map(ToString::to_string).collect();
        let rules = match loaded.into_rules() {
            Ok(rules) => Arc::new(rules),
            Err(error) => return Err(self.refuse(Some(print), asked, Problem::of(&error))),
        };
        let wanted = self.wanted(&config, &rules);
        if let Err(error) = self.parts.probe.change(&self.wanted.or(&wanted)) {
            return Err(self.refuse(Some(print), asked, Problem::of(&error)));
        }
        let old = match self.parts.orders.exchange(rules.clone()) {
            Ok(old) => old,
            Err(ended) => return Err(self.refuse(Some(print), asked, Problem::of(&ended))),
        };
        self.parts.in_use.exchanged(rules, origin.clone());
        drop(old);
        if let Err(error) = self.parts.probe.change(&wanted) {
            // More is asked of the kernel than is needed; that costs time, nothing else.
            tracing::warn!(%error, "what the old rules needed is still watched");
        }
        self.wanted = wanted;
        self.used = Some(print);
        self.refused = None;
        self.parts.config = config;
        memory::give_back();

        for warning in &warnings {
            Phases::note(warning);
        }
        let rules = self.rules();
        Phases::later("rules", format_args!("{rules} rules of {origin}, loaded again"), start.elapsed());
        ruleset::tell(&self.parts.in_use.now().rules);
        Ok(Reloaded { rules, origin, warnings })
    }

    fn rules(&self) -> usize {
        self.parts.in_use.now().rules.rules().len()
    }

    /// The configuration as it is now, as far as a reload minds it.
    fn configuration(&mut self) -> Result<Config, crate::config::ConfigError> {
        let new = self.parts.settings.load()?;
        let others: Vec<String> = self
            .parts
            .config
            .changed(&new)
            .into_iter()
            .filter(|key| !RulesConfig::keys().contains(&key.as_str()))
            .collect();
        if others != self.told {
            if !others.is_empty() {
                tracing::warn!("the configuration of {} changed: that needs a restart", others.join(", "));
            }
            self.told = others;
        }
        let mut config = self.parts.config.clone();
        config.rules = new.rules;
        Ok(config)
    }

    /// Keeps the old rules and says why. The same reason is said again only when somebody asked.
    fn refuse(&mut self, print: Option<Print>, asked: bool, problem: Problem) -> Arc<Refused> {
        // What cannot be read has no content; its reason stands for it.
        let print = print.unwrap_or_else(|| Sha256::digest(&problem.reason).into());
        let Problem { reason, diagnostics } = problem;
        let again =
            self.refused.as_ref().is_some_and(|(refused, why)| *refused == print && why.reason == reason);
        let why = Arc::new(Refused { time: now(), reason, diagnostics });
        if again && !asked {
            return why;
        }
        tracing::error!("the rules are not taken, the old ones stay: {}", why.reason);
        if let Some(text) = &why.diagnostics {
            Phases::note(text);
        }
        self.parts.in_use.refused(why.clone());
        stats::count(&self.parts.stats.alerts);
        if !self.parts.log.offer(internal::reload_failure(&why.reason, &self.parts.hostname)) {
            stats::count(&self.parts.stats.alerts_lost);
        }
        self.refused = Some((print, why.clone()));
        why
    }
}

/// Why rules are not taken: in one line, and in full when that is more.
struct Problem {
    reason: String,
    diagnostics: Option<String>,
}

impl Problem {
    fn of(error: &impl ToString) -> Self {
        let text = error.to_string();
        let reason = text.lines().next().unwrap_or_default().to_owned();
        Self { diagnostics: (text != reason).then_some(text), reason }
    }
}

/// Of everything that decides what the rules become.
fn print(config: &RulesConfig, sources: &[Source]) -> Print {
    let mut hash = Sha256::new();
    let options = format!("{config:?}");
    let texts = sources.iter().flat_map(|source| [source.name.as_str(), source.text.as_str()]);
    for text in std::iter::once(options.as_str()).chain(texts) {
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text);
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_that_counts_makes_another_print() {
        let of = |options: &[&str]| {
            let options: Vec<String> = options.iter().map(|&option| option.to_owned()).collect();
            print(&Config::of(None, &options).unwrap().rules, &[])
        };
        let mut prints = vec![of(&[])];
        for key in RulesConfig::keys() {
            let option = match *key {
                "rules_files" => "rules_files=/a.yaml",
                "rules_file" => "rules_file=/b.yaml",
                "rules" => "rules[].disable.tag=x",
                "rule_matching" => "rule_matching=first",
                "event_families" => "event_families=false",
                "path_names" => "path_names=asked",
                "lineage" => "lineage=current",
                "priority" => "priority=error",
                "append_output" => "append_output=[]",
                new => panic!("an option for {new} is missing here"),
            };
            let print = of(&[option]);
            assert!(!prints.contains(&print), "{key}");
            prints.push(print);
        }
        assert_eq!(prints.len(), 10);
        assert_eq!(of(&[]), of(&["kernel_filter=false"]));
    }
}
