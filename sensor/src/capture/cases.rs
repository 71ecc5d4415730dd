//! A captured event as a test case for rules, in the form that `falconet rules test` and `rules explain` read.
//!
//! A case has what the rules asked of the event, and nothing else: that is what their verdict depends on, it can be read, and it
//! gives away no more of the machine than needed.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use crate::rules::registry::event_types;
use crate::rules::registry::fields::{FIELDS, Flags};
use crate::rules::{Event, EventType, Field, FieldArg, FieldRef, RuleSet, Scratch, Value};

/// Notes which fields are asked of an event.
struct Asked<'a, E> {
    event: &'a E,
    /// By the name that rules have for it.
    fields: &'a RefCell<BTreeMap<String, FieldRef>>,
}

impl<E> Asked<'_, E> {
    fn note(&self, field: &FieldRef) {
        self.fields.borrow_mut().entry(field.to_string()).or_insert_with(|| field.clone());
    }
}

impl<E: Event> Event for Asked<'_, E> {
    fn event_type(&self) -> EventType {
        self.event.event_type()
    }

    fn time(&self) -> i64 {
        self.event.time()
    }

    fn get(&self, field: &FieldRef) -> Option<Value<'_>> {
        self.note(field);
        self.event.get(field)
    }

    fn any(&self, field: &FieldRef, test: &mut dyn FnMut(Value<'_>) -> bool) -> bool {
        self.note(field);
        self.event.any(field, test)
    }
}

/// Makes cases of the events on which rules fire.
pub struct Cases {
    rules: Arc<RuleSet>,
    scratch: Scratch,
    /// Most cases of one rule.
    limit: u64,
    made: BTreeMap<String, u64>,
}

impl Cases {
    pub fn new(rules: Arc<RuleSet>, limit: u64) -> Self {
        Self { rules, scratch: Scratch::default(), limit, made: BTreeMap::new() }
    }

    /// The case of an event in all its readings, as an item of `cases`. `None` when no rule fires that `wants` more, or all have
    /// enough.
    pub fn of(
        &mut self,
        readings: &[impl Event],
        number: u64,
        wants: impl Fn(&str) -> bool,
    ) -> Option<String> {
        let (event, others) = readings.split_first()?;
        let fields = RefCell::default();
        let asked: Vec<_> = readings.iter().map(|event| Asked { event, fields: &fields }).collect();
        let mut fired = Vec::new();
        self.rules.evaluate_readings(&mut self.scratch, &asked, |rule, _| fired.push(rule.name.as_str()));
        let (limit, made) = (self.limit, &self.made);
        let new = |rule: &&&str| wants(rule) && made.get(**rule).is_none_or(|count| *count < limit);
        let first = *fired.iter().find(new)?;
        for rule in &fired {
            *self.made.entry((*rule).to_owned()).or_default() += 1;
        }
        let mut out = String::new();
        let name = format!("{first}: event {number} of the capture");
        _ = writeln!(out, "  - name: {}", quoted(&name));
        _ = writeln!(out, "    event:");
        drop(asked);
        let mut fields = fields.into_inner();
        fields.entry(Field::EvtType.name().to_owned()).or_insert_with(|| Field::EvtType.into());
        for field in fields.values() {
            if let Some(line) = line(event, field) {
                _ = writeln!(out, "      {line}");
            }
        }
        let others: Vec<Vec<String>> =
            others.iter().map(|other| names(event, other, fields.values())).collect();
        if others.iter().any(|names| !names.is_empty()) {
            _ = writeln!(out, "      other_names:");
            for names in others.iter().filter(|names| !names.is_empty()) {
                _ = writeln!(out, "        - {{{}}}", names.join(", "));
            }
        }
        let fired: Vec<String> = fired.into_iter().map(quoted).collect();
        _ = writeln!(out, "    fires: [{}]", fired.join(", "));
        Some(out)
    }
}

/// The fields that another reading of an event has otherwise.
fn names<'f>(
    event: &impl Event,
    other: &impl Event,
    fields: impl Iterator<Item = &'f FieldRef>,
) -> Vec<String> {
    let lines = fields.map(|field| (line(event, field), line(other, field)));
    lines.filter(|(first, second)| first != second).filter_map(|(_, second)| second).collect()
}

/// Everything that is known of an event, as a mapping of fields.
pub fn whole(event: &impl Event) -> String {
    let mut out = String::new();
    for info in FIELDS {
        // Without an argument these have no value, and what is only printed is not in conditions.
        if [Flags::REQUIRED, Flags::PRINT, Flags::DEPRECATED].iter().any(|f| info.flags.has(*f)) {
            continue;
        }
        if let Some(line) = line(event, &info.field.into()) {
            out.push_str(&line);
            out.push('\n');
        }
    }
    let params = event_types::info(event.event_type()).map_or(&[][..], |info| &info.params);
    for field in [Field::EvtArg, Field::EvtRawarg] {
        for param in params {
            let field = FieldRef { field, arg: FieldArg::Key(param.as_bytes().into()) };
            if let Some(line) = line(event, &field) {
                out.push_str(&line);
                out.push('\n');
            }
        }
    }
    out
}

