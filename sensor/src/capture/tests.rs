//! Captures made by hand: read back, cut, damaged, played.

use std::fs;
use std::mem::offset_of;
use std::sync::Arc;

use proptest::prelude::*;
use sensor_ebpf::events::open::Opened;
use sensor_ebpf::events::{EVENTS, Kind};
use sensor_ebpf::record::{Fd, Header as RecordHeader, Tail};

use super::compare::{Compare, Difference};
use super::format::tests::header;
use super::format::{
    BLOCK_MAX, CaptureError, CgroupFrame, ClockFrame, ContainerFrame, End, FRAME_MAX, Frame, Happened,
    Header, kind, process_bytes,
};
use super::player::{Only, Player, number};
use super::read::{Reader, read_all};
use super::write::{Packer, Weight, Writer, header_bytes};
use crate::alert::Alert;
use crate::engine::raise::TextOptions;
use crate::rules::{self, RuleSet, Source};
use crate::state::containers::Runtime;
use crate::state::containers::cgroup::Candidate;
use crate::state::testing::{Made, Who, record};
use crate::state::users::User;
use crate::state::{Container, Listing, Process};

const SHELL: Who = Who { pid: 100, start: 5 };
const CAT: Who = Who { pid: 101, start: 6 };

/// The open of a file, in cgroup 7.
fn open(who: Who, time: u64, path: &str) -> Made {
    let mut header = who.header(time);
    header.cgroup = 7;
    record(Kind::Openat, header, &[path.as_bytes()], |tails| Opened {
        ret: 3,
        file: Fd { ino: 1, dev: 1, kind: b'f', path: tails[0], ..Fd::NONE },
        resolve: 0,
        flags: 0,
        mode: 0,
        dirfd: -100,
        created: 0,
        raw: tails[0],
        base: Tail::EMPTY,
    })
}

/// A file in the making.
struct Tape {
    dir: tempfile::TempDir,
    writer: Writer,
}

impl Tape {
    fn new() -> Self {
        Self::with(&header(), u64::MAX)
    }

    fn with(header: &Header, max: u64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let file = fs::File::create(dir.path().join("capture")).unwrap();
        Self { dir, writer: Writer::create(file, header, max).unwrap() }
    }

    fn record(&mut self, made: &Made) {
        assert!(self.writer.frame(kind::RECORD, made.record().bytes(), Weight::Event));
    }

    fn bytes(self) -> Vec<u8> {
        let size = self.writer.finish().unwrap();
        let bytes = fs::read(self.dir.path().join("capture")).unwrap();
        assert_eq!(bytes.len() as u64, size);
        bytes
    }
}

/// A shell that was there before starts a program in a container; its metadata comes after its first event.
fn story() -> Tape {
    let mut tape = Tape::new();
    let mut shell = Process::unknown(SHELL.exec_id(), SHELL.pid);
    shell.task = SHELL.task(Who { pid: 1, start: 0 }, "sh");
    tape.writer.frame(kind::PROCESS, &process_bytes(&shell, true), Weight::State);
    tape.record(&CAT.fork(7, CAT.task(SHELL, "sh")));
    tape.record(&CAT.exec(8, CAT.task(SHELL, "cat"), "/bin/cat", b"cat\0/etc/shadow\0"));
    let id = "c".repeat(64);
    let candidate = Candidate { id: id.clone(), runtime: Runtime::Docker, namespace: None, doubtful: false };
    tape.writer.json(kind::CGROUP, &CgroupFrame { cgroup: 7, container: 1, candidate, outer: None });
    tape.record(&open(CAT, 9, "/etc/shadow"));
    tape.writer.flush();
    let user = User { name: "admin".into(), home: "/root".into(), shell: "/bin/sh".into() };
    let users = Some([(0, user)].into());
    tape.writer.json(kind::NAMES, &Listing { mntns: 1, users, groups: None });
    let metadata = Container { id: id[..12].into(), full_id: id, name: "web".into(), ..Container::default() };
    let ready = ContainerFrame {
        container: 1,
        happened: Happened::Ready,
        time: 9_500_000_000,
        metadata: Some(Box::new(metadata)),
    };
    tape.writer.json(kind::CONTAINER, &ready);
    tape.writer.json(kind::CLOCK, &ClockFrame { time: 9_600_000_000, offset: 1_700_000_000_000_000_000 });
    tape.writer.frame(99, b"of a later version", Weight::State);
    tape.record(&open(CAT, 10, "/tmp/x"));
    tape.writer.json(kind::END, &End { time: 11_000_000_000, records: 4 });
    tape
}

