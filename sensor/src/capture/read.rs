//! Reads a capture block by block. Every length is checked before it is believed, so that any bytes can be given: the worst
//! that comes of them is an error that says where.

use std::io::{self, Read};
use std::panic::resume_unwind;
use std::sync::mpsc::sync_channel;
use std::thread;

use flate2::{Crc, Decompress, FlushDecompress, Status};
use sensor_ebpf::record::Record;
use serde::de::DeserializeOwned;
use zerocopy::IntoBytes as _;

use super::format::{
    BLOCK_HEAD, BLOCK_MAGIC, BLOCK_MAX, CaptureError, FRAME_HEAD, FRAME_MAX, Frame, HEADER_MAX, Header,
    MAGIC, VERSION, kind, process,
};

/// Most bytes of metadata of containers and users that one capture may have: they are kept.
const KEPT_MAX: u64 = 1 << 30;
/// Where a record's kind stands in it.
const KIND_AT: usize = std::mem::offset_of!(sensor_ebpf::record::Header, kind);

/// A capture that is being read.
pub struct Reader<R> {
    input: R,
    header: Header,
    kinds: Vec<Option<u16>>,
    /// Bytes read so far: the end of the last whole block.
    offset: u64,
    inflate: Decompress,
    packed: Vec<u8>,
    kept: u64,
}

impl<R: Read> Reader<R> {
    /// Reads the header.
    pub fn new(mut input: R) -> Result<Self, CaptureError> {
        let mut head = [0; 20];
        let filled = fill(&mut input, &mut head, 0)?;
        if head[..8] != MAGIC {
            return Err(CaptureError::NoCapture);
        }
        if filled < head.len() {
            return Err(CaptureError::Truncated { offset: 0 });
        }
        let [version, len, sum] = words(&head[8..]);
        if version != VERSION {
            return Err(CaptureError::Version { found: version });
        }
        if len > HEADER_MAX {
            return Err(CaptureError::Damaged { offset: 12, what: "the header is too long" });
        }
        let mut text = Vec::new();
        take(&mut input, len, &mut text, 20)?;
        if checksum(&text) != sum {
            return Err(CaptureError::Damaged { offset: 20, what: "the header's checksum is wrong" });
        }
        let header: Header = serde_json::from_slice(&text).map_err(|_| CaptureError::Damaged {
            offset: 20,
            what: "the header does not say what it should",
        })?;
        let kinds = header.kinds()?;
        Ok(Self {
            input,
            header,
            kinds,
            offset: 20 + u64::from(len),
            inflate: Decompress::new(false),
            packed: Vec::new(),
            kept: 0,
        })
    }

    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The end of the last whole block.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The next block into `block`; false at the end of the file.
    pub fn next(&mut self, block: &mut Block) -> Result<bool, CaptureError> {
        let mut head = [0; BLOCK_HEAD];
        match fill(&mut self.input, &mut head, self.offset)? {
            0 => return Ok(false),
            BLOCK_HEAD => {}
            _ => return Err(CaptureError::Truncated { offset: self.offset }),
        }
        let [magic, packed, plain, sum] = words(&head);
        let damaged = |what| CaptureError::Damaged { offset: self.offset, what };
        if magic != BLOCK_MAGIC {
            return Err(damaged("no block begins here"));
        }
        if plain > BLOCK_MAX || packed > BLOCK_MAX + BLOCK_MAX / 1024 {
            return Err(damaged("a block is too long"));
        }
        self.packed.clear();
        take(&mut self.input, packed, &mut self.packed, self.offset)?;
        if checksum(&self.packed) != sum {
            return Err(damaged("a block's checksum is wrong"));
        }
        block.offset = self.offset;
        let bytes = block.resize(plain as usize);
        self.inflate.reset(false);
        let status = self.inflate.decompress(&self.packed, bytes, FlushDecompress::Finish);
        if !matches!(status, Ok(Status::StreamEnd)) || self.inflate.total_out() != u64::from(plain) {
            return Err(damaged("a block cannot be unpacked"));
        }
        self.kept += check(bytes, &self.kinds).map_err(damaged)?;
        if self.kept > KEPT_MAX {
            return Err(damaged("there is more about containers and users than a gigabyte"));
        }
        self.offset += BLOCK_HEAD as u64 + u64::from(packed);
        Ok(true)
    }
}

/// Blocks that are unpacked ahead.
const AHEAD: usize = 4;