/// `field: value`; `None` when it has none.
fn line(event: &impl Event, field: &FieldRef) -> Option<String> {
    let value = if field.is_list() || field.is_any() {
        let mut all = Vec::new();
        event.any(field, &mut |value| {
            all.push(written(value));
            false
        });
        let all: Vec<String> = all.into_iter().collect::<Option<_>>()?;
        if all.is_empty() {
            return None;
        }
        format!("[{}]", all.join(", "))
    } else {
        written(event.get(field)?)?
    };
    let name = field.to_string();
    let name = if matches!(field.arg, FieldArg::None) { name } else { quoted(&name) };
    Some(format!("{name}: {value}"))
}

/// A value in YAML. `None` for a negative time, which has no written form.
fn written(value: Value<'_>) -> Option<String> {
    Some(match value {
        Value::Str(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => quoted(text),
            Err(_) => hex(bytes),
        },
        Value::Buf(bytes) => hex(bytes),
        Value::Int(n) => n.to_string(),
        Value::Uint(n) => n.to_string(),
        Value::Bool(b) => b.to_string(),
        Value::Ip(ip) => quoted(&ip.to_string()),
    })
}

fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().fold(String::new(), |mut digits, byte| {
        _ = write!(digits, "{byte:02x}");
        digits
    });
    format!("{{hex: \"{digits}\"}}")
}

/// A text in YAML: bare where nobody could take it for anything else, else in JSON's quotes, which YAML reads too.
fn quoted(text: &str) -> String {
    let bare = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/')
        && !text.ends_with(' ')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '/' | '_' | '-' | '.' | ' '))
        && !["true", "false", "null", "yes", "no", "on", "off", "y", "n"]
            .iter()
            .any(|word| text.eq_ignore_ascii_case(word));
    if bare { text.to_owned() } else { serde_json::Value::from(text).to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::{Options, Source, cases, load};

    const RULES: &str = "
- rule: 'a: \"b\"'
  desc: d
  condition: >
    evt.type = openat and fd.name startswith /etc and proc.aname[2] = \"on\" and proc.aname in (init, sh)
    and proc.env[HOME] = /root and evt.arg.flags contains O_RDONLY and not proc.tty > 5 and not proc.cmdline contains x
    and fd.num >= 3 and evt.failed = false
  output: o
  priority: INFO
- rule: second
  desc: d
  condition: evt.type = openat and proc.name = cat
  output: o
  priority: INFO
";
    const EVENT: &str =
        "{evt.type: openat, fd.name: \"/etc/\\n#\", proc.name: cat, proc.aname: [sh, 'on'], proc.tty: 0,
        proc.env: {HOME: /root, TOKEN: secret}, evt.arg: {flags: O_RDONLY}, fd.num: 3, evt.failed: false,
        proc.cmdline: {hex: 'ff'}, user.name: root}";

    fn parse(event: &str) -> cases::CaseEvent {
        cases::event(&Source::new("e.yaml", event)).unwrap()
    }

    #[test]
    fn a_case_fires_what_the_event_did_and_tells_what_was_asked() {
        let rules = load(&[Source::new("r.yaml", RULES)], &Options::default()).rules.unwrap();
        let rules = Arc::new(rules);
        let event = parse(EVENT);
        let mut maker = Cases::new(rules.clone(), 1);
        let case = maker.of(&[&event], 7, |_| true).unwrap();
        assert!(!case.contains("secret") && !case.contains("user.name"), "{case}");
        let file = cases::parse(&Source::new("c.yaml", format!("cases:\n{case}"))).unwrap();
        assert_eq!(file.cases[0].fires, ["a: \"b\"", "second"], "{case}");
        assert_eq!(cases::run(&rules, &file), []);
        assert_eq!(maker.of(&[&event], 8, |_| true), None, "one is enough");
        assert!(Cases::new(rules.clone(), 1).of(&[&event], 8, |rule| rule == "third").is_none());
        assert!(
            Cases::new(rules.clone(), 1)
                .of(&[parse("{evt.type: open, proc.name: cat}")], 8, |_| true)
                .is_none()
        );
    }

    #[test]
    fn a_whole_event_comes_back() {
        let text = whole(&parse(EVENT));
        assert!(text.contains("TOKEN=secret"), "{text}");
        let again = whole(&parse(&text));
        assert_eq!(text, again);
        let rules = load(
            &[Source::new("r.yaml", RULES.replace("proc.env[HOME] = ", "proc.env contains "))],
            &Options::default(),
        );
        let mut fired = 0;
        rules.rules.unwrap().evaluate(&mut Scratch::default(), &parse(&text), |_| fired += 1);
        assert_eq!(fired, 2, "{text}");
    }

    #[test]
    fn texts_are_quoted_where_they_must_be() {
        for (text, yaml) in [
            ("cat", "cat"),
            ("/etc/passwd-", "/etc/passwd-"),
            ("a b", "a b"),
            ("", "\"\""),
            ("on", "\"on\""),
            ("1", "\"1\""),
            ("a: b", "\"a: b\""),
            ("a ", "\"a \""),
            ("a\u{7}", "\"a\\u0007\""),
        ] {
            assert_eq!(quoted(text), yaml);
        }
    }
}
