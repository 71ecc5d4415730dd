//! What `falconet rules list` and `show` tell of rules: Falco's description in JSON (its `-L`), and for people the event
//! types, the kernel filter and which part of a condition keeps an event type wide open for it.

use std::collections::BTreeSet;

use serde_json::{Value as Json, json};

use crate::rules::language::ast::{Argument, Check, Expr, Operand, Right};
use crate::rules::language::check::{self, Cond};
use crate::rules::language::findings::Findings;
use crate::rules::program::compile;
use crate::rules::program::prefilter::{self, Need, Needs};
use crate::rules::registry::event_types;
use crate::rules::rule_set::{Rule, RuleSet};
use crate::rules::source::requirements::{Alternatives, Plugin, Requirements};
use crate::rules::source::tree::Tree;

/// How a rule restricts one event type for the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Filtered {
    /// The kernel reports only events that have one of these.
    OneOf(Vec<Need>),
    /// It reports all of them, for this part of the condition asks for nothing that the kernel can test; the indices
    /// lead through the tree.
    Open(Vec<usize>),
}

impl RuleSet {
    /// Names of the event types on which the rule can fire.
    pub fn types_of(&self, rule: &Rule) -> Vec<&'static str> {
        types(&rule.kept.cond)
    }

    /// What the rule lets the kernel drop, for each event type that is filtered and on which the rule can fire.
    pub fn filtered(&self, rule: &Rule) -> Vec<(&'static str, Filtered)> {
        let (cond, tree) = (&rule.kept.cond, self.tree(rule));
        let on = self.types_of(rule);
        let filtered = prefilter::events().filter(|(_, name)| on.contains(name));
        filtered
            .map(|(event, name)| match prefilter::needs(cond, event) {
                Needs::OneOf(all) => (name, Filtered::OneOf(all)),
                Needs::Any => {
                    let mut path = prefilter::culprit(cond, event);
                    path.truncate(depth(tree, &path));
                    (name, Filtered::Open(path))
                }
            })
            .collect()
    }

    /// What Falco's `-L` prints as JSON; of one rule only with `name`.
    pub fn describe(&self, name: Option<&str>) -> Json {
        let rules = self.rules().iter().filter(|rule| name.is_none_or(|name| rule.name == name));
        let rules: Vec<Json> = rules.map(|rule| self.rule(rule)).collect();
        if name.is_some() {
            return json!({"rules": rules});
        }
        let (version, plugins) = (engine(self.requirements()), plugins(self.requirements()));
        let mut macros: Vec<_> = self.sources.macros.iter().collect();
        macros.sort_by_key(|(_, known)| (known.at.file, known.at.at));
        let mut lists: Vec<_> = self.sources.lists.iter().collect();
        lists.sort_by_key(|(_, known)| (known.at.file, known.at.at));
        let macros = macros.into_iter().map(|(name, known)| {
            let compiled = self.sources.put_in(&known.expr);
            let mut findings =
                Findings { unfilled: self.unfilled, families: self.families, ..Findings::new(self.names()) };
            let cond = check::condition(&compiled, &mut findings);
            let parts = self.parts(&known.expr);
            json!({
                "info": {"name": name, "condition": known.text},
                "details": {
                    "used": known.used,
                    "macros": parts.macros,
                    "lists": parts.lists,
                    "condition_operators": parts.operators,
                    "condition_fields": parts.fields,
                    "condition_compiled": compiled.to_string(),
                    "events": cond.map(|cond| events(&cond)).unwrap_or_default(),
                    "plugins": [],
                },
            })
        });
        let inner = |items: &[String]| -> Vec<String> {
            items.iter().filter(|item| self.sources.lists.contains_key(*item)).cloned().collect()
        };
        let lists = lists.into_iter().map(|(name, known)| {
            json!({
                "info": {"name": name, "items": known.items},
                "details": {
                    "used": known.used,
                    "lists": inner(&known.items),
                    "items_compiled": known.compiled,
                    "plugins": [],
                },
            })
        });
        json!({
            "required_engine_version": version,
            "required_plugin_versions": plugins,
            "rules": rules,
            "macros": macros.collect::<Vec<_>>(),
            "lists": lists.collect::<Vec<_>>(),
        })
    }

    fn rule(&self, rule: &Rule) -> Json {
        let kept = &rule.kept;
        let (own, exceptions) = kept.parts();
        let parts = self.parts(own);
        let mut of_exceptions = Parts::default();
        for exception in exceptions {
            of_exceptions.gather(exception, self);
        }
        let output_fields: BTreeSet<&str> = rule.output.fields().map(|(name, _)| name).collect();
        json!({
            "info": {
                "name": rule.name,
                "condition": rule.condition,
                "priority": rule.priority.as_str(),
                "output": kept.output,
                "description": rule.desc,
                "enabled": kept.enabled,
                "source": rule.source,
                "tags": rule.tags,
                // As written; recordings are not made.
                "capture": kept.capture,
                "capture_duration": kept.capture_duration,
            },
            "details": {
                "macros": parts.macros,
                "lists": parts.lists,
                "condition_operators": parts.operators,
                "condition_fields": parts.fields,
                "output_fields": output_fields,
                "exception_fields": of_exceptions.fields,
                "exception_names": kept.exceptions.iter().map(|e| &e.name).collect::<Vec<_>>(),
                "exception_operators": of_exceptions.operators,
                "events": events(&kept.cond),
                "condition_compiled": rule.compiled,
                "output_compiled": kept.format,
                "plugins": [],
                "extra_output_formatted_fields": rule.extra.iter().map(|(key, _)| key).collect::<Vec<_>>(),
            },
        })
    }

    fn parts(&self, expr: &Expr) -> Parts {
        let mut parts = Parts::default();
        parts.gather(expr, self);
        parts
    }
}

