//! A text that matches a regular expression, from a seed.
//!
//! Understood are literals, classes, `.`, `\d`, `\w`, `\s` and their opposites, groups, alternatives, quantifiers, and anchors
//! at the two ends. Not understood are look-around, back references, word boundaries and Unicode properties: for a pattern
//! with one of them nothing is made.

use crate::dice::Dice;

/// What stands for any letter, and is left of it in an opposite.
const ANY: std::ops::RangeInclusive<char> = ' '..='~';
/// The most repetitions where a quantifier names no end.
const OPEN_END: u32 = 6;
/// The most letters of one text.
const MOST: usize = 2_000;
/// The deepest nesting of groups that is followed.
const DEEPEST: usize = 50;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Node {
    /// One of these letters.
    One(Vec<char>),
    All(Vec<Node>),
    Any(Vec<Node>),
    Repeat(Box<Node>, u32, u32),
}

/// Makes a text between two lengths, if that can be done in as many steps as are left. All texts of one value draw on the same
/// steps: nested groups can ask for more than anybody can wait for without writing a letter.
pub(crate) fn matching(
    pattern: &str,
    shortest: usize,
    longest: usize,
    dice: &mut Dice,
    left: &mut u32,
) -> Option<String> {
    // Reading it costs as well.
    let reading = u32::try_from(pattern.len() / 16).unwrap_or(u32::MAX);
    *left = left.saturating_sub(reading);
    if *left == 0 {
        return None;
    }
    let node = Parser::parse(pattern)?;
    let free = !pattern.starts_with('^');
    let tail = !pattern.ends_with('$') || pattern.ends_with("\\$");
    // Repetitions are drawn; a text of the right length comes sooner or later if there are any.
    for attempt in 0..60 {
        let mut text = String::new();
        write(&node, attempt, dice, &mut text, left)?;
        let mut length = text.chars().count();
        // Where the pattern may stand anywhere, the rest is filled up.
        if length < shortest && (free || tail) {
            let fill = "x".repeat((shortest - length).min(MOST));
            text = if tail { text + &fill } else { fill + &text };
            length = text.chars().count();
        }
        if (shortest..=longest).contains(&length) {
            return Some(text);
        }
    }
    None
}

/// `None` where no steps are left.
fn write(node: &Node, attempt: u32, dice: &mut Dice, into: &mut String, left: &mut u32) -> Option<()> {
    *left = left.checked_sub(1)?;
    if into.len() >= MOST {
        return Some(());
    }
    let index = |dice: &mut Dice, count: usize| dice.below(u32::try_from(count).unwrap_or(u32::MAX)) as usize;
    match node {
        Node::One(letters) => {
            into.extend(letters.get(index(dice, letters.len())));
        }
        Node::All(nodes) => {
            for node in nodes {
                write(node, attempt, dice, into, left)?;
            }
        }
        Node::Any(nodes) => {
            if let Some(node) = nodes.get(index(dice, nodes.len())) {
                write(node, attempt, dice, into, left)?;
            }
        }
        Node::Repeat(node, least, most) => {
            // Later attempts reach for the ends, in case the length is what is wrong.
            let count = match attempt % 3 {
                0 => dice.between(*least, (*most).min(least.saturating_add(OPEN_END))),
                1 => dice.between(*least, *most),
                _ => *least,
            };
            for _ in 0..count.min(MOST as u32) {
                write(node, attempt, dice, into, left)?;
            }
        }
    }
    Some(())
}

struct Parser<'a> {
    rest: std::iter::Peekable<std::str::Chars<'a>>,
    depth: usize,
}

