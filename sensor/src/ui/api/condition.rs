//! Why an alert was raised: the rule's condition with the values that it saw, as our sensor puts it into the alert's
//! context. Alerts of others have none, and whatever has another shape is left out here and still shown raw.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::alert::Alert;
use crate::alert::query::value_text;
use crate::rules::FieldRef;

/// Deepest nesting that is shown; conditions are less deep.
const MAX_DEPTH: usize = 128;

/// A part of a condition.
#[derive(Debug, Default, Serialize, ToSchema)]
pub struct ConditionPart {
    pub kind: PartKind,
    pub truth: Truth,
    /// The comparison; empty for a group.
    pub text: String,
    /// The macros or the exception that this part is, outermost first.
    pub names: Vec<PartName>,
    /// `file:line:column` of a comparison.
    pub place: Option<String>,
    /// What a comparison looked at.
    pub actual: Vec<ActualValue>,
    /// Lists that a comparison names.
    pub lists: Vec<ListItems>,
    /// Of a group.
    #[schema(no_recursion)]
    pub parts: Vec<ConditionPart>,
    /// Parts of a group that the alert leaves out because there are too many.
    pub left_out: u64,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum PartKind {
    And,
    Or,
    Not,
    #[default]
    Leaf,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Truth {
    True,
    #[default]
    False,
    /// False, for there is no value to compare.
    Missing,
    /// Counts as false, for the sensor cannot extract the field.
    Unfilled,
}

/// A name that stands for a part of a condition.
#[derive(Debug, Serialize, ToSchema)]
pub struct PartName {
    /// `macro` or `exception`.
    pub kind: String,
    pub name: String,
    /// `file:line:column` of the definition.
    pub place: Option<String>,
}

/// A value that a comparison saw.
#[derive(Debug, Serialize, ToSchema)]
pub struct ActualValue {
    /// The field or transformer as the condition writes it.
    pub field: String,
    /// Its name in the list of fields.
    pub name: Option<String>,
    /// As text; none when there is no value.
    pub values: Vec<String>,
    /// There is a value, which is not told for it may hold secrets.
    pub hidden: bool,
    /// There is more than this.
    pub cut: bool,
}

/// The items of a list.
#[derive(Debug, Serialize, ToSchema)]
pub struct ListItems {
    pub name: String,
    pub items: Vec<String>,
    /// Items that are left out.
    pub more: u64,
}

/// The condition of an alert, if it has one.
pub fn of(alert: &Alert) -> Option<ConditionPart> {
    part(alert.context.as_ref()?.get("condition")?, 0)
}

fn part(value: &Value, depth: usize) -> Option<ConditionPart> {
    if depth > MAX_DEPTH {
        return None;
    }
    let kind = PartKind::deserialize(value.get("kind")?).ok()?;
    let mut made = ConditionPart { kind, names: all(value.get("from"), name), ..ConditionPart::default() };
    if kind == PartKind::Leaf {
        made.text = text(value, "text")?;
        made.truth = Truth::deserialize(value.get("truth")?).ok()?;
        made.place = text(value, "place");
        made.actual = all(value.get("actual"), actual);
        made.lists = all(value.get("lists"), list);
        return Some(made);
    }
    made.truth = if value.get("holds")?.as_bool()? { Truth::True } else { Truth::False };
    made.left_out = value.get("left_out").and_then(Value::as_u64).unwrap_or(0);
    let parts = if kind == PartKind::Not {
        std::slice::from_ref(value.get("part")?)
    } else {
        value.get("parts")?.as_array()?.as_slice()
    };
    made.parts = parts.iter().map(|value| part(value, depth + 1)).collect::<Option<_>>()?;
    Some(made)
}

fn all<T>(values: Option<&Value>, one: impl Fn(&Value) -> Option<T>) -> Vec<T> {
    values.and_then(Value::as_array).into_iter().flatten().filter_map(one).collect()
}

fn text(value: &Value, key: &str) -> Option<String> {
    value.get(key)?.as_str().map(str::to_owned)
}

fn name(value: &Value) -> Option<PartName> {
    Some(PartName { kind: text(value, "kind")?, name: text(value, "name")?, place: text(value, "place") })
}

fn actual(value: &Value) -> Option<ActualValue> {
    let field = text(value, "field")?;
    let flag = |key: &str| value.get(key).and_then(Value::as_bool).unwrap_or(false);
    let one = |value: &Value| value_text(value).map(std::borrow::Cow::into_owned);
    let values = match value.get("value")? {
        Value::Array(values) => values.iter().filter_map(one).collect(),
        value => one(value).into_iter().collect(),
    };
    let name = FieldRef::parse(&field).ok().map(|known| known.field.name().to_owned());
    Some(ActualValue { name, field, values, hidden: flag("hidden"), cut: flag("cut") })
}

fn list(value: &Value) -> Option<ListItems> {
    let items = all(value.get("items"), |item| item.as_str().map(str::to_owned));
    let more = value.get("more").and_then(Value::as_u64).unwrap_or(0);
    Some(ListItems { name: text(value, "name")?, items, more })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::rules::{Options, Source, cases, load};

    #[test]
    fn what_the_sensor_writes_is_read() {
        let rules = "- list: l\n  items: [a, b]\n- macro: m\n  condition: (proc.name in (l) or proc.aname = x)\n\
                     - rule: r\n  desc: d\n  output: o\n  priority: INFO\n  condition: evt.type = open and m and not fd.num = 1\n";
        let set = load(&[Source::new("f.yaml", rules)], &Options::default()).rules.unwrap();
        let event = "{evt.type: open, proc.name: c, proc.aname: [y, x]}";
        let event = cases::event(&Source::new("e", event)).unwrap();
        let trace = set.trace(&set.rules()[0], &event).bounded();
        let root = part(&serde_json::to_value(&trace.root).unwrap(), 0).unwrap();
        assert_eq!((root.kind, root.truth), (PartKind::And, Truth::True));
        let [_, m, not] = root.parts.as_slice() else { panic!("{root:?}") };
        assert_eq!((m.kind, m.names[0].name.as_str()), (PartKind::Or, "m"));
        assert_eq!(m.names[0].place.as_deref(), Some("f.yaml:3:3"));
        assert_eq!((m.parts[0].truth, m.parts[0].lists[0].items.len()), (Truth::False, 2));
        assert_eq!(m.parts[1].actual[0].values, ["y", "x"]);
        assert_eq!(m.parts[1].actual[0].name.as_deref(), Some("proc.aname"));
        assert_eq!((not.truth, not.parts[0].truth), (Truth::True, Truth::Missing));
        assert!(not.parts[0].actual[0].values.is_empty());
    }

    #[test]
    fn other_shapes_are_no_condition() {
        let mut deep = json!({"kind": "leaf", "text": "x", "truth": "true"});
        assert!(part(&deep, 0).is_some());
        for _ in 0..500 {
            deep = json!({"kind": "not", "holds": true, "part": deep});
        }
        for value in [
            json!(null),
            json!("x"),
            json!({"kind": "xor", "holds": true, "parts": []}),
            json!({"kind": "and", "holds": "yes", "parts": []}),
            json!({"kind": "and", "holds": true, "parts": [7]}),
            json!({"kind": "leaf", "text": "x", "truth": "perhaps"}),
            deep,
        ] {
            assert!(part(&value, 0).is_none(), "{value}");
        }
    }
}
