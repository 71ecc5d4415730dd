//! Writes a capture: frames gather in a block, full blocks are compressed and written by a thread of its own.
//!
//! The event thread never waits: when the disk does not keep up and the queue is full, records of system calls are left out and
//! counted. What the state is made of (processes, containers, names, the life of processes) still goes into the block at
//! hand, up to a limit, as everything after it depends on it.
//!
//! The file is whole up to its last block at any time. When it cannot be written further (a full disk), what was begun of a
//! block is taken back and the recording ends.

use std::fs::File;
use std::io::{self, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use flate2::{Compress, Compression, FlushCompress, Status};
use serde::Serialize;

use super::format::{BLOCK_HEAD, BLOCK_MAGIC, FRAME_MAX, Header, MAGIC, VERSION};
use super::read::checksum;

/// A block that has this size is handed on.
const BLOCK: usize = 512 << 10;
/// How large it may become with what must not be lost, while the queue is full.
const BLOCK_LIMIT: usize = 12 << 20;
/// Blocks that wait at most.
const QUEUE: usize = 32;

/// How much a frame matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    /// One event more or less.
    Event,
    /// Everything after it depends on it.
    State,
}

/// The event thread's end of a file.
pub struct Writer {
    block: Vec<u8>,
    blocks: SyncSender<Vec<u8>>,
    /// Blocks that were written, to be filled again.
    spare: Receiver<Vec<u8>>,
    shared: Arc<Shared>,
    thread: JoinHandle<io::Result<()>>,
    lost: u64,
}

/// What both threads see.
#[derive(Default)]
struct Shared {
    /// Bytes in the file.
    written: AtomicU64,
    /// Nothing more will be written.
    ended: AtomicBool,
}

impl Writer {
    /// Writes the header into `file`, which is empty, and starts the thread. From `max` bytes on, [`Writer::ended`] is true.
    pub fn create(mut file: File, header: &Header, max: u64) -> io::Result<Self> {
        let head = header_bytes(header)?;
        file.write_all(&head)?;
        let shared = Arc::new(Shared::default());
        shared.written.store(head.len() as u64, Ordering::Relaxed);
        let (blocks, queue) = sync_channel::<Vec<u8>>(QUEUE);
        let (emptied, spare) = sync_channel(QUEUE);
        let theirs = shared.clone();
        let thread = std::thread::Builder::new().name("capture".into()).spawn(move || {
            let mut out = Out { file, shared: theirs, packer: Packer::new(), max };
            for mut block in queue {
                if !block.is_empty() {
                    out.write(&block)?;
                }
                block.clear();
                // With enough spare ones this one is not needed.
                let _ = emptied.try_send(block);
            }
            Ok(())
        })?;
        Ok(Self { block: Vec::with_capacity(BLOCK + BLOCK / 4), blocks, spare, shared, thread, lost: 0 })
    }

    /// Appends a frame. False when it had to be left out.
    pub fn frame(&mut self, kind: u32, content: &[u8], weight: Weight) -> bool {
        if weight == Weight::Event && self.ended() {
            return false;
        }
        let fits = u32::try_from(content.len()).ok().filter(|len| *len <= FRAME_MAX);
        let limit = if weight == Weight::State { BLOCK_LIMIT } else { BLOCK };
        let Some(len) = fits.filter(|_| self.block.len() < limit || self.flush()) else {
            self.lost += 1;
            return false;
        };
        self.block.extend_from_slice(&kind.to_le_bytes());
        self.block.extend_from_slice(&len.to_le_bytes());
        self.block.extend_from_slice(content);
        self.block.resize(self.block.len().next_multiple_of(8), 0);
        if self.block.len() >= BLOCK {
            self.flush();
        }
        true
    }

    /// [`Writer::frame`] of what is kept as JSON.
    pub fn json(&mut self, kind: u32, content: &impl Serialize) -> bool {
        let Ok(content) = serde_json::to_vec(content) else {
            self.lost += 1;
            return false;
        };
        self.frame(kind, &content, Weight::State)
    }

