//! From a rule that matched and its event to the alert.

use sensor_ebpf::record::CUTS;
use serde_json::{Map, Value as Json, json as object};
use uuid::Uuid;

use super::args;
use super::extract::process::cmdline;
use super::hold::Missing;
use super::live::{Live, What};
use crate::alert::{Alert, now};
use crate::rules::output::json;
use crate::rules::{Event as _, Field, FieldArg, FieldRef, Rule, RuleSet, Value};
use crate::state::{Container, Process};

/// How the text of an alert begins.
#[derive(Debug, Clone, Copy, Default)]
pub struct TextOptions {
    /// `time_format_iso_8601`: UTC with the date instead of the local time of day.
    pub iso_8601: bool,
}

/// The alert of `rule`, one of `rules`, about `event`. `missing`: what could not be found out about it.
pub fn alert(
    rules: &RuleSet,
    rule: &Rule,
    event: &Live<'_>,
    missing: Missing,
    options: TextOptions,
) -> Alert {
    let time_field = if options.iso_8601 { Field::EvtTimeIso8601 } else { Field::EvtTime };
    let time = FieldRef { field: time_field, arg: FieldArg::None };
    let mut output = match event.get(&time) {
        Some(Value::Str(text)) => String::from_utf8_lossy(text).into_owned(),
        _ => String::new(),
    };
    output.push_str(": ");
    output.push_str(rule.priority.as_str());
    output.push(' ');
    rule.output.render(event, &mut output);

    let mut fields: Map<String, Json> =
        rule.output.fields().map(|(key, field)| (key.to_owned(), json(event, field))).collect();
    fields.extend(rule.extra.iter().map(|(key, extra)| (key.clone(), extra.json(event))));
    fields.insert(time_field.name().to_owned(), object!(event.time));
    event.tell_other_names(&mut fields);
    let cut = cut(event);
    if !cut.is_empty() {
        // Whoever reads the values above must know that some are not all there, whatever output they come by.
        fields.insert(CUT.to_owned(), object!(cut.join(",")));
    }
    Alert {
        uuid: Uuid::now_v7(),
        time: event.time,
        received: now(),
        rule: rule.name.clone(),
        priority: rule.priority,
        source: rule.source.clone(),
        hostname: event.known.hostname.to_owned(),
        output,
        output_fields: fields,
        tags: rule.tags.clone(),
        context: Some(context(rules, rule, event, missing)),
    }
}

/// The key under which an alert says what of its event was not all there (`path_head`, `args`…).
pub const CUT: &str = "falconet.cut";

/// What of the event's record was not all there.
fn cut(event: &Live<'_>) -> Vec<&'static str> {
    let flags = event.record().map_or(0, |record| record.header().flags);
    CUTS.iter().filter(|(flag, _)| flags & flag != 0).map(|(_, part)| *part).collect()
}

fn text(bytes: &[u8]) -> Json {
    Json::String(String::from_utf8_lossy(bytes).into_owned())
}

/// What the sensor knows beyond the rule's output, for the person who looks at the alert.
fn context(rules: &RuleSet, rule: &Rule, event: &Live<'_>, missing: Missing) -> Json {
    let mut context = Map::new();
    if missing != Missing::default() {
        let Missing { process, names } = missing;
        let parts = [("process", process), ("names", names)];
        let parts: Vec<&str> = parts.iter().filter(|(_, missing)| *missing).map(|(part, _)| *part).collect();
        context.insert("incomplete".into(), object!(parts));
    }
    let mut what = Map::new();
    what.insert("type".into(), object!(event.name));
    what.insert("number".into(), object!(event.number));
    if let (What::Syscall { .. }, Some(process)) = (&event.what, event.process()) {
        let uid = event.record().map_or(process.task.uid, |record| record.header().uid);
        context.insert("process".into(), describe(event, process, uid));
        let ancestors: Vec<Json> = event.ancestors().map(|p| describe(event, p, p.task.uid)).collect();
        context.insert("ancestors".into(), Json::Array(ancestors));
        let args: Map<String, Json> = event
            .args()
            // The whole environment says little and may hold secrets.
            .filter(|(param, _)| param.name != "env")
            .map(|(param, arg)| (param.name.to_owned(), text(args::text(event.bump, param, arg, event))))
            .collect();
        what.insert("args".into(), Json::Object(args));
        let cut = cut(event);
        if !cut.is_empty() {
            what.insert("cut".into(), object!(cut));
        }
    }
    context.insert("event".into(), Json::Object(what));
    if let Some(container) = event.container {
        context.insert("container".into(), place(container));
    }
    // Why: the condition with the values that it saw, evaluated once more, which is cheap beside storing an alert.
    let condition = rules.trace(rule, event).bounded();
    context.insert("condition".into(), serde_json::to_value(condition.root).unwrap_or_default());
    Json::Object(context)
}

/// A process, with the user that it is.
fn describe(event: &Live<'_>, process: &Process, uid: u32) -> Json {
    let user = event.known.users.user(process, uid).map(|u| &*u.name);
    object!({
        "pid": process.tgid,
        "name": text(process.comm()),
        "exe": text(process.image.arg0()),
        "exepath": text(&process.image.exepath),
        "cmdline": text(cmdline(event.bump, process)),
        "cwd": text(&process.cwd),
        "user": user.unwrap_or(if uid == 0 { "root" } else { "" }),
        "uid": uid,
        "tty": process.task.tty,
        "start": (process.cloned != 0).then(|| event.known.clock.wall(process.cloned)),
    })
}

fn place(container: &Container) -> Json {
    let pod = container.pod.as_ref();
    object!({
        "id": container.id,
        "name": container.name,
        "image": container.image.full,
        "type": container.runtime.name(),
        "pod": pod.map(|p| &p.name),
        "namespace": pod.map(|p| &p.namespace),
        "incomplete": container.incomplete,
    })
}
