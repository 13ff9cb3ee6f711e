//! Readable text from a seed. Every answer says that it is simulated, so that it is never taken for a model's.

use crate::dice::Dice;

const SUBJECTS: &[&str] = &[
    "the harbour master",
    "a patient gardener",
    "the night train",
    "an old lighthouse",
    "the river crossing",
    "a careful clerk",
    "the mountain path",
    "a wooden bridge",
    "the corner bakery",
    "a quiet workshop",
    "the paper map",
    "the northern wind",
];
const VERBS: &[&str] = &[
    "keeps", "measures", "follows", "carries", "repairs", "compares", "collects", "weighs", "sorts",
    "explains", "watches", "counts",
];
const OBJECTS: &[&str] = &[
    "seven small boats",
    "the morning ledger",
    "every second lantern",
    "a row of copper pots",
    "the shortest route",
    "two baskets of apples",
    "the missing page",
    "a simple rule",
    "the lower shelf",
    "the first clear answer",
    "three plain facts",
    "the cost of a mile",
];
const TAILS: &[&str] = &[
    "before the rain arrives",
    "without any hurry",
    "at the end of the week",
    "so that nobody has to ask twice",
    "as long as the light lasts",
    "with one eye on the clock",
    "whenever the market opens",
    "in the usual order",
    "for reasons that need no proof",
    "until the numbers agree",
];
const LINKS: &[&str] = &[
    "Meanwhile",
    "In short",
    "For example",
    "After that",
    "On the other hand",
    "Even so",
    "To be exact",
];
const THOUGHTS: &[&str] = &[
    "First I look at what is asked.",
    "The request is short enough to take word by word.",
    "I compare two ways to put it.",
    "One of them needs fewer steps.",
    "I check the order of the parts once more.",
    "Nothing in the question rules this out.",
    "A plain answer is better than a clever one here.",
    "I keep the numbers small and the sentences short.",
];
const NAMES: &[&str] = &[
    "amber", "birch", "cedar", "delta", "ember", "fjord", "grove", "harbor", "indigo", "juniper", "lagoon",
    "meadow", "nectar", "orchard",
];

/// A sentence about nothing in particular.
pub(crate) fn sentence(dice: &mut Dice) -> String {
    let (subject, verb, object) = (dice.word(SUBJECTS), dice.word(VERBS), dice.word(OBJECTS));
    let body = format!("{subject} {verb} {object}");
    let text = match dice.below(4) {
        0 => body,
        1 => format!("{}, {body}", dice.word(LINKS)),
        2 => format!("{body} {}", dice.word(TAILS)),
        _ => format!(
            "{body}, and {} {} {}",
            dice.word(SUBJECTS),
            dice.word(VERBS),
            dice.word(OBJECTS)
        ),
    };
    let mut letters = text.chars();
    let first = letters.next().map(|c| c.to_ascii_uppercase());
    first.into_iter().chain(letters).chain(['.']).collect()
}

/// The start of an answer: which model is simulated, and what it was asked.
pub(crate) fn opening(model: &str, question: &str) -> String {
    let mut words = question.split_whitespace();
    let quoted: Vec<&str> = words.by_ref().take(8).collect();
    if quoted.is_empty() {
        return format!("This is a simulated answer in place of {model}.");
    }
    let mut quoted = quoted.join(" ");
    // A "word" may be as long as the whole request; the quotation must not be.
    let cut = quoted.char_indices().nth(80).map(|(at, _)| at);
    if let Some(at) = cut {
        quoted.truncate(at);
    }
    let more = if cut.is_some() || words.next().is_some() {
        " …"
    } else {
        ""
    };
    format!("This is a simulated answer in place of {model}, to “{quoted}{more}”.")
}

/// A step of simulated reasoning.
pub(crate) fn thought(dice: &mut Dice) -> &'static str {
    dice.word(THOUGHTS)
}

/// A short lower-case name.
pub(crate) fn name(dice: &mut Dice) -> &'static str {
    dice.word(NAMES)
}

/// Cuts a text into the pieces a stream sends: a word with the white space before it. The pieces joined are the text.
pub(crate) fn pieces(text: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut start = 0;
    let mut in_word = false;
    for (at, letter) in text.char_indices() {
        if letter.is_whitespace() && in_word {
            pieces.push(&text[start..at]);
            start = at;
        }
        in_word = !letter.is_whitespace();
    }
    if start < text.len() {
        pieces.push(&text[start..]);
    }
    pieces
}

/// The longest start of a text that counts at most `tokens` tokens, cut between characters.
pub(crate) fn limit(text: &str, tokens: u64) -> &str {
    let bytes = usize::try_from(tokens.saturating_mul(BYTES_PER_TOKEN)).unwrap_or(usize::MAX);
    if text.len() <= bytes {
        return text;
    }
    let mut end = bytes;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// How many bytes the estimate counts as one token.
const BYTES_PER_TOKEN: u64 = 4;

/// The estimate of tokens: a quarter of the bytes, rounded up.
pub(crate) fn tokens(bytes: usize) -> u64 {
    (bytes as u64).div_ceil(BYTES_PER_TOKEN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sentences_are_sentences() {
        let mut dice = Dice::new(3, "text", &[]);
        for _ in 0..200 {
            let text = sentence(&mut dice);
            assert!(
                text.starts_with(|c: char| c.is_ascii_uppercase()) && text.ends_with('.'),
                "{text}"
            );
            assert!(!text.contains("  "), "{text}");
        }
    }

    #[test]
    fn an_opening_names_the_model_and_quotes_only_the_start_of_the_question() {
        assert!(opening("a/b", "").contains("simulated"));
        assert!(opening("a/b", "one two").ends_with("to “one two”."));
        assert!(opening("a/b", "1 2 3 4 5 6 7 8 9").ends_with("7 8 …”."));
        let long = opening("a/b", &"é".repeat(10_000));
        assert!(long.len() < 300 && long.ends_with(" …”."), "{}", long.len());
    }

    proptest! {
        #[test]
        fn pieces_joined_are_the_text(text in "\\PC{0,40}|[ a-z\\né]{0,60}") {
            let cut = pieces(&text);
            prop_assert_eq!(cut.concat(), text.as_str());
            prop_assert!(cut.iter().all(|piece| !piece.is_empty()));
        }

        #[test]
        fn a_limited_text_is_a_start_within_the_limit(text in "\\PC{0,60}", most in 0u64..20) {
            let cut = limit(&text, most);
            prop_assert!(text.starts_with(cut));
            prop_assert!(tokens(cut.len()) <= most);
            // No longer start would fit.
            if let Some(next) = text[cut.len()..].chars().next() {
                prop_assert!(tokens(cut.len() + next.len_utf8()) > most);
            }
        }
    }
}