impl Parser<'_> {
    fn parse(pattern: &str) -> Option<Node> {
        let mut parser = Parser {
            rest: pattern.chars().peekable(),
            depth: 0,
        };
        let node = parser.alternatives()?;
        parser.rest.next().is_none().then_some(node)
    }

    fn alternatives(&mut self) -> Option<Node> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return None;
        }
        let mut branches = vec![self.sequence()?];
        while self.rest.next_if_eq(&'|').is_some() {
            branches.push(self.sequence()?);
        }
        self.depth -= 1;
        match branches.len() {
            1 => branches.pop(),
            _ => Some(Node::Any(branches)),
        }
    }

    fn sequence(&mut self) -> Option<Node> {
        let mut nodes = Vec::new();
        while let Some(letter) = self.rest.peek().copied() {
            if matches!(letter, '|' | ')') {
                break;
            }
            self.rest.next();
            let node = match letter {
                // At any other place it would match nothing.
                '^' if nodes.is_empty() => continue,
                '$' if self.rest.peek().is_none_or(|next| matches!(next, '|' | ')')) => continue,
                '^' | '$' | '*' | '+' | '?' => return None,
                '(' => {
                    if self.rest.next_if_eq(&'?').is_some() {
                        self.group_kind()?;
                    }
                    let node = self.alternatives()?;
                    self.rest.next_if_eq(&')')?;
                    node
                }
                '[' => Node::One(self.class()?),
                '.' => Node::One(ANY.collect()),
                '\\' => Node::One(self.escape()?),
                letter => Node::One(vec![letter]),
            };
            nodes.push(self.quantified(node)?);
        }
        Some(Node::All(nodes))
    }

    /// Behind `(?`: a group that is not counted, or one with a name; everything else looks around.
    fn group_kind(&mut self) -> Option<()> {
        match self.rest.next()? {
            ':' => Some(()),
            '<' => {
                if matches!(self.rest.peek(), Some('=' | '!')) {
                    return None;
                }
                while self.rest.next()? != '>' {}
                Some(())
            }
            _ => None,
        }
    }

    fn quantified(&mut self, node: Node) -> Option<Node> {
        let (least, most) = match self.rest.peek() {
            Some('*') => (0, OPEN_END),
            Some('+') => (1, OPEN_END),
            Some('?') => (0, 1),
            Some('{') => {
                self.rest.next();
                let least = self.number()?;
                let most = if self.rest.next_if_eq(&',').is_some() {
                    if self.rest.peek() == Some(&'}') {
                        least.saturating_add(OPEN_END)
                    } else {
                        self.number()?
                    }
                } else {
                    least
                };
                if self.rest.peek() != Some(&'}') || most < least {
                    return None;
                }
                (least, most)
            }
            _ => return Some(node),
        };
        self.rest.next();
        // Whether it is greedy makes no difference to what can match.
        self.rest.next_if_eq(&'?');
        Some(Node::Repeat(Box::new(node), least, most))
    }

    fn number(&mut self) -> Option<u32> {
        let mut digits = String::new();
        while let Some(digit) = self.rest.next_if(char::is_ascii_digit) {
            digits.push(digit);
        }
        digits.parse().ok()
    }

    fn class(&mut self) -> Option<Vec<char>> {
        let opposite = self.rest.next_if_eq(&'^').is_some();
        let mut letters: Vec<char> = Vec::new();
        loop {
            let letter = self.rest.next()?;
            if letter == ']' && !letters.is_empty() {
                break;
            }
            let from = match letter {
                ']' => return None,
                '\\' => self.escape()?,
                letter => vec![letter],
            };
            let ([first], Some('-')) = (from.as_slice(), self.rest.peek()) else {
                letters.extend(from);
                continue;
            };
            self.rest.next();
            match self.rest.next()? {
                ']' => {
                    letters.extend([*first, '-']);
                    break;
                }
                last => {
                    let last = if last == '\\' {
                        *self.escape()?.first()?
                    } else {
                        last
                    };
                    letters.extend((*first..=last).take(MOST));
                }
            }
        }
        if opposite {
            letters = ANY.filter(|letter| !letters.contains(letter)).collect();
        }
        (!letters.is_empty()).then_some(letters)
    }

    fn escape(&mut self) -> Option<Vec<char>> {
        let word = |letter: &char| letter.is_ascii_alphanumeric() || *letter == '_';
        Some(match self.rest.next()? {
            'd' => ('0'..='9').collect(),
            'D' => ANY.filter(|letter| !letter.is_ascii_digit()).collect(),
            'w' => ANY.filter(word).collect(),
            'W' => ANY.filter(|letter| !word(letter)).collect(),
            's' => vec![' '],
            'S' => ANY.filter(|letter| *letter != ' ').collect(),
            't' => vec!['\t'],
            'n' => vec!['\n'],
            'r' => vec!['\r'],
            letter if letter.is_ascii_alphanumeric() => return None,
            letter => vec![letter],
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn matching(pattern: &str, shortest: usize, longest: usize, dice: &mut Dice) -> Option<String> {
        super::matching(pattern, shortest, longest, dice, &mut 50_000)
    }

    #[test]
    fn nests_that_write_nothing_come_to_an_end() {
        for inner in ["()", "(|)", "(a{0})"] {
            let nest = (0..3).fold(inner.to_owned(), |nest, _| format!("({nest}{{2000}})"));
            let (mut left, mut dice) = (50_000, Dice::new(1, "pattern", &[]));
            let made = super::matching(&format!("^{nest}$"), 0, MOST, &mut dice, &mut left);
            assert_eq!((made, left), (None, 0), "{inner}");
            // Nothing is left for the next one either.
            assert_eq!(super::matching("^a$", 0, 9, &mut dice, &mut left), None);
        }
        let deep = (0..40).fold("()".to_owned(), |nest, _| format!("({nest}{{2000}})"));
        assert_eq!(matching(&deep, 0, MOST, &mut Dice::new(1, "pattern", &[])), None);
        assert_eq!(
            matching("^()(|)$", 0, 9, &mut Dice::new(1, "pattern", &[])),
            Some(String::new())
        );
    }

    /// Another reader of patterns says whether a text matches.
    fn matches(pattern: &str, text: &str) -> bool {
        let schema = json!({ "type": "string", "pattern": pattern });
        jsonschema::validator_for(&schema).unwrap().is_valid(&json!(text))
    }

    const PATTERNS: &[&str] = &[
        "^[A-Z]{3}-[0-9]+$",
        r"^\d{4}-\d{2}-\d{2}$",
        r"^(foo|bar)?baz\.[a-z]*$",
        r"^\+?[1-9]\d{1,14}$",
        "^#([0-9a-fA-F]{3}|[0-9a-fA-F]{6})$",
        r"^[\w.+-]+@[\w-]+\.[a-z]{2,}$",
        "^[^aeiou]{5}$",
        "^(?:ab){2,4}c$",
        "^(?<year>[0-9]{4})$",
        "^a.c$",
        r"^\S+\s\S+$",
        "abc",
        "^abc",
        "abc$",
        r"^\$[0-9]+(\.[0-9]{2})?$",
        r"^[a\-z]$",
        "^(a|b|)$",
        "^x{0}y$",
        r"\$",
        "^[a-]+?$",
    ];

    proptest! {
        #[test]
        fn what_is_made_matches(seed: u64, which in 0..PATTERNS.len()) {
            let pattern = PATTERNS[which];
            let text = matching(pattern, 0, MOST, &mut Dice::new(seed, "pattern", &[])).unwrap();
            prop_assert!(matches(pattern, &text), "{pattern} gave {text:?}");
            prop_assert_eq!(matching(pattern, 0, MOST, &mut Dice::new(seed, "pattern", &[])), Some(text));
        }

        #[test]
        fn lengths_are_kept_where_they_can_be(seed: u64, low in 0usize..12, span in 0usize..8) {
            for pattern in ["^[a-z]*$", "^[a-z]{0,30}$", "[0-9]", "^q", "z$"] {
                let high = low + span.max(1);
                let made = matching(pattern, low, high, &mut Dice::new(seed, "pattern", &[]));
                if let Some(text) = made {
                    prop_assert!((low..=high).contains(&text.chars().count()) && matches(pattern, &text), "{pattern} {text:?}");
                }
            }
            let filled = matching("^q", low, low + 2, &mut Dice::new(seed, "pattern", &[])).unwrap();
            prop_assert!(filled.len() >= low);
        }

        #[test]
        fn anything_is_survived(pattern in "\\PC{0,30}", seed: u64) {
            let _ = matching(&pattern, 0, 50, &mut Dice::new(seed, "pattern", &[]));
        }
    }

    #[test]
    fn what_is_not_understood_makes_nothing() {
        for pattern in [
            "^(?=a)b$", "(?<!a)b", r"\bword", r"(a)\1", r"\p{L}", "(", "[a", "a{2", "a{3,2}", "*", "a^b", ")",
        ] {
            assert_eq!(
                matching(pattern, 0, 99, &mut Dice::new(1, "pattern", &[])),
                None,
                "{pattern}"
            );
        }
        assert_eq!(matching("^a{5}$", 0, 4, &mut Dice::new(1, "pattern", &[])), None);
        assert_eq!(
            matching(&"(".repeat(10_000), 0, 4, &mut Dice::new(1, "pattern", &[])),
            None
        );
        let huge = matching("^(a{2000}){2000}", 0, MOST, &mut Dice::new(1, "pattern", &[]));
        assert!(huge.is_none_or(|text| text.len() <= MOST));
    }
}
