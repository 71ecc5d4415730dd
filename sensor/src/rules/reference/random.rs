//! Random rules from small pools, so that rules do fire and parts of conditions do coincide.

use std::fmt::{self, Write as _};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, FileFailurePersistence, RngSeed};

use super::pools::{
    ADDRESSES, ANY_TEXTS, BOOLS, GLOBS, NAME_PARTS, NAMES, NETWORKS, NUMBER_FIELDS, NUMBERS, PATH_FIELDS,
    PATH_PARTS, PATH_PATTERNS, PATHS, PORT_FIELDS, PORTS, REGEXES, TEXTS, TYPES, UNFILLED,
};
use super::text;
use crate::rules::language::ast::{
    Argument, Check, Expr, FieldText, Function, Modifier, Op, Operand, Right, Span, Transform,
    Value as Literal,
};
use crate::rules::report::source::Origin;

/// How the tests of this folder run: the same inputs every time, and what once failed first. `PROPTEST_CASES` and
/// `PROPTEST_RNG_SEED` look further.
pub fn config(cases: u32) -> Config {
    let default = Config::default();
    let asked = |name: &str| std::env::var_os(name).is_some();
    Config {
        cases: if asked("PROPTEST_CASES") { default.cases } else { cases },
        rng_seed: if asked("PROPTEST_RNG_SEED") { default.rng_seed } else { RngSeed::Fixed(20_260_723) },
        failure_persistence: Some(Box::new(FileFailurePersistence::SourceParallel("proptest-regressions"))),
        source_file: Some(file!()),
        max_shrink_iters: 4_000,
        max_shrink_time: 15_000,
        ..default
    }
}

fn span() -> Span {
    Span { at: Origin::default(), len: 1 }
}

/// A field as written: `name`, `name[arg]`.
pub fn field(text: &str) -> FieldText {
    let (name, arg) = match text.split_once('[') {
        None => (text, None),
        Some((name, arg)) => (name, Some(arg.trim_end_matches(']').trim_matches('"').to_owned())),
    };
    FieldText { name: name.to_owned(), arg, span: span() }
}

fn operand(text: &str) -> Operand {
    Operand::Field(field(text))
}

fn literal(bytes: &[u8]) -> Literal {
    Literal { bytes: bytes.to_vec(), span: span() }
}

fn check(left: Operand, op: Op, modifier: Option<Modifier>, right: Right) -> Check {
    Check { left, op, modifier, right, span: span() }
}

/// Right-hand sides with literals for an operator of strings, and the modifier.
fn text_right(op: Op, path: bool) -> BoxedStrategy<(Option<Modifier>, Right)> {
    let pool: Vec<Vec<u8>> = match op {
        Op::Glob | Op::Iglob => GLOBS.iter().map(|g| g.to_vec()).collect(),
        Op::Regex => REGEXES.iter().map(|r| r.as_bytes().to_vec()).collect(),
        Op::Pmatch => PATH_PATTERNS.iter().map(|p| p.to_vec()).collect(),
        Op::Contains | Op::Icontains | Op::Startswith | Op::Endswith => {
            let parts = if path { PATH_PARTS } else { NAME_PARTS };
            parts.iter().map(|p| p.to_vec()).collect()
        }
        Op::Lt | Op::Le | Op::Gt | Op::Ge => NUMBERS.iter().map(|n| n.as_bytes().to_vec()).collect(),
        _ => if path { PATHS } else { NAMES }.iter().map(|n| n.to_vec()).collect(),
    };
    let one = select(pool).prop_map(|bytes| literal(&bytes));
    let list = vec(one.clone(), 0..5).prop_map(Right::List);
    if op == Op::Exists {
        Just((None, Right::None)).boxed()
    } else if op.is_list() {
        list.prop_map(|list| (None, list)).boxed()
    } else if op.is_order() {
        one.prop_map(|one| (None, Right::Value(one))).boxed()
    } else {
        prop_oneof![
            3 => one.prop_map(|one| (None, Right::Value(one))),
            1 => (select(Modifier::ALL), list).prop_map(|(modifier, list)| (Some(modifier), list)),
        ]
        .boxed()
    }
}

