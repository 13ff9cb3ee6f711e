//! What the account holds besides its answers: keys that were made here, codes for keys, and feedback.

use std::fmt::Write as _;

use costing::UtcTime;
use rust_decimal::Decimal;
use sha2::{Digest, Sha256};

use crate::account::{Exceeded, key_limit};
use crate::bounded::Bounded;
use crate::dice::{Dice, fingerprint};
use crate::problem::Problem;
use crate::routes::answers::Contents;
use crate::routes::spending::{KeySpending, MOST_KEYS};
use crate::scenario::account::Interval;

/// A key that was made here. The key itself is not kept.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct KeyRecord {
    /// SHA-256 of the key, in hexadecimal digits.
    pub(crate) hash: String,
    pub(crate) name: String,
    pub(crate) label: String,
    pub(crate) disabled: bool,
    pub(crate) limit: Option<Decimal>,
    pub(crate) reset: Option<Interval>,
    pub(crate) include_byok: bool,
    pub(crate) created: UtcTime,
    pub(crate) updated: Option<UtcTime>,
    pub(crate) last_used: Option<UtcTime>,
    pub(crate) expires: Option<UtcTime>,
    pub(crate) creator: Option<String>,
    pub(crate) external_user: Option<String>,
    /// Counts the keys, so that the newest can come first.
    pub(crate) number: u64,
}

/// What is asked for of a new key.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Wanted {
    pub(crate) name: String,
    pub(crate) limit: Option<Decimal>,
    pub(crate) reset: Option<Interval>,
    pub(crate) include_byok: bool,
    pub(crate) expires: Option<UtcTime>,
    pub(crate) creator: Option<String>,
    pub(crate) external_user: Option<String>,
}

/// How much of its limit a key has used.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Standing {
    pub(crate) limit: Decimal,
    pub(crate) spent: Decimal,
    pub(crate) reset: Option<Interval>,
    pub(crate) resets: Option<UtcTime>,
}

impl Standing {
    pub(crate) fn new(
        limit: Decimal,
        reset: Option<Interval>,
        include_byok: bool,
        now: UtcTime,
        spending: &KeySpending,
    ) -> Self {
        let byok = if include_byok {
            spending.byok(now).within(reset)
        } else {
            Decimal::ZERO
        };
        Self {
            limit,
            spent: spending.charged(now).within(reset).saturating_add(byok),
            reset,
            resets: reset.map(|reset| reset.next(now)),
        }
    }

    pub(crate) fn remaining(&self) -> Decimal {
        (self.limit - self.spent).max(Decimal::ZERO)
    }
}

impl KeyRecord {
    pub(crate) fn is_expired(&self, now: UtcTime) -> bool {
        self.expires.is_some_and(|at| now >= at)
    }

    /// Where it stands, if it has a limit.
    pub(crate) fn standing(&self, now: UtcTime, spending: &KeySpending) -> Option<Standing> {
        let limit = self.limit?;
        Some(Standing::new(limit, self.reset, self.include_byok, now, spending))
    }
}

/// A code that can be exchanged for a key, once.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Code {
    pub(crate) wanted: Wanted,
    pub(crate) challenge: Option<String>,
    /// Whether the challenge is the hash of the verifier, or the verifier itself.
    pub(crate) hashed: bool,
    pub(crate) expires: UtcTime,
}

/// How many keys that were made here there are; the oldest is deleted for a new one.
pub(crate) const MOST_MADE: usize = 10_000;
/// How many deleted keys are known to have been deleted. After so many more, a key is like any other that was never made here.
pub(crate) const MOST_GONE: usize = 100_000;
/// How many codes wait for their keys; the oldest goes first.
pub(crate) const MOST_CODES: usize = 10_000;

/// All of it. None of it grows without end.
#[derive(Debug)]
pub(crate) struct Accounts {
    keys: Bounded<u64, KeyRecord>,
    /// Keys that were deleted.
    gone: Bounded<u64, ()>,
    /// The hashes of keys that were used, of as many as have books of their own.
    hashes: Bounded<u64, String>,
    /// By the fingerprint of the code; the code itself is not kept.
    codes: Bounded<u64, Code>,
    made: u64,
    pub(crate) contents: Contents,
}

