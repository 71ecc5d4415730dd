//! Which tests a look-up can answer, and what each of them asks of it.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::graph::{Graph, LookupInfo, NodeId};
use super::lookup::answers::Answers;
use super::lookup::{Ask, Family, Lookup};
use crate::rules::language::ast::Modifier;
use crate::rules::language::check::Test;
use crate::rules::language::matcher::{Bytes, Matcher, Net, Number, Order};
use crate::rules::registry::fields::{Field, FieldRef};
use crate::rules::registry::spellings;
use crate::rules::registry::types::FieldType;

/// A test taken apart.
#[derive(Debug, Clone, PartialEq)]
pub enum Formula {
    Const(bool),
    /// What a look-up is asked: its number, and the number of the question.
    Ask(u32, u32),
    /// The test itself must be made.
    Itself,
    Not(Box<Formula>),
    And(Vec<Formula>),
    Or(Vec<Formula>),
}

/// Which values of a field a test is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Of {
    One,
    /// One, and its other spellings.
    Path,
    Any,
}

/// What the look-up of a family is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Subject {
    field: FieldRef,
    /// The values that [`crate::rules::registry::event::Event::any`] gives.
    several: bool,
    family: Family,
}

/// The questions to one look-up.
#[derive(Debug)]
struct Questions {
    subject: Subject,
    asks: Vec<Ask>,
    /// Cost of extracting the field.
    cost: u32,
}

/// All questions of all tests.
#[derive(Debug, Default)]
pub struct Families {
    known: HashMap<Subject, u32, foldhash::fast::RandomState>,
    questions: Vec<Questions>,
}

/// A look-up and the field it is about.
#[derive(Debug)]
pub struct Made {
    pub field: FieldRef,
    /// The values that [`crate::rules::registry::event::Event::any`] gives.
    pub any: bool,
    pub lookup: Lookup,
    pub info: LookupInfo,
    sets: Vec<Answers>,
}

impl Families {
    /// Takes a test apart; what look-ups can answer of it is noted as questions.
    pub fn formula(&mut self, test: &Test, cost: u32) -> Formula {
        match test {
            Test::Exists(field) => self.present(field, false, cost),
            Test::ExistsAny(field) => self.present(field, true, cost),
            Test::One(field, matcher) => self.matcher(field, Of::One, matcher, cost),
            Test::Path(field, matcher) => self.matcher(field, Of::Path, matcher, cost),
            Test::Any(field, matcher) => self.matcher(field, Of::Any, matcher, cost),
            Test::NoneOf(field, matcher) => {
                let any = self.matcher(field, Of::Any, matcher, cost);
                if needs_itself(&any) {
                    return Formula::Itself;
                }
                Formula::And(vec![self.present(field, true, cost), Formula::Not(Box::new(any))])
            }
            Test::All(field, Matcher::Bytes(Bytes::In(words))) => {
                let fails = Ask::Fails(words.iter().cloned().collect());
                let fails = self.ask(field, true, Family::Text, fails, cost);
                Formula::And(vec![self.present(field, true, cost), Formula::Not(Box::new(fails))])
            }
            Test::All(..)
            | Test::ComputedExists(_)
            | Test::Computed(..)
            | Test::ComputedAll(..)
            | Test::Pair(..) => Formula::Itself,
        }
    }

    fn present(&mut self, field: &FieldRef, several: bool, cost: u32) -> Formula {
        let family = match field.kind() {
            FieldType::CharBuf | FieldType::FsPath | FieldType::ByteBuf | FieldType::Dynamic => Family::Text,
            FieldType::Bool => Family::Truth,
            FieldType::IpAddr | FieldType::IpNet => Family::Address,
            _ => Family::Number,
        };
        self.ask(field, several, family, Ask::Present, cost)
    }

    fn matcher(&mut self, field: &FieldRef, of: Of, matcher: &Matcher, cost: u32) -> Formula {
        match matcher {
            Matcher::Bytes(bytes) => self.bytes(field, of, bytes, cost),
            Matcher::Number(number) => {
                let ranges = Ask::Number(numbers(number));
                self.ask(field, of == Of::Any, Family::Number, ranges, cost)
            }
            Matcher::Bool { equal, literals } => {
                let passes = |value: bool| literals.contains(&value) == *equal;
                let truth = Ask::Truth { no: passes(false), yes: passes(true) };
                self.ask(field, of == Of::Any, Family::Truth, truth, cost)
            }
            Matcher::Ip { equal, literals } => {
                let mut ranges: Vec<(IpAddr, IpAddr)> = literals.iter().map(|ip| (*ip, *ip)).collect();
                ranges.sort_unstable();
                self.ask(field, of == Of::Any, Family::Address, Ask::Address(ranges, *equal), cost)
            }
            Matcher::Net { equal, literals } => {
                let ranges = literals.iter().map(Net::range).collect();
                self.ask(field, of == Of::Any, Family::Address, Ask::Address(ranges, *equal), cost)
            }
        }
    }