const TEXT_OPS: &[Op] = &[
    Op::Eq,
    Op::Eq,
    Op::Ne,
    Op::In,
    Op::In,
    Op::Startswith,
    Op::Startswith,
    Op::Endswith,
    Op::Contains,
    Op::Icontains,
    Op::Glob,
    Op::Iglob,
    Op::Regex,
    Op::Intersects,
    Op::Pmatch,
    Op::Exists,
    Op::Lt,
    Op::Le,
    Op::Gt,
    Op::Ge,
];
const NUMBER_OPS: &[Op] =
    &[Op::Eq, Op::Ne, Op::Lt, Op::Le, Op::Gt, Op::Ge, Op::In, Op::Intersects, Op::Exists];
const SET_OPS: &[Op] = &[Op::Eq, Op::Ne, Op::In, Op::Intersects, Op::Exists];

fn texts(fields: &'static [&'static str], path: bool) -> BoxedStrategy<Check> {
    let parts = (select(fields), select(TEXT_OPS));
    parts
        .prop_flat_map(move |(field, op)| {
            text_right(op, path).prop_map(move |(modifier, right)| check(operand(field), op, modifier, right))
        })
        .boxed()
}

/// Comparisons of fields that are no strings, with literals out of `pool`.
fn others(
    fields: &'static [&'static str],
    ops: &'static [Op],
    pool: &'static [&'static str],
) -> BoxedStrategy<Check> {
    (select(fields), select(ops), vec(select(pool), 1..4), 0..12, select(Modifier::ALL))
        .prop_map(|(field, op, values, empty, modifier)| {
            if matches!(op, Op::Eq | Op::Ne) && empty < 3 {
                let list = values.iter().map(|value| literal(value.as_bytes())).collect();
                return check(operand(field), op, Some(modifier), Right::List(list));
            }
            let right = match op {
                Op::Exists => Right::None,
                Op::In | Op::Intersects if empty == 0 => Right::List(Vec::new()),
                Op::In | Op::Intersects => {
                    Right::List(values.iter().map(|value| literal(value.as_bytes())).collect())
                }
                _ => {
                    // An order takes a number, not the name of a service.
                    let fits = |value: &&&str| !op.is_order() || text::number(value.as_bytes()).is_some();
                    Right::Value(literal(values.iter().find(fits).unwrap_or(&"22").as_bytes()))
                }
            };
            check(operand(field), op, None, right)
        })
        .boxed()
}

/// Comparisons that the type of the event decides.
fn types() -> BoxedStrategy<Check> {
    let named =
        (select(&["evt.type", "evt.type", "syscall.type"][..]), select(SET_OPS), vec(select(TYPES), 1..4))
            .prop_map(|(field, op, names)| {
                let right = match op {
                    Op::Exists => Right::None,
                    Op::In | Op::Intersects => {
                        Right::List(names.iter().map(|name| literal(name.as_bytes())).collect())
                    }
                    _ => Right::Value(literal(names[0].as_bytes())),
                };
                check(operand(field), op, None, right)
            });
    let fixed = [
        ("evt.type", Op::Startswith, "open"),
        ("evt.type", Op::Endswith, "creat"),
        ("evt.type", Op::Contains, "open"),
        ("evt.dir", Op::Eq, "<"),
        ("evt.dir", Op::Eq, ">"),
        ("evt.dir", Op::Ne, "<"),
        ("evt.type.is.open", Op::Eq, "1"),
        ("evt.type.is.openat", Op::Ne, "1"),
        ("evt.is_async", Op::Eq, "true"),
        ("evt.source", Op::Eq, "syscall"),
        ("evt.num", Op::Eq, "0"),
        ("evt.num", Op::Ge, "0"),
        ("evt.num", Op::Gt, "5"),
        ("evt.num", Op::Le, "1"),
        ("evt.num", Op::Lt, "1"),
        ("evt.num", Op::Ne, "0"),
        ("evt.count", Op::Eq, "1"),
    ];
    let fixed = select(fixed.to_vec()).prop_map(|(field, op, value)| {
        check(operand(field), op, None, Right::Value(literal(value.as_bytes())))
    });
    prop_oneof![5 => named, 2 => fixed].boxed()
}

