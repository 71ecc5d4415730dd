//! The two sides of a query, memory and SQL, on random alerts and random queries.

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use serde_json::{Map, Value, json};

use super::*;

/// Few words, so that queries hit: with wildcards' and quotes' own characters, case, NUL, and beyond ASCII.
const WORDS: [&str; 14] =
    ["", "a", "A", "ab", "abc", "nginx", "É", "é", "a*b", "a\\b", "a b", "x\0y", "\"q\"", "%_"];
const FIELDS: [&str; 9] = [
    "container.id",
    "container.name",
    "container.image.repository",
    "container.image.tag",
    "k8s.ns.name",
    "k8s.pod.name",
    "proc.name",
    "user.name",
    "fd.name",
];

fn word() -> impl Strategy<Value = &'static str> {
    proptest::sample::select(&WORDS[..])
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => word().prop_map(|text| json!(text)),
        1 => Just(Value::Null),
        1 => prop_oneof![any::<i64>().prop_map(|n| json!(n)), any::<u64>().prop_map(|n| json!(n))],
        1 => prop_oneof![Just(1e300), Just(1.0), Just(-0.5)].prop_map(|n| json!(n)),
        1 => any::<bool>().prop_map(|b| json!(b)),
        1 => word().prop_map(|text| json!({"k": [text]})),
    ]
}

fn any_alert() -> impl Strategy<Value = Alert> {
    let fields = proptest::collection::vec((proptest::sample::select(&FIELDS[..]), value()), 0..6);
    let tags = proptest::collection::btree_set(word(), 0..3);
    ((word(), word(), word(), word()), 0_usize..8, 0..1000_i64, fields, tags).prop_map(
        |((rule, source, host, output), priority, time, fields, tags)| Alert {
            time,
            rule: rule.into(),
            source: source.into(),
            hostname: host.into(),
            output: output.into(),
            output_fields: fields.into_iter().map(|(k, v)| (k.to_owned(), v)).collect::<Map<_, _>>(),
            tags: tags.into_iter().map(Into::into).collect(),
            ..alert("", Priority::ALL[priority])
        },
    )
}

/// A word as the grammar takes it, possibly with wildcards about it.
fn written() -> impl Strategy<Value = String> {
    (word(), 0..4).prop_map(|(word, stars)| {
        let literal = crate::alert::query::Pattern::literal(word).to_string();
        let [before, after] = [stars & 1 != 0, stars & 2 != 0].map(|star| if star { "*" } else { "" });
        format!("{before}{literal}{after}")
    })
}

fn term() -> impl Strategy<Value = String> {
    let key = proptest::sample::select(
        &[
            "rule",
            "source",
            "host",
            "container",
            "image",
            "ns",
            "pod",
            "tag",
            "process",
            "user",
            "fd.name",
            "container.id",
            "no.such",
        ][..],
    );
    let order = proptest::sample::select(&["<", "<=", ">", ">="][..]);
    let priority = (0_usize..8).prop_map(|n| Priority::ALL[n].as_str());
    let values = proptest::collection::vec(written(), 1..3).prop_map(|v| v.join(","));
    prop_oneof![
        6 => (key, values).prop_map(|(key, values)| format!("{key}:{values}")),
        2 => written().prop_filter("text", |text| !matches!(text.as_str(), "\"\"" | "*\"\"*" | "*\"\"" | "\"\"*")),
        1 => (order.clone(), priority.clone()).prop_map(|(order, word)| format!("priority{order}{word}")),
        1 => (priority.clone(), priority).prop_map(|(a, b)| format!("priority:{a},{b}")),
        1 => (order, 0..1000_i64).prop_map(|(order, ns)| {
            format!("time{order}{}", jiff::Timestamp::from_nanosecond(ns.into()).unwrap())
        }),
    ]
}

#[test]
fn memory_and_sql_agree() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let directory = TempDir::new().unwrap();
    let log = open(&directory);
    let mut runner = TestRunner::new(ProptestConfig { cases: 500, ..ProptestConfig::default() });
    let alerts = proptest::collection::vec(any_alert(), 400).new_tree(&mut runner).unwrap().current();
    runtime.block_on(log.append(alerts)).unwrap();
    let entries = runtime.block_on(log.read(0, 1000)).unwrap();
    assert_eq!(entries.len(), 400);

    let hits = std::cell::Cell::new(0);
    let queries = proptest::collection::vec((any::<bool>(), term()), 0..3);
    runner
        .run(&queries, |terms| {
            let text: Vec<_> = terms
                .into_iter()
                .map(|(not, term)| format!("{}{term}", if not { "-" } else { "" }))
                .collect();
            let query = Query::parse(&text.join(" "), 1000)
                .map_err(|e| TestCaseError::fail(format!("{text:?}: {e}")))?;
            let mut memory: Vec<Seq> =
                entries.iter().filter(|e| query.matches(&e.alert)).map(|e| e.seq).collect();
            memory.reverse();
            let found = runtime.block_on(log.search(&query, None, 1000, |entry| Some(entry.seq))).unwrap();
            prop_assert_eq!(found.shown, memory.clone(), "{}", query);
            prop_assert_eq!(runtime.block_on(log.count(&query)).unwrap(), memory.len() as u64);
            hits.set(hits.get() + usize::from(!memory.is_empty() && memory.len() < 400));
            Ok(())
        })
        .unwrap();
    assert!(hits.get() > 100, "only {} queries told alerts apart", hits.get());
}
