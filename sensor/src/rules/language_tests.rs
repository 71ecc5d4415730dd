//! The language as a whole: what conditions are true of what events, how definitions combine, what loading says.

use crate::rules::{cases, *};

/// A rule file with the macros and lists of `head` and one rule `r`.
fn rule(head: &str, condition: &str) -> String {
    format!("{head}- rule: r\n  desc: d\n  output: o\n  priority: WARNING\n  condition: >\n    {condition}\n")
}

fn loaded(texts: &[&str]) -> Loaded {
    let sources: Vec<Source> =
        texts.iter().enumerate().map(|(n, text)| Source::new(format!("{n}.yaml"), *text)).collect();
    load(&sources, &Options::default())
}

fn set(texts: &[&str]) -> RuleSet {
    let loaded = loaded(texts);
    match loaded.rules {
        Some(rules) => rules,
        None => panic!("{}\n{texts:?}", loaded.files.last().unwrap()),
    }
}

/// Names of the rules that fire on an event written as a YAML flow mapping.
fn fired(rules: &RuleSet, event: &str) -> Vec<String> {
    let text = format!("cases:\n- name: n\n  silent: [r]\n  event: {{{event}}}\n");
    let file = cases::parse(&Source::new("event", text)).unwrap_or_else(|error| panic!("{error}: {event}"));
    let mut names = Vec::new();
    rules.evaluate(&mut Scratch::default(), &file.cases[0].event, |rule| names.push(rule.name.clone()));
    names
}

fn holds(condition: &str, event: &str) -> bool {
    !fired(&set(&[&rule("", condition)]), event).is_empty()
}

/// The code and message of the error that loading ends with.
fn error(texts: &[&str]) -> (String, String) {
    let loaded = loaded(texts);
    assert!(loaded.rules.is_none(), "no error: {texts:?}");
    let error = &loaded.files.last().unwrap().errors[0];
    (error.code.as_str().to_owned(), error.message.clone())
}

fn warnings(texts: &[&str]) -> Vec<&'static str> {
    let loaded = loaded(texts);
    assert!(loaded.rules.is_some(), "{}", loaded.files.last().unwrap());
    loaded.files.iter().flat_map(|file| &file.warnings).map(|warning| warning.code.as_str()).collect()
}

#[test]
fn operators_on_strings() {
    let event =
        "evt.type: open, proc.name: Nginx, fd.name: /etc/ssh/sshd_config, proc.cmdline: a b, proc.exe: ''";
    for (condition, expected) in [
        ("proc.name = Nginx", true),
        ("proc.name == nginx", false),
        ("proc.name != nginx", true),
        ("proc.name != Nginx", false),
        ("proc.name contains gin", true),
        ("proc.name contains ''", true),
        ("proc.name contains GIN", false),
        ("proc.name icontains GIN", true),
        ("proc.name startswith Ng", true),
        ("proc.name startswith ''", true),
        ("proc.name endswith inx", true),
        ("proc.name endswith Nginxx", false),
        ("fd.name glob /etc/*_config", true),
        ("fd.name glob /etc/*.conf", false),
        ("proc.name iglob n*X", true),
        ("fd.name regex '/etc/[a-z]+/[^/]*'", true),
        ("fd.name regex 'sshd'", false),
        ("fd.name pmatch (/etc/ssh, /root)", true),
        ("fd.name pmatch (/etc/ss)", false),
        ("proc.name in (a, Nginx)", true),
        ("proc.name in (a, b)", false),
        ("proc.name in ()", false),
        ("proc.name intersects (Nginx)", true),
        ("proc.name < \"x\"", true),
        ("proc.exe = ''", true),
        ("proc.exe exists", true),
        ("proc.name startswith oneof (N, Ng)", false),
        ("proc.name startswith oneof (N, x)", true),
        ("proc.name startswith anyof (N, Ng)", true),
        ("proc.name startswith allof (N, Ng)", true),
        ("proc.name startswith allof (N, x)", false),
        ("proc.name = anyof ()", false),
        ("proc.name = oneof ()", false),
        ("proc.name = allof ()", false),
        ("proc.name = \"Ngin\\x78\"", true),
    ] {
        if condition.contains("< \"") {
            assert!(loaded(&[&rule("", condition)]).rules.is_none(), "{condition} takes a number");
        } else {
            assert_eq!(holds(condition, event), expected, "{condition}");
        }
    }
}

