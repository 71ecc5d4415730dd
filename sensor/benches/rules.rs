//! What judging one event costs: stock rules, and generated sets of 1, 25, 93 and 1000 rules, each with an event that
//! nothing matches and one that the last rule matches. `cargo bench --bench rules`.

use std::fmt::Write;
use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};

use falconet::rules::{
    Event, EventType, Field, FieldRef, Matching, Options, RuleSet, Scratch, Source, Value,
};
use falconet::rules::{event_types, load, stock};

/// An event whose values stand in a struct, as in the engine.
struct Opened {
    event: EventType,
    name: &'static [u8],
    comm: &'static [u8],
    write: bool,
}

impl Event for Opened {
    fn event_type(&self) -> EventType {
        self.event
    }

    fn time(&self) -> i64 {
        0
    }

    fn get(&self, field: &FieldRef) -> Option<Value<'_>> {
        match field.field {
            Field::FdName => Some(Value::Str(self.name)),
            Field::FdDirectory => Some(Value::Str(b"/usr/lib")),
            Field::FdTypechar => Some(Value::Str(b"f")),
            Field::FdNum => Some(Value::Int(3)),
            Field::ProcName => Some(Value::Str(self.comm)),
            Field::ProcPname => Some(Value::Str(b"systemd")),
            Field::ProcExepath => Some(Value::Str(b"/usr/bin/app")),
            Field::ProcCmdline => Some(Value::Str(b"app --serve --port 8080")),
            Field::ContainerId => Some(Value::Str(b"host")),
            Field::EvtIsOpenWrite => Some(Value::Bool(self.write)),
            Field::EvtIsOpenRead => Some(Value::Bool(!self.write)),
            _ => None,
        }
    }

    fn any(&self, field: &FieldRef, test: &mut dyn FnMut(Value<'_>) -> bool) -> bool {
        field.field == Field::ProcAname
            && [b"bash".as_slice(), b"sshd"].iter().any(|name| test(Value::Str(name)))
    }
}

fn opened(name: &'static [u8], write: bool) -> Opened {
    let event = event_types::by_name("openat").expect("openat is an event");
    Opened { event, name, comm: b"app", write }
}

fn rules(sources: &[Source]) -> RuleSet {
    load(sources, &Options { matching: Matching::All, ..Options::default() }).rules.expect("the rules load")
}

/// `count` rules as people write them: a shared macro, a path of their own, allowed programs of their own.
fn generated(count: usize) -> RuleSet {
    let mut text = String::from(
        "- macro: opens\n  condition: (evt.type in (open, openat, openat2) and evt.is_open_read=true and fd.typechar='f' and fd.num>=0)\n",
    );
    for n in 0..count {
        writeln!(
            text,
            "- rule: rule {n}\n  desc: d\n  output: o\n  priority: INFO\n  condition: >\n    opens and (fd.name startswith /data/{n}/ \
             or fd.directory=/etc/{n}) and not proc.name in (tool{n}, helper{n}) and not proc.cmdline contains \"--allow-{n}\""
        )
        .expect("a string takes all");
    }
    rules(&[Source::new("generated", text)])
}

fn judge(c: &mut Criterion) {
    let mut scratch = Scratch::default();
    let mut group = c.benchmark_group("judge");
    let mut run = |id: BenchmarkId, rules: &RuleSet, event: &Opened| {
        group.bench_function(id, |b| {
            b.iter(|| {
                let mut fired = 0;
                rules.evaluate(&mut scratch, black_box(event), |_| fired += 1);
                fired
            });
        });
    };
    run(BenchmarkId::new("stock", "no match"), &rules(&stock()), &opened(b"/usr/lib/libc.so.6", false));
    for count in [1, 25, 93, 1000] {
        let rules = generated(count);
        run(BenchmarkId::new("no match", count), &rules, &opened(b"/usr/lib/libc.so.6", false));
        run(BenchmarkId::new("other kind of open", count), &rules, &opened(b"/usr/lib/libc.so.6", true));
        run(BenchmarkId::new("match of the first", count), &rules, &opened(b"/data/0/x", false));
    }
    // The upstream files, where they are at hand.
    let here = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |name: &str| {
        let path = format!("shared/falco-rules/{name}");
        let text = here.ancestors().find_map(|folder| std::fs::read_to_string(folder.join(&path)).ok())?;
        Some(Source::new(name, text))
    };
    let names = ["falco_rules.yaml", "falco-incubating_rules.yaml", "falco-sandbox_rules.yaml"];
    match names.into_iter().map(read).collect::<Option<Vec<_>>>() {
        Some(sources) => {
            let rules = rules(&sources);
            run(BenchmarkId::new("upstream 93", "read"), &rules, &opened(b"/usr/lib/libc.so.6", false));
            run(BenchmarkId::new("upstream 93", "write"), &rules, &opened(b"/var/log/app.log", true));
        }
        None => println!("skipped: upstream rules: shared/falco-rules is not here"),
    }
    group.finish();
}

criterion_group!(benches, judge);
criterion_main!(benches);
