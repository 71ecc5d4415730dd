//! Readers of text: rule files, conditions, outputs, test cases, alerts of others.

use std::sync::LazyLock;

use falconet::hub::{self, HubConfig};
use falconet::rules::cases::{self, CaseFile};
use falconet::rules::{self, Options, RuleSet, Scratch, Source};

/// Between the files of one input.
const FILE: &str = "\n%%%\n";

/// Events that rules are tried on.
static EVENTS: LazyLock<CaseFile> = LazyLock::new(|| {
    let text = include_str!("../seeds/cases/events.yaml");
    match cases::parse(&Source::new("seeds/cases/events.yaml", text)) {
        Ok(file) => file,
        Err(error) => seed_is_wrong(&error.to_string()),
    }
});

#[expect(clippy::panic, reason = "a panic is how a target fails")]
fn seed_is_wrong(message: &str) -> ! {
    panic!("a seed that the target needs cannot be read: {message}")
}

/// Loads the texts and lets what loads judge a few events.
fn load(texts: impl Iterator<Item = String>) -> Option<RuleSet> {
    let sources: Vec<Source> =
        texts.enumerate().map(|(n, text)| Source::new(format!("{n}.yaml"), text)).collect();
    let loaded = rules::load(&sources, &Options::default());
    for file in &loaded.files {
        // What is said of a file is made of its own text.
        let _ = (file.to_string(), file.json());
    }
    let set = loaded.rules?;
    let mut scratch = Scratch::default();
    let mut line = String::new();
    for case in &EVENTS.cases {
        set.evaluate(&mut scratch, &case.event, |rule| {
            line.clear();
            rule.output.render(&case.event, &mut line);
        });
    }
    let _ = (set.prefilter().events().count(), set.event_types(), set.notes(50).len());
    Some(set)
}

/// Rule files, several in one input.
pub fn rules(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    load(text.split(FILE).map(str::to_owned));
}

/// A rule with this condition, whatever it holds.
fn rule(condition: &str, output: &str) -> String {
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    format!(
        "- macro: m\n  condition: fd.num >= 0\n- list: l\n  items: [a, /etc]\n\
         - rule: r\n  desc: d\n  priority: INFO\n  condition: {}\n  output: {}\n",
        quoted(condition),
        quoted(output)
    )
}

/// A condition; the form in which a loaded one is shown must load again and show itself.
pub fn condition(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let shown = |set: &RuleSet| set.rules().first().map(|rule| rule.compiled.clone());
    let Some(first) = load([rule(&text, "o")].into_iter()).and_then(|set| shown(&set)) else { return };
    // The name of a list would be put in a second time, and what YAML cannot hold cannot be asked again.
    let plain = first.chars().all(|c| !c.is_control() && c != '\u{feff}' && c < '\u{fff0}');
    if plain && !first.split(|c: char| " (),=\"".contains(c)).any(|word| word == "l") {
        let second = load([rule(&first, "o")].into_iter()).and_then(|set| shown(&set));
        assert_eq!(second.as_ref(), Some(&first), "shown, it loads as something else: {text:?}");
    }
}

/// An output.
pub fn output(bytes: &[u8]) {
    load(
        [rule("evt.type in (openat, connect, container, execve)", &String::from_utf8_lossy(bytes))]
            .into_iter(),
    );
}

/// A file of test cases, tried on rules.
pub fn cases(bytes: &[u8]) {
    static RULES: LazyLock<RuleSet> = LazyLock::new(|| {
        let source =
            Source::new("seeds/rules/all_shapes.yaml", include_str!("../seeds/rules/all_shapes.yaml"));
        let loaded = rules::load(&[source], &Options::default());
        let report = || loaded.files.iter().map(ToString::to_string).collect::<String>();
        loaded.rules.unwrap_or_else(|| seed_is_wrong(&report()))
    });
    let text = String::from_utf8_lossy(bytes);
    match cases::parse(&Source::new("cases.yaml", text)) {
        Ok(file) => drop(cases::run(&RULES, &file)),
        Err(error) => drop(error.to_string()),
    }
}

/// Alerts as they come to the hub; the first byte says how they are encoded.
pub fn alerts(bytes: &[u8]) {
    static CONFIG: LazyLock<HubConfig> = LazyLock::new(HubConfig::default);
    let Some((first, body)) = bytes.split_first() else { return };
    let encoding = match first % 4 {
        0 => Some("gzip"),
        1 => Some("deflate"),
        2 => Some("identity"),
        _ => None,
    };
    let taken = hub::intake::decode(body.to_vec().into(), encoding)
        .and_then(|body| hub::intake::alerts(&body, 1_700_000_000_000_000_000, &CONFIG));
    match taken {
        Ok(mut taken) => {
            for alert in &mut taken.alerts {
                hub::intake::complete(alert, &CONFIG);
            }
            drop(taken.error(0));
        }
        Err(error) => drop(error.to_string()),
    }
}
