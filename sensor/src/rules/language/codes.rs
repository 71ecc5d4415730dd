//! How many of Falco's event codes a condition restricts itself to: what its warning about conditions without an event type
//! counts. That is less than the compiler knows: only `evt.type` and `syscall.type` with `=`, `!=`, `in` and `exists`
//! restrict; any other comparison stands for all codes, also under `not`.

use std::sync::LazyLock;

use super::ast::{Check, Expr, Op, Operand};
use super::literals::values;
use crate::rules::registry::event::EventType;
use crate::rules::registry::event_types::{self, Kind};

/// Falco warns about a condition with no code, or with more than this.
const TOO_MANY: usize = 100;

/// Whether Falco warns of the condition (macros put in) for want of an event type.
pub fn unrestricted(expr: &Expr) -> bool {
    let set = codes(expr, false);
    let count: usize = event_types::all()
        .filter(|(event, _)| code(*event) == *event && set.contains(*event))
        .map(|(_, info)| if info.enter { 2 } else { 1 })
        .sum();
    count == 0 || count > TOO_MANY
}

/// By type, the first of the types that share its code: system calls without an event of their own share one, and so
/// do the events that plugins make.
static SHARED: LazyLock<Vec<EventType>> = LazyLock::new(|| {
    let generic = event_types::all().find(|(_, info)| info.generic).map(|(event, _)| event);
    let shared = |(event, info): (EventType, &'static event_types::Info)| {
        let first = match info.name {
            "container_removed" | "asyncevent" => event_types::by_name("container"),
            _ if info.kind == Kind::Syscall && info.generic => generic,
            _ => None,
        };
        first.unwrap_or(event)
    };
    event_types::all().map(shared).collect()
});

fn code(event: EventType) -> EventType {
    SHARED.get(usize::from(event.0)).copied().unwrap_or(event)
}

/// Codes, by the types that stand for them.
#[derive(Clone)]
struct Codes(Box<[bool]>);

impl Codes {
    fn all(present: bool) -> Self {
        Self(vec![present; event_types::count()].into())
    }

    fn contains(&self, event: EventType) -> bool {
        self.0.get(usize::from(event.0)).is_some_and(|present| *present)
    }

    fn join(mut self, other: &Self, and: bool) -> Self {
        for (mine, theirs) in self.0.iter_mut().zip(&other.0) {
            *mine = if and { *mine && *theirs } else { *mine || *theirs };
        }
        self
    }
}

fn codes(expr: &Expr, negated: bool) -> Codes {
    match expr {
        Expr::And(items) | Expr::Or(items) => {
            let and = matches!(expr, Expr::And(_)) != negated;
            let mut set = Codes::all(and);
            for item in items {
                set = set.join(&codes(item, negated), and);
            }
            set
        }
        Expr::Not(inner) => codes(inner, !negated),
        Expr::Check(check) => leaf(check, negated),
        Expr::Macro(..) => Codes::all(true),
    }
}

fn leaf(check: &Check, negated: bool) -> Codes {
    let restricts = matches!(&check.left, Operand::Field(field) if matches!(field.name.as_str(), "evt.type" | "syscall.type"))
        && check.modifier.is_none();
    let negated = match check.op {
        Op::Eq | Op::In if restricts => negated,
        Op::Ne if restricts => !negated,
        Op::Exists if restricts => return Codes::all(!negated),
        _ => return Codes::all(true),
    };
    let mut set = Codes::all(negated);
    for value in values(&check.right) {
        let named = match value.bytes.as_slice() {
            // Falco's table has events without a name, and the generic event goes by the names of its calls only.
            b"" => event_types::all().next().map(|(event, _)| event),
            b"syscall" => None,
            name => std::str::from_utf8(name).ok().and_then(event_types::by_name),
        };
        if let Some(present) = named.and_then(|event| set.0.get_mut(usize::from(code(event).0))) {
            *present = !negated;
        }
    }
    set
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;
    use crate::rules::report::source::Origin;
    use crate::rules::report::text::Text;

    #[test]
    fn generic_system_calls_count_once() {
        let warns =
            |text: &str| unrestricted(&parse::condition(&Text::placed(text, Origin::default())).unwrap());
        let names = |generic: bool| {
            let of_kind = |info: &event_types::Info| info.generic == generic;
            let names = event_types::all().map(|(_, info)| info).filter(|info| of_kind(info));
            names.map(|info| info.name).collect::<Vec<_>>().join(", ")
        };
        assert!(!warns(&format!("evt.type in ({})", names(true))));
        assert!(warns(&format!("evt.type in ({})", names(false))));
        assert!(warns("evt.type = open and evt.type = close"));
        assert!(!warns("not (not evt.type in (open, close) or evt.num = 0)"));
    }
}
