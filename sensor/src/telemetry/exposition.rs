//! Prometheus text exposition, format 0.0.4, and the trait by which parts of the program add to it.

use std::collections::BTreeMap;
use std::fmt::{Display, Write as _};

use super::status::DeadHook;

/// Something that has numbers to show. Called at each scrape; must not block.
pub trait Collect: Send + Sync {
    fn collect(&self, out: &mut Exposition);

    /// What health checks tell beside that the process answers.
    fn dead_hooks(&self) -> Vec<DeadHook> {
        Vec::new()
    }
}

/// Kind of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge,
}

/// Metrics on their way to text. Samples of one name from several collectors come out together.
#[derive(Debug, Default)]
pub struct Exposition {
    families: BTreeMap<String, Family>,
}

/// All samples of one metric.
#[derive(Debug)]
pub struct Family {
    name: String,
    kind: Kind,
    help: String,
    samples: String,
}

impl Exposition {
    /// The metric `name`; kind and help of the first call hold.
    pub fn family(&mut self, name: &str, kind: Kind, help: &str) -> &mut Family {
        self.families.entry(name.to_owned()).or_insert_with(|| Family {
            name: name.to_owned(),
            kind,
            help: help.to_owned(),
            samples: String::new(),
        })
    }

    /// One counter without labels.
    pub fn counter(&mut self, name: &str, help: &str, value: impl Display) {
        self.family(name, Kind::Counter, help).sample(&[], value);
    }

    /// One gauge without labels.
    pub fn gauge(&mut self, name: &str, help: &str, value: impl Display) {
        self.family(name, Kind::Gauge, help).sample(&[], value);
    }

    /// The text that Prometheus scrapes.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for family in self.families.values() {
            let kind = match family.kind {
                Kind::Counter => "counter",
                Kind::Gauge => "gauge",
            };
            let help = family.help.replace('\\', "\\\\").replace('\n', "\\n");
            _ = writeln!(text, "# HELP {} {help}", family.name);
            _ = writeln!(text, "# TYPE {} {kind}", family.name);
            text.push_str(&family.samples);
        }
        text
    }
}

impl Family {
    /// Adds a sample. Label values may hold any text.
    pub fn sample(&mut self, labels: &[(&str, &str)], value: impl Display) -> &mut Self {
        self.samples.push_str(&self.name);
        for (n, (label, text)) in labels.iter().enumerate() {
            self.samples.push_str(if n == 0 { "{" } else { "," });
            _ = write!(self.samples, "{label}=\"");
            for c in text.chars() {
                match c {
                    '\\' => self.samples.push_str("\\\\"),
                    '"' => self.samples.push_str("\\\""),
                    '\n' => self.samples.push_str("\\n"),
                    c => self.samples.push(c),
                }
            }
            self.samples.push('"');
        }
        _ = writeln!(self.samples, "{} {value}", if labels.is_empty() { "" } else { "}" });
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_grouped_and_escaped() {
        let mut out = Exposition::default();
        out.family("b_total", Kind::Counter, "First\nhelp").sample(&[("rule", "a \"b\"\\\n")], 1);
        out.gauge("a", "A gauge", 1.5);
        out.family("b_total", Kind::Counter, "Other").sample(&[("rule", "c"), ("x", "y")], 2);
        assert_eq!(
            out.text(),
            "# HELP a A gauge\n# TYPE a gauge\na 1.5\n# HELP b_total First\\nhelp\n# TYPE b_total counter\n\
             b_total{rule=\"a \\\"b\\\"\\\\\\n\"} 1\nb_total{rule=\"c\",x=\"y\"} 2\n"
        );
    }
}
