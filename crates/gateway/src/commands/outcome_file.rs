//! A file of outcomes, as `replay` and what is learnt take it: plain or zstd-compressed, read once from its beginning to its end.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use routing::{OutcomeKind, OutcomeRow, OutcomeRows};
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

use super::Progress;
use crate::cli::WrongUsage;

/// From so many bytes on reading is long work.
const LONG: u64 = 1 << 20;

/// How a zstd file begins: with a frame, or with one that is to be skipped (of which the low half byte is free). No line of JSON does.
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
const SKIPPED: [u8; 3] = [0x2a, 0x4d, 0x18];

/// So many bytes are decompressed at a time.
const STEP: usize = 64 << 10;

/// The rows of a file.
pub(super) struct Rows {
    name: String,
    rows: OutcomeRows<Box<dyn BufRead>>,
    /// Whether all must be of the kind of the first, and that.
    is_of_one_kind: bool,
    kind: Option<OutcomeKind>,
    line: u64,
}

impl Rows {
    /// # Errors
    /// [`WrongUsage`] if there is no such file, or it cannot be read.
    pub(super) fn open(path: &Path) -> Result<Self, WrongUsage> {
        let name = path.display().to_string();
        let cannot = |error: std::io::Error| WrongUsage(format!("{name} cannot be read: {error}"));
        let file = File::open(path).map_err(cannot)?;
        let length = file.metadata().map_err(cannot)?.len();
        let progress = (length >= LONG).then(|| Progress::bytes(length));
        let mut source = BufReader::new(Watched { file, progress });
        let head = source.fill_buf().map_err(cannot)?;
        let is_zstd = head.starts_with(&ZSTD)
            || head.get(1..4) == Some(&SKIPPED[..]) && head.first().is_some_and(|b| b >> 4 == 5);
        let source: Box<dyn BufRead> = if is_zstd {
            Box::new(BufReader::with_capacity(STEP, Zstd::new(source)))
        } else {
            Box::new(source)
        };
        Ok(Self {
            name,
            rows: OutcomeRows::new(source),
            is_of_one_kind: false,
            kind: None,
            line: 0,
        })
    }

    /// The same, and all must be of one kind: where policies are judged, each kind has methods of its own. What is learnt is learnt from both.
    pub(super) fn of_one_kind(self) -> Self {
        Self {
            is_of_one_kind: true,
            ..self
        }
    }

    /// The name of the file, for messages.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The number of the line of the row that was read last.
    pub(super) const fn line(&self) -> u64 {
        self.line
    }

    /// The next row; `None` at the end.
    ///
    /// # Errors
    /// [`WrongUsage`] that names the file and the line.
    pub(super) fn next(&mut self) -> Result<Option<OutcomeRow>, WrongUsage> {
        let wrong = |what: String| WrongUsage(format!("{}: {what}", self.name));
        let Some(row) = self.rows.next() else {
            return Ok(None);
        };
        let (line, row) = row.map_err(|error| wrong(error.to_string()))?;
        self.line = line;
        let kind = *self.kind.get_or_insert(row.kind());
        if row.kind() == kind || !self.is_of_one_kind {
            return Ok(Some(row));
        }
        let (here, before) = match kind {
            OutcomeKind::Full => (
                "the outcome of the chosen model alone",
                "full information: the outcomes of several models",
            ),
            OutcomeKind::Logged => (
                "full information",
                "logged choices: the outcome of the chosen model alone, with `propensity`",
            ),
        };
        Err(wrong(format!(
            "line {line}: this is {here}, and the lines before are {before}. The two are not judged by the same methods; put them \
             into files of their own"
        )))
    }
}

/// A file that tells how far it has been read.
struct Watched {
    file: File,
    progress: Option<Progress>,
}

impl Read for Watched {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.file.read(buffer)?;
        if let Some(progress) = &self.progress {
            progress.steps(read);
        }
        Ok(read)
    }
}

/// What is in a zstd file, which may have several frames, one after the other.
struct Zstd<R> {
    source: R,
    decoder: FrameDecoder,
    is_within: bool,
}

impl<R: BufRead> Zstd<R> {
    fn new(source: R) -> Self {
        Self {
            source,
            decoder: FrameDecoder::new(),
            is_within: false,
        }
    }

    /// Goes to the next frame with something in it; whether there is one.
    fn begin(&mut self) -> std::io::Result<bool> {
        while !self.source.fill_buf()?.is_empty() {
            match self.decoder.init(&mut self.source) {
                Ok(()) => {
                    self.is_within = true;
                    return Ok(true);
                }
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => {
                    let mut skipped = (&mut self.source).take(u64::from(length));
                    if std::io::copy(&mut skipped, &mut std::io::sink())? < u64::from(length) {
                        return Err(std::io::ErrorKind::UnexpectedEof.into());
                    }
                }
                Err(error) => return Err(std::io::Error::other(error)),
            }
        }
        Ok(false)
    }

    /// Holds a frame that is over against its checksum, if it has one: the decoder reads it and leaves the comparison to its caller.
    fn check(&self) -> std::io::Result<()> {
        let told = self.decoder.get_checksum_from_data();
        if told.is_some() && told != self.decoder.get_calculated_checksum() {
            return Err(std::io::Error::new(
                std::io::ErrorKind::InvalidData,
                "the file is damaged: its checksum is that of other data",
            ));
        }
        Ok(())
    }
}

impl<R: BufRead> Read for Zstd<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        while !buffer.is_empty() {
            if !self.is_within && !self.begin()? {
                return Ok(0);
            }
            let read = self.decoder.read(buffer)?;
            if read > 0 {
                return Ok(read);
            }
            if self.decoder.is_finished() {
                self.check()?;
                self.is_within = false;
            } else {
                self.decoder
                    .decode_blocks(&mut self.source, BlockDecodingStrategy::UptoBytes(STEP))
                    .map_err(std::io::Error::other)?;
            }
        }
        Ok(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ruzstd::encoding::{CompressionLevel, compress_to_vec};

    fn read(bytes: &[u8]) -> std::io::Result<String> {
        let mut text = String::new();
        Zstd::new(bytes).read_to_string(&mut text)?;
        Ok(text)
    }

    /// Every bit of two frames turned over in turn: a file either says what it said, as where a bit of a window's size changes, or is
    /// refused. Many such files could be decompressed, and would say something else.
    #[test]
    fn a_damaged_file_is_never_other_data() {
        let text = |from: u32| -> String {
            (from..from + 12)
                .map(|n| format!("{{\"task\":\"coding\",\"score\":0.{}}}\n", n * 7919 % 1000))
                .collect()
        };
        let frame = |text: &str| compress_to_vec(text.as_bytes(), CompressionLevel::Fastest);
        let whole = text(0) + &text(500);
        let bytes = [frame(&text(0)), frame(&text(500))].concat();
        assert_eq!(read(&bytes).unwrap(), whole);
        let mut by_checksum = 0;
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            match read(&damaged) {
                Ok(text) => assert_eq!(text, whole, "bit {bit}"),
                Err(error) => by_checksum += usize::from(error.to_string().contains("checksum")),
            }
        }
        assert!(by_checksum > 100, "{by_checksum}");
    }
}
