//! Frames in line: what was asked when a record came must stand in front of it in the file, though the answer comes later. So the
//! record and all after it wait in line for the answer. With nothing asked, frames go straight to the writer.

use std::collections::VecDeque;
use std::io;

use super::format::kind;
use super::write::{Weight, Writer};

/// Most bytes that wait in line.
const MAX_BYTES: usize = 32 << 20;

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// The process with this exec id.
    Process(u64),
    /// The names of users and groups in this mount namespace.
    Names(u32),
}

struct Frame {
    kind: u32,
    content: Vec<u8>,
    weight: Weight,
}

enum Place {
    Frame(Frame),
    /// Opens with the answer, which takes this place.
    Gate {
        asked: Option<Asked>,
        answers: Vec<Frame>,
    },
}

/// The line, and the file that it leads to.
pub struct Line {
    writer: Writer,
    places: VecDeque<Place>,
    bytes: usize,
    /// Records written.
    records: u64,
}

impl Line {
    pub fn new(writer: Writer) -> Self {
        Self { writer, places: VecDeque::new(), bytes: 0, records: 0 }
    }

    /// Appends a frame.
    pub fn frame(&mut self, kind: u32, content: &[u8], weight: Weight) {
        if self.places.is_empty() {
            write(&mut self.writer, &mut self.records, kind, content, weight);
        } else {
            self.bytes += content.len();
            self.places.push_back(Place::Frame(Frame { kind, content: content.into(), weight }));
        }
    }

    /// [`Line::frame`] of what is kept as JSON.
    pub fn json(&mut self, kind: u32, content: &impl serde::Serialize) {
        if let Ok(content) = serde_json::to_vec(content) {
            self.frame(kind, &content, Weight::State);
        }
    }

    /// What comes after this waits for the answer. True when something in line waits for it already.
    pub fn ask(&mut self, asked: Asked) -> bool {
        let known = self.gates().any(|(gate, _)| *gate == Some(asked));
        if !known {
            self.places.push_back(Place::Gate { asked: Some(asked), answers: Vec::new() });
        }
        known
    }

    /// There is an answer, or none to be had: a frame for the first place that waits for it, without one for the end of the line.
    /// All that wait for it go on, or wait for what is asked `next`.
    pub fn answer(&mut self, asked: Asked, frame: Option<(u32, Vec<u8>)>, next: Option<Asked>) {
        let mut frame = frame.map(|(kind, content)| Frame { kind, content, weight: Weight::State });
        for (gate, answers) in self.gates().filter(|(gate, _)| **gate == Some(asked)) {
            *gate = next;
            answers.extend(frame.take());
        }
        if let Some(Frame { kind, content, weight }) = frame {
            self.frame(kind, &content, weight);
        }
        self.advance();
    }

    /// What the first in line waits for, when there is no more room: the wait for it must end.
    pub fn overdue(&mut self) -> Option<Asked> {
        if self.bytes <= MAX_BYTES { None } else { self.gates().find_map(|(gate, _)| *gate) }
    }

    /// Everything that is waited for.
    pub fn asked(&mut self) -> Vec<Asked> {
        self.gates().filter_map(|(gate, _)| *gate).collect()
    }

    fn gates(&mut self) -> impl Iterator<Item = (&mut Option<Asked>, &mut Vec<Frame>)> {
        self.places.iter_mut().filter_map(|place| match place {
            Place::Gate { asked, answers } => Some((asked, answers)),
            Place::Frame(_) => None,
        })
    }

    /// Writes up to the first that waits.
    fn advance(&mut self) {
        while let Some(place) =
            self.places.pop_front_if(|place| !matches!(place, Place::Gate { asked: Some(_), .. }))
        {
            let frames = match place {
                Place::Frame(frame) => {
                    self.bytes -= frame.content.len();
                    vec![frame]
                }
                Place::Gate { answers, .. } => answers,
            };
            for Frame { kind, content, weight } in frames {
                write(&mut self.writer, &mut self.records, kind, &content, weight);
            }
        }
    }