fn call(function: Function, args: Vec<Argument>) -> Transform {
    Transform { function, args, selector: None, span: span() }
}

/// Texts that can stand beside another field and in transformers.
fn plain_texts() -> Vec<&'static str> {
    TEXTS.iter().copied().filter(|text| !text.starts_with("proc.aname")).collect()
}

/// A transformer that yields a string.
fn text_transform() -> BoxedStrategy<Transform> {
    let fields: Vec<&'static str> = plain_texts().into_iter().chain(PATH_FIELDS.iter().copied()).collect();
    let field = select(fields).prop_map(|text| Argument::Operand(operand(text))).boxed();
    let constant =
        select(&["a", "b", "/", "-a", "x y", ""][..]).prop_map(|text| Argument::Text(text.to_owned()));
    let plain = prop_oneof![4 => field, 1 => constant].boxed();
    let letters = &[Function::Tolower, Function::Toupper, Function::Basename, Function::B64][..];
    let simple =
        (select(letters), plain.clone()).prop_map(|(function, arg)| call(function, vec![arg])).boxed();
    let inner = prop_oneof![3 => plain.clone(), 1 => simple.clone().prop_map(|t| Argument::Operand(Operand::Transform(t)))].boxed();
    let list = vec(inner.clone(), 0..4).prop_map(Argument::List).boxed();
    let concat = vec(inner.clone(), 2..4).prop_map(|args| call(Function::Concat, args));
    let join = (constant_text(), list.clone()).prop_map(|(by, list)| call(Function::Join, vec![by, list]));
    let option = (list, select(&["a", "b", "?"][..])).prop_map(|(list, selector)| {
        let mut transform = call(Function::Getopt, vec![list, Argument::Text("ab:".to_owned())]);
        transform.selector = Some(selector.to_owned());
        transform
    });
    let nested = (select(letters), inner).prop_map(|(function, arg)| call(function, vec![arg]));
    prop_oneof![2 => simple, 2 => nested, 1 => concat, 1 => join, 1 => option].boxed()
}

fn constant_text() -> BoxedStrategy<Argument> {
    select(&[",", "", "/"][..]).prop_map(|text| Argument::Text(text.to_owned())).boxed()
}

/// Comparisons with transformers, and with fields on the right.
fn computed() -> BoxedStrategy<Check> {
    let of_text = (text_transform(), select(TEXT_OPS)).prop_flat_map(|(transform, op)| {
        text_right(op, false).prop_map(move |(modifier, right)| {
            check(Operand::Transform(transform.clone()), op, modifier, right)
        })
    });
    let length = (text_transform(), select(NUMBER_OPS), select(&["0", "1", "3", "5"][..])).prop_map(
        |(inner, op, number)| {
            let left = call(Function::Len, vec![Argument::Operand(Operand::Transform(inner))]);
            let right = match op {
                Op::Exists => Right::None,
                Op::In | Op::Intersects => Right::List(vec![literal(number.as_bytes()), literal(b"2")]),
                _ => Right::Value(literal(number.as_bytes())),
            };
            check(Operand::Transform(left), op, None, right)
        },
    );
    let list_ops = &[Op::In, Op::Intersects][..];
    let options = (vec(select(plain_texts()), 1..4), select(list_ops), vec(select(NAMES), 0..4)).prop_map(
        |(words, op, values)| {
            let list = words.into_iter().map(|word| Argument::Operand(operand(word))).collect();
            let left = call(Function::Getopt, vec![Argument::List(list), Argument::Text("ab:v".to_owned())]);
            let right = values.iter().map(|value| literal(value)).collect();
            check(Operand::Transform(left), op, None, Right::List(right))
        },
    );
    // Texts of a list, each changed.
    let changed = (
        vec(select(plain_texts()), 1..3),
        select(&[Function::Tolower, Function::Toupper, Function::Basename, Function::B64][..]),
        select(list_ops),
        vec(select(NAMES), 0..4),
    )
        .prop_map(|(words, function, op, values)| {
            let list = words.into_iter().map(|word| Argument::Operand(operand(word))).collect();
            let right = values.iter().map(|value| literal(value)).collect();
            check(
                Operand::Transform(call(function, vec![Argument::List(list)])),
                op,
                None,
                Right::List(right),
            )
        });
    let pair_ops = &[
        Op::In,
        Op::Intersects,
        Op::Eq,
        Op::Ne,
        Op::Lt,
        Op::Le,
        Op::Gt,
        Op::Ge,
        Op::Contains,
        Op::Icontains,
        Op::Startswith,
        Op::Endswith,
        Op::Glob,
        Op::Iglob,
    ][..];
    let right_fields =
        &["proc.name", "proc.pname", "proc.exe", "user.name", "fd.name", "fd.directory", "evt.arg.flags"][..];
    let right =
        prop_oneof![select(right_fields).prop_map(operand), text_transform().prop_map(Operand::Transform)];
    let left = prop_oneof![
        3 => select(plain_texts()).prop_map(operand),
        1 => select(PATH_FIELDS).prop_map(operand),
        1 => text_transform().prop_map(Operand::Transform)
    ];
    let pair = (left, select(pair_ops), right)
        .prop_map(|(left, op, right)| check(left, op, None, Right::Operand(right)));
    // Of one type.
    let numbers = &["fd.num", "proc.pid", "evt.rawres"][..];
    let number_pair = (select(numbers), select(&NUMBER_OPS[..6]), select(numbers))
        .prop_map(|(left, op, right)| check(operand(left), op, None, Right::Operand(operand(right))));
    prop_oneof![3 => of_text, 1 => length, 1 => options, 1 => changed, 3 => pair, 1 => number_pair].boxed()
}

