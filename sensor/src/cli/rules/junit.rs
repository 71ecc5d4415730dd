//! Test results as `JUnit` XML, which every CI shows.

use std::fmt::Write as _;
use std::time::Duration;

use super::report::{Outcome, Report};

/// The whole document.
pub fn document(report: &Report) -> String {
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let total: Duration = report.suites.iter().map(|suite| suite.took).sum();
    let count = report.count();
    // Writing to a string cannot fail.
    let _ = writeln!(
        xml,
        "<testsuites name=\"falconet rules test\" tests=\"{}\" failures=\"{}\" errors=\"{}\" time=\"{}\">",
        count.passed + count.failed + count.unjudged,
        count.failed,
        count.unjudged,
        seconds(total)
    );
    for suite in &report.suites {
        let count = suite.count();
        let name = escape(&suite.name);
        let _ = writeln!(
            xml,
            "  <testsuite name=\"{name}\" tests=\"{}\" failures=\"{}\" errors=\"{}\" time=\"{}\">",
            suite.tests.len(),
            count.failed,
            count.unjudged,
            seconds(suite.took)
        );
        for test in &suite.tests {
            let _ = write!(xml, "    <testcase classname=\"{name}\" name=\"{}\"", escape(&test.name));
            if let Some(line) = test.line {
                let _ = write!(xml, " file=\"{name}\" line=\"{line}\"");
            }
            let _ = write!(xml, " time=\"{}\"", seconds(test.took));
            let (tag, messages) = match &test.outcome {
                Outcome::Passed => {
                    xml.push_str("/>\n");
                    continue;
                }
                Outcome::Failed(failures) => ("failure", failures.as_slice()),
                Outcome::Unjudged(error) => ("error", std::slice::from_ref(error)),
            };
            xml.push_str(">\n");
            for text in messages {
                let message = escape(text.lines().next().unwrap_or_default());
                let _ = writeln!(xml, "      <{tag} message=\"{message}\">{}</{tag}>", escape(text));
            }
            xml.push_str("    </testcase>\n");
        }
        if !suite.notes.is_empty() {
            let _ = writeln!(xml, "    <system-out>{}</system-out>", escape(&suite.notes.join("\n")));
        }
        xml.push_str("  </testsuite>\n");
    }
    xml.push_str("</testsuites>\n");
    xml
}

fn seconds(time: Duration) -> String {
    format!("{:.6}", time.as_secs_f64())
}

/// Text for an element or an attribute. Characters that XML cannot hold become U+FFFD.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&apos;"),
            '\n' | '\t' => escaped.push(c),
            '\u{fffe}' | '\u{ffff}' => escaped.push(char::REPLACEMENT_CHARACTER),
            c if (c as u32) < 0x20 => escaped.push(char::REPLACEMENT_CHARACTER),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::super::report::{Suite, Test};
    use super::*;

    #[test]
    fn a_document_holds_every_outcome() {
        let test = |name: &str, line, outcome| Test {
            name: name.to_owned(),
            line,
            outcome,
            took: Duration::from_micros(12),
        };
        let suite = Suite {
            name: "a&b.cases.yaml".to_owned(),
            tests: vec![
                test("good \u{1}", Some(3), Outcome::Passed),
                test("bad", Some(4), Outcome::Failed(vec!["rule \"<r>\" fired\n  why".to_owned()])),
                test("rules", None, Outcome::Unjudged("no".to_owned())),
            ],
            notes: vec!["n".to_owned()],
            took: Duration::from_millis(2),
        };
        let expected = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
            <testsuites name=\"falconet rules test\" tests=\"3\" failures=\"1\" errors=\"1\" time=\"0.002000\">\n  \
            <testsuite name=\"a&amp;b.cases.yaml\" tests=\"3\" failures=\"1\" errors=\"1\" time=\"0.002000\">\n    \
            <testcase classname=\"a&amp;b.cases.yaml\" name=\"good \u{fffd}\" file=\"a&amp;b.cases.yaml\" line=\"3\" time=\"0.000012\"/>\n    \
            <testcase classname=\"a&amp;b.cases.yaml\" name=\"bad\" file=\"a&amp;b.cases.yaml\" line=\"4\" time=\"0.000012\">\n      \
            <failure message=\"rule &quot;&lt;r&gt;&quot; fired\">rule &quot;&lt;r&gt;&quot; fired\n  why</failure>\n    \
            </testcase>\n    \
            <testcase classname=\"a&amp;b.cases.yaml\" name=\"rules\" time=\"0.000012\">\n      \
            <error message=\"no\">no</error>\n    \
            </testcase>\n    \
            <system-out>n</system-out>\n  \
            </testsuite>\n\
            </testsuites>\n";
        assert_eq!(document(&Report { suites: vec![suite] }), expected);
    }
}
