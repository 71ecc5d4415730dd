//! Who, where and what of an alert, taken from its fields or else from its context.
//!
//! Fields come from rules and foreign sensors, context from our sensor or another falconet: both are data from
//! outside, so whatever has an unexpected shape is left out here and still shown raw.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::alert::Alert;
use crate::alert::json::utc;

/// Ancestors shown at most.
const MAX_ANCESTORS: usize = 64;

/// A process, as the sensor knew it when the event happened.
#[derive(Debug, Default, Serialize, ToSchema)]
pub struct Process {
    pub pid: Option<i64>,
    pub name: Option<String>,
    /// First argument, as the program was called.
    pub exe: Option<String>,
    /// Path of the executable, resolved by the kernel.
    pub exepath: Option<String>,
    pub cmdline: Option<String>,
    pub cwd: Option<String>,
    pub user: Option<String>,
    pub uid: Option<i64>,
    pub tty: Option<i64>,
    /// When it started, RFC 3339.
    pub start: Option<String>,
}

/// A container, as the runtime described it.
#[derive(Debug, Default, Serialize, ToSchema)]
pub struct Container {
    pub id: Option<String>,
    pub name: Option<String>,
    pub image: Option<String>,
    #[serde(rename = "type")]
    pub kind: Option<String>,
    pub pod: Option<String>,
    pub namespace: Option<String>,
}

/// The event that matched.
#[derive(Debug, Default, Serialize, ToSchema)]
pub struct EventFacts {
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// Arguments by name, as text.
    pub args: BTreeMap<String, String>,
}

/// Everything that is known around an alert.
#[derive(Debug, Default, Serialize, ToSchema)]
pub struct Facts {
    pub process: Process,
    /// Parent first.
    pub ancestors: Vec<Process>,
    pub container: Container,
    pub event: EventFacts,
    /// File or address that the event is about.
    pub object: Option<String>,
}

impl Facts {
    pub fn of(alert: &Alert) -> Self {
        let context = alert.context.as_ref();
        let part = |name: &str| context.and_then(|c| c.get(name));
        let mut process = part("process").map(self::process).unwrap_or_default();
        let mut container = part("container").map(container).unwrap_or_default();
        let mut event = part("event").map(event).unwrap_or_default();
        let field = |names: &[&str]| names.iter().find_map(|name| present(alert.output_fields.get(*name)));
        let fill = |slot: &mut Option<String>, names: &[&str]| {
            if slot.is_none() {
                *slot = field(names);
            }
        };
        fill(&mut process.name, &["proc.name"]);
        fill(&mut process.exe, &["proc.exe"]);
        fill(&mut process.exepath, &["proc.exepath"]);
        fill(&mut process.cmdline, &["proc.cmdline"]);
        fill(&mut process.cwd, &["proc.cwd"]);
        fill(&mut process.user, &["user.name", "ka.user.name"]);
        process.pid = process.pid.or_else(|| number(alert.output_fields.get("proc.pid")));
        process.uid = process.uid.or_else(|| number(alert.output_fields.get("user.uid")));
        process.tty = process.tty.or_else(|| number(alert.output_fields.get("proc.tty")));
        fill(&mut container.id, &["container.id"]);
        fill(&mut container.name, &["container.name", "k8s.container.name"]);
        fill(&mut container.pod, &["k8s.pod.name", "ka.target.pod.name"]);
        fill(&mut container.namespace, &["k8s.ns.name", "ka.target.namespace"]);
        fill(&mut container.kind, &["container.type"]);
        if container.image.is_none() {
            container.image =
                field(&["container.image.repository"]).map(|image| match field(&["container.image.tag"]) {
                    Some(tag) => format!("{image}:{tag}"),
                    None => image,
                });
            fill(&mut container.image, &["container.image"]);
        }
        fill(&mut event.kind, &["evt.type"]);
        let object = field(&["fd.name", "evt.arg.path", "evt.arg.name", "evt.arg.target"])
            .or_else(|| event.args.get("path").or_else(|| event.args.get("name")).cloned());
        let mut ancestors: Vec<Process> = part("ancestors")
            .and_then(Value::as_array)
            .map(|list| {
                list.iter().filter(|p| p.is_object()).take(MAX_ANCESTORS).map(self::process).collect()
            })
            .unwrap_or_default();
        if ancestors.is_empty() {
            let parent = Process {
                name: field(&["proc.pname"]),
                cmdline: field(&["proc.pcmdline"]),
                exepath: field(&["proc.pexepath"]),
                pid: number(alert.output_fields.get("proc.ppid")),
                ..Process::default()
            };
            if parent.name.is_some() || parent.cmdline.is_some() {
                ancestors.push(parent);
            }
        }
        Self { process, ancestors, container, event, object }
    }
}