    /// Hands on what has gathered. False when there is no room for it.
    pub fn flush(&mut self) -> bool {
        if self.block.is_empty() {
            return true;
        }
        let next = self.spare.try_recv().unwrap_or_default();
        match self.blocks.try_send(std::mem::replace(&mut self.block, next)) {
            Ok(()) => true,
            Err(TrySendError::Full(block) | TrySendError::Disconnected(block)) => {
                self.block = block;
                false
            }
        }
    }

    /// True when the file has its full size, or cannot be written.
    pub fn ended(&self) -> bool {
        self.shared.ended.load(Ordering::Relaxed)
    }

    /// Bytes in the file.
    pub fn written(&self) -> u64 {
        self.shared.written.load(Ordering::Relaxed)
    }

    /// Frames that were left out.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// Writes the rest and waits for it. Returns the size of the file.
    pub fn finish(self) -> io::Result<u64> {
        // When the thread has ended, its result says why.
        let _ = self.blocks.send(self.block);
        drop(self.blocks);
        self.thread.join().unwrap_or_else(|_| Err(io::Error::other("the thread that writes panicked")))?;
        Ok(self.shared.written.load(Ordering::Relaxed))
    }
}

/// The bytes before the first block.
pub fn header_bytes(header: &Header) -> io::Result<Vec<u8>> {
    let text = serde_json::to_vec(header)?;
    let len = u32::try_from(text.len()).map_err(io::Error::other)?;
    let mut out = MAGIC.to_vec();
    for word in [VERSION, len, checksum(&text)] {
        out.extend_from_slice(&word.to_le_bytes());
    }
    out.extend_from_slice(&text);
    Ok(out)
}

/// The writing thread's end.
struct Out {
    file: File,
    shared: Arc<Shared>,
    packer: Packer,
    max: u64,
}

impl Out {
    fn write(&mut self, block: &[u8]) -> io::Result<()> {
        let packed = self.packer.pack(block)?;
        let before = self.shared.written.load(Ordering::Relaxed);
        if let Err(error) = self.file.write_all(packed) {
            self.shared.ended.store(true, Ordering::Relaxed);
            // A reader stops at the last whole block anyway.
            let _ = self.file.set_len(before);
            return Err(error);
        }
        let written = before + packed.len() as u64;
        self.shared.written.store(written, Ordering::Relaxed);
        if written >= self.max {
            self.shared.ended.store(true, Ordering::Relaxed);
        }
        Ok(())
    }
}

/// Makes compressed blocks.
pub struct Packer {
    deflate: Compress,
    out: Vec<u8>,
}

impl Default for Packer {
    fn default() -> Self {
        Self::new()
    }
}

impl Packer {
    pub fn new() -> Self {
        // The fast level: half of the best one's gain for a tenth of its time.
        Self { deflate: Compress::new(Compression::fast(), false), out: Vec::new() }
    }

    /// The block with its head.
    pub fn pack(&mut self, block: &[u8]) -> io::Result<&[u8]> {
        self.deflate.reset();
        self.out.clear();
        self.out.resize(BLOCK_HEAD, 0);
        // Deflate adds 5 bytes per 16 kB at worst.
        self.out.reserve(block.len() + block.len() / 1024 + 64);
        let status = self
            .deflate
            .compress_vec(block, &mut self.out, FlushCompress::Finish)
            .map_err(io::Error::other)?;
        if status != Status::StreamEnd {
            return Err(io::Error::other("a block did not fit its buffer"));
        }
        let packed = u32::try_from(self.out.len() - BLOCK_HEAD).map_err(io::Error::other)?;
        let plain = u32::try_from(block.len()).map_err(io::Error::other)?;
        let sum = checksum(&self.out[BLOCK_HEAD..]);
        for (place, word) in self.out.chunks_exact_mut(4).zip([BLOCK_MAGIC, packed, plain, sum]) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        Ok(&self.out)
    }
}
