//! Tests of the grammar: accepted, refused, printed and parsed again.

use super::*;

fn parse(text: &str) -> Result<String, String> {
    let text = Text::placed(text, Origin::default());
    condition(&text).map(|expr| expr.to_string()).map_err(|complaint| complaint.message.clone())
}

#[test]
fn what_the_grammar_accepts() {
    for (text, canonical) in [
        ("a", "a"),
        ("not a", "not a"),
        ("not not a", "a"),
        ("not(a)", "not a"),
        ("not not(a)", "a"),
        ("a or b and c", "(a or (b and c))"),
        ("a or(b)and(c)", "(a or (b and c))"),
        ("( a\n\tor  b ) and c", "((a or b) and c)"),
        ("notable", "notable"),
        ("and_more or orange", "(and_more or orange)"),
        ("proc.name=x", "proc.name = x"),
        ("proc.name == x", "proc.name = x"),
        ("proc.name = \"\"", "proc.name = \"\""),
        ("proc.name!='a b'", "proc.name != \"a b\""),
        ("not proc.pname exists or a", "(not proc.pname exists or a)"),
        ("proc.aname[2]=x", "proc.aname[2] = x"),
        ("container.mount.dest[/proc*] in (a)", "container.mount.dest[/proc*] in (a)"),
        ("container.label['a b'] = x", "container.label[\"a b\"] = x"),
        ("proc.name in (a,b , c)", "proc.name in (a, b, c)"),
        ("proc.name in()", "proc.name in ()"),
        ("proc.name in ()", "proc.name in ()"),
        ("fd.num>=0", "fd.num >= 0"),
        ("fd.num < -1", "fd.num < -1"),
        ("proc.name = oneof", "proc.name = \"oneof\""),
        ("proc.name = oneof and a", "(proc.name = \"oneof\" and a)"),
        ("proc.name startswith oneof (a, b)", "proc.name startswith oneof (a, b)"),
        ("proc.name = allof (a)", "proc.name = allof (a)"),
        ("proc.args endswith \\)", "-"),
        ("(proc.args endswith \\)", "proc.args endswith \\"),
        ("proc.name = runc:[0:PARENT]", "proc.name = runc:[0:PARENT]"),
        ("tolower(proc.name) = x", "tolower(proc.name) = x"),
        ("proc.name = val(proc.pname)", "proc.name = val(proc.pname)"),
        ("proc.name = toupper(basename(proc.exepath))", "proc.name = toupper(basename(proc.exepath))"),
        ("join(\",\", (proc.name, \"x\", 1)) = y", "join(\",\", (proc.name, \"x\", \"1\")) = y"),
        ("getopt(proc.args, \"ab:\")[b] = c", "getopt(proc.args, \"ab:\")[b] = c"),
        ("val exists", "-"),
        ("evt.arg[0] pmatch (/etc, '/a b')", "evt.arg[0] pmatch (/etc, \"/a b\")"),
        ("proc.args contains \"\\ \"", "proc.args contains \\"),
        ("proc.args = '\\x41\\n\\''", "proc.args = \"A\\n'\""),
    ] {
        let parsed = parse(text);
        if canonical == "-" {
            assert!(parsed.is_err(), "{text}: {parsed:?}");
        } else {
            assert_eq!(parsed.as_deref(), Ok(canonical), "{text}");
        }
    }
}

#[test]
fn what_it_refuses() {
    for (text, message) in [
        ("", "the condition is empty"),
        ("a b", "unexpected token after 'a', expecting 'or', 'and'"),
        ("a orb", "unexpected token after 'a', expecting 'or', 'and'"),
        ("(a", "expected ')' or 'and', 'or', found the end"),
        ("a and", "unexpected token after 'a', expecting 'or', 'and'"),
        ("a and ", "expected a field, a macro or '(', found the end"),
        ("proc.name", "expected an operator after 'proc.name', found the end"),
        ("proc.name contains\"x\"", "expected an operator after 'proc.name', found 'contains\"x\"'"),
        ("proc.name <= x", "expected a number after '<=', found 'x'"),
        ("proc.name = ", "expected a value after '=', found the end"),
        ("proc.name in (a,)", "expected a value after 'in', found ')'"),
        ("proc.name in 5", "expected a list in parentheses after 'in', found '5'"),
        ("proc.name = \"a", "the text is not closed by \""),
        ("proc.name = \"a\\\\\"", "the text is not closed by \""),
        ("proc.name = \"\\q\"", "unsupported escape '\\q'"),
        ("proc.name = \"\\x4\"", "\\x needs two hexadecimal digits"),
        ("proc.name = \"\\'\"", "unsupported escape '\\''"),
        ("proc.name = val(x)", "expected a field, a transformer, a number or a quoted text, found 'x)'"),
        ("proc.aname[] = x", "expected an argument in '[]'"),
    ] {
        assert_eq!(parse(text), Err(message.to_owned()), "{text}");
    }
}