#[test]
fn operators_on_other_types() {
    let event = "evt.type: connect, fd.num: -1, user.uid: 0, proc.tty: 34816, proc.is_exe_upper_layer: true, \
                 fd.cip: 10.0.0.1, fd.sip: 93.184.216.34, fd.cport: 40000, fd.sport: 443, \
                 evt.rawarg: {res: -115}, proc.duration: 5000000000, proc.pid: 18446744";
    for (condition, expected) in [
        ("fd.num = -1", true),
        ("fd.num >= 0", false),
        ("fd.num < 0", true),
        ("user.uid = 0", true),
        ("user.uid != 0", false),
        ("proc.tty in (1, 34816)", true),
        ("proc.tty intersects (1)", false),
        ("proc.duration > 4999999999", true),
        ("proc.duration <= 5000000000", true),
        ("proc.is_exe_upper_layer = true", true),
        ("proc.is_exe_upper_layer != true", false),
        ("proc.is_exe_upper_layer in (false)", false),
        ("proc.is_exe_writable = false", false),
        ("not proc.is_exe_writable = true", true),
        ("fd.sip = 93.184.216.34", true),
        ("fd.sip != 93.184.216.34", false),
        ("fd.sip = '::1'", false),
        ("fd.sip != '::1'", true),
        ("fd.sip in (1.1.1.1, 93.184.216.34)", true),
        ("fd.snet = 93.0.0.0/8", true),
        ("fd.cnet in (\"10.0.0.0/8\", \"192.168.0.0/16\")", true),
        ("fd.snet in (\"10.0.0.0/8\", \"192.168.0.0/16\")", false),
        ("fd.snet != 10.0.0.0/8", true),
        ("fd.sport = https", true),
        ("fd.sport = 443", true),
        ("fd.sport = \"443\"", true),
        ("fd.sport < 1024", true),
        ("fd.port = 40000", true),
        ("fd.port in (443)", true),
        ("fd.port != 443", false),
        ("fd.port != 80", true),
        ("fd.port < 1024", true),
        ("fd.ip = 10.0.0.1", true),
        ("fd.ip != 10.0.0.1", false),
        ("fd.ip != 127.0.0.1", true),
        ("fd.net = 10.0.0.0/8", true),
        ("fd.net != 10.0.0.0/8", false),
        ("fd.net != 172.16.0.0/12", true),
        ("fd.lport = 1", false),
        ("evt.rawarg.res < 0", true),
        ("evt.rawarg.res = -115", true),
        ("evt.rawarg.res in (-115, 0)", true),
        ("evt.num=0", false),
        ("evt.num>=0", true),
        ("evt.type.is.connect = 1", true),
        ("evt.type.is.open = 0", true),
    ] {
        assert_eq!(holds(condition, event), expected, "{condition}");
    }
}

#[test]
fn a_missing_value_makes_every_comparison_false() {
    let nothing = "evt.type: openat";
    for condition in [
        "proc.name = x",
        "proc.name != x",
        "proc.name in (x)",
        "proc.name contains ''",
        "proc.name startswith ''",
        "proc.name glob *",
        "proc.name regex '.*'",
        "proc.name pmatch (/)",
        "proc.name exists",
        "proc.name = allof (x)",
        "proc.pid != 1",
        "proc.pid < 5",
        "fd.ip != 1.1.1.1",
        "fd.net != 10.0.0.0/8",
        "fd.port != 1",
        "proc.aname != x",
        "proc.aname[2] != x",
        "evt.arg.flags != x",
        "evt.rawarg.res != 1",
        "container.privileged != true",
        "tolower(proc.name) != x",
        "len(proc.name) >= 0",
        "proc.name != val(proc.pname)",
        "proc.name = <NA>",
    ] {
        assert!(!holds(condition, nothing), "{condition}");
        assert!(holds(&format!("not {condition}"), nothing), "not {condition}");
    }
}

#[test]
fn ancestors_without_an_index_are_any_of_them() {
    let event = "evt.type: execve, proc.name: self, proc.aname: [bash, sshd, systemd], proc.apid: [3, 2, 1]";
    for (condition, expected) in [
        ("proc.aname = sshd", true),
        ("proc.aname = self", false),
        ("proc.aname != sshd", true),
        ("proc.aname in (x, systemd)", true),
        ("proc.aname startswith sys", true),
        ("proc.aname[0] = self", true),
        ("proc.aname[1] = bash", true),
        ("proc.aname[4] exists", false),
        ("proc.pname = bash", true),
        ("proc.aname exists", true),
        ("proc.apid = 2", true),
        ("proc.apid > 5", false),
    ] {
        assert_eq!(holds(condition, event), expected, "{condition}");
    }
}

#[test]
fn transformers_and_fields_on_the_right() {
    let event = "evt.type: execve, proc.name: Bash, proc.pname: bash, proc.exepath: /usr/bin/bash, \
                 proc.args: '-c ls', 'proc.args[0]': '-nc', 'proc.args[1]': bHM=, proc.exe: bash, user.uid: 5, \
                 user.loginuid: 5, evt.buffer: {hex: '4142'}";
    for (condition, expected) in [
        ("tolower(proc.name) = bash", true),
        ("toupper(proc.name) = BASH", true),
        ("basename(proc.exepath) = bash", true),
        ("toupper(basename(proc.exepath)) = BASH", true),
        ("b64(proc.args[1]) = ls", true),
        ("b64(proc.name) exists", true),
        ("b64(proc.args) exists", false),
        ("len(proc.name) = 4", true),
        ("len(proc.name) > 4", false),
        ("concat(proc.name, \"-\", proc.pname) = Bash-bash", true),
        ("join(\",\", (proc.name, proc.pname)) = 'Bash,bash'", true),
        ("len((proc.name, proc.pname)) = 2", true),
        ("getopt((proc.args[0], proc.args[1]), \"nc:\")[c] = bHM=", false),
        ("getopt((proc.args[0], proc.args[1]), \"nc:\")[c] = 'bHM='", true),
        ("getopt((proc.args[0], proc.args[1]), \"nc:\")[n] = n", true),
        ("getopt((proc.args[0], proc.args[1]), \"nc:\")[x] exists", false),
        ("getopt((proc.args[0]), \"nc\") intersects (c)", true),
        ("getopt((proc.args[0]), \"nc\") in (c)", false),
        ("getopt((proc.args[0]), \"nc\") in (c, n)", true),
        ("proc.pname = val(proc.exe)", true),
        ("proc.name = val(proc.exe)", false),
        ("proc.name != val(proc.exe)", true),
        ("proc.exepath endswith val(proc.exe)", true),
        ("proc.pname = tolower(proc.name)", true),
        ("tolower(proc.name) = val(proc.pname)", true),
        ("proc.exe in getopt((proc.args[0]), \"nc\")", false),
    ] {
        match set_or_error(condition) {
            Some(rules) => assert_eq!(!fired(&rules, event).is_empty(), expected, "{condition}"),
            None => assert!(!expected, "{condition} does not load"),
        }
    }
}

