//! What a prompt looks like to a predictor: hashed words and pairs of words, and a few plain counts.
//!
//! Words are runs of letters, digits and bytes beyond ASCII, lower-cased in ASCII; every other printable character is a word
//! of its own. Words and pairs of neighbours are hashed into 65,536 places (feature hashing: Weinberger et al. 2009, ICML), and each
//! counts once however often it comes. No more than the first and the last 2 KB of a prompt are read.

use crate::nearest::Room;

/// How many places words are hashed into.
pub(crate) const PLACES: usize = 1 << 16;

/// So many bytes are read at the beginning, and as many at the end.
const READ: usize = 2 << 10;

/// How many plain counts there are.
pub(crate) const COUNTS: usize = 12;

/// Room that a reader of prompts uses again and again.
#[derive(Debug, Clone)]
pub struct Scratch {
    /// Which places have been seen in this prompt: a bit for each.
    seen: Vec<u64>,
    pub(crate) places: Vec<u16>,
    pub(crate) counts: [f32; COUNTS],
    pub(crate) sums: Vec<f32>,
    pub(crate) room: Room,
}

impl Default for Scratch {
    fn default() -> Self {
        Self {
            seen: vec![0; PLACES / 64],
            // A pair and a word for every byte that is read, at the most.
            places: Vec::with_capacity(4 * READ + 4),
            counts: [0.0; COUNTS],
            sums: Vec::new(),
            room: Room::default(),
        }
    }
}

impl Scratch {
    /// Room for one reader.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads a prompt: its places and counts are in `self` then.
    pub(crate) fn read(&mut self, prompt: &str) {
        self.places.clear();
        let bytes = prompt.as_bytes();
        let (first, last) = if bytes.len() <= 2 * READ {
            (bytes, [].as_slice())
        } else {
            // A character that is cut in two is two odd words; no more comes of it.
            (&bytes[..READ], &bytes[bytes.len() - READ..])
        };
        let mut tally = Tally::default();
        self.words(first, &mut tally);
        self.words(last, &mut tally);
        for place in &self.places {
            if let Some(word) = self.seen.get_mut(usize::from(*place) / 64) {
                *word = 0;
            }
        }
        self.counts = tally.counts(bytes.len(), first.len() + last.len());
    }

    fn words(&mut self, bytes: &[u8], tally: &mut Tally) {
        let mut before = 0u64;
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            let kind = KINDS[usize::from(byte)];
            if kind == SPACE {
                tally.lines += u32::from(byte == b'\n');
                at += 1;
                continue;
            }
            let mut hash = u64::from(byte.to_ascii_lowercase()) ^ 0x9e37_79b9_7f4a_7c15;
            if kind == MARK {
                tally.mark(byte);
                at += 1;
            } else {
                hash = 0xcbf2_9ce4_8422_2325;
                while let Some(&byte) = bytes.get(at) {
                    let kind = KINDS[usize::from(byte)];
                    if kind < LETTER {
                        break;
                    }
                    tally.digits += u32::from(kind == DIGIT);
                    tally.capitals += u32::from(kind == CAPITAL);
                    hash = (hash ^ u64::from(byte.to_ascii_lowercase())).wrapping_mul(0x0100_0000_01b3);
                    at += 1;
                }
                tally.words += 1;
            }
            self.add(hash);
            if before != 0 {
                self.add(before.rotate_left(23) ^ hash);
            }
            before = hash;
        }
    }

    #[inline]
    fn add(&mut self, hash: u64) {
        // The high bits of the product are the mixed ones.
        let place = (hash.wrapping_mul(0x9fb2_1c65_1e98_df25) >> 48) as u16;
        if let Some(word) = self.seen.get_mut(usize::from(place) / 64) {
            let bit = 1 << (place % 64);
            if *word & bit == 0 {
                *word |= bit;
                self.places.push(place);
            }
        }
    }
}

const SPACE: u8 = 0;
const MARK: u8 = 1;
const LETTER: u8 = 2;
const DIGIT: u8 = 3;
const CAPITAL: u8 = 4;

/// What each byte is.
const KINDS: [u8; 256] = {
    let mut kinds = [LETTER; 256];
    let mut byte = 0;
    while byte < 128 {
        let b = byte as u8;
        kinds[byte] = if b <= b' ' || b == 127 {
            SPACE
        } else if b.is_ascii_digit() {
            DIGIT
        } else if b.is_ascii_uppercase() {
            CAPITAL
        } else if b.is_ascii_lowercase() || b == b'_' {
            LETTER
        } else {
            MARK
        };
        byte += 1;
    }
    kinds
};

/// What is counted while words are read.
#[derive(Debug, Default)]
struct Tally {
    words: u32,
    digits: u32,
    capitals: u32,
    marks: u32,
    lines: u32,
    equals: u32,
    stops: u32,
    commas: u32,
    questions: u32,
    formulas: u32,
}

impl Tally {
    const fn mark(&mut self, byte: u8) {
        self.marks += 1;
        match byte {
            b'=' | b'+' | b'*' | b'<' | b'>' => self.equals += 1,
            b'.' => self.stops += 1,
            b',' => self.commas += 1,
            b'?' => self.questions += 1,
            b'$' | b'\\' | b'^' | b'{' => self.formulas += 1,
            _ => {}
        }
    }

    /// Each about from 0 to 10, so that none drowns the others before they are scaled.
    fn counts(&self, whole: usize, read: usize) -> [f32; COUNTS] {
        let per_byte = 1.0 / (read as f32 + 1.0);
        let whole = whole as f32 + 1.0;
        let words = self.words as f32 + 1.0;
        [
            whole.ln(),
            words.ln(),
            (read as f32 / words / 8.0).min(10.0),
            self.digits as f32 * per_byte * 5.0,
            self.capitals as f32 * per_byte * 5.0,
            self.marks as f32 * per_byte * 5.0,
            (self.lines as f32 / 10.0).min(10.0),
            (self.equals as f32 / 5.0).min(10.0),
            (self.stops as f32 / 10.0).min(10.0),
            (self.commas as f32 / 10.0).min(10.0),
            (self.questions as f32).min(3.0),
            (self.formulas as f32 / 5.0).min(10.0),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(prompt: &str) -> Scratch {
        let mut scratch = Scratch::new();
        scratch.read(prompt);
        scratch
    }

    #[test]
    fn words_and_pairs_count_once_and_case_does_not_matter() {
        assert_eq!(read("one two").places.len(), 3);
        assert_eq!(read("one two one two").places.len(), 4, "and the pair 'two one'");
        assert_eq!(read("One TWO").places, read("one two").places);
        assert!(read("").places.is_empty());
        assert_eq!(read("a=b").places.len(), 5, "a mark is a word");
    }

    #[test]
    fn what_was_read_before_does_not_show() {
        let mut scratch = Scratch::new();
        scratch.read("something else, and a lot of it");
        scratch.read("one two");
        assert_eq!(scratch.places, read("one two").places);
    }

    #[test]
    fn the_middle_of_a_long_prompt_is_not_read() {
        let long = |middle: &str| format!("{}{}{}", "a b ".repeat(1_000), middle, " c d".repeat(1_000));
        let (one, two) = (read(&long("x")), read(&long("y")));
        assert_eq!(one.places, two.places);
        assert!(read(&"é".repeat(5_000_001)).places.len() < 8);
    }
}