/// The highest engine version that a file requires.
fn engine(requirements: &Requirements) -> String {
    requirements
        .engine
        .map_or_else(|| "0".to_owned(), |(major, minor, patch)| format!("{major}.{minor}.{patch}"))
}

/// The plugins that the files require.
fn plugins(requirements: &Requirements) -> Vec<Json> {
    let shown = |plugin: &Plugin| json!({"name": plugin.name, "version": plugin.version});
    let entry = |wanted: &Alternatives| {
        let (first, others) = wanted.plugins.split_first()?;
        let mut entry = shown(first);
        entry["alternatives"] = others.iter().map(shown).collect();
        Some(entry)
    };
    requirements.plugins.iter().filter_map(entry).collect()
}

impl Rule {
    /// The format of its output, with everything that is appended to it.
    pub fn output_text(&self) -> &str {
        &self.kept.format
    }
}

fn types(cond: &Cond) -> Vec<&'static str> {
    let types = compile::possible_types(cond).into_iter();
    types.filter_map(event_types::info).map(|info| info.name).collect()
}

/// Event types as Falco lists them: its code of asynchronous events is part of every rule's set.
fn events(cond: &Cond) -> BTreeSet<&'static str> {
    types(cond).into_iter().chain(["asyncevent"]).collect()
}

/// How far into the tree the indices lead.
fn depth(tree: &Tree, path: &[usize]) -> usize {
    let mut part = Some(tree);
    path.iter()
        .take_while(|at| {
            part = part.and_then(|part| part.child(**at));
            part.is_some()
        })
        .count()
}

/// What stands in a condition, macros not put in.
#[derive(Default)]
struct Parts {
    macros: BTreeSet<String>,
    lists: BTreeSet<String>,
    operators: BTreeSet<&'static str>,
    fields: BTreeSet<String>,
}

impl Parts {
    fn gather(&mut self, expr: &Expr, set: &RuleSet) {
        match expr {
            Expr::And(items) | Expr::Or(items) => items.iter().for_each(|item| self.gather(item, set)),
            Expr::Not(inner) => self.gather(inner, set),
            Expr::Macro(name, _) => {
                self.macros.insert(name.clone());
            }
            Expr::Check(check) => self.check(check, set),
        }
    }

    fn check(&mut self, check: &Check, set: &RuleSet) {
        self.operators.insert(check.op.as_str());
        self.operand(&check.left);
        let values = match &check.right {
            Right::Operand(operand) => return self.operand(operand),
            Right::Value(value) => std::slice::from_ref(value),
            Right::List(values) => values,
            Right::None => &[],
        };
        let lists = values.iter().filter_map(|value| set.sources.list(value.span.at, check.span));
        self.lists.extend(lists.map(|(name, _)| name.to_owned()));
    }

    fn operand(&mut self, operand: &Operand) {
        match operand {
            Operand::Field(field) => {
                self.fields.insert(field.to_string());
            }
            Operand::Transform(transform) => transform.args.iter().for_each(|arg| self.argument(arg)),
        }
    }