fn rules(text: &str) -> Arc<RuleSet> {
    let options = rules::Options { append_output: Vec::new(), ..rules::Options::default() };
    let loaded = rules::load(&[Source::new("r.yaml", text)], &options);
    Arc::new(loaded.rules.unwrap_or_else(|| panic!("{:?}", loaded.files)))
}

const RULES: &str = "
- rule: read
  desc: d
  condition: evt.type = openat and fd.name = /etc/shadow and proc.pname = sh
  output: x %fd.name %container.name %user.name %proc.cmdline %evt.num
  priority: INFO
- rule: started
  desc: d
  condition: evt.type = container
  output: started %container.name %evt.rawtime
  priority: INFO
";

fn play(bytes: &[u8], rules: Arc<RuleSet>) -> (Vec<Alert>, Result<(), CaptureError>) {
    let mut reader = Reader::new(bytes).unwrap();
    let mut player = Player::new(reader.header(), rules, TextOptions { iso_8601: true }, Only::default());
    let ended = read_all(&mut reader, |frame| player.frame(frame));
    (player.take(), ended)
}

#[test]
fn a_replay_says_what_the_sensor_would_have_said() {
    let (alerts, ended) = play(&story().bytes(), rules(RULES));
    ended.unwrap();
    let text: Vec<&str> = alerts.iter().map(|a| a.output.as_str()).collect();
    // The event that waited for its container comes after its start, as with the sensor. Events count from 1: exec, open,
    // container. The times are the capture's.
    assert_eq!(
        text,
        [
            "2023-11-14T22:13:28.500000000+0000: Informational started web 1700000008500000000",
            "2023-11-14T22:13:28.000000000+0000: Informational x /etc/shadow web admin cat /etc/shadow 2",
        ]
    );
    assert_eq!(alerts.iter().filter_map(number).collect::<Vec<_>>(), [3, 2]);
    assert!(alerts.iter().all(|a| a.hostname == "node1"));
}

/// Captures of this version that were made before are still read. After a change of a record's layout they cannot be: run this
/// test with `FALCONET_REGENERATE=1` then, and check the file in.
#[test]
fn the_capture_that_is_checked_in_is_read() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/captures/story.capture");
    if std::env::var_os("FALCONET_REGENERATE").is_some() {
        fs::write(path, story().bytes()).unwrap();
    }
    let bytes = fs::read(path).unwrap();
    let (alerts, ended) = play(&bytes, rules(RULES));
    ended.unwrap();
    let now: Vec<String> = play(&story().bytes(), rules(RULES)).0.into_iter().map(|a| a.output).collect();
    assert_eq!(alerts.into_iter().map(|a| a.output).collect::<Vec<_>>(), now);
}

#[test]
fn every_cut_is_told_and_what_is_before_it_is_read() {
    let bytes = story().bytes();
    let all = frames(&bytes).0;
    let mut told = 0;
    for len in 0..bytes.len() {
        match Reader::new(&bytes[..len]) {
            Err(CaptureError::NoCapture) => assert!(len < 8),
            Err(error) => assert!(
                matches!(error, CaptureError::Truncated { .. } | CaptureError::Damaged { .. }),
                "{error}"
            ),
            Ok(_) => {
                let (count, ended) = frames(&bytes[..len]);
                assert!(count <= all);
                if let Err(error) = ended {
                    told += 1;
                    let CaptureError::Truncated { offset } = error else { panic!("{len}: {error}") };
                    assert!(usize::try_from(offset).unwrap() <= len);
                }
            }
        }
    }
    // Two blocks: every length inside of them was told, and at their ends nothing is missing that one could know of.
    assert!(told > 100, "{told}");
}