#[test]
fn nesting_is_bounded_and_takes_no_stack() {
    let nested = |depth: usize| format!("{}a{}", "(".repeat(depth), ")".repeat(depth));
    assert_eq!(parse(&nested(1000)).as_deref(), Ok("a"));
    for depth in [1001, 200_000] {
        assert!(parse(&nested(depth)).unwrap_err().starts_with("nested deeper"), "{depth}");
    }
    let mixed = format!("{}a{}", "not (b and (c or ".repeat(500), "))".repeat(500));
    assert!(parse(&mixed).is_ok());
    assert_eq!(parse(&format!("{}a", "not ".repeat(100_001))).as_deref(), Ok("not a"));
    let calls = |depth: usize| format!("{}proc.name{} = x", "tolower(".repeat(depth), ")".repeat(depth));
    assert!(parse(&calls(200)).is_ok());
    assert!(parse(&calls(100_000)).unwrap_err().starts_with("transformers nested deeper"));
}

mod round_trip {
    use proptest::prelude::*;

    use super::super::*;

    fn span() -> Span {
        Span { at: Origin::default(), len: 0 }
    }

    fn value() -> impl Strategy<Value = Value> {
        let bytes = prop_oneof![
            "[a-z0-9/._:*-]{1,12}".prop_map(String::into_bytes),
            prop::collection::vec(any::<u8>(), 0..8),
        ];
        bytes.prop_map(|bytes| Value { bytes, span: span() })
    }

    fn field() -> impl Strategy<Value = FieldText> {
        let arg = prop::option::of(
            "[ -~]{1,6}".prop_filter("no escapes in an argument", |arg| !arg.contains(['\\', '"', '\''])),
        );
        ("[a-z]{1,5}\\.[a-z][a-z_0-9]{0,5}", arg).prop_map(|(name, arg)| FieldText {
            name,
            arg,
            span: span(),
        })
    }

    fn check() -> impl Strategy<Value = Expr> {
        let left = prop_oneof![
            3 => field().prop_map(Operand::Field),
            1 => (field(), "[ -~]{0,4}").prop_map(|(field, text)| {
                let args = vec![Argument::Operand(Operand::Field(field)), Argument::Text(text)];
                Operand::Transform(Transform { function: Function::Concat, args, selector: None, span: span() })
            }),
        ];
        let right = prop_oneof![
            Just((Op::Exists, None, Right::None)),
            any::<i64>().prop_map(|n| {
                let bytes = n.to_string().into_bytes();
                (Op::Le, None, Right::Value(Value { bytes, span: span() }))
            }),
            value().prop_map(|value| (Op::Ne, None, Right::Value(value))),
            value().prop_map(|value| (Op::Startswith, None, Right::Value(value))),
            prop::collection::vec(value(), 0..4).prop_map(|values| (Op::In, None, Right::List(values))),
            prop::collection::vec(value(), 0..4).prop_map(|values| (
                Op::Glob,
                Some(Modifier::All),
                Right::List(values)
            )),
        ];
        (left, right).prop_map(|(left, (op, modifier, right))| {
            Expr::Check(Check { left, op, modifier, right, span: span() })
        })
    }

    fn expr() -> impl Strategy<Value = Expr> {
        let leaf = prop_oneof![
            3 => check(),
            1 => "m[a-z_0-9]{0,6}".prop_map(|name| Expr::Macro(name, span())),
        ];
        leaf.prop_recursive(4, 24, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 2..4).prop_map(Expr::And),
                prop::collection::vec(inner.clone(), 2..4).prop_map(Expr::Or),
                inner.prop_map(|inner| match inner {
                    Expr::Not(twice) => *twice,
                    other => Expr::Not(Box::new(other)),
                }),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_printed_parses_to_the_same(expr in expr()) {
            let printed = Text::placed(&expr.to_string(), Origin::default());
            let parsed = condition(&printed);
            prop_assert_eq!(parsed.map_err(|c| c.message.clone()), Ok(expr), "{}", printed.as_str());
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in "[a-z.()\\[\\]\"'\\\\ =,<>!x0-9é]{0,60}") {
            let _ = condition(&Text::placed(&text, Origin::default()));
            let _ = operand_prefix(&text);
        }
    }
}