/// A comparison of any kind that loads.
pub fn comparison() -> BoxedStrategy<Check> {
    let unfilled = select(UNFILLED).prop_map(|field| check(operand(field), Op::Exists, None, Right::None));
    prop_oneof![
        60 => texts(TEXTS, false),
        40 => texts(PATH_FIELDS, true),
        12 => texts(ANY_TEXTS, true),
        8 => texts(&["proc.aname"], false),
        24 => others(NUMBER_FIELDS, NUMBER_OPS, NUMBERS),
        4 => others(&["proc.apid"], NUMBER_OPS, NUMBERS),
        12 => others(PORT_FIELDS, NUMBER_OPS, PORTS),
        6 => others(&["fd.port"], NUMBER_OPS, PORTS),
        14 => others(BOOLS, SET_OPS, &["true", "false"]),
        8 => others(&["fd.sip", "fd.cip"], SET_OPS, ADDRESSES),
        6 => others(&["fd.ip"], SET_OPS, ADDRESSES),
        8 => others(&["fd.snet", "fd.cnet"], SET_OPS, NETWORKS),
        6 => others(&["fd.net"], SET_OPS, NETWORKS),
        24 => types(),
        20 => computed(),
        1 => unfilled,
    ]
    .boxed()
}

fn negated(expr: Expr) -> Expr {
    // The parser folds a double negation.
    match expr {
        Expr::Not(inner) => *inner,
        expr => Expr::Not(Box::new(expr)),
    }
}

/// Conditions of comparisons and of parts that `part` makes.
pub fn condition(part: BoxedStrategy<Expr>, depth: u32) -> BoxedStrategy<Expr> {
    let leaf = prop_oneof![1 => comparison().prop_map(Expr::Check), 2 => part];
    leaf.prop_recursive(depth, 24, 4, |inner| {
        prop_oneof![
            4 => vec(inner.clone(), 2..5).prop_map(Expr::And),
            2 => vec(inner.clone(), 2..4).prop_map(Expr::Or),
            1 => inner.prop_map(negated),
        ]
    })
    .boxed()
}

/// The lists, macros and rules of one file, and their meaning by a naive reading.
#[derive(Clone)]
pub struct Definitions {
    pub lists: Vec<(String, Vec<String>)>,
    pub macros: Vec<(String, Expr)>,
    pub rules: Vec<(String, Expr)>,
}