fn frames(bytes: &[u8]) -> (usize, Result<(), CaptureError>) {
    let mut count = 0;
    let ended = Reader::new(bytes).and_then(|mut reader| read_all(&mut reader, |_| count += 1));
    (count, ended)
}

#[test]
fn every_changed_byte_is_told() {
    let bytes = story().bytes();
    for at in 0..bytes.len() {
        let mut bytes = bytes.clone();
        bytes[at] ^= 0x10;
        assert!(frames(&bytes).1.is_err(), "byte {at}");
    }
}

/// A capture of one block with these bytes.
fn packed(block: &[u8]) -> Vec<u8> {
    let mut bytes = header_bytes(&header()).unwrap();
    bytes.extend_from_slice(Packer::new().pack(block).unwrap());
    bytes
}

#[test]
fn lengths_are_not_believed() {
    let damage = |bytes: &[u8]| match frames(bytes).1 {
        Err(CaptureError::Damaged { what, .. }) => what,
        other => panic!("{other:?}"),
    };
    let frame = |kind: u32, len: u32| [kind.to_le_bytes(), len.to_le_bytes()].concat();
    assert_eq!(damage(&packed(&frame(kind::END, FRAME_MAX + 1))), "a frame is too long");
    assert_eq!(damage(&packed(&frame(kind::END, 5))), "a frame is cut off");
    assert_eq!(damage(&packed(&[0; 3])), "a frame is cut off");
    assert_eq!(damage(&packed(&[frame(kind::RECORD, 8), vec![0; 8]].concat())), "a record is too short");
    assert_eq!(
        damage(&packed(&[frame(kind::RECORD, 88), vec![0; 88]].concat())),
        "a record is of a kind that was not watched"
    );
    assert_eq!(
        damage(&packed(&[frame(kind::END, 2), b"no".to_vec(), vec![0; 6]].concat())),
        "a frame is wrong"
    );

    // A block that says it becomes larger than it does, or than any may.
    let good = header_bytes(&header()).unwrap().len();
    for (plain, says) in [(64u32, "a block cannot be unpacked"), (BLOCK_MAX + 1, "a block is too long")] {
        let mut bytes = packed(&frame(99, 0));
        bytes[good + 8..good + 12].copy_from_slice(&plain.to_le_bytes());
        assert_eq!(damage(&bytes), says);
    }
    let mut bytes = packed(&frame(99, 0));
    bytes[good + 4..good + 8].copy_from_slice(&u32::MAX.to_le_bytes());
    assert_eq!(damage(&bytes), "a block is too long");
    let mut bytes = header_bytes(&header()).unwrap();
    bytes[12..16].copy_from_slice(&u32::MAX.to_le_bytes());
    assert!(matches!(frames(&bytes).1, Err(CaptureError::Damaged { offset: 12, .. })));
    bytes[8] = 2;
    assert!(matches!(frames(&bytes).1, Err(CaptureError::Version { found: 2 })));
}

proptest! {
    #[test]
    fn any_bytes_are_read(bytes: Vec<u8>, block in prop::collection::vec(any::<u8>(), 0..2000)) {
        let _ = frames(&bytes);
        let _ = frames(&packed(&block));
    }

    #[test]
    fn any_frames_are_played(
        all in prop::collection::vec((1u32..10, prop::collection::vec(any::<u8>(), 0..400)), 0..20),
        kinds in prop::collection::vec(1..u8::try_from(EVENTS.len() + 2).unwrap(), 20),
    ) {
        let mut block = Vec::new();
        for ((kind, mut content), record) in all.into_iter().zip(kinds) {
            if kind == kind::RECORD && content.len() >= size_of::<RecordHeader>() {
                // A record that says its right length and kind, and is otherwise anything.
                let len = u32::try_from(content.len()).unwrap();
                let (at, of_kind) = (offset_of!(RecordHeader, len), offset_of!(RecordHeader, kind));
                content[at..at + 4].copy_from_slice(&len.to_le_bytes());
                content[of_kind..of_kind + 2].copy_from_slice(&[record, 0]);
            }
            block.extend_from_slice(&kind.to_le_bytes());
            block.extend_from_slice(&u32::try_from(content.len()).unwrap().to_le_bytes());
            block.extend_from_slice(&content);
            block.resize(block.len().next_multiple_of(8), 0);
        }
        let all = "- rule: all\n  desc: d\n  condition: evt.num >= 0\n  output: \"%evt.args %proc.cmdline %fd.name %proc.aname[2]\"\n  priority: INFO\n";
        let _ = play(&packed(&block), rules(all));
    }
}