/// Hands every frame to `each`, up to the end or to where the capture cannot be read further. The next blocks are read and
/// unpacked meanwhile, by a thread.
pub fn read_all<R: Read + Send>(
    reader: &mut Reader<R>,
    mut each: impl FnMut(&Frame<'_>),
) -> Result<(), CaptureError> {
    let (full, blocks) = sync_channel::<Block>(AHEAD);
    let (emptied, spare) = sync_channel::<Block>(AHEAD);
    thread::scope(|scope| {
        let reading = scope.spawn(move || {
            loop {
                let mut block = spare.try_recv().unwrap_or_default();
                // A send fails when a frame was wrong: nobody reads on.
                if !reader.next(&mut block)? || full.send(block).is_err() {
                    return Ok(());
                }
            }
        });
        for block in blocks {
            for frame in block.frames() {
                each(&frame?);
            }
            // With enough spare ones this one is not needed.
            let _ = emptied.try_send(block);
        }
        reading.join().unwrap_or_else(|panic| resume_unwind(panic))
    })
}

/// The frames of one block. Can be used again for the next.
#[derive(Default)]
pub struct Block {
    /// Words, so that records are aligned.
    words: Vec<u64>,
    len: usize,
    offset: u64,
}

impl Block {
    fn resize(&mut self, len: usize) -> &mut [u8] {
        self.words.resize(len.div_ceil(8), 0);
        self.len = len;
        self.words.as_mut_bytes().split_at_mut(len).0
    }

    fn bytes(&self) -> &[u8] {
        self.words.as_bytes().get(..self.len).unwrap_or_default()
    }

    /// The frames in order.
    pub fn frames(&self) -> impl Iterator<Item = Result<Frame<'_>, CaptureError>> {
        let damaged = |what| CaptureError::Damaged { offset: self.offset, what };
        Frames(self.bytes())
            .map(move |(kind, bytes)| frame(kind, bytes).ok_or_else(|| damaged("a frame is wrong")))
    }
}

/// Kind and content of one frame after the other; ends where something is wrong.
struct Frames<'a>(&'a [u8]);

impl<'a> Iterator for Frames<'a> {
    type Item = (u32, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (head, rest) = self.0.split_at_checked(FRAME_HEAD)?;
        let [kind, len] = words(head);
        let padded = usize::try_from(len).ok()?.checked_next_multiple_of(8)?;
        let (content, rest) = rest.split_at_checked(padded)?;
        self.0 = rest;
        Some((kind, content.get(..len as usize)?))
    }
}

/// Looks at every frame of a block and gives its records the kinds that they have here. Returns the bytes of what is kept.
fn check(bytes: &mut [u8], kinds: &[Option<u16>]) -> Result<u64, &'static str> {
    let (mut at, mut kept) = (0, 0);
    while at < bytes.len() {
        let head = bytes.get(at..at + FRAME_HEAD).ok_or("a frame is cut off")?;
        let [kind, len] = words(head);
        at += FRAME_HEAD;
        if len > FRAME_MAX {
            return Err("a frame is too long");
        }
        let len = len as usize;
        let content = bytes.get_mut(at..at + len).ok_or("a frame is cut off")?;
        match kind {
            kind::RECORD => {
                let number = content.get_mut(KIND_AT..KIND_AT + 2).ok_or("a record is too short")?;
                let old = usize::from(u16::from_le_bytes([number[0], number[1]]));
                let new =
                    kinds.get(old).copied().flatten().ok_or("a record is of a kind that was not watched")?;
                number.copy_from_slice(&new.to_le_bytes());
            }
            kind::CGROUP | kind::MEMBER | kind::CONTAINER | kind::NAMES => kept += len as u64,
            _ => {}
        }
        at += len.next_multiple_of(8);
    }
    if at == bytes.len() { Ok(kept) } else { Err("a frame is cut off") }
}

fn frame(kind: u32, bytes: &[u8]) -> Option<Frame<'_>> {
    Some(match kind {
        kind::RECORD => Frame::Record(Record::parse(bytes)?),
        kind::PROCESS => Frame::Process(process(bytes)?),
        kind::CGROUP => Frame::Cgroup(json(bytes)?),
        kind::MEMBER => Frame::Member(json(bytes)?),
        kind::CONTAINER => Frame::Container(json(bytes)?),
        kind::NAMES => Frame::Names(json(bytes)?),
        kind::CLOCK => Frame::Clock(json(bytes)?),
        kind::LOST => Frame::Lost(json(bytes)?),
        kind::END => Frame::End(json(bytes)?),
        _ => Frame::Unknown,
    })
}

fn json<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    serde_json::from_slice(bytes).ok()
}

pub(super) fn checksum(bytes: &[u8]) -> u32 {
    let mut crc = Crc::new();
    crc.update(bytes);
    crc.sum()
}

/// Little-endian words.
fn words<const N: usize>(bytes: &[u8]) -> [u32; N] {
    let mut words = [0; N];
    for (word, bytes) in words.iter_mut().zip(bytes.as_chunks().0) {
        *word = u32::from_le_bytes(*bytes);
    }
    words
}

/// Fills as much of `buffer` as there is.
fn fill(input: &mut impl Read, buffer: &mut [u8], offset: u64) -> Result<usize, CaptureError> {
    let mut filled = 0;
    while filled < buffer.len() {
        match input.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(cause) => return Err(CaptureError::Read { offset, cause }),
        }
    }
    Ok(filled)
}

/// `len` bytes into `buffer`, which grows only as far as there are some.
fn take(input: &mut impl Read, len: u32, buffer: &mut Vec<u8>, offset: u64) -> Result<(), CaptureError> {
    let got = input.take(len.into()).read_to_end(buffer);
    match got.map_err(|cause| CaptureError::Read { offset, cause })? {
        got if got == len as usize => Ok(()),
        _ => Err(CaptureError::Truncated { offset }),
    }
}