fn set_or_error(condition: &str) -> Option<RuleSet> {
    loaded(&[&rule("", condition)]).rules
}

#[test]
fn the_event_type_decides_before_the_event_comes() {
    let rules = set(&[&rule(
        "",
        "(evt.type in (open, openat) and fd.name=/x) or (not evt.type = open and proc.name=y and evt.type=close)",
    )]);
    assert_eq!(rules.event_types().into_iter().collect::<Vec<_>>(), ["close", "open", "openat"]);
    for (event, expected) in [
        ("evt.type: open, fd.name: /x", true),
        ("evt.type: openat, fd.name: /y", false),
        ("evt.type: close, proc.name: y", true),
        ("evt.type: openat2, fd.name: /x", false),
    ] {
        assert_eq!(!fired(&rules, event).is_empty(), expected, "{event}");
    }
    for (condition, event, expected) in [
        ("evt.type = container and evt.dir = >", "evt.type: container", true),
        ("evt.dir = <", "evt.type: container", false),
        ("evt.dir = < and evt.type=open", "evt.type: open", true),
        ("syscall.type = open", "evt.type: open", true),
        ("syscall.type exists", "evt.type: container", false),
        ("evt.type startswith open", "evt.type: openat2", true),
        ("evt.is_async = true", "evt.type: container", true),
        ("evt.type = getpid", "evt.type: getpid", true),
        ("evt.source = syscall", "evt.type: open", true),
    ] {
        assert_eq!(holds(condition, event), expected, "{condition}");
    }
}

#[test]
fn all_rules_fire_in_order_or_the_first_only() {
    let text = "- rule: b\n  desc: d\n  output: o\n  priority: INFO\n  condition: evt.type=open\n\
                - rule: a\n  desc: d\n  output: o\n  priority: INFO\n  condition: evt.type=open and proc.name=x\n";
    assert_eq!(fired(&set(&[text]), "evt.type: open, proc.name: x"), ["b", "a"]);
    let options = Options { matching: Matching::First, ..Options::default() };
    let first = load(&[Source::new("f", text)], &options).rules.unwrap();
    assert_eq!(fired(&first, "evt.type: open, proc.name: x"), ["b"]);
}

#[test]
fn lists_and_macros() {
    let head = "- list: inner\n  items: [b, c]\n- list: outer\n  items: [a, inner, 'd e', \"'f'\"]\n\
                - macro: m\n  condition: proc.name in (outer)\n- macro: n\n  condition: (m or proc.name = z)\n";
    let rules = set(&[&rule(head, "evt.type=open and not n")]);
    for (name, fires) in [
        ("a", false),
        ("b", false),
        ("c", false),
        ("'d e'", false),
        ("f", false),
        ("z", false),
        ("inner", true),
    ] {
        assert_eq!(!fired(&rules, &format!("evt.type: open, proc.name: {name}")).is_empty(), fires, "{name}");
    }
    // One level of nesting only: `deep` stays a word, for it stands before the list that names it through another.
    let deep =
        "- list: deep\n  items: [x]\n- list: middle\n  items: [deep]\n- list: top\n  items: [middle]\n";
    let rules = set(&[&rule(deep, "evt.type=open and proc.name in (top)")]);
    assert!(fired(&rules, "evt.type: open, proc.name: x").is_empty());
    assert_eq!(fired(&rules, "evt.type: open, proc.name: deep"), ["r"]);
    // A list with one item can stand after `=`.
    let one = "- list: one\n  items: [x]\n";
    assert_eq!(
        fired(&set(&[&rule(one, "evt.type=open and proc.name = one")]), "evt.type: open, proc.name: x"),
        ["r"]
    );
}