/// Replaces each macro reference by what `by` gives for it.
fn put_in(expr: &Expr, by: &dyn Fn(&str) -> Expr) -> Expr {
    let all = |items: &[Expr]| items.iter().map(|item| put_in(item, by)).collect();
    match expr {
        Expr::And(items) => Expr::And(all(items)),
        Expr::Or(items) => Expr::Or(all(items)),
        Expr::Not(inner) => Expr::Not(Box::new(put_in(inner, by))),
        Expr::Check(check) => Expr::Check(check.clone()),
        Expr::Macro(name, _) => by(name),
    }
}

/// A double negation that putting parts together made is gone, as the parser would have it.
fn plain(expr: Expr) -> Expr {
    match expr {
        Expr::And(items) => Expr::And(items.into_iter().map(plain).collect()),
        Expr::Or(items) => Expr::Or(items.into_iter().map(plain).collect()),
        Expr::Not(inner) => negated(plain(*inner)),
        expr => expr,
    }
}

impl fmt::Debug for Definitions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\n{}", self.text())
    }
}

impl Definitions {
    /// The file.
    pub fn text(&self) -> String {
        let quoted = |text: &str| format!("'{}'", text.replace('\'', "''"));
        let mut file = String::new();
        for (name, items) in &self.lists {
            let items: Vec<String> = items.iter().map(|item| quoted(item)).collect();
            writeln!(file, "- list: {name}\n  items: [{}]", items.join(", ")).unwrap();
        }
        for (name, condition) in &self.macros {
            writeln!(file, "- macro: {name}\n  condition: {}", quoted(&condition.to_string())).unwrap();
        }
        for (name, condition) in &self.rules {
            let condition = quoted(&condition.to_string());
            writeln!(
                file,
                "- rule: {name}\n  desc: d\n  output: o\n  priority: INFO\n  condition: {condition}"
            )
            .unwrap();
        }
        file
    }

    /// The conditions with lists and macros put in.
    pub fn effective(&self) -> Vec<(String, Expr)> {
        let rules = self.rules.iter().map(|(name, condition)| (name.clone(), self.expand(condition)));
        rules.collect()
    }

    fn expand(&self, expr: &Expr) -> Expr {
        let mut expr = put_in(expr, &|name| {
            let (_, body) = self.macros.iter().find(|(known, _)| known == name).unwrap();
            self.expand(body)
        });
        self.put_lists_in(&mut expr);
        expr
    }

    fn put_lists_in(&self, expr: &mut Expr) {
        match expr {
            Expr::And(items) | Expr::Or(items) => items.iter_mut().for_each(|item| self.put_lists_in(item)),
            Expr::Not(inner) => self.put_lists_in(inner),
            Expr::Check(Check { right: Right::List(values), .. }) => {
                for (at, (name, items)) in self.lists.iter().enumerate() {
                    // An item that names an earlier list stands for that list's items as they are written.
                    let mut raw = Vec::new();
                    for item in items {
                        match self.lists[..at].iter().find(|(earlier, _)| earlier == item) {
                            Some((_, inner)) => raw.extend(inner.iter().cloned()),
                            None => raw.push(item.clone()),
                        }
                    }
                    let mut next = Vec::new();
                    for value in values.drain(..) {
                        if value.bytes == name.as_bytes() {
                            next.extend(raw.iter().map(|item| literal(item.as_bytes())));
                        } else {
                            next.push(value);
                        }
                    }
                    *values = next;
                }
            }
            _ => {}
        }
    }
}

