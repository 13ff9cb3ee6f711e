//! What is looked at in a request: hashed words and pairs of words by where they stand, and a few facts.

use super::keywords::{self, LEARNED};
use super::{TaskHints, window};

/// Buckets that words are hashed into.
pub(super) const BUCKETS: usize = 8192;
/// Facts beside the words.
pub(super) const DENSE: usize = 16 + 2 * LEARNED;

/// Words at each end that are also counted as words of that end: an instruction stands before or after what it is about.
const END: usize = 16;
/// Bytes of a word that are compared with keywords.
const WORD: usize = 32;

/// Where words stand. Each place is brought to unit length by itself, so that a pasted article does not drown the instruction.
pub(super) const PLACES: usize = 4;
const ANYWHERE: usize = 0;
const FIRST: usize = 1;
const LAST: usize = 2;
const SYSTEM: usize = 3;

/// Something seen in a request.
#[derive(Debug, Clone, Copy)]
pub(super) enum Feature {
    /// A word or a pair, by its place and bucket.
    Word { place: usize, bucket: usize },
    /// A fact, by its index and how much of it there is, 0 to 1.
    Fact { index: usize, value: f32 },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Letters,
    Digits,
    Mark,
}

/// Walks over the words of a text: runs of letters, runs of digits, single signs of scripts without spaces, and marks.
struct Words<'a>(&'a str);

/// Scripts that are written without spaces: every sign is a word, and pairs of signs do the rest.
const fn unspaced(letter: char) -> bool {
    matches!(letter, '\u{0E00}'..='\u{0E7F}' | '\u{3040}'..='\u{30FF}' | '\u{3400}'..='\u{9FFF}' | '\u{F900}'..='\u{FAFF}')
}

fn is_letter(letter: char) -> bool {
    letter.is_alphabetic() || letter == '\''
}