    /// Hands on to the disk what has gathered.
    pub fn flush(&mut self) {
        self.writer.flush();
    }

    /// Frames left out as the disk did not keep up.
    pub fn lost(&self) -> u64 {
        self.writer.lost()
    }

    /// True when the file has its full size, or cannot be written.
    pub fn ended(&self) -> bool {
        self.writer.ended()
    }

    /// Records written so far.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// Writes the rest; returns the size of the file.
    pub fn finish(mut self) -> io::Result<u64> {
        for (gate, _) in self.gates() {
            *gate = None;
        }
        self.advance();
        self.writer.finish()
    }
}

fn write(writer: &mut Writer, records: &mut u64, kind: u32, content: &[u8], weight: Weight) {
    if writer.frame(kind, content, weight) && kind == kind::RECORD {
        *records += 1;
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::format::{Frame as Read, tests::header};
    use super::super::read::{Reader, read_all};
    use super::*;

    const A: Asked = Asked::Process(1);
    const B: Asked = Asked::Names(2);

    /// Frames are JSON numbers of clocks.
    struct Tape(tempfile::TempDir, Line);

    impl Tape {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let file = fs::File::create(dir.path().join("c")).unwrap();
            Self(dir, Line::new(Writer::create(file, &header(), u64::MAX).unwrap()))
        }

        fn put(&mut self, n: i64) {
            self.1.frame(kind::CLOCK, &clock(n), Weight::State);
        }

        fn answer(&mut self, asked: Asked, n: i64, next: Option<Asked>) {
            self.1.answer(asked, Some((kind::CLOCK, clock(n))), next);
        }

        fn read(self) -> Vec<i64> {
            self.1.finish().unwrap();
            let bytes = fs::read(self.0.path().join("c")).unwrap();
            let mut found = Vec::new();
            read_all(&mut Reader::new(&bytes[..]).unwrap(), |frame| {
                if let Read::Clock(clock) = frame {
                    found.push(clock.offset);
                }
            })
            .unwrap();
            found
        }
    }

    fn clock(n: i64) -> Vec<u8> {
        serde_json::to_vec(&super::super::format::ClockFrame { time: 0, offset: n }).unwrap()
    }

    #[test]
    fn an_answer_stands_where_it_was_asked() {
        let mut tape = Tape::new();
        tape.put(1);
        assert!(!tape.1.ask(A));
        tape.put(3);
        assert!(!tape.1.ask(B));
        assert!(tape.1.ask(A), "in line already");
        tape.put(5);
        tape.answer(B, 4, None);
        tape.put(6);
        tape.answer(A, 2, None);
        assert!(tape.1.places.is_empty() && tape.1.bytes == 0);
        tape.put(7);
        assert_eq!(tape.read(), [1, 2, 3, 4, 5, 6, 7]);
    }

    #[test]
    fn an_answer_may_lead_to_the_next_question() {
        let mut tape = Tape::new();
        tape.1.ask(A);
        tape.put(3);
        tape.1.ask(B);
        tape.put(4);
        tape.answer(A, 1, Some(B));
        assert_eq!(tape.1.asked(), [B, B]);
        tape.answer(B, 2, None);
        assert_eq!(tape.read(), [1, 2, 3, 4]);
    }

    #[test]
    fn what_nobody_asked_comes_last_and_what_is_not_answered_keeps_nothing() {
        let mut tape = Tape::new();
        tape.1.ask(A);
        tape.put(1);
        tape.answer(B, 2, None);
        tape.1.answer(A, None, None);
        tape.1.ask(A);
        tape.put(3);
        assert_eq!(tape.read(), [1, 2, 3], "the end waits for nobody");
    }

    #[test]
    fn the_line_is_bounded() {
        let mut tape = Tape::new();
        tape.1.ask(A);
        tape.1.ask(B);
        while tape.1.overdue().is_none() {
            tape.1.frame(99, &vec![0; 1 << 20], Weight::State);
        }
        assert!(tape.1.bytes <= MAX_BYTES + (1 << 20));
        assert_eq!(tape.1.overdue(), Some(A), "the first in line");
    }
}