/// A value as text; what Falco prints for "not available" is none.
fn present(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::String(text) if text.is_empty() || text == "<NA>" => None,
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// Numbers, and texts that are one: Falco prints some fields so.
fn number(value: Option<&Value>) -> Option<i64> {
    match value? {
        Value::Number(number) => number.as_i64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

fn process(value: &Value) -> Process {
    let text = |name: &str| present(value.get(name));
    Process {
        pid: number(value.get("pid")),
        name: text("name"),
        exe: text("exe"),
        exepath: text("exepath"),
        cmdline: text("cmdline"),
        cwd: text("cwd"),
        user: text("user"),
        uid: number(value.get("uid")),
        tty: number(value.get("tty")),
        start: number(value.get("start")).filter(|ns| *ns > 0).map(utc),
    }
}

fn container(value: &Value) -> Container {
    let text = |name: &str| present(value.get(name));
    Container {
        id: text("id"),
        name: text("name"),
        image: text("image"),
        kind: text("type"),
        pod: text("pod"),
        namespace: text("namespace"),
    }
}

fn event(value: &Value) -> EventFacts {
    let args = value.get("args").and_then(Value::as_object);
    EventFacts {
        kind: present(value.get("type")),
        args: args
            .into_iter()
            .flatten()
            .filter_map(|(name, value)| Some((name.clone(), present(Some(value))?)))
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn alert(fields: &Value, context: Option<Value>) -> Alert {
        let body = json!({"rule": "r", "priority": "notice", "time": "2026-01-01T00:00:00Z", "output_fields": fields});
        Alert { context, ..crate::alert::json::parse(body.to_string().as_bytes(), 0).unwrap() }
    }

    #[test]
    fn fields_fill_what_the_context_lacks() {
        let fields = json!({"proc.name": "sh", "user.name": "root", "proc.pname": "bash", "proc.pid": "7",
            "container.id": "<NA>", "container.image.repository": "docker.io/nginx", "container.image.tag": "1.29"});
        let facts = Facts::of(&alert(&fields, None));
        assert_eq!(facts.process.name.as_deref(), Some("sh"));
        assert_eq!((facts.process.pid, facts.container.id), (Some(7), None));
        assert_eq!(facts.container.image.as_deref(), Some("docker.io/nginx:1.29"));
        assert_eq!(facts.ancestors.len(), 1);

        let context = json!({"process": {"name": "dash", "pid": 9, "start": 1_763_994_162_070_202_000_i64},
            "ancestors": [{"name": "a"}, {"name": "b"}], "event": {"type": "openat", "args": {"name": "/etc/shadow"}}});
        let facts = Facts::of(&alert(&fields, Some(context)));
        assert_eq!(facts.process.name.as_deref(), Some("dash"));
        assert_eq!(facts.process.start.as_deref(), Some("2025-11-24T14:22:42.070202000Z"));
        assert_eq!(facts.ancestors.len(), 2);
        assert_eq!(facts.object.as_deref(), Some("/etc/shadow"));
    }

    #[test]
    fn a_context_of_any_shape_is_survived() {
        for context in [
            json!(null),
            json!([1]),
            json!({"process": 1, "ancestors": {}, "container": [], "event": {"args": 3}}),
            json!({"process": {"pid": "x", "name": {}}, "ancestors": [null, 1, []]}),
        ] {
            let _ = Facts::of(&alert(&json!({"proc.name": [1], "fd.name": null}), Some(context)));
        }
    }
}