#[test]
fn kinds_of_another_numbering_are_understood() {
    let mut other = header();
    for (i, event) in other.events.iter_mut().enumerate() {
        event.kind = 300 - u16::try_from(i).unwrap();
    }
    let openat = other.events.iter().find(|e| e.program == "openat").unwrap().kind;
    let mut tape = Tape::with(&other, u64::MAX);
    let made = open(CAT, 9, "/etc/shadow");
    let mut bytes = made.record().bytes().to_vec();
    let at = std::mem::offset_of!(sensor_ebpf::record::Header, kind);
    bytes[at..at + 2].copy_from_slice(&openat.to_le_bytes());
    tape.writer.frame(kind::RECORD, &bytes, Weight::Event);
    let bytes = tape.bytes();
    let mut kinds = Vec::new();
    read_all(&mut Reader::new(&bytes[..]).unwrap(), |frame| {
        if let Frame::Record(record) = frame {
            kinds.push(record.header().kind);
        }
    })
    .unwrap();
    assert_eq!(kinds, [Kind::Openat as u16]);
}

#[test]
fn alerts_are_chosen_by_rule_and_container() {
    let bytes = story().bytes();
    for (rule, container, count) in [
        ("", "", 2),
        ("read", "", 1),
        ("", "web", 2),
        ("", "ccc", 2),
        ("", &"c".repeat(64), 2),
        ("", "db", 0),
        ("x", "web", 0),
    ] {
        let some = |text: &str| Some(text.to_owned()).filter(|t| !t.is_empty()).into_iter().collect();
        let only = Only { rules: some(rule), containers: some(container) };
        let mut reader = Reader::new(&bytes[..]).unwrap();
        let mut player = Player::new(reader.header(), rules(RULES), TextOptions::default(), only);
        read_all(&mut reader, |frame| player.frame(frame)).unwrap();
        assert_eq!(player.take().len(), count, "{rule} {container}");
    }
}

#[test]
fn a_full_file_takes_no_more_events() {
    let mut tape = Tape::with(&header(), 1);
    tape.record(&open(CAT, 9, "/x"));
    tape.writer.flush();
    while !tape.writer.ended() {
        std::thread::yield_now();
    }
    assert!(!tape.writer.frame(kind::RECORD, open(CAT, 9, "/y").record().bytes(), Weight::Event));
    tape.writer.json(kind::END, &End::default());
    assert_eq!(tape.writer.lost(), 0, "that is no loss");
    assert_eq!(frames(&tape.bytes()).0, 2);
}

#[test]
fn two_rule_sets_are_compared() {
    let bytes = story().bytes();
    let mut reader = Reader::new(&bytes[..]).unwrap();
    let edited = RULES
        .replace("fd.name = /etc/shadow", "fd.name in (/etc/shadow, /tmp/x)")
        .replace("started %", "made %");
    let player =
        |text: &str| Player::new(reader.header(), rules(text), TextOptions::default(), Only::default());
    let mut compare = Compare::new(player(RULES), player(&edited));
    let mut found = Vec::new();
    read_all(&mut reader, |frame| found.extend(compare.frame(frame))).unwrap();
    assert!(
        matches!(&found[..], [Difference::Changed(both), Difference::New(_)] if both.1.output.contains("made web"))
    );
    let counts = compare.counts();
    assert_eq!((counts["read"].same, counts["read"].new, counts["started"].changed), (1, 1, 1));
}