#[test]
fn append_override_and_redefinition() {
    let base =
        rule("- list: l\n  items: [a]\n- macro: m\n  condition: proc.name in (l)\n", "evt.type=open and m");
    let fires = |more: &str, name: &str| {
        let event = format!("evt.type: open, proc.name: {name}");
        !fired(&set(&[&base, more]), &event).is_empty()
    };
    for (more, name, expected) in [
        ("- list: l\n  items: [b]\n  override: {items: append}\n", "b", true),
        ("- list: l\n  items: [b]\n  append: true\n", "a", true),
        ("- list: l\n  items: [b]\n", "a", false),
        ("- macro: m\n  condition: or proc.name=c\n  override: {condition: append}\n", "c", true),
        ("- macro: m\n  condition: proc.name=c\n", "a", false),
        ("- rule: r\n  condition: and proc.name=c\n  override: {condition: append}\n", "a", false),
        ("- rule: r\n  condition: or proc.name=c\n  append: true\n", "c", true),
        ("- rule: r\n  condition: evt.type=open\n  override: {condition: replace}\n", "zz", true),
        ("- rule: r\n  enabled: false\n  override: {enabled: replace}\n", "a", false),
        ("- rule: r\n  enabled: false\n", "a", false),
    ] {
        assert_eq!(fires(more, name), expected, "{more} {name}");
    }
    let merged = set(&[
        &base,
        "- rule: r\n  tags: [z, b]\n  desc: e\n  priority: debug\n  override: {tags: append, desc: append, priority: replace}\n",
    ]);
    let rule = &merged.rules()[0];
    assert_eq!(
        (rule.tags.join(","), rule.desc.as_str(), rule.priority),
        ("b,z".into(), "d e", Priority::Debug)
    );
}

#[test]
fn exceptions() {
    let with = |exceptions: &str| {
        format!(
            "{}  exceptions:\n{exceptions}",
            rule("- list: names\n  items: [n1, n2]\n", "evt.type=open and proc.name in (names, p, q)")
        )
    };
    for (exceptions, event, expected) in [
        ("  - {name: e, fields: proc.name, values: [p, x]}\n", "proc.name: p", false),
        ("  - {name: e, fields: proc.name, values: [p, x]}\n", "proc.name: q", true),
        ("  - {name: e, fields: proc.name, comps: pmatch, values: [p]}\n", "proc.name: p", false),
        ("  - {name: e, fields: proc.name, comps: startswith oneof, values: [n]}\n", "proc.name: n1", false),
        (
            "  - {name: e, fields: [proc.name, fd.name], values: [[p, /a], [q, '/b c']]}\n",
            "proc.name: p, fd.name: /a",
            false,
        ),
        (
            "  - {name: e, fields: [proc.name, fd.name], values: [[p, /a], [q, '/b c']]}\n",
            "proc.name: p, fd.name: /b",
            true,
        ),
        (
            "  - {name: e, fields: [proc.name, fd.name], values: [[p, /a], [q, '/b c']]}\n",
            "proc.name: q, fd.name: '/b c'",
            false,
        ),
        (
            "  - {name: e, fields: [proc.name, fd.name], comps: [in, startswith], values: [[names, /a]]}\n",
            "proc.name: n2, fd.name: /ab",
            false,
        ),
        (
            "  - {name: e, fields: [proc.name, fd.name], comps: [in, '='], values: [[[p, q], /a]]}\n",
            "proc.name: q, fd.name: /a",
            false,
        ),
        ("  - {name: e, fields: [proc.name]}\n", "proc.name: p", true),
        ("  - {name: e, fields: 'tolower(proc.name)', values: [p]}\n", "proc.name: p", false),
    ] {
        let rules = set(&[&with(exceptions)]);
        assert_eq!(
            !fired(&rules, &format!("evt.type: open, {event}")).is_empty(),
            expected,
            "{exceptions} {event}"
        );
    }
    let base = with("  - {name: e, fields: [proc.name], values: [[p]]}\n");
    let more = "- rule: r\n  exceptions:\n  - {name: e, values: [[q]]}\n  override: {exceptions: append}\n";
    let rules = set(&[&base, more]);
    assert!(fired(&rules, "evt.type: open, proc.name: p").is_empty());
    assert!(fired(&rules, "evt.type: open, proc.name: q").is_empty());
}

