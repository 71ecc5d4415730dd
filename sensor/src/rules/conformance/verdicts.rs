//! Generated rule files and what a real Falco 0.44.1 says of each: whether it loads, and which codes its errors and warnings
//! have. We must say the same, but for what the table [`DELIBERATE`] names. The files lie in `../shared/compat`; where that is
//! not, the test counts as ignored.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Read as _;

use serde::Deserialize;

use crate::rules::load;
use crate::rules::registry::field_set::FieldSet;
use crate::rules::report::diagnostic::{Diagnostic, FileReport};
use crate::rules::report::source::Source;
use crate::rules::source::options::{Options, Sight};
use crate::rules::upstream_tests::shared_bytes;

/// One line of the file: rule files that are loaded together, and the codes over all of them.
#[derive(Deserialize)]
struct Verdict {
    id: String,
    files: Vec<String>,
    load: bool,
    errors: BTreeSet<String>,
    warnings: BTreeSet<String>,
}

/// Cases that we judge otherwise on purpose.
struct Difference {
    /// Their ids; `*` stands for any run of characters.
    ids: &'static [&'static str],
    /// How many of them differ.
    cases: usize,
    /// Why it is better so.
    reason: &'static str,
}

const DELIBERATE: &[Difference] = &[
    Difference {
        ids: &["conditions/op/fd.sip.name/*", "conditions/mod/fd.sip.name/*"],
        cases: 25,
        reason: "A host name is compared by its addresses, which knows =, != and in only. Falco loads the others and gives up at the \
                 first event.",
    },
    Difference {
        ids: &["*/'\\x41'"],
        cases: 7,
        reason: "The escape \\xHH came with the version after this one.",
    },
    Difference {
        ids: &["conditions/tr2*/*/getopt(*"],
        cases: 11,
        reason: "A list has no text of its own to join or to concatenate.",
    },
    Difference {
        ids: &[
            "conditions/rhsop/getopt(('-a'),'a')/in/len(proc.name)",
            "conditions/rhsop/getopt(('-a'),'a')/intersects/val(proc.pid)",
        ],
        cases: 2,
        reason: "A text is never equal to a number: the types of the two sides differ.",
    },
    Difference {
        ids: &[
            "grammar/fz/229",
            "grammar/fz/452",
            "grammar/fz/1534",
            "grammar/fz/1746",
            "grammar/fz/2350",
            "grammar/fz/4770",
            "grammar/fz/5554",
        ],
        cases: 7,
        reason: "proc.env[\"a]\"]: the grammar allows a bracket in a quoted argument. Falco takes the quotes off and stumbles on it.",
    },
    Difference {
        ids: &["files/exr/*", "files/xa/16/2"],
        cases: 9,
        reason: "Exceptions that replace others are checked as in a definition, and have its default operators. Falco forgets both, so \
                 that none without comps loads.",
    },
    Difference {
        ids: &["files/xv/13/5", "files/xv/13/6"],
        cases: 2,
        reason: "A list in a list in a tuple means nothing; Falco drops one level.",
    },
    Difference {
        ids: &["files/rule/91"],
        cases: 1,
        reason: "A key of an exception that means nothing is told, like one of a rule.",
    },
    Difference {
        ids: &["files/appf/52", "files/appf/53"],
        cases: 2,
        reason: "A key that means nothing is told beside the error about overriding it.",
    },
    Difference {
        ids: &["files/doc/27"],
        cases: 1,
        reason: "A carriage return alone ends a line, as YAML has it.",
    },
    Difference {
        ids: &["files/doc/40"],
        cases: 1,
        reason: "A sequence may be a key in YAML; it is told as one that is not known.",
    },
    Difference {
        ids: &["files/doc/29", "files/doc/48", "files/doc/49"],
        cases: 3,
        reason: "Text that is no YAML is an error of syntax; Falco's library reads it as something.",
    },
    Difference {
        ids: &["files/out/78"],
        cases: 1,
        reason: "%static.x names a constant of the configuration, which rules are checked without.",
    },
];

