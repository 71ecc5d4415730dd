//! Conditions print so that they parse to themselves; no text makes the parser panic.

use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use super::random;
use crate::rules::language::ast::{Expr, Op};
use crate::rules::language::parse;
use crate::rules::report::source::Origin;
use crate::rules::report::text::Text;

fn parsed(text: &str) -> Result<Expr, String> {
    parse::condition(&Text::placed(text, Origin::default())).map_err(|complaint| complaint.message.clone())
}

#[test]
fn conditions_print_and_parse_to_themselves() {
    let leaf = random::comparison().prop_map(Expr::Check).boxed();
    TestRunner::new(random::config(1_000))
        .run(&random::condition(leaf, 4), |expr| {
            let text = expr.to_string();
            prop_assert_eq!(parsed(&text), Ok(expr), "{}", text);
            Ok(())
        })
        .unwrap();
}

#[test]
fn literals_of_any_bytes_print_and_parse_to_themselves() {
    let bytes = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..12),
        "\\PC{0,8}".prop_map(String::into_bytes),
        "[ \\\\\"'x0a\\n\\t,()=]{0,8}".prop_map(String::into_bytes),
    ];
    TestRunner::new(random::config(1_000))
        .run(&(bytes, any::<bool>()), |(bytes, list)| {
            let mut expr = parsed(if list { "proc.name in (a, b)" } else { "proc.name = a" }).unwrap();
            if let Expr::Check(check) = &mut expr {
                match &mut check.right {
                    crate::rules::language::ast::Right::Value(value) => value.bytes.clone_from(&bytes),
                    crate::rules::language::ast::Right::List(values) => values[0].bytes.clone_from(&bytes),
                    _ => {}
                }
            }
            let text = expr.to_string();
            prop_assert_eq!(parsed(&text), Ok(expr), "{}", text);
            Ok(())
        })
        .unwrap();
}

/// Texts of the words that the grammar knows, and of anything.
fn text() -> BoxedStrategy<String> {
    let mut words: Vec<String> = Op::ALL.iter().map(|op| op.as_str().to_owned()).collect();
    let more = "and|or|not|(|)|,|\"|'|\\|[|]|.|proc.name|fd.num|a|val(|tolower(|join(|getopt(|oneof|0x|1.5e+|\u{e4}|\\x4|\\ | |\t|\u{0}|not(";
    words.extend(more.split('|').map(str::to_owned));
    let word = proptest::sample::select(words);
    let words = proptest::collection::vec((word, any::<bool>()), 0..24).prop_map(|words| {
        words.into_iter().map(|(word, blank)| if blank { word + " " } else { word }).collect()
    });
    prop_oneof![3 => words, 1 => "\\PC{0,40}", 1 => any::<String>()].boxed()
}

#[test]
fn no_text_makes_the_parser_panic_and_what_parses_prints_and_parses_again() {
    let good = std::cell::Cell::new(0);
    TestRunner::new(random::config(4_000))
        .run(&text(), |text| {
            let _ = parse::operand(&text);
            let _ = parse::operand_prefix(&text);
            if let Ok(expr) = parsed(&text) {
                good.set(good.get() + 1);
                let printed = expr.to_string();
                prop_assert_eq!(parsed(&printed), Ok(expr), "{} printed as {}", text, printed);
            }
            Ok(())
        })
        .unwrap();
    assert!(good.get() > 10, "hardly any text is a condition");
}