#[test]
fn errors_carry_falcos_codes_and_words() {
    let c = |condition: &str| rule("", condition);
    let head = "- rule: r\n  desc: d\n  output: o\n  condition: evt.type=open\n  priority: INFO\n";
    for (text, code, message) in [
        ("a: [", "LOAD_ERR_YAML_PARSE", ""),
        ("text", "LOAD_ERR_YAML_VALIDATE", "Rules content is not yaml"),
        ("a: b", "LOAD_ERR_YAML_VALIDATE", "Rules content is not yaml array of objects"),
        (
            "- text",
            "LOAD_ERR_YAML_VALIDATE",
            "Unexpected element type. Each element should be a yaml associative array.",
        ),
        (
            "- rule: r\n  desc: d\n  output: o\n  priority: INFO\n",
            "LOAD_ERR_YAML_VALIDATE",
            "Item has no mapping for key 'condition'",
        ),
        ("- macro: m\n  condition:\n", "LOAD_ERR_YAML_VALIDATE", "Mapping for key 'condition' is empty"),
        ("- macro: m\n  condition: [a]\n", "LOAD_ERR_YAML_VALIDATE", "Value is not a scalar value"),
        ("- macro: m\n  condition: ''\n", "LOAD_ERR_YAML_VALIDATE", "Value must be non-empty"),
        (&format!("{head}  enabled: 3\n"), "LOAD_ERR_YAML_VALIDATE", "Can't decode YAML scalar value"),
        (&head.replace("INFO", "HIGH"), "LOAD_ERR_YAML_VALIDATE", "Invalid priority"),
        (
            "- required_engine_version: 0.99.0\n",
            "LOAD_ERR_VALIDATE",
            "Rules require engine version 0.99.0, but engine version is 0.62.0",
        ),
        (
            "- required_engine_version: x\n",
            "LOAD_ERR_YAML_VALIDATE",
            "Unable to parse engine version 'x' as a semver string. Expected \"x.y.z\" semver format.",
        ),
        (
            "- required_plugin_versions: [{name: k8saudit, version: 0.1.0}]\n",
            "LOAD_ERR_VALIDATE",
            "Plugin requirement not satisfied, must load one of: k8saudit (>= 0.1.0)",
        ),
        (
            "- list: l\n  items: [a]\n  append: true\n",
            "LOAD_ERR_VALIDATE",
            "List uses 'append' or 'override.items: append' but no list by that name already exists",
        ),
        (
            "- macro: l\n  condition: a\n  override: {condition: append}\n",
            "LOAD_ERR_VALIDATE",
            "Macro uses 'append' or 'override.condition: append' but no macro by that name already exists",
        ),
        (
            "- rule: l\n  condition: a\n  override: {condition: replace}\n",
            "LOAD_ERR_VALIDATE",
            "An 'override.<key>: replace' to a rule was requested but no rule by that name already exists",
        ),
        (
            "- rule: l\n  enabled: true\n",
            "LOAD_ERR_VALIDATE",
            "Rule has 'enabled' key but no rule by that name already exists",
        ),
        (
            &format!("{head}- rule: r\n  append: true\n"),
            "LOAD_ERR_VALIDATE",
            "Appended rule must have exceptions or condition property",
        ),
        (
            &format!("{head}- rule: r\n  condition: a\n  desc: e\n  override: {{condition: append}}\n"),
            "LOAD_ERR_YAML_VALIDATE",
            "Unexpected key 'desc': no corresponding entry under 'override' is defined.",
        ),
        (
            &format!("{head}- rule: r\n  override: {{condition: append}}\n"),
            "LOAD_ERR_YAML_VALIDATE",
            "An append override for 'condition' was specified but 'condition' is not defined",
        ),
        (
            &format!("{head}- rule: r\n  priority: INFO\n  override: {{priority: append}}\n"),
            "LOAD_ERR_YAML_VALIDATE",
            "Key 'priority' cannot be appended to, use 'replace' instead",
        ),
        (
            &format!("{head}- rule: r\n  priority: INFO\n  override: {{priority: twist}}\n"),
            "LOAD_ERR_YAML_VALIDATE",
            "Invalid override operation for key 'priority': 'twist'. Allowed values are: replace",
        ),
        (
            &format!(
                "{head}- rule: r\n  source: k8s_audit\n  desc: d\n  output: o\n  condition: a.b=1\n  priority: INFO\n"
            ),
            "LOAD_ERR_VALIDATE",
            "Rule has been re-defined with a different source",
        ),
        (
            "- macro: m\n  condition: evt.type=open\n- macro: m\n  condition: and m\n  append: true\n",
            "LOAD_ERR_VALIDATE",
            "reference loop in macro 'm'",
        ),
        (
            "- macro: a\n  condition: b\n- macro: b\n  condition: evt.num=0\n",
            "LOAD_ERR_VALIDATE",
            "Undefined macro 'b' used in filter.",
        ),
        (&c("spawn_process"), "LOAD_ERR_VALIDATE", "Undefined macro 'spawn_process' used in filter."),
        (
            &c("proc.nam = x"),
            "LOAD_ERR_COMPILE_CONDITION",
            "filter_check called with nonexistent field proc.nam",
        ),
        (
            &c("container.label.app = x"),
            "LOAD_ERR_COMPILE_CONDITION",
            "filter_check called with nonexistent field container.label.app",
        ),
        (&c("evt.type = opne"), "LOAD_ERR_COMPILE_CONDITION", "unknown event type opne"),
        (&c("proc.pid = x"), "LOAD_ERR_COMPILE_CONDITION", "'x' is not a decimal number"),
        (&c("evt.num = 0x10"), "LOAD_ERR_COMPILE_CONDITION", "'0x10' is not a decimal number"),
        (&c("fd.cip = x"), "LOAD_ERR_COMPILE_CONDITION", "'x' is not an IP address"),
        (
            &c("fd.cnet = 1.2.3.4"),
            "LOAD_ERR_COMPILE_CONDITION",
            "'1.2.3.4' is not a network (address/length)",
        ),
        (&c("evt.is_open_read = 1"), "LOAD_ERR_COMPILE_CONDITION", "'1' is not a truth value (true, false)"),
        (
            &c("proc.pid contains 1"),
            "LOAD_ERR_COMPILE_CONDITION",
            "'contains' operator not supported for type INT64",
        ),
        (&c("fd.cip < 1"), "LOAD_ERR_COMPILE_CONDITION", "'<' operator not supported for type IPADDR"),
        (
            &c("proc.name bcontains 00"),
            "LOAD_ERR_COMPILE_CONDITION",
            "'bcontains' operator not supported for type CHARBUF",
        ),
        (
            &c("evt.buffer glob x"),
            "LOAD_ERR_COMPILE_CONDITION",
            "'glob' operator not supported for type BYTEBUF",
        ),
        (
            &c("evt.buffer bcontains 0g"),
            "LOAD_ERR_COMPILE_CONDITION",
            "expected an even number of hexadecimal digits",
        ),
        (
            &c("proc.pid pmatch (1)"),
            "LOAD_ERR_COMPILE_CONDITION",
            "'pmatch' operator not supported for type INT64",
        ),
        (&c("fd.types = file"), "LOAD_ERR_COMPILE_CONDITION", "'=' operator not supported for type a list"),
        (
            &c("proc.name = \"a\\x00\""),
            "LOAD_ERR_COMPILE_CONDITION",
            "a NUL byte can stand in a value for a byte buffer only",
        ),
        (
            &c("proc.name = val(fd.ip)"),
            "LOAD_ERR_COMPILE_CONDITION",
            "field fd.ip cannot be compared with another field",
        ),
        (
            &c("proc.name = val(proc.pid)"),
            "LOAD_ERR_COMPILE_CONDITION",
            "the two sides of '=' have different types",
        ),
        (
            &c("proc.name regex val(proc.exe)"),
            "LOAD_ERR_COMPILE_CONDITION",
            "'regex' takes no field on its right",
        ),
        (&c("evt.arg = x"), "LOAD_ERR_COMPILE_CONDITION", "field evt.arg needs an argument"),
        (
            &head.replace("output: o", "output: '%proc.nmae'"),
            "LOAD_ERR_COMPILE_OUTPUT",
            "unknown filter: proc.nmae",
        ),
        (
            &head.replace("output: o", "output: 100%"),
            "LOAD_ERR_COMPILE_OUTPUT",
            "'%' without a field after it",
        ),
        (
            &format!("{head}  exceptions: {{a: b}}\n"),
            "LOAD_ERR_YAML_VALIDATE",
            "Rule exceptions must be a sequence",
        ),
        (
            &format!("{head}  exceptions: [{{name: e}}]\n"),
            "LOAD_ERR_YAML_VALIDATE",
            "Item has no mapping for key 'fields': Rule exception item must have fields property with a list of fields",
        ),
        (
            &format!("{head}  exceptions: [{{name: e, fields: [proc.name], comps: [in, in]}}]\n"),
            "LOAD_ERR_VALIDATE",
            "Fields and comps lists must have equal length",
        ),
        (
            &format!("{head}  exceptions: [{{name: e, fields: [proc.x], values: []}}]\n"),
            "LOAD_ERR_VALIDATE",
            "'proc.x' is not a supported filter field",
        ),
        (
            &format!("{head}  exceptions: [{{name: e, fields: [proc.name], comps: [is], values: []}}]\n"),
            "LOAD_ERR_VALIDATE",
            "'is' is not a supported comparison operator",
        ),
        (
            &format!("{head}  exceptions: [{{name: e, fields: [proc.name], values: [[a, b]]}}]\n"),
            "LOAD_ERR_VALIDATE",
            "Fields and values lists must have equal length",
        ),
    ] {
        let (found, words) = error(&[text]);
        assert_eq!(found, code, "{text}: {words}");
        if !message.is_empty() {
            assert_eq!(words, message, "{text}");
        }
    }
}