/// A file with up to `most` rules that share parts, macros and lists.
pub fn definitions(most: usize) -> BoxedStrategy<Definitions> {
    let items = vec(select(&["a", "sh", "bash", "x y", "/etc", "/root", "list0", "list1", "5"][..]), 0..5);
    let lists = vec(items, 3);
    let list_check = (
        select(&["proc.name", "proc.pname", "fd.name", "proc.aname"][..]),
        select(&[Op::In, Op::Intersects, Op::Pmatch][..]),
        vec(select(&["list0", "list1", "list2", "b", "ab"][..]), 1..4),
        any::<bool>(),
    )
        .prop_map(|(field, op, values, modified)| {
            let right = Right::List(values.iter().map(|value| literal(value.as_bytes())).collect());
            let (op, modifier) = if modified { (Op::Startswith, Some(Modifier::Any)) } else { (op, None) };
            Expr::Check(check(operand(field), op, modifier, right))
        })
        .boxed();
    let part = |name: &'static str| {
        prop_oneof![
            4 => (0..8usize).prop_map(move |n| Expr::Macro(format!("{name}{n}"), span())),
            1 => list_check.clone(),
        ]
        .boxed()
    };
    let leaf = comparison().prop_map(Expr::Check).boxed();
    let pool = vec(condition(leaf.clone(), 2), 1..6);
    let macros = vec((condition(leaf, 1), 0..3usize), 0..4);
    let gate = prop_oneof![
        3 => types().prop_map(|check| Some(Expr::Check(check))),
        1 => Just(None),
    ];
    let mixed = prop_oneof![3 => part("part"), 1 => part("m")].boxed();
    let rules = vec((gate, any::<bool>(), condition(mixed, 3)), 1..=most);
    (lists, pool, macros, rules)
        .prop_map(|(lists, pool, bodies, rules)| {
            let lists: Vec<(String, Vec<String>)> = lists
                .into_iter()
                .enumerate()
                .map(|(n, items)| (format!("list{n}"), items.into_iter().map(str::to_owned).collect()))
                .collect();
            let mut macros: Vec<(String, Expr)> = Vec::new();
            for (n, (body, earlier)) in bodies.into_iter().enumerate() {
                let body = if earlier < n {
                    Expr::Or(vec![body, Expr::Macro(format!("m{earlier}"), span())])
                } else {
                    body
                };
                macros.push((format!("m{n}"), body));
            }
            let rules = rules
                .into_iter()
                .enumerate()
                .map(|(n, (gate, widens, body))| {
                    let body = put_in(&body, &|name| {
                        let index: usize = name.trim_start_matches(char::is_alphabetic).parse().unwrap();
                        if name.starts_with("part") || macros.is_empty() {
                            pool[index % pool.len()].clone()
                        } else {
                            Expr::Macro(macros[index % macros.len()].0.clone(), span())
                        }
                    });
                    let body = plain(body);
                    let condition = match gate {
                        Some(gate) if widens && n % 5 == 0 => Expr::Or(vec![gate, body]),
                        Some(gate) => Expr::And(vec![gate, body]),
                        None => body,
                    };
                    (format!("r{n}"), condition)
                })
                .collect();
            Definitions { lists, macros, rules }
        })
        .boxed()
}

/// Rules about opens in the shapes that the kernel's filter understands, among others.
pub fn opens(most: usize) -> BoxedStrategy<Definitions> {
    let paths = texts(&["fd.name", "fd.name", "fd.directory"], true);
    let access = others(&["evt.is_open_read", "evt.is_open_write"], SET_OPS, &["true", "true", "false"]);
    let outcome = others(&["fd.num"], NUMBER_OPS, &["0", "-1", "1"]);
    let leaf =
        prop_oneof![6 => paths, 2 => access, 1 => outcome, 1 => comparison()].prop_map(Expr::Check).boxed();
    let body = leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            4 => vec(inner.clone(), 2..4).prop_map(Expr::And),
            3 => vec(inner.clone(), 2..4).prop_map(Expr::Or),
            1 => inner.prop_map(negated),
        ]
    });
    let gate = vec(select(&TYPES[..4]), 1..3).prop_map(|names| {
        let names = names.iter().map(|name| literal(name.as_bytes())).collect();
        Expr::Check(check(operand("evt.type"), Op::In, None, Right::List(names)))
    });
    let rules = vec((gate, body).prop_map(|(gate, body)| Expr::And(vec![gate, body])), 1..=most);
    rules
        .prop_map(|rules| Definitions {
            lists: Vec::new(),
            macros: Vec::new(),
            rules: rules.into_iter().enumerate().map(|(n, rule)| (format!("r{n}"), rule)).collect(),
        })
        .boxed()
}