impl<'a> Iterator for Words<'a> {
    type Item = (&'a str, Kind);

    fn next(&mut self) -> Option<Self::Item> {
        let text = self
            .0
            .trim_start_matches(|letter: char| letter.is_whitespace() || letter.is_control());
        let first = text.chars().next()?;
        let single = first.len_utf8();
        let (length, kind) = if first.is_numeric() {
            let end = text.find(|letter: char| !letter.is_numeric());
            (end.unwrap_or(text.len()), Kind::Digits)
        } else if unspaced(first) {
            (single, Kind::Letters)
        } else if first.is_alphabetic() {
            let end = text.find(|letter: char| !is_letter(letter) || unspaced(letter));
            (end.unwrap_or(text.len()), Kind::Letters)
        } else {
            (single, Kind::Mark)
        };
        let (word, rest) = text.split_at_checked(length)?;
        self.0 = rest;
        Some((word, kind))
    }
}

/// FNV-1a: the same on every machine and in every version of the standard library, as the weights depend on it.
fn hash(seed: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(seed ^ 0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// The low bits of FNV-1a alone are poor.
const fn bucket(hash: u64) -> usize {
    let mixed = (hash ^ (hash >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    ((mixed >> 40) as usize) % BUCKETS
}

/// A word in lower case, cut to [`WORD`] bytes, without allocating.
struct Lower {
    bytes: [u8; WORD],
    length: usize,
}

impl Lower {
    fn of(word: &str) -> Self {
        let mut lower = Self {
            bytes: [0; WORD],
            length: 0,
        };
        for letter in word.chars().flat_map(char::to_lowercase) {
            let mut encoded = [0; 4];
            for byte in letter.encode_utf8(&mut encoded).bytes() {
                let Some(slot) = lower.bytes.get_mut(lower.length) else {
                    return lower;
                };
                *slot = byte;
                lower.length += 1;
            }
        }
        lower
    }

    fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

/// Calls `see` with everything there is to see, in an order that depends on the request only.
///
/// Returns how many words there were.
pub(super) fn extract(hints: &TaskHints<'_>, see: &mut impl FnMut(Feature)) -> usize {
    let user = window(hints.text, 3072);
    let system = window(hints.system, 1024);
    let mut facts = [0.0_f32; DENSE];
    let words = words_of_user(user, &mut facts, see);
    let in_system = words_of_system(system, &mut facts, see);
    shape(hints, user, words, &mut facts);
    for (index, value) in facts.into_iter().enumerate() {
        if value.abs() > f32::EPSILON {
            see(Feature::Fact { index, value });
        }
    }
    words + in_system
}

fn words_of_user(chunks: [&str; 2], facts: &mut [f32; DENSE], see: &mut impl FnMut(Feature)) -> usize {
    let all = || chunks.into_iter().flat_map(Words);
    let total = all().count();
    let mut before = 0;
    let mut digits = 0_u16;
    for (at, (word, kind)) in all().enumerate() {
        let lower = Lower::of(word);
        let now = hash_of(&lower, kind);
        digits += u16::from(kind == Kind::Digits);
        let at_end = total > 2 * END && at + END >= total;
        emit(ANYWHERE, now, before, &lower, kind, see);
        if at < END {
            emit(FIRST, now, before, &lower, kind, see);
        } else if at_end {
            emit(LAST, now, before, &lower, kind, see);
        }
        if kind == Kind::Letters && (at < 2 * END || at + 2 * END >= total) {
            mark_keywords(&lower, 16, facts);
        }
        before = now;
    }
    for chunk in chunks {
        mark_phrases(chunk, 16, facts);
    }
    facts[8] = share(digits, total);
    total
}

fn words_of_system(chunks: [&str; 2], facts: &mut [f32; DENSE], see: &mut impl FnMut(Feature)) -> usize {
    let mut before = 0;
    let mut total = 0;
    for (word, kind) in chunks.into_iter().flat_map(Words) {
        let lower = Lower::of(word);
        let now = hash_of(&lower, kind);
        emit(SYSTEM, now, before, &lower, kind, see);
        if kind == Kind::Letters {
            mark_keywords(&lower, 16 + LEARNED, facts);
        }
        before = now;
        total += 1;
    }
    for chunk in chunks {
        mark_phrases(chunk, 16 + LEARNED, facts);
    }
    total
}

fn hash_of(lower: &Lower, kind: Kind) -> u64 {
    match kind {
        // Which number it is says nothing; how long it is says a little.
        Kind::Digits => hash(7, &[b'0', u8::try_from(lower.length.min(5)).unwrap_or(5)]),
        _ => hash(0, lower.bytes()),
    }
}

fn emit(place: usize, now: u64, before: u64, lower: &Lower, kind: Kind, see: &mut impl FnMut(Feature)) {
    let seed = (place as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut word = |hash: u64| {
        see(Feature::Word {
            place,
            bucket: bucket(hash),
        });
    };
    word(hash(seed, &now.to_le_bytes()));
    word(hash(seed ^ 1, &(now.wrapping_mul(3) ^ before).to_le_bytes()));
    // The first letters stand for the forms of a word, and for its misspelt endings.
    if kind == Kind::Letters && lower.length > 5 {
        word(hash(seed ^ 2, lower.bytes().get(..5).unwrap_or_default()));
    }
}

fn mark_keywords(lower: &Lower, from: usize, facts: &mut [f32; DENSE]) {
    for (fact, stems) in facts.iter_mut().skip(from).zip(keywords::STEMS) {
        if stems
            .iter()
            .any(|stem| lower.bytes().starts_with(stem.as_bytes()))
        {
            *fact = (*fact + 0.5).min(1.0);
        }
    }
    let language = |name: &&str| lower.bytes().starts_with(name.as_bytes());
    if from == 16 && keywords::LANGUAGES.iter().any(language) {
        facts[15] = 1.0;
    }
}

fn mark_phrases(chunk: &str, from: usize, facts: &mut [f32; DENSE]) {
    if chunk.is_ascii() {
        return;
    }
    for (fact, phrases) in facts.iter_mut().skip(from).zip(keywords::PHRASES) {
        if phrases.iter().any(|phrase| chunk.contains(phrase)) {
            *fact = 1.0;
        }
    }
}

/// The form of the text, whatever its words.
fn shape(hints: &TaskHints<'_>, user: [&str; 2], words: usize, facts: &mut [f32; DENSE]) {
    let count = |wanted: &[char]| -> u16 {
        let found = user
            .into_iter()
            .flat_map(str::chars)
            .filter(|c| wanted.contains(c));
        // The window holds no more than 3,072 characters.
        u16::try_from(found.count()).unwrap_or(u16::MAX)
    };
    let flag = |yes: bool| if yes { 1.0 } else { 0.0 };
    let any = |wanted: &str| user.into_iter().any(|chunk| chunk.contains(wanted));
    let lines = || user.into_iter().flat_map(str::lines).map(str::trim_start);
    let last = user
        .into_iter()
        .map(str::trim_end)
        .rfind(|chunk| !chunk.is_empty())
        .and_then(|chunk| chunk.chars().next_back());
    facts[0] = 1.0;
    facts[1] = flag(hints.has_tools);
    facts[2] = flag(hints.wants_json_schema);
    facts[3] = flag(!hints.system.is_empty());
    facts[4] = flag(any("```"));
    facts[5] = (share(count(&['{', '}', ';', '(', ')', '=', '<', '>', '_']), words) * 3.0).min(1.0);
    facts[6] = flag(matches!(last, Some('?' | '\u{ff1f}' | '\u{61f}')));
    facts[7] = flag(matches!(last, Some(':')));
    facts[9] = (share(
        count(&['+', '=', '^', '%', '\\', '$', '\u{221a}', '\u{2264}']),
        words,
    ) * 5.0)
        .min(1.0);
    facts[10] = share(u16::try_from(hints.text.len().max(1).ilog2()).unwrap_or(0), 16).min(1.0);
    facts[11] = flag(hints.text.len() > 500);
    facts[12] = flag(hints.text.len() < 40);
    facts[13] = flag(lines().filter(|line| is_option(line)).count() >= 2);
    facts[14] = flag(lines().any(|line| keywords::CODE_LINES.iter().any(|start| line.starts_with(start))));
}

/// Whether a line looks like one of the answers to choose from: `A. `, `B) ` or `(C) `.
fn is_option(line: &str) -> bool {
    let mut bytes = line.strip_prefix('(').unwrap_or(line).bytes();
    matches!(
        (bytes.next(), bytes.next()),
        (Some(b'A'..=b'J' | b'a'..=b'e'), Some(b'.' | b')'))
    )
}

fn share(part: u16, whole: usize) -> f32 {
    f32::from(part) / f32::from(u16::try_from(whole.max(1)).unwrap_or(u16::MAX))
}