#[test]
fn warnings_carry_falcos_codes() {
    let c = |condition: &str| rule("", condition);
    let ok = c("evt.type=open and proc.name=x");
    for (text, expected) in [
        (ok.clone(), &[][..]),
        (format!("{ok}- what: x\n"), &["LOAD_UNKNOWN_ITEM"]),
        (format!("{ok}  colour: red\n"), &["LOAD_UNKNOWN_KEY"]),
        (format!("{ok}- list: l\n  items: []\n"), &["LOAD_UNUSED_LIST"]),
        (format!("{ok}- macro: m\n  condition: evt.num=0\n"), &["LOAD_UNUSED_MACRO"]),
        (
            rule("- list: 'a=b'\n  items: []\n", "evt.type=open"),
            &["LOAD_INVALID_LIST_NAME", "LOAD_UNUSED_LIST"],
        ),
        (
            rule("- macro: 1m\n  condition: evt.num=0\n", "evt.type=open"),
            &["LOAD_INVALID_MACRO_NAME", "LOAD_UNUSED_MACRO"],
        ),
        (c("proc.name=x"), &["LOAD_NO_EVTTYPE"]),
        (format!("{}  warn_evttypes: false\n", c("proc.name=x")), &[]),
        (
            format!("{}  skip-if-unknown-filter: true\n", c("evt.type=open and proc.x=x")),
            &["LOAD_UNKNOWN_FILTER"],
        ),
        (format!("{ok}  source: k8s_audit\n"), &["LOAD_UNKNOWN_SOURCE"]),
        (format!("{ok}- rule: r\n  enabled: true\n"), &["LOAD_DEPRECATED_ITEM"]),
        (c("evt.type=open and evt.dir=<"), &["LOAD_DEPRECATED_ITEM"]),
        (ok.replace("output: o", "output: 'o %container.info'"), &["LOAD_DEPRECATED_ITEM"]),
        (c("evt.type=open and proc.name = proc.pname"), &["LOAD_COMPILE_CONDITION"]),
        (c("evt.type=open and proc.name = 'tolower(proc.pname)'"), &["LOAD_COMPILE_CONDITION"]),
        (c("evt.type=open and proc.name regex 'abc.*'"), &["LOAD_COMPILE_CONDITION"]),
        (
            format!(
                "{ok}  exceptions: [{{name: e, fields: [proc.name]}}, {{name: e, fields: [proc.name]}}]\n"
            ),
            &["LOAD_EXCEPTION_NAME_NOT_UNIQUE"],
        ),
    ] {
        assert_eq!(warnings(&[&text]), expected, "{text}");
    }
}