    fn bytes(&mut self, field: &FieldRef, of: Of, bytes: &Bytes, cost: u32) -> Formula {
        let (family, ask) = match bytes {
            Bytes::Eq(word) => (Family::Text, Ask::Is(vec![word.clone()])),
            Bytes::In(words) => {
                let mut words: Vec<Box<[u8]>> = words.iter().cloned().collect();
                words.sort_unstable();
                (Family::Text, Ask::Is(words))
            }
            Bytes::Ne(word) => (Family::Text, Ask::IsNot(vec![word.clone()])),
            Bytes::StartsWith(text) => (Family::Text, Ask::Begins(text.clone())),
            // Every string has the empty one at both ends and within.
            Bytes::EndsWith(text) | Bytes::ContainsNoCase(_, text) if text.is_empty() => {
                (Family::Text, Ask::Begins(text.clone()))
            }
            Bytes::Contains(finder) if finder.needle().is_empty() => {
                (Family::Text, Ask::Begins(Box::default()))
            }
            Bytes::EndsWith(text) => (Family::Ends, Ask::Ends(text.clone())),
            Bytes::Contains(finder) => (Family::Within, Ask::Within(finder.needle().into())),
            Bytes::ContainsNoCase(_, text) => {
                (Family::WithinNoCase, Ask::Within(text.to_ascii_lowercase().into()))
            }
            Bytes::Pattern(_, start) if !start.is_empty() => {
                let begins = self.spelled(field, of, Family::Text, Ask::Begins(start.clone()), cost);
                return Formula::And(vec![begins, Formula::Itself]);
            }
            Bytes::Path(set) => {
                let Some(starts) = set.starts() else { return Formula::Itself };
                let enough = starts.iter().all(|(_, enough)| *enough);
                let starts = starts.into_iter().map(|(start, _)| start).collect();
                let begins = self.spelled(field, of, Family::Paths, Ask::Paths(starts), cost);
                return if enough { begins } else { Formula::And(vec![begins, Formula::Itself]) };
            }
            Bytes::Several(Modifier::Any, tests) => {
                let parts = tests.iter().map(|test| self.bytes(field, of, test, cost)).collect();
                return whole(Formula::Or(parts));
            }
            Bytes::Several(Modifier::All, tests) if of != Of::Any => {
                if tests.is_empty() {
                    return Formula::Const(false);
                }
                let parts = tests.iter().map(|test| self.bytes(field, of, test, cost)).collect();
                return whole(Formula::And(parts));
            }
            Bytes::Never => return Formula::Const(false),
            Bytes::Order(..) | Bytes::Pattern(..) | Bytes::TextPattern(_) | Bytes::Several(..) => {
                return Formula::Itself;
            }
        };
        self.spelled(field, of, family, ask, cost)
    }

    /// A question to the value of a field, whichever way it is spelled. The other spellings are asked only where their answer
    /// may differ: that is another look-up, which nearly always finds that there are none.
    fn spelled(&mut self, field: &FieldRef, of: Of, family: Family, ask: Ask, cost: u32) -> Formula {
        let other = if of == Of::Path { of_spellings(&ask) } else { None };
        let negated = matches!(ask, Ask::IsNot(_));
        let first = self.ask(field, of == Of::Any, family, ask, cost);
        let Some(other) = other else { return first };
        let other = self.ask(field, true, family, other, cost);
        if negated {
            Formula::And(vec![first, Formula::Not(Box::new(other))])
        } else {
            Formula::Or(vec![first, other])
        }
    }

    fn ask(&mut self, field: &FieldRef, several: bool, family: Family, ask: Ask, cost: u32) -> Formula {
        let subject = Subject { field: field.clone(), several, family };
        let next = u32::try_from(self.questions.len()).unwrap_or(u32::MAX);
        let lookup = *self.known.entry(subject).or_insert_with_key(|subject| {
            self.questions.push(Questions { subject: subject.clone(), asks: Vec::new(), cost });
            next
        });
        let questions = &mut self.questions[lookup as usize];
        questions.cost = questions.cost.min(cost);
        questions.asks.push(ask);
        Formula::Ask(lookup, u32::try_from(questions.asks.len() - 1).unwrap_or(u32::MAX))
    }

    /// The look-ups that answer the questions.
    pub fn make(self) -> Vec<Made> {
        let made = self.questions.into_iter().map(|Questions { subject, asks, cost }| {
            let (lookup, mut sets) = Lookup::new(subject.family, &asks);
            if subject.several {
                // The answer that stands for "there is a value".
                for (ask, set) in asks.iter().zip(&mut sets) {
                    if *ask == Ask::Present {
                        *set = Answers::range(
                            super::lookup::answers::ABSENT,
                            super::lookup::answers::ABSENT + 1,
                        );
                    }
                }
            }
            #[expect(clippy::cast_precision_loss, reason = "costs are small")]
            let cost = (cost + lookup.cost()) as f32;
            let info = LookupInfo {
                count: lookup.count,
                several: subject.several || lookup.is_within(),
                cost,
                narrow: is_narrow(&subject.field),
            };
            Made { field: subject.field, any: subject.several, lookup, info, sets }
        });
        made.collect()
    }
}

