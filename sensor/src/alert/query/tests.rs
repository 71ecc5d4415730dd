//! The query grammar: what is read, how it is printed again, what it matches, and what its errors say.

use super::*;
use crate::alert::tests::alert;
use crate::rules::Priority;

const NOW: i64 = 1_763_994_162_000_000_000;

fn parse(text: &str) -> Query {
    Query::parse(text, NOW).unwrap_or_else(|e| panic!("{text}: {e}"))
}

fn sample() -> Alert {
    let mut alert = alert("Terminal shell in container", Priority::Notice);
    alert.time = NOW - 1_000_000_000;
    alert.hostname = "node1".into();
    alert.tags = vec!["T1059".into(), "container".into()];
    alert.output = "14:22:42.0: Notice A shell (command=bash -i user=root)".into();
    let serde_json::Value::Object(fields) = serde_json::json!({
        "proc.name": "bash", "user.name": null, "container.id": "1376fe875695", "container.name": "web",
        "container.image.repository": "docker.io/nginx", "container.image.tag": "1.27", "fd.sport": 4444,
        "k8s.ns.name": "shop", "fd.name": "/etc/my file", "cluster": "prod", "proc.aname[2]": "sshd",
        "container.label[app.kubernetes.io/name]": "cart",
    }) else {
        unreachable!()
    };
    alert.output_fields = fields;
    alert
}

#[test]
fn terms_decide() {
    let alert = sample();
    for (text, meets) in [
        ("", true),
        ("priority>=notice", true),
        ("priority>notice", false),
        ("priority>=warning", false),
        ("priority<warning", true),
        ("priority:(error notice)", true),
        ("severity=NOTICE", true),
        ("priority!=notice", false),
        ("rule:\"Terminal shell*\"", true),
        ("rule:terminal", false),
        ("-rule:terminal", true),
        ("host:node*", true),
        ("host:node2,node1", true),
        ("host:(node2, node3)", false),
        ("container:web container:1376fe875695", true),
        ("container:1376*", true),
        ("image:docker.io/nginx", true),
        ("image:*nginx:1.27", true),
        ("image:nginx", false),
        ("ns:shop", true),
        ("pod:*", false),
        ("-pod:*", true),
        ("user:root", false),
        ("user!=root", true),
        ("process:bash", true),
        ("tag:t1059 tag:container", true),
        ("fd.sport:4444", true),
        ("fd.sport:44*", true),
        ("fd.name:/etc/*", true),
        ("fd.name:\"/etc/my file\"", true),
        (r"fd.name:/etc/my\ file", true),
        ("field.cluster:prod", true),
        ("proc.aname[2]:sshd", true),
        ("container.label[app.kubernetes.io/name]:cart", true),
        ("since:2h", true),
        ("since:500ms", false),
        ("until:now", true),
        ("until:1h", false),
        ("time>=2025-11-24T14:22:41Z time<=2025-11-24T14:22:41Z", true),
        ("since:2025-11-25", false),
        ("SHELL", true),
        ("\"bash -i\"", true),
        ("-shell", false),
        ("4444", true),
        ("nothere", false),
        ("bash*root", true),
        ("priority>=notice tag:T1059 -host:node3 since:2h shell", true),
    ] {
        assert_eq!(parse(text).matches(&alert), meets, "{text}");
    }
}

#[test]
fn canonical_text_is_read_back() {
    for (text, canonical) in [
        ("  priority>=WARNING  ", "priority>=warning"),
        ("severity!=(info debug)", "-priority:informational,debug"),
        ("ns=a|b", "namespace:\"a|b\""),
        ("rule:(\"a b\" c)", "rule:\"a b\",c"),
        ("-host!=x", "host:x"),
        ("since:2h until:2025-11-24T14:22:42+02:00", "since:2h until:2025-11-24T14:22:42+02:00"),
        ("time>=2h time<1h time>3h", "since:2h until:1h time>3h"),
        ("field.cluster:x field.fd.name:y", "field.cluster:x fd.name:y"),
        (r#""a:b" \-x "OR" a\*b*c"#, r#""a:b" "-x" "OR" "a\*b*c""#),
        ("image:nginx:1.27 user:\"\"", "image:nginx:1.27 user:\"\""),
        ("10.0.0.1:80", "\"10.0.0.1:80\""),
    ] {
        let query = parse(text);
        assert_eq!(query.to_string(), canonical);
        assert_eq!(parse(canonical), query);
    }
}

#[test]
fn errors_name_place_and_remedy() {
    for (text, at, len, says) in [
        ("a ruel:x", 2, 4, "did you mean `rule`?"),
        ("cluster:prod", 0, 7, "`field.cluster:`"),
        ("http://x", 0, 4, "quotes"),
        ("priority>=high", 10, 4, "emergency, alert"),
        ("priority>=(error debug)", 11, 0, "one priority"),
        ("priority:*", 9, 1, "one of"),
        ("rule>=x", 4, 2, "only `priority` and `time`"),
        ("since:yesterday", 6, 9, "2h"),
        ("since>=2h", 0, 5, "since:"),
        ("time:2h", 0, 4, "time>="),
        ("since:1h,2h", 0, 5, "one time"),
        ("rule:\"x", 5, 2, "not closed"),
        ("rule:", 5, 0, "missing"),
        ("rule:a,", 7, 0, "missing"),
        ("rule:(a", 5, 2, "add `)`"),
        ("rule:()", 5, 2, "no value"),
        ("rule:(a)b", 8, 1, "blank"),
        ("a - b", 2, 1, "directly before"),
        ("a OR b", 2, 2, "key:(a b)"),
        ("\"\"", 0, 2, "no text"),
        ("a\\", 1, 1, "backslash"),
        ("field.:x", 0, 6, "missing"),
    ] {
        let error = Query::parse(text, NOW).expect_err(text);
        assert_eq!((error.at, error.len), (at, len), "{text}: {error}");
        assert!(error.to_string().contains(says), "{text}: {error}");
    }
    let long = "x".repeat(9000);
    assert!(Query::parse(&long, NOW).unwrap_err().message.contains("longer"));
    let many = format!("rule:{}x", "x,".repeat(300));
    assert!(Query::parse(&many, NOW).unwrap_err().message.contains("values"));
}

mod properties {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,60}") {
            match Query::parse(&text, NOW) {
                Ok(query) => {
                    let canonical = query.to_string();
                    prop_assert_eq!(Query::parse(&canonical, NOW), Ok(query), "{}", canonical);
                }
                Err(error) => prop_assert!(text.get(error.at..error.at + error.len).is_some(), "{:?}", error),
            }
        }

        #[test]
        fn grammar_shaped_text_is_read_back(
            text in "(-?(rule|fd\\.name|field\\.x|a|tag)?(:|!=|)(\\(|)[a*\"\\\\, )(:-]{0,6}(\\)|) ){0,4}"
        ) {
            if let Ok(query) = Query::parse(&text, NOW) {
                let canonical = query.to_string();
                prop_assert_eq!(Query::parse(&canonical, NOW), Ok(query), "{}", canonical);
            }
        }
    }
}