#[test]
fn an_error_points_into_the_file() {
    let text = rule("", "evt.type=open and\n    (proc.name = x or\n     proc.nam = y)");
    let loaded = loaded(&[&text]);
    let shown = loaded.files[0].to_string();
    assert_eq!(
        shown,
        "0.yaml: Invalid\n1 Errors:\n\
         0.yaml:8:6: filter_check called with nonexistent field proc.nam (did you mean 'proc.name'?)\n\
         In rules content: (0.yaml:1:1)\n    rule 'r': (0.yaml:1:3)\n    rule condition: (0.yaml:6:5)\n    \
         condition expression: (\"evt.type=open and...\":2:2)\n------\n     proc.nam = y)\n     ^^^^^^^^\n------\n\
         LOAD_ERR_COMPILE_CONDITION (Error compiling condition): filter_check called with nonexistent field proc.nam\n"
    );
    let entry = &loaded.json()["falco_load_results"][0]["errors"][0];
    assert_eq!(entry["code"], "LOAD_ERR_COMPILE_CONDITION");
    let places: Vec<_> =
        entry["context"]["locations"].as_array().unwrap().iter().map(|l| &l["position"]).collect();
    assert_eq!(*places[0], serde_json::json!({"name": "0.yaml", "line": 0, "column": 0, "offset": 0}));
    assert_eq!(
        *places[3],
        serde_json::json!({"name": "\"evt.type=open and...\"", "line": 2, "column": 2, "offset": 37})
    );
}

#[test]
fn an_early_file_cannot_refer_to_a_later_one() {
    let uses = rule("", "evt.type=open and m");
    let defines = "- macro: m\n  condition: proc.name=x\n";
    let loaded = loaded(&[&uses, defines]);
    assert!(loaded.rules.is_none());
    assert_eq!(loaded.files.len(), 1);
    assert!(set(&[defines, &uses]).rules().len() == 1);
    assert!(set(&["", "# only a comment\n"]).rules().is_empty());
}