    fn argument(&mut self, argument: &Argument) {
        match argument {
            Argument::Operand(operand) => self.operand(operand),
            Argument::List(items) => items.iter().for_each(|item| self.argument(item)),
            Argument::Text(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::load;
    use crate::rules::report::source::Source;
    use crate::rules::source::options::Options;

    const FILE: &str = "- required_engine_version: 0.31.0\n\
        - required_plugin_versions:\n  - {name: container, version: 0.2.0, alternatives: [{name: k8smeta, version: 0.1.0}]}\n\
        - list: inner\n  items: [ash]\n\
        - list: shells\n  items: [bash, inner]\n\
        - macro: opened\n  condition: evt.type in (open, openat)\n\
        - rule: Shell opens\n  desc: d\n  output: x %proc.name %fd.name\n  priority: NOTICE\n  tags: [b, a]\n  capture: true\n  capture_duration: 500\n  \
          condition: opened and proc.name in (shells)\n  \
          exceptions:\n  - {name: cron, fields: proc.pname, values: [cron]}\n  - {name: empty, fields: proc.pname}\n\
        - rule: other\n  desc: d\n  output: o\n  priority: INFO\n  enabled: false\n  \
          condition: opened and (fd.name = /etc/shadow and evt.is_open_read = true or proc.name = x)\n";

    fn set() -> RuleSet {
        let loaded = load(&[Source::new("f.yaml", FILE)], &Options::default());
        loaded.rules.unwrap_or_else(|| panic!("{}", loaded.files[0]))
    }

    #[test]
    fn the_description_has_falcos_shape() {
        let set = set();
        let all = set.describe(None);
        let mut rule = all["rules"][0].clone();
        // What the suggested fields add is tested elsewhere.
        rule["details"]["output_compiled"] = json!("");
        rule["details"]["output_fields"] = json!([]);
        assert_eq!(
            rule,
            json!({
                "info": {
                    "name": "Shell opens", "condition": "opened and proc.name in (shells)", "priority": "Notice",
                    "output": "x %proc.name %fd.name", "description": "d", "enabled": true, "source": "syscall",
                    "tags": ["a", "b"], "capture": true, "capture_duration": 500,
                },
                "details": {
                    "macros": ["opened"], "lists": ["shells"], "condition_operators": ["in"],
                    "condition_fields": ["proc.name"], "output_fields": [],
                    "exception_fields": ["proc.pname"], "exception_names": ["cron", "empty"],
                    "exception_operators": ["in"], "events": ["asyncevent", "open", "openat"],
                    "condition_compiled":
                        "((evt.type in (open, openat) and proc.name in (bash, ash)) and not proc.pname in (cron))",
                    "output_compiled": "", "plugins": [], "extra_output_formatted_fields": [],
                },
            })
        );
        assert_eq!(all["required_engine_version"], "0.31.0");
        assert_eq!(
            all["required_plugin_versions"],
            json!([{"name": "container", "version": "0.2.0", "alternatives": [{"name": "k8smeta", "version": "0.1.0"}]}])
        );
        assert_eq!(
            all["macros"],
            json!([{
                "info": {"name": "opened", "condition": "evt.type in (open, openat)"},
                "details": {
                    "used": true, "macros": [], "lists": [], "condition_operators": ["in"],
                    "condition_fields": ["evt.type"], "condition_compiled": "evt.type in (open, openat)",
                    "events": ["asyncevent", "open", "openat"], "plugins": [],
                },
            }])
        );
        assert_eq!(
            all["lists"][1],
            json!({
                "info": {"name": "shells", "items": ["bash", "inner"]},
                "details": {"used": true, "lists": ["inner"], "items_compiled": ["bash", "ash"], "plugins": []},
            })
        );
        let one = set.describe(Some("other"));
        assert_eq!(one["rules"].as_array().map(Vec::len), Some(1));
        assert_eq!(one["rules"][0]["info"]["enabled"], false);
    }

    #[test]
    fn an_unknown_name_is_told_with_what_may_be_meant() {
        let set = set();
        let error = |name: &str| set.find(name).unwrap_err().to_string();
        assert!(error("shell opens").ends_with("did you mean \"Shell opens\"?"));
        assert!(error("Shell open").ends_with("did you mean \"Shell opens\"?"));
        assert!(error("opens").ends_with("\"Shell opens\""));
        assert!(error("nothing like it").contains("rules list"));
        assert!(set.find("other").is_ok());
    }

    #[test]
    fn the_part_that_keeps_an_event_open_is_found() {
        let set = set();
        let of = |name: &str| set.filtered(set.find(name).unwrap());
        // The branch of the `or` that only names a process.
        assert_eq!(
            of("other"),
            [("open", Filtered::Open(vec![1, 1])), ("openat", Filtered::Open(vec![1, 1]))]
        );
        assert!(of("Shell opens").iter().all(|(_, filtered)| *filtered == Filtered::Open(vec![])));
        let text = FILE.replace(" or proc.name = x", "");
        let set = load(&[Source::new("f", text)], &Options::default()).rules.unwrap();
        let filtered = set.filtered(set.find("other").unwrap());
        let Filtered::OneOf(needs) = &filtered[0].1 else { panic!("{filtered:?}") };
        assert_eq!(needs[0].path, Some((b"/etc/shadow".to_vec(), true)));
    }
}