/// What is said of a case, as it is compared and shown.
fn told(load: bool, errors: &BTreeSet<String>, warnings: &BTreeSet<String>) -> String {
    let codes: Vec<&str> = errors.iter().chain(warnings).map(String::as_str).collect();
    format!("{} {}", if load { "loads" } else { "fails" }, codes.join(" "))
}

/// What we say of it, and the messages.
fn ours(verdict: &Verdict, options: &Options) -> (String, String) {
    let named = verdict.files.iter().enumerate();
    let named = named.map(|(n, text)| Source::new(format!("{}.yaml", n + 1), text));
    let loaded = load(&named.collect::<Vec<_>>(), options);
    let codes = |list: &dyn Fn(&FileReport) -> Vec<String>| loaded.files.iter().flat_map(list).collect();
    let errors = codes(&|file| file.errors.iter().map(|error| error.code.as_str().to_owned()).collect());
    let warnings = codes(&|file| file.warnings.iter().map(|said| said.code.as_str().to_owned()).collect());
    let said = loaded.files.iter().flat_map(|file| file.errors.iter().chain(&file.warnings));
    let said: Vec<String> = said.map(Diagnostic::full_message).collect();
    (told(loaded.rules.is_some(), &errors, &warnings), said.join("; "))
}

/// `pattern`, whose `*` stand for any run of characters, matches all of `text`.
fn wildcard(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((start, rest)) => {
            let Some(text) = text.strip_prefix(start) else { return false };
            (0..=text.len()).any(|at| text.is_char_boundary(at) && wildcard(rest, &text[at..]))
        }
    }
}

#[test]
#[cfg_attr(not(has_shared), ignore = "needs ../shared")]
fn rule_files_get_the_verdicts_of_falco() {
    let mut text = String::new();
    let packed = shared_bytes("compat/falco-0.44.1-verdicts.jsonl.gz");
    flate2::read::GzDecoder::new(packed.as_slice()).read_to_string(&mut text).unwrap();
    let seeing = Options { append_output: Vec::new(), ..Options::default() };
    // A field that no event has a value for loads like any other.
    let blind = Options { sight: Sight { unfilled: FieldSet::ALL, ..Sight::default() }, ..seeing.clone() };
    let mut cases = 0;
    let mut found = vec![0; DELIBERATE.len()];
    // By what Falco says and what we say.
    let mut differ: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
    for line in text.lines() {
        let verdict: Verdict = serde_json::from_str(line).unwrap();
        cases += 1;
        let falco = told(verdict.load, &verdict.errors, &verdict.warnings);
        let (seen, message) = ours(&verdict, &seeing);
        let unseen = ours(&verdict, &blind).0;
        assert_eq!(seen, unseen, "{}: with fields, and with none that has a value", verdict.id);
        if seen == falco {
            continue;
        }
        let row = DELIBERATE.iter().position(|row| row.ids.iter().any(|ids| wildcard(ids, &verdict.id)));
        if let Some(row) = row {
            found[row] += 1;
        } else {
            let told = format!("{}: {message}\n{}", verdict.id, verdict.files.join("---\n"));
            differ.entry((falco, seen)).or_default().push(told);
        }
    }
    let on_purpose: usize = found.iter().sum();
    let others: usize = differ.values().map(Vec::len).sum();
    println!("{cases} cases: {} agree, {on_purpose} differ on purpose", cases - on_purpose - others);
    assert!(cases > 10_000, "{cases} cases only");
    let mut report = String::new();
    for ((falco, ours), cases) in &differ {
        let _ = writeln!(report, "{} times Falco {falco}, and we {ours}, as in\n{}", cases.len(), cases[0]);
    }
    for (row, found) in DELIBERATE.iter().zip(found) {
        println!("{found:>5} {}\n      {}", row.ids.join(", "), row.reason);
        if found != row.cases {
            let _ = writeln!(report, "{}: {found} cases differ, the table says {}", row.ids[0], row.cases);
        }
    }
    assert!(report.is_empty(), "{report}");
}