#[test]
fn selections_threshold_and_what_the_sensor_cannot_see() {
    let text = "- rule: one\n  desc: d\n  output: o\n  priority: DEBUG\n  tags: [a]\n  condition: evt.type=open\n\
                - rule: two\n  desc: d\n  output: o\n  priority: ERROR\n  enabled: false\n  tags: [b]\n  condition: evt.type=open\n\
                - rule: bpf\n  desc: d\n  output: o\n  priority: ERROR\n  condition: evt.type=bpf\n\
                - rule: dns\n  desc: d\n  output: o\n  priority: ERROR\n  condition: evt.type=open and not evt.buffer=x\n\
                - rule: part\n  desc: d\n  output: o\n  priority: ERROR\n  condition: evt.type=open and (evt.buffer=x or proc.name=y)\n";
    let status = |options: Options| {
        let rules = load(&[Source::new("f", text)], &options).rules.unwrap();
        rules
            .rules()
            .iter()
            .map(|rule| match &rule.status {
                Status::Active => "on",
                Status::Disabled => "off",
                Status::BelowPriority => "below",
                Status::Inactive(_) => "blind",
                Status::Limited(_) => "part",
            })
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(status(Options::default()), "on off on on on");
    let unfilled = Sight { unfilled: FieldSet::NONE.with(Field::EvtBuffer), ..Sight::default() };
    let see = |sight: &Sight| Options { sight: sight.clone(), ..Options::default() };
    assert_eq!(status(see(&unfilled)), "on off on blind part");
    assert_eq!(
        status(Options { priority: Priority::Informational, ..see(&unfilled) }),
        "below off on blind part"
    );
    let sight = Sight { events: Some(["open".to_owned()].into_iter().collect()), ..unfilled.clone() };
    assert_eq!(status(Options { sight, ..Options::default() }), "on off blind blind part");
    let sight = Sight { hidden: unfilled.unfilled, ..Sight::default() };
    assert_eq!(status(Options { sight, ..Options::default() }), "on off on blind part");
    let selections = serde_json::from_str(
        r#"[{"disable": {"rule": "*"}}, {"enable": {"tag": "b"}}, {"enable": {"rule": "on*"}}]"#,
    )
    .unwrap();
    assert_eq!(status(Options { selections, ..see(&unfilled) }), "on on off off off");
}

#[test]
fn outputs_print_and_give_their_fields() {
    let render = |output: &str, event: &str| {
        let text = format!(
            "- rule: r\n  desc: d\n  output: >\n    {output}\n  priority: INFO\n  condition: evt.type=execve\n"
        );
        let options = Options { append_output: Vec::new(), ..Options::default() };
        let loaded = load(&[Source::new("f", text)], &options);
        let rules = loaded.rules.unwrap_or_else(|| panic!("{}", loaded.files[0]));
        let case = format!("cases:\n- name: n\n  silent: [r]\n  event: {{evt.type: execve, {event}}}\n");
        let file = cases::parse(&Source::new("c", case)).unwrap();
        let mut text = String::new();
        rules.rules()[0].output.render(&file.cases[0].event, &mut text);
        text
    };
    for (output, event, expected) in [
        ("a %proc.name b", "proc.name: x", "a x b"),
        ("%proc.name.", "proc.name: x", "x."),
        ("(%proc.name)", "proc.name: x", "(x)"),
        ("%proc.name:%proc.pid,", "proc.name: x, proc.pid: 5", "x:5,"),
        ("*%proc.name", "evt.num: 1", "<NA>"),
        ("%proc.aname[2]|%proc.aname", "proc.aname: [a, b]", "b|a b"),
        ("%evt.arg.flags %evt.arg[0]", "evt.arg: {flags: F, res: '0'}", "F 0"),
        ("%8proc.name|", "proc.name: abc", "abc     |"),
        ("%2proc.name|", "proc.name: abc", "ab|"),
        ("%toupper(proc.name)!", "proc.name: x", "X!"),
        ("%proc.is_exe_upper_layer", "proc.is_exe_upper_layer: true", "true"),
        ("%fd.sip:%fd.sport", "fd.sip: '::1', fd.sport: 53", "::1:53"),
        ("%proc.cmdline", "proc.cmdline: \"a\\nb\\u00e9\"", "a\u{fffd}bé"),
        ("🚀 %proc.name", "proc.name: x", "🚀 x"),
        ("100\\%proc.name", "proc.name: x", "100\\x"),
    ] {
        assert_eq!(render(output, event), expected, "{output}");
    }
    let rules = set(&[
        "- rule: r\n  desc: d\n  output: x %proc.aname[2] %tolower(proc.name)\n  priority: INFO\n  condition: evt.type=open\n",
    ]);
    let keys: Vec<&str> = rules.rules()[0].output.fields().map(|(key, _)| key).collect();
    let suggested = crate::rules::source::options::SUGGESTED;
    assert_eq!(keys[..2], ["proc.aname[2]", "proc.name"]);
    assert_eq!(keys[2..], suggested);
}

#[test]
fn hostile_files_are_refused_in_time() {
    let macros = |count: usize, body: &dyn Fn(usize) -> String| {
        (1..count).fold("- macro: m0\n  condition: proc.name=x\n".to_owned(), |text, n| {
            format!("{text}- macro: m{n}\n  condition: {}\n", body(n - 1))
        })
    };
    let doubling = macros(64, &|n| format!("m{n} and m{n}"));
    assert_eq!(error(&[&doubling]).0, "LOAD_ERR_COMPILE_CONDITION");
    let deep = rule("", &format!("{}evt.type=open{}", "(".repeat(200_000), ")".repeat(200_000)));
    assert_eq!(error(&[&deep]).0, "LOAD_ERR_COMPILE_CONDITION");
    let nested =
        |n: usize| format!("{}m{n}{}", "not (proc.name=a and (proc.name=b or ".repeat(200), "))".repeat(200));
    let (code, message) = error(&[&macros(90, &nested)]);
    assert_eq!(code, "LOAD_ERR_COMPILE_CONDITION");
    assert!(message.starts_with("nested deeper than"), "{message}");
    for regex in ["(((a{1000}){1000}){1000})", &"(".repeat(50_000), &"[a".repeat(50_000)] {
        let regex = rule("", &format!("evt.type=open and proc.name regex '{regex}'"));
        assert_eq!(error(&[&regex]).0, "LOAD_ERR_COMPILE_CONDITION");
    }
    let many: Vec<String> = (0..200).map(|n| format!("proc.name regex '.{{400}}{n}'")).collect();
    let (_, message) = error(&[&rule("", &format!("evt.type=open and ({})", many.join(" or ")))]);
    assert_eq!(message, "the patterns of the rules are too big together");
    let lists: Vec<String> =
        (0..40).rev().map(|n| format!("- list: l{}\n  items: [l{n}, l{n}]\n", n + 1)).collect();
    let (_, message) = error(&[&rule(&lists.concat(), "evt.type=open and proc.name in (l40)")]);
    assert!(message.contains("with its lists"), "{message}");
    let words: Vec<String> = (0..20_000).map(|n| format!("l, w{n}, ")).collect();
    let long =
        rule("- list: l\n  items: [x]\n", &format!("evt.type=open and proc.name in ({}x)", words.concat()));
    assert!(loaded(&[&long]).rules.is_some());
}

#[test]
fn conditions_a_thousand_levels_deep_are_judged() {
    let deep = rule(
        "",
        &format!("{}proc.name=x{}", "evt.type=open and (proc.name=a or (".repeat(490), "))".repeat(490)),
    );
    let rules = set(&[&deep]);
    assert_eq!(fired(&rules, "evt.type: open, proc.name: x"), ["r"]);
    assert_eq!(fired(&rules, "evt.type: open, proc.name: y"), [""; 0]);
    assert!(rules.rules()[0].compiled.len() > 10_000);
    drop(rules);
    let not = rule(
        "",
        &format!("evt.type=open and {}proc.name=x{}", "not (proc.name=y or ".repeat(490), ")".repeat(490)),
    );
    assert_eq!(fired(&set(&[&not]), "evt.type: open, proc.name: x"), ["r"]);
}
