//! Definitions, appends, overrides and exceptions put together as the language says, by plain text.

use std::fmt::Write as _;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::TestRunner;

use super::random;
use crate::rules::language::ast::Expr;
use crate::rules::language::parse;
use crate::rules::report::source::Origin;
use crate::rules::report::text::Text;
use crate::rules::source::options::Matching;

/// An exception as a file holds it.
#[derive(Debug, Clone)]
struct Exception {
    name: &'static str,
    /// One field with a list operator, or several side by side.
    single: bool,
    fields: Vec<&'static str>,
    comps: Vec<&'static str>,
    /// Of a single field: its values, one in each row. Of several: a value for each field in each row.
    rows: Vec<Vec<Vec<&'static str>>>,
}

/// An item of a file.
#[derive(Debug, Clone)]
enum Item {
    List(usize, Vec<&'static str>, How),
    Macro(usize, String, How),
    Rule(usize, String, Vec<Exception>),
    /// A condition, exceptions, or both, for a rule that is there.
    Change(usize, Option<String>, Vec<Exception>, How),
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum How {
    Define,
    /// `append: true`.
    Append,
    /// `override: …: append`.
    Add,
    /// `override: …: replace`.
    Replace,
}

const PARTS: &[&str] = &[
    "proc.name = a",
    "proc.name in (list0)",
    "proc.name in (list1, b)",
    "proc.name in (b, list2, list1)",
    "fd.num >= 0 or proc.pname = list0x",
    "not macro0",
    "(macro1 or proc.name exists)",
    "macro0 and fd.name startswith /etc",
    "evt.type = open",
    "proc.name startswith anyof (list0, list2)",
];
const ITEMS: &[&str] = &["a", "b", "x y", "list0", "list1", "list2", "c.d", "/etc"];

fn exception() -> BoxedStrategy<Exception> {
    let name = select(&["e0", "e1", "e2"][..]);
    let value = || select(&["a", "x y", "list0", "list1", "/etc", "'q r'"][..]);
    let single = (
        name.clone(),
        select(&["proc.name", "fd.name", "tolower(proc.name)"][..]),
        select(&["in", "pmatch", "startswith oneof", "intersects"][..]),
        vec(value(), 0..3),
    )
        .prop_map(|(name, field, comp, values)| Exception {
            name,
            single: true,
            fields: vec![field],
            comps: vec![comp],
            rows: values.into_iter().map(|value| vec![vec![value]]).collect(),
        });
    let field = (
        select(&["proc.name", "fd.name", "proc.pname"][..]),
        select(&["=", "!=", "startswith", "in", "pmatch", "glob anyof"][..]),
    );
    let tuple =
        (name, vec(field, 1..3), vec(vec(vec(value(), 1..3), 2), 0..3)).prop_map(|(name, fields, rows)| {
            let (fields, comps): (Vec<_>, Vec<_>) = fields.into_iter().unzip();
            let rows = rows
                .into_iter()
                .map(|row| {
                    let row = row.into_iter().take(fields.len());
                    // Only what takes a list is given one; a blank in it is quoted in one reading and not in another.
                    row.zip(&comps)
                        .map(|(value, comp)| {
                            if takes_list(comp) {
                                value.into_iter().filter(|v| !v.contains(' ')).chain(["a"]).collect()
                            } else {
                                vec!["a"]
                            }
                        })
                        .collect()
                })
                .collect();
            Exception { name, single: false, fields, comps, rows }
        });
    prop_oneof![single, tuple].boxed()
}

fn takes_list(comp: &str) -> bool {
    comp == "in" || comp == "pmatch" || comp == "intersects" || comp.contains(' ')
}

fn items() -> BoxedStrategy<Vec<Item>> {
    let condition = || vec(select(PARTS), 1..3).prop_map(|parts| parts.join(" and "));
    let list_how = select(&[How::Define, How::Append, How::Add, How::Replace][..]);
    // A macro must not come to refer to itself.
    let plain = || {
        select(
            &[
                "proc.name = m",
                "proc.name in (list1)",
                "fd.num > 1 or evt.type = open",
                "proc.name in (list0, list2)",
            ][..],
        )
        .prop_map(str::to_owned)
    };
    let more = || condition().prop_map(|condition| format!("and {condition}"));
    let plain_more = || plain().prop_map(|condition| format!("or {condition}"));
    let list =
        (0..3usize, vec(select(ITEMS), 0..4), list_how).prop_map(|(n, items, how)| Item::List(n, items, how));
    let defined = (0..2usize, plain(), select(&[How::Define, How::Replace][..]))
        .prop_map(|(n, text, how)| Item::Macro(n, text, how));
    let appended = (0..2usize, plain_more(), select(&[How::Append, How::Add][..]))
        .prop_map(|(n, text, how)| Item::Macro(n, text, how));
    let rule = (0..3usize, condition(), vec(exception(), 0..3))
        .prop_map(|(n, text, exceptions)| Item::Rule(n, text, exceptions));
    let append = (
        0..3usize,
        proptest::option::of(more()),
        vec(exception(), 0..2),
        select(&[How::Append, How::Add][..]),
    )
        .prop_map(|(n, text, exceptions, how)| Item::Change(n, text, exceptions, how));
    let replace = (0..3usize, proptest::option::of(condition()), vec(exception(), 0..2))
        .prop_map(|(n, text, exceptions)| Item::Change(n, text, exceptions, How::Replace));
    let item = prop_oneof![2 => list, 1 => defined, 1 => appended, 2 => rule, 3 => append, 1 => replace];
    vec(item, 0..16).boxed()
}

/// What the items come to.
#[derive(Default)]
struct State {
    /// Name, items, number of the latest definition, number of the first.
    lists: Vec<(String, Vec<String>, usize, usize)>,
    macros: Vec<(String, String)>,
    rules: Vec<(String, String, Vec<Exception>)>,
    file: String,
    sequence: usize,
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A value in a condition: in quotes when it has a blank and none of its own.
fn rendered(value: &str) -> String {
    if value.contains(' ') && !value.starts_with(['\'', '"']) {
        format!("\"{value}\"")
    } else {
        value.to_owned()
    }
}

impl Exception {
    /// As the file holds it; what is added to an exception that is there is values only.
    fn yaml(&self, values_only: bool) -> String {
        let list =
            |items: &[&str]| format!("[{}]", items.iter().map(|i| quoted(i)).collect::<Vec<_>>().join(", "));
        let mut yaml = format!("{{name: {}", self.name);
        if !values_only {
            if self.single {
                write!(yaml, ", fields: {}, comps: {}", quoted(self.fields[0]), quoted(self.comps[0]))
                    .unwrap();
            } else {
                write!(yaml, ", fields: {}, comps: {}", list(&self.fields), list(&self.comps)).unwrap();
            }
        }
        let cell = |cell: &Vec<&str>| if cell.len() == 1 { quoted(cell[0]) } else { list(cell) };
        let row = |row: &Vec<Vec<&str>>| {
            if self.single {
                cell(&row[0])
            } else {
                format!("[{}]", row.iter().map(cell).collect::<Vec<_>>().join(", "))
            }
        };
        yaml + &format!(", values: [{}]}}", self.rows.iter().map(row).collect::<Vec<_>>().join(", "))
    }

    fn text(&self) -> String {
        if self.rows.is_empty() {
            return String::new();
        }
        if self.single {
            let values: Vec<String> = self.rows.iter().map(|row| rendered(row[0][0])).collect();
            return format!(" and not ({} {} ({}))", self.fields[0], self.comps[0], values.join(", "));
        }
        let rows: Vec<String> = self
            .rows
            .iter()
            .map(|row| {
                let one = |n: usize| {
                    let values: Vec<String> = row[n].iter().map(|value| rendered(value)).collect();
                    let list = takes_list(self.comps[n]);
                    let value = if list { format!("({})", values.join(", ")) } else { values.join(", ") };
                    format!("{} {} {value}", self.fields[n], self.comps[n])
                };
                format!("({})", (0..self.fields.len()).map(one).collect::<Vec<_>>().join(" and "))
            })
            .collect();
        format!(" and not ({})", rows.join(" or "))
    }
}

/// Replaces the name of a list in a text: see section 1.7 of the language.
fn put_list(text: &str, name: &str, items: &[String]) -> String {
    let blank = |c: char| matches!(c, ' ' | '\t' | '\n' | '\r');
    let delimits = |c: Option<char>| c.is_none_or(|c| blank(c) || "(),=".contains(c));
    let mut out = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let before = text[..text.len() - rest.len()].chars().next_back();
        if rest.starts_with(name) && delimits(before) && delimits(rest[name.len()..].chars().next()) {
            rest = rest[name.len()..].trim_start_matches(blank);
            out.truncate(out.trim_end_matches(blank).len());
            if !items.is_empty() {
                write!(out, " {} ", items.join(", ")).unwrap();
                continue;
            }
            if out.ends_with(',') {
                out.pop();
            } else if let Some(after) = rest.strip_prefix(',') {
                rest = after;
            }
            out.push(' ');
        } else {
            out.push(first);
            rest = &rest[first.len_utf8()..];
        }
    }
    out
}

impl State {
    fn item(&mut self, item: &Item) {
        self.sequence += 1;
        let way = |key: &str, how: How| match how {
            How::Define => String::new(),
            How::Append => "  append: true\n".to_owned(),
            How::Add => format!("  override: {{{key}: append}}\n"),
            How::Replace => format!("  override: {{{key}: replace}}\n"),
        };
        match item {
            Item::List(n, items, how) => {
                let name = format!("list{n}");
                let known = self.lists.iter_mut().find(|(other, ..)| *other == name);
                let adds = matches!(how, How::Append | How::Add);
                if adds && known.is_none() {
                    return;
                }
                let joined: Vec<String> = items.iter().map(|item| quoted(item)).collect();
                write!(self.file, "- list: {name}\n  items: [{}]\n{}", joined.join(", "), way("items", *how))
                    .unwrap();
                let items = items.iter().map(|item| (*item).to_owned());
                match known {
                    Some((_, old, visible, _)) => {
                        if !adds {
                            old.clear();
                        }
                        old.extend(items);
                        *visible = self.sequence;
                    }
                    None => self.lists.push((name, items.collect(), self.sequence, self.sequence)),
                }
            }
            Item::Macro(n, text, how) => {
                let name = format!("macro{n}");
                let known = self.macros.iter_mut().find(|(other, _)| *other == name);
                let adds = matches!(how, How::Append | How::Add);
                if adds && known.is_none() {
                    return;
                }
                write!(
                    self.file,
                    "- macro: {name}\n  condition: {}\n{}",
                    quoted(text),
                    way("condition", *how)
                )
                .unwrap();
                match known {
                    Some((_, old)) if adds => *old = format!("{old} {text}"),
                    Some((_, old)) => old.clone_from(text),
                    None => self.macros.push((name, text.clone())),
                }
            }
            Item::Rule(n, text, exceptions) => {
                let name = format!("rule{n}");
                let mut unique: Vec<Exception> = Vec::new();
                for exception in exceptions {
                    if !unique.iter().any(|other| other.name == exception.name) {
                        unique.push(exception.clone());
                    }
                }
                writeln!(
                    self.file,
                    "- rule: {name}\n  desc: d\n  output: o\n  priority: INFO\n  condition: {}",
                    quoted(text)
                )
                .unwrap();
                self.exceptions(&unique, &[]);
                match self.rules.iter_mut().find(|(other, ..)| *other == name) {
                    Some(known) => (known.1, known.2) = (text.clone(), unique),
                    None => self.rules.push((name, text.clone(), unique)),
                }
            }
            Item::Change(n, text, exceptions, how) => {
                self.change(&format!("rule{n}"), text.as_deref(), exceptions, *how);
            }
        }
    }

    fn exceptions(&mut self, exceptions: &[Exception], known: &[Exception]) {
        if exceptions.is_empty() {
            return;
        }
        self.file += "  exceptions:\n";
        for exception in exceptions {
            let values_only = known.iter().any(|other| other.name == exception.name);
            writeln!(self.file, "  - {}", exception.yaml(values_only)).unwrap();
        }
    }

    fn change(&mut self, name: &str, text: Option<&str>, exceptions: &[Exception], how: How) {
        let Some(at) = self.rules.iter().position(|(other, ..)| other == name) else { return };
        let exceptions: Vec<Exception> = exceptions
            .iter()
            .enumerate()
            .filter(|(at, exception)| !exceptions[..*at].iter().any(|other| other.name == exception.name))
            .map(|(_, exception)| exception)
            .filter(|exception| !exception.rows.is_empty())
            // Values for an exception that is there must fit its fields.
            .filter(|exception| {
                how == How::Replace
                    || self.rules[at].2.iter().all(|other| {
                        other.name != exception.name
                            || other.single == exception.single
                                && other.comps == exception.comps
                                && other.fields.len() == exception.fields.len()
                    })
            })
            .cloned()
            .collect();
        if text.is_none() && exceptions.is_empty() {
            return;
        }
        writeln!(self.file, "- rule: {name}").unwrap();
        if let Some(text) = text {
            writeln!(self.file, "  condition: {}", quoted(text)).unwrap();
        }
        let known = if how == How::Replace { Vec::new() } else { self.rules[at].2.clone() };
        self.exceptions(&exceptions, &known);
        if how == How::Append {
            self.file += "  append: true\n";
        } else {
            let word = if how == How::Add { "append" } else { "replace" };
            let keys = [text.map(|_| "condition"), (!exceptions.is_empty()).then_some("exceptions")];
            let keys: Vec<String> = keys.into_iter().flatten().map(|key| format!("{key}: {word}")).collect();
            writeln!(self.file, "  override: {{{}}}", keys.join(", ")).unwrap();
        }
        let rule = &mut self.rules[at];
        if let Some(text) = text {
            rule.1 = if how == How::Replace { text.to_owned() } else { format!("{} {text}", rule.1) };
        }
        if how == How::Replace && !exceptions.is_empty() {
            rule.2.clear();
        }
        for exception in exceptions {
            match rule.2.iter_mut().find(|other| other.name == exception.name) {
                Some(other) => other.rows.extend(exception.rows),
                None => rule.2.push(exception),
            }
        }
    }

    fn parsed(&self, text: &str) -> Result<Expr, String> {
        let mut text = text.to_owned();
        for (name, items, visible, _) in &self.lists {
            let mut whole = Vec::new();
            for item in items {
                match self.lists.iter().find(|(other, ..)| other == item) {
                    // The position of a list is that of its first definition.
                    Some((inner, raw, _, first)) if inner != name && first < visible => {
                        whole.extend(raw.iter().map(|item| rendered(item)));
                    }
                    _ => whole.push(rendered(item)),
                }
            }
            text = put_list(&text, name, &whole);
        }
        let text = Text::placed(&text, Origin::default());
        let mut expr = parse::condition(&text).map_err(|error| error.message.clone())?;
        self.put_macros_in(&mut expr)?;
        Ok(expr)
    }

    fn put_macros_in(&self, expr: &mut Expr) -> Result<(), String> {
        match expr {
            Expr::And(items) | Expr::Or(items) => {
                items.iter_mut().try_for_each(|item| self.put_macros_in(item))
            }
            Expr::Not(inner) => self.put_macros_in(inner),
            Expr::Check(_) => Ok(()),
            Expr::Macro(name, _) => {
                let (_, body) = self.macros.iter().find(|(known, _)| known == name).unwrap();
                *expr = self.parsed(body)?;
                Ok(())
            }
        }
    }

    /// The condition of each rule; the first error counts for all.
    fn effective(&self) -> Result<Vec<(String, Expr)>, String> {
        for (_, body) in &self.macros {
            self.parsed(body)?;
        }
        let rules = self.rules.iter().map(|(name, text, exceptions)| {
            let mut whole = text.clone();
            if !exceptions.is_empty() {
                whole = format!("({text}){}", exceptions.iter().map(Exception::text).collect::<String>());
            }
            Ok((name.clone(), self.parsed(&whole)?))
        });
        rules.collect()
    }
}

#[test]
fn definitions_come_together_as_the_reference_says() {
    let counts = std::cell::RefCell::new([0u32; 2]);
    let config = random::config(600);
    let enough = config.cases >= 600;
    let result = TestRunner::new(config).run(&items(), |items| {
        let mut state = State::default();
        // What every condition may refer to.
        for n in 0..3 {
            state.item(&Item::List(n, vec!["p", "q"], How::Define));
        }
        for n in 0..2 {
            state.item(&Item::Macro(n, "proc.name = m".to_owned(), How::Define));
        }
        for item in &items {
            state.item(item);
        }
        let loaded = super::agree::loaded(&state.file, Matching::All);
        match (state.effective(), loaded) {
            (Ok(expected), Ok(set)) => {
                counts.borrow_mut()[0] += 1;
                prop_assert_eq!(set.rules().len(), expected.len());
                for (rule, (name, condition)) in set.rules().iter().zip(&expected) {
                    prop_assert_eq!(&rule.name, name, "{}", state.file);
                    prop_assert_eq!(&rule.compiled, &condition.to_string(), "{}\n{}", name, state.file);
                }
            }
            (Err(_), Err(_)) => counts.borrow_mut()[1] += 1,
            (Ok(_), Err(error)) => prop_assert!(false, "{}\n{}", error, state.file),
            (Err(error), Ok(_)) => prop_assert!(false, "it loads, but: {}\n{}", error, state.file),
        }
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
    if enough {
        let [good, _] = counts.into_inner();
        assert!(good > 300, "hardly any file loads: {good}");
    }
}