/// Fields with so few values that to name one says little.
fn is_narrow(field: &FieldRef) -> bool {
    field.kind() == FieldType::Bool
        || matches!(
            field.field,
            Field::ContainerId
                | Field::ContainerType
                | Field::FdTypechar
                | Field::FdType
                | Field::FdL4proto
                | Field::FdSockfamily
                | Field::FdNum
                | Field::EvtRes
                | Field::EvtRawres
                | Field::EvtCategory
                | Field::ProcTty
                | Field::UserUid
                | Field::UserName
        )
}

/// What to ask other spellings of a path, of which one is enough (for `!=`: spoils it); `None` when they cannot answer yes where
/// the first one does not.
fn of_spellings(ask: &Ask) -> Option<Ask> {
    match ask {
        Ask::Is(words) | Ask::IsNot(words) => {
            let words: Vec<Box<[u8]>> =
                words.iter().filter(|word| spellings::may_be(word)).cloned().collect();
            (!words.is_empty()).then_some(Ask::Is(words))
        }
        Ask::Begins(text) => (!text.is_empty() && spellings::may_begin(text)).then(|| ask.clone()),
        Ask::Ends(text) | Ask::Within(text) => spellings::may_hold(text).then(|| ask.clone()),
        Ask::Paths(_) => Some(ask.clone()),
        Ask::Present | Ask::Fails(_) | Ask::Number(_) | Ask::Truth { .. } | Ask::Address(..) => None,
    }
}

fn needs_itself(formula: &Formula) -> bool {
    match formula {
        Formula::Itself => true,
        Formula::Not(inner) => needs_itself(inner),
        Formula::And(items) | Formula::Or(items) => items.iter().any(needs_itself),
        Formula::Const(_) | Formula::Ask(..) => false,
    }
}

/// Parts of a test cannot be made by themselves: the test is kept whole, with what of it look-ups can say before.
fn whole(formula: Formula) -> Formula {
    if needs_itself(&formula) { Formula::Itself } else { formula }
}

/// The numbers that pass.
fn numbers(number: &Number) -> Vec<(i128, i128)> {
    const FROM: i128 = i128::MIN;
    const TO: i128 = i128::MAX;
    match number {
        Number::Eq(n) => vec![(*n, *n)],
        Number::Ne(n) => vec![(FROM, n.saturating_sub(1)), (n.saturating_add(1), TO)],
        Number::In(set) => {
            let mut ranges: Vec<(i128, i128)> = set.iter().map(|n| (*n, *n)).collect();
            ranges.sort_unstable();
            ranges
        }
        Number::Order(Order::Lt, n) => vec![(FROM, n.saturating_sub(1))],
        Number::Order(Order::Le, n) => vec![(FROM, *n)],
        Number::Order(Order::Gt, n) => vec![(n.saturating_add(1), TO)],
        Number::Order(Order::Ge, n) => vec![(*n, TO)],
    }
}

impl Net {
    /// First and last address.
    fn range(&self) -> (IpAddr, IpAddr) {
        match self.address() {
            IpAddr::V4(ip) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.prefix())).unwrap_or(0);
                let ip = u32::from(ip);
                (Ipv4Addr::from(ip & mask).into(), Ipv4Addr::from(ip | !mask).into())
            }
            IpAddr::V6(ip) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.prefix())).unwrap_or(0);
                let ip = u128::from(ip);
                (Ipv6Addr::from(ip & mask).into(), Ipv6Addr::from(ip | !mask).into())
            }
        }
    }
}

/// The node of a test that was taken apart; `itself` makes the node of the test as it is.
pub fn node(
    formula: &Formula,
    made: &[Made],
    graph: &mut Graph,
    itself: &mut dyn FnMut(&mut Graph) -> NodeId,
) -> NodeId {
    match formula {
        Formula::Const(value) => Graph::constant(*value),
        Formula::Itself => itself(graph),
        Formula::Ask(lookup, ask) => {
            graph.member(*lookup, made[*lookup as usize].sets[*ask as usize].clone())
        }
        Formula::Not(inner) => {
            let inner = node(inner, made, graph, itself);
            graph.not(inner)
        }
        Formula::And(items) => {
            let items: Vec<NodeId> = items.iter().map(|item| node(item, made, graph, itself)).collect();
            graph.join(&items, true)
        }
        Formula::Or(items) => {
            let items: Vec<NodeId> = items.iter().map(|item| node(item, made, graph, itself)).collect();
            graph.join(&items, false)
        }
    }
}