impl Default for Accounts {
    fn default() -> Self {
        Self {
            keys: Bounded::new(MOST_MADE),
            gone: Bounded::new(MOST_GONE),
            hashes: Bounded::new(MOST_KEYS),
            codes: Bounded::new(MOST_CODES),
            made: 0,
            contents: Contents::default(),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// The name that the account's own routes know a key by: SHA-256, in hexadecimal digits.
pub(crate) fn hash_of(key: &str) -> String {
    hex(&Sha256::digest(key.as_bytes()))
}

/// A text that shows which key it is without showing any part of it.
pub(crate) fn label_of(key: u64) -> String {
    format!("sk-or-v1-sim...{:03x}", key & 0xfff)
}

impl Accounts {
    /// Whether a key may be used at all.
    pub(crate) fn check(&self, key: u64, now: UtcTime) -> Result<(), Problem> {
        let usable = |record: &KeyRecord| !record.disabled && !record.is_expired(now);
        if self.gone.contains(&key) || self.keys.get(&key).is_some_and(|record| !usable(record)) {
            return Err(Problem::new(401, "User not found."));
        }
        Ok(())
    }

    /// Remembers the hash of a key that was used.
    pub(crate) fn met(&mut self, key: u64, text: &str) {
        self.hashes.write(key, || hash_of(text));
    }

    pub(crate) fn hash(&self, key: u64) -> Option<&str> {
        self.hashes.get(&key).map(String::as_str)
    }

    /// Whether a key may be used for a request that costs money.
    pub(crate) fn may_spend(&self, key: u64, now: UtcTime, spending: &KeySpending) -> Result<(), Problem> {
        let Some(record) = self.keys.get(&key) else {
            return Ok(());
        };
        let Some(standing) = record.standing(now, spending) else {
            return Ok(());
        };
        if standing.remaining() > Decimal::ZERO {
            return Ok(());
        }
        let exceeded = Exceeded {
            limit: standing.limit,
            spent: standing.spent,
            reset: record.reset,
        };
        Err(key_limit(403, exceeded, now))
    }

    /// Remembers when a key was used last.
    pub(crate) fn used(&mut self, key: u64, now: UtcTime) {
        if let Some(record) = self.keys.get_mut(&key) {
            record.last_used = Some(now);
        }
    }

    pub(crate) fn record(&self, key: u64) -> Option<&KeyRecord> {
        self.keys.get(&key)
    }

    /// The keys, the newest first, with their fingerprints.
    pub(crate) fn newest(&self) -> Vec<(u64, &KeyRecord)> {
        let mut all: Vec<_> = self.keys.iter().map(|(key, record)| (*key, record)).collect();
        all.sort_by_key(|(_, record)| std::cmp::Reverse(record.number));
        all
    }

    pub(crate) fn by_hash(&mut self, hash: &str) -> Option<(u64, &mut KeyRecord)> {
        let (key, _) = self.keys.iter().find(|(_, record)| record.hash == hash)?;
        let key = *key;
        self.keys.get_mut(&key).map(|record| (key, record))
    }

    /// Takes a key away for good.
    pub(crate) fn delete(&mut self, hash: &str) -> bool {
        let Some((key, _)) = self.by_hash(hash) else {
            return false;
        };
        self.gone.insert(key, ());
        self.keys.remove(&key).is_some()
    }

    /// Makes a key. The text is handed out here and never again.
    pub(crate) fn make(&mut self, seed: u64, wanted: Wanted, now: UtcTime) -> (String, u64) {
        self.made += 1;
        let mut dice = Dice::new(seed, "made key", &[&self.made.to_le_bytes()]);
        let digits: Vec<u8> = (0..32)
            .map(|_| u8::try_from(dice.below(256)).unwrap_or_default())
            .collect();
        let text = format!("sk-or-v1-{}", hex(&digits));
        let key = fingerprint(&[text.as_bytes()]);
        let record = KeyRecord {
            hash: hash_of(&text),
            name: wanted.name,
            label: label_of(key),
            disabled: false,
            limit: wanted.limit,
            reset: wanted.reset,
            include_byok: wanted.include_byok,
            created: now,
            updated: None,
            last_used: None,
            expires: wanted.expires,
            creator: wanted.creator,
            external_user: wanted.external_user,
            number: self.made,
        };
        if let Some((oldest, _)) = self.keys.insert(key, record) {
            self.gone.insert(oldest, ());
        }
        (text, key)
    }

    /// Makes a code for a key.
    pub(crate) fn make_code(&mut self, seed: u64, code: Code) -> String {
        self.made += 1;
        let mut dice = Dice::new(seed, "made code", &[&self.made.to_le_bytes()]);
        let text = format!("auth_code_{}", dice.alphanumeric(24));
        self.codes.insert(fingerprint(&[text.as_bytes()]), code);
        text
    }

    /// Takes a code; whoever comes second with it comes too late. A wrong verifier costs the code as well.
    pub(crate) fn take_code(&mut self, text: &str) -> Option<Code> {
        self.codes.remove(&fingerprint(&[text.as_bytes()]))
    }

    #[cfg(test)]
    pub(crate) fn lens(&self) -> [usize; 4] {
        [
            self.keys.len(),
            self.gone.len(),
            self.hashes.len(),
            self.codes.len(),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routes::dates::DAY;
    use crate::routes::spending::{Spending, Spent};

    fn at(unix: i64) -> UtcTime {
        UtcTime::from_unix(unix)
    }

    fn spend(books: &mut Spending, key: u64, unix: i64, cost: i64, byok: i64) {
        books.record(
            key,
            &Spent {
                at: at(unix),
                model: "a/b",
                provider: "X",
                cost: Decimal::from(cost),
                byok: Decimal::from(byok),
                prompt: 1,
                completion: 1,
                reasoning: 0,
                cached: 0,
            },
        );
    }

    #[test]
    fn a_limit_holds_until_its_span_is_over() {
        let (mut accounts, mut books) = (Accounts::default(), Spending::default());
        let wanted = Wanted {
            limit: Some(Decimal::from(3)),
            reset: Some(Interval::Daily),
            ..Wanted::default()
        };
        let (text, key) = accounts.make(1, wanted, at(0));
        assert!(text.starts_with("sk-or-v1-") && text.len() == 9 + 64);
        assert_eq!(accounts.record(key).unwrap().hash, hash_of(&text));
        spend(&mut books, key, 10, 2, 9);
        assert!(accounts.may_spend(key, at(20), books.of(key)).is_ok());
        spend(&mut books, key, 20, 1, 0);
        let refused = accounts.may_spend(key, at(30), books.of(key)).unwrap_err();
        assert_eq!(
            (refused.status, refused.message.as_str()),
            (403, "Key limit exceeded (daily limit).")
        );
        assert_eq!(refused.metadata["limit_source"], "openrouter_key_limit");
        assert_eq!(refused.metadata["resets_at"], "1970-01-02T00:00:00.000Z");
        assert!(accounts.may_spend(key, at(DAY), books.of(key)).is_ok());
        let (_, record) = {
            let hash = hash_of(&text);
            accounts.by_hash(&hash).unwrap()
        };
        record.include_byok = true;
        record.reset = None;
        let standing = accounts
            .record(key)
            .unwrap()
            .standing(at(DAY), books.of(key))
            .unwrap();
        assert_eq!((standing.spent, standing.resets), (Decimal::from(12), None));
        assert!(accounts.may_spend(77, at(0), &KeySpending::default()).is_ok());
    }

    #[test]
    fn keys_end() {
        let mut accounts = Accounts::default();
        let wanted = Wanted {
            expires: Some(at(100)),
            ..Wanted::default()
        };
        let (text, key) = accounts.make(1, wanted, at(0));
        assert!(accounts.check(key, at(99)).is_ok());
        assert_eq!(accounts.check(key, at(100)).unwrap_err().status, 401);
        assert!(accounts.delete(&hash_of(&text)) && !accounts.delete(&hash_of(&text)));
        assert_eq!(accounts.check(key, at(0)).unwrap_err().status, 401);
        assert!(!format!("{accounts:?}").contains(&text));
    }

    #[test]
    fn the_oldest_keys_and_codes_go_first_and_for_good() {
        let mut accounts = Accounts::default();
        let code = Code {
            wanted: Wanted::default(),
            challenge: None,
            hashed: true,
            expires: at(600),
        };
        let first_code = accounts.make_code(1, code.clone());
        let (_, first) = accounts.make(1, Wanted::default(), at(0));
        let (_, second) = accounts.make(1, Wanted::default(), at(0));
        // That a key is used does not make it younger.
        accounts.used(first, at(1));
        for _ in 0..MOST_MADE - 1 {
            accounts.make(1, Wanted::default(), at(2));
            accounts.make_code(1, code.clone());
        }
        accounts.make_code(1, code);
        for key in 0..=MOST_KEYS as u64 {
            accounts.met(key, "sk-or-v1-x");
        }
        assert_eq!(accounts.lens(), [MOST_MADE, 1, MOST_KEYS, MOST_CODES]);
        assert_eq!(accounts.check(first, at(3)).unwrap_err().status, 401);
        assert!(accounts.check(second, at(3)).is_ok() && accounts.take_code(&first_code).is_none());
        assert!(accounts.hash(0).is_none() && accounts.hash(1).is_some());
    }
}
