//! Files as bytes: opening, decompressing, splitting into lines.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Cursor, Read},
    path::PathBuf,
    sync::Arc,
};

use flate2::bufread::MultiGzDecoder;
use lzma_rust2::XzReader;
use ruzstd::decoding::{
    BlockDecodingStrategy, FrameDecoder,
    errors::{FrameDecoderError, ReadFrameHeaderError},
};

use super::error::{FlowError, Position, value};

/// Longest line; the longest of the known captures, a snapshot of 1,000 levels a side, has 60 KB.
pub const LINE_BYTES_MAX: usize = 4 << 20;
/// Largest dictionary that an xz or zstd file may ask for. `xz -9e` asks for 64 MiB, `zstd --ultra -22` for 128 MiB.
const WINDOW_BYTES_MAX: u64 = 128 << 20;
/// How much of a file is looked at to tell its format.
const HEAD_BYTES: usize = 4_096;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    None,
    Gzip,
    Xz,
    Zstd,
}

/// Something that can be read from its start, more than once.
#[derive(Debug, Clone)]
pub(super) enum Input {
    File(PathBuf),
    Bytes(Arc<[u8]>),
}

/// A decompressed file at its start.
pub(super) struct Opened {
    head: Vec<u8>,
    rest: Box<dyn Read + Send>,
}

impl Input {
    pub(super) fn open(&self) -> Result<(Opened, Compression), FlowError> {
        let unreadable = |source| FlowError::Read { after: Position::Line(0), what: "reading", source };
        let raw: Box<dyn Read + Send> = match self {
            Input::File(path) => {
                let file = File::open(path).map_err(|source| FlowError::Open { path: path.clone(), source })?;
                Box::new(file)
            }
            Input::Bytes(bytes) => Box::new(Cursor::new(bytes.clone())),
        };
        let Opened { head, rest } = Opened::peek(raw).map_err(unreadable)?;
        let compression = match head.as_slice() {
            [0x1f, 0x8b, ..] => Compression::Gzip,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Compression::Xz,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Compression::Zstd,
            _ => Compression::None,
        };
        let raw = BufReader::new(Cursor::new(head).chain(rest));
        let plain: Box<dyn Read + Send> = match compression {
            Compression::None => Box::new(raw),
            Compression::Gzip => Box::new(MultiGzDecoder::new(raw)),
            Compression::Xz => Box::new(XzReader::new_mem_limit(raw, true, (WINDOW_BYTES_MAX >> 10) as u32 + 1_024)),
            Compression::Zstd => Box::new(ZstdReader::new(raw)),
        };
        let opened = Opened::peek(plain).map_err(|source| FlowError::Read {
            after: Position::Line(0),
            what: compression.corrupt(),
            source,
        })?;
        Ok((opened, compression))
    }
}

impl Opened {
    fn peek(mut rest: Box<dyn Read + Send>) -> io::Result<Opened> {
        let mut head = Vec::with_capacity(HEAD_BYTES);
        match (&mut rest).take(HEAD_BYTES as u64).read_to_end(&mut head) {
            // What comes after the start is for whoever reads on to find out, in its place.
            Err(error) if head.is_empty() => Err(error),
            Err(error) => Ok(Opened { head, rest: Box::new(Broken(Some(error))) }),
            Ok(_) => Ok(Opened { head, rest }),
        }
    }

    pub(super) fn head(&self) -> &[u8] {
        &self.head
    }

    pub(super) fn into_reader(self) -> Box<dyn Read + Send> {
        let Opened { head, rest } = self;
        Box::new(Cursor::new(head).chain(rest))
    }
}

impl Compression {
    /// What it means if decompression stops.
    fn corrupt(self) -> &'static str {
        match self {
            Compression::None => "reading",
            Compression::Gzip => "truncated or corrupt gzip data",
            Compression::Xz => "truncated or corrupt xz data",
            Compression::Zstd => "truncated or corrupt zstd data",
        }
    }
}

/// Yields the error that an earlier look met.
struct Broken(Option<io::Error>);

impl Read for Broken {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(self.0.take().unwrap_or_else(|| io::ErrorKind::UnexpectedEof.into()))
    }
}

/// The frames of a zstd file, one after another.
struct ZstdReader<R> {
    source: R,
    decoder: FrameDecoder,
    within_frame: bool,
}

impl<R: BufRead> ZstdReader<R> {
    fn new(source: R) -> Self {
        let mut decoder = FrameDecoder::new();
        decoder.set_max_window_size(WINDOW_BYTES_MAX);
        Self { source, decoder, within_frame: false }
    }

    /// Starts the next frame that carries data. `false` at the end of the file.
    fn next_frame(&mut self) -> io::Result<bool> {
        while !self.source.fill_buf()?.is_empty() {
            match self.decoder.init(&mut self.source) {
                Ok(()) => return Ok(true),
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame { length, .. })) => {
                    let length = u64::from(length);
                    if io::copy(&mut (&mut self.source).take(length), &mut io::sink())? < length {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
                Err(error) => return Err(io::Error::other(error)),
            }
        }
        Ok(false)
    }

    fn check_frame(&self) -> io::Result<()> {
        let (expected, got) = (self.decoder.get_checksum_from_data(), self.decoder.get_calculated_checksum());
        match expected {
            Some(_) if expected != got => {
                let message = format!("checksum of a frame: expected {expected:08x?}, got {got:08x?}");
                Err(io::Error::new(io::ErrorKind::InvalidData, message))
            }
            _ => Ok(()),
        }
    }
}

impl<R: BufRead> Read for ZstdReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            if !self.within_frame {
                if !self.next_frame()? {
                    return Ok(0);
                }
                self.within_frame = true;
            }
            while self.decoder.can_collect() == 0 && !self.decoder.is_finished() {
                self.decoder
                    .decode_blocks(&mut self.source, BlockDecodingStrategy::UptoBlocks(1))
                    .map_err(io::Error::other)?;
            }
            match self.decoder.read(buffer)? {
                0 => {
                    self.check_frame()?;
                    self.within_frame = false;
                }
                length => return Ok(length),
            }
        }
    }
}

/// The lines of a text file, without their ends. Blank lines are passed over.
pub(super) struct Lines {
    reader: BufReader<Box<dyn Read + Send>>,
    line: Vec<u8>,
    number: u64,
}

impl Lines {
    pub(super) fn new(opened: Opened) -> Self {
        Self { reader: BufReader::new(opened.into_reader()), line: Vec::new(), number: 0 }
    }

    pub(super) fn position(&self) -> Position {
        Position::Line(self.number)
    }

    pub(super) fn next(&mut self) -> Result<Option<(Position, &str)>, FlowError> {
        loop {
            let after = self.position();
            self.line.clear();
            let mut limited = (&mut self.reader).take(LINE_BYTES_MAX as u64 + 1);
            let length = limited.read_until(b'\n', &mut self.line).map_err(|source| FlowError::Read {
                after,
                what: "truncated or corrupt data",
                source,
            })?;
            if length == 0 {
                return Ok(None);
            }
            self.number += 1;
            if length > LINE_BYTES_MAX {
                return Err(value(self.position(), "line", format!("at most {LINE_BYTES_MAX} bytes"), "more"));
            }
            if !self.line.iter().all(u8::is_ascii_whitespace) {
                break;
            }
        }
        let at = self.position();
        match std::str::from_utf8(&self.line) {
            Ok(text) => Ok(Some((at, text.trim_end()))),
            Err(_) => Err(value(at, "line", "UTF-8 text", &String::from_utf8_lossy(&self.line))),
        }
    }
}
