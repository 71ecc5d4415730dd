//! Readers of bytes: what comes out of the kernel's ring, and captures.

use std::fmt::Write;
use std::mem::offset_of;
use std::sync::{Arc, LazyLock};

use falconet::capture::format::{self, Frame, Header, Watched};
use falconet::capture::player::Only;
use falconet::capture::{Player, Reader, read, write};
use falconet::engine::extract::UNFILLED;
use falconet::engine::raise::TextOptions;
use falconet::rules::registry::fields::{FIELDS, Flags};
use falconet::rules::{self, Options, RuleSet, Source};
use sensor_ebpf::events::EVENTS;
use sensor_ebpf::record::{Header as RecordHeader, Record};
use zerocopy::IntoBytes as _;

/// A rule for every event that asks for every field that can be had.
static RULES: LazyLock<Arc<RuleSet>> = LazyLock::new(|| {
    let mut output = String::new();
    for info in FIELDS.iter().filter(|info| !UNFILLED.contains(info.field) && !info.flags.has(Flags::FILTER))
    {
        let argument = if !info.flags.takes_argument() {
            ""
        } else if info.flags.has(Flags::INDEX) {
            "[1]"
        } else {
            "[HOME]"
        };
        if !info.flags.has(Flags::DOTTED) {
            let _ = write!(output, "%{}{argument} ", info.name);
        }
        if !info.flags.has(Flags::REQUIRED) {
            let _ = write!(output, "%{} ", info.name);
        }
    }
    for at in 0..12 {
        let _ = write!(output, "%evt.arg[{at}] ");
    }
    let conditions = [
        "evt.type exists",
        "evt.type exists and (proc.aname = x or fd.net = 10.0.0.0/8 or fd.port < 1024 or fd.ip = 1.1.1.1 or proc.acmdline contains a)",
        "evt.type exists and evt.rawarg.res < 0 and evt.rawarg.fd >= 0 and fd.name pmatch (/etc)",
    ];
    let mut rules = String::new();
    for (n, condition) in conditions.iter().enumerate() {
        let _ = writeln!(
            rules,
            "- rule: r{n}\n  desc: d\n  priority: INFO\n  condition: {condition}\n  output: '{output}'"
        );
    }
    let loaded = rules::load(&[Source::new("records.yaml", rules)], &Options::default());
    match loaded.rules {
        Some(rules) => Arc::new(rules),
        None => wrong(&loaded.files.iter().map(ToString::to_string).collect::<String>()),
    }
});

#[expect(clippy::panic, reason = "a panic is how a target fails")]
fn wrong(report: &str) -> ! {
    panic!("the rules of this target do not load: {report}")
}

static HEADER: LazyLock<Header> = LazyLock::new(|| Header {
    falconet: "0".to_owned(),
    hostname: "h".to_owned(),
    kernel: String::new(),
    machine: String::new(),
    started: 1_700_000_000_000_000_000,
    boot: 1_000_000_000_000,
    host_mntns: 1,
    filtered: false,
    environment: true,
    containers: Vec::new(),
    header_layout: format::HEADER_LAYOUT,
    process_layout: format::PROCESS_LAYOUT,
    events: EVENTS
        .iter()
        .map(|event| Watched {
            kind: event.kind as u16,
            program: event.program.to_owned(),
            name: event.info.name().map(str::to_owned),
            layout: format::Layout(event.info.layout),
        })
        .collect(),
});

fn player(header: &Header) -> Player {
    Player::new(header, RULES.clone(), TextOptions::default(), Only::default())
}

/// Records: for each one a byte for its kind, two for its length, and its bytes as they are, but for kind and length in the
/// header; with the first byte's high bit they stay too.
pub fn events(bytes: &[u8]) {
    let mut player = player(&HEADER);
    let mut rest = bytes;
    // Records are aligned in the ring.
    let mut room = vec![0u64; 8192];
    while let [kind, low, high, after @ ..] = rest {
        let len = usize::from(u16::from_le_bytes([*low, *high])).min(after.len());
        let (content, more) = after.split_at(len);
        rest = more;
        let mut record = content.to_vec();
        if kind & 0x80 == 0 && record.len() >= size_of::<RecordHeader>() {
            let number = u16::from(*kind) % (u16::try_from(EVENTS.len()).unwrap_or(0) + 2);
            let (at, of_kind) = (offset_of!(RecordHeader, len), offset_of!(RecordHeader, kind));
            record[at..at + 4].copy_from_slice(&u32::try_from(len).unwrap_or(0).to_le_bytes());
            record[of_kind..of_kind + 2].copy_from_slice(&number.to_le_bytes());
        }
        for (word, chunk) in room.iter_mut().zip(record.chunks(8)) {
            let mut bytes = [0; 8];
            bytes[..chunk.len()].copy_from_slice(chunk);
            *word = u64::from_ne_bytes(bytes);
        }
        // 64 KiB are more than two bytes can count.
        if let Some(record) = room.as_bytes().get(..len).and_then(Record::parse) {
            player.frame(&Frame::Record(record));
        }
        player.take();
    }
}

fn play(file: &[u8]) {
    let Ok(mut reader) = Reader::new(file) else { return };
    let mut player = player(reader.header());
    let end = read::read_all(&mut reader, |frame| {
        player.frame(frame);
        player.take();
    });
    if let Err(error) = end {
        drop(error.to_string());
    }
}

/// A capture as it is, or, when the bytes do not begin as one, the content of its blocks: checksums and compression would
/// keep nearly everything from being read.
pub fn capture(bytes: &[u8]) {
    if bytes.starts_with(&format::MAGIC) {
        return play(bytes);
    }
    let Ok(mut file) = write::header_bytes(&HEADER) else { return };
    let mut packer = write::Packer::new();
    for block in bytes.chunks(4096) {
        let Ok(packed) = packer.pack(block) else { return };
        file.extend_from_slice(packed);
    }
    play(&file);
}
