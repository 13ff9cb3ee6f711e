//! Double-entry bookkeeping: what an attempt moves from one account to another.
//!
//! | kind | from (debit) | to (credit) | amount | needed by |
//! | --- | --- | --- | --- | --- |
//! | `reserve` | `customer:<key>` | `suspense` | what is held while the attempt runs | budgets, at a restart |
//! | `release` | `suspense` | `customer:<key>` | the same, once it is settled | budgets |
//! | `settle` | `customer:<key>` | `provider:<p>` | the cost | every report |
//! | `markup` | `customer:<key>` | `markup` | the share of the cost | every report |
//! | `fee` | `customer:<key>` | `fees` | the fixed fee | markup rules with a fee |
//! | `correct` | as the three before | as the three before | what is to be added, or taken off if it is below zero | reconciliation |

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use integration_core::{ProviderId, RequestId};

use crate::bill::BillLine;
use crate::charge::Charge;
use crate::ledger::{AttemptCorrection, AttemptIntent, AttemptRow, AttemptSettlement, LedgerError};
use crate::money::Pico;
use crate::time::UtcTime;

/// Where money comes from and goes to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Account {
    /// A caller, by its key: what is charged is debited.
    Customer(String),
    /// A provider: what it takes is credited.
    Provider(ProviderId),
    /// The shares added to costs.
    Markup,
    /// The fixed fees added to costs.
    Fees,
    /// What is held while attempts run.
    Suspense,
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Customer(key) => write!(f, "customer:{key}"),
            Self::Provider(provider) => write!(f, "provider:{provider}"),
            Self::Markup => f.write_str("markup"),
            Self::Fees => f.write_str("fees"),
            Self::Suspense => f.write_str("suspense"),
        }
    }
}

/// A text that names no account.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no account")]
pub struct UnknownAccount(pub String);

impl FromStr for Account {
    type Err = UnknownAccount;

    fn from_str(text: &str) -> Result<Self, UnknownAccount> {
        let unknown = || UnknownAccount(text.to_owned());
        if let Some(key) = text.strip_prefix("customer:") {
            return Ok(Self::Customer(key.to_owned()));
        }
        if let Some(provider) = text.strip_prefix("provider:") {
            return provider.parse().map(Self::Provider).map_err(|_| unknown());
        }
        match text {
            "markup" => Ok(Self::Markup),
            "fees" => Ok(Self::Fees),
            "suspense" => Ok(Self::Suspense),
            _ => Err(unknown()),
        }
    }
}

/// Why money moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum EntryKind {
    /// Held before the attempt.
    Reserve,
    /// The cost.
    Settle,
    /// No longer held.
    Release,
    /// A cost, markup or fee that was found to be another one.
    Correct,
    /// The fixed fee.
    Fee,
    /// The share of the cost.
    Markup,
}

impl EntryKind {
    /// Every kind.
    pub const ALL: [Self; 6] = [
        Self::Reserve,
        Self::Settle,
        Self::Release,
        Self::Correct,
        Self::Fee,
        Self::Markup,
    ];

    /// The word for it in records and reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reserve => "reserve",
            Self::Settle => "settle",
            Self::Release => "release",
            Self::Correct => "correct",
            Self::Fee => "fee",
            Self::Markup => "markup",
        }
    }
}

impl fmt::Display for EntryKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A word that is no kind of entry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no kind of entry")]
pub struct UnknownEntryKind(pub String);

impl FromStr for EntryKind {
    type Err = UnknownEntryKind;

    fn from_str(text: &str) -> Result<Self, UnknownEntryKind> {
        let found = Self::ALL.into_iter().find(|kind| kind.as_str() == text);
        found.ok_or_else(|| UnknownEntryKind(text.to_owned()))
    }
}

/// One amount, moved from one account to another. Never changed: what was wrong is put right by a further entry.
///
/// Its name is request, attempt, kind and number, all of them from here and none from a provider, so that writing it twice is
/// writing it once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The caller's call.
    pub request: RequestId,
    /// Which attempt of that call.
    pub attempt: u16,
    /// Why money moves.
    pub kind: EntryKind,
    /// Which entry of its kind, from 0.
    pub seq: u32,
    /// The account that gives.
    pub debit: Account,
    /// The account that takes.
    pub credit: Account,
    /// How much. Below zero where a correction gives back.
    pub amount: Pico,
    /// The hour in whose sums it is, by its start; its month is the entry's period.
    pub hour: SystemTime,
}

/// How long after the end of a month its books stay open for what comes late.
pub const GRACE: Duration = Duration::from_secs(72 * 3_600);

const HOUR: i64 = 3_600;
const DAY: i64 = 86_400;

/// The start of the hour of Coordinated Universal Time that holds an instant.
pub fn hour_of(time: SystemTime) -> SystemTime {
    let hour = UtcTime::from(time).unix().div_euclid(HOUR);
    UtcTime::from_unix(hour.saturating_mul(HOUR)).into()
}

/// The first second of the month after the one that holds an instant.
fn month_end(time: UtcTime) -> i64 {
    // By the proleptic Gregorian calendar, in years that begin in March, so that the leap day is the last one.
    let days = time.unix().div_euclid(DAY) + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let first_of_next = (153 * (month + 1) + 2) / 5;
    // February, the last month of such a year, ends with it.
    let leap = year_of_era % 4 == 3 && (year_of_era % 100 != 99 || year_of_era == 399);
    let first_of_next = if month == 11 {
        365 + i64::from(leap)
    } else {
        first_of_next
    };
    let first_of_year = era * 146_097 + 365 * year_of_era + year_of_era / 4 - year_of_era / 100;
    (first_of_year + first_of_next - 719_468).saturating_mul(DAY)
}

/// The hour in whose sums something belongs that happened at `event` and became known at `known`: the hour of the event as long
/// as the books of its month (UTC) are open, which is until [`GRACE`] after its end, else the hour it became known. So a month that
/// was reported stays as it was reported.
pub fn booked_in(event: SystemTime, known: SystemTime) -> SystemTime {
    let grace = i64::try_from(GRACE.as_secs()).unwrap_or(i64::MAX);
    let closes = month_end(UtcTime::from(event)).saturating_add(grace);
    if UtcTime::from(known).unix() < closes {
        hour_of(event)
    } else {
        hour_of(known)
    }
}

/// The parts of a charge that go to different accounts.
#[derive(Clone, Copy, Default)]
struct Parts {
    cost: Pico,
    share: Pico,
    fee: Pico,
}

/// Looks whether amounts add up. `None` where they are not known.
fn parts(charge: &Charge, fee: Pico, bill: &[BillLine]) -> Result<Option<Parts>, &'static str> {
    let (cost, markup, whole) = match (charge.cost, charge.markup, charge.charge) {
        (Some(cost), Some(markup), Some(whole)) => (cost, markup, whole),
        (None, None, None) if fee == Pico::ZERO && bill.is_empty() => return Ok(None),
        (None, None, None) => return Err("there is a fee or a bill, and no amount is known"),
        _ => return Err("of cost, markup and charge some are known and some are not"),
    };
    if cost.checked_add(markup) != Some(whole) {
        return Err("cost and markup are not the charge");
    }
    if fee < Pico::ZERO {
        return Err("the fee is below zero");
    }
    let sum = |cost_only: bool| -> i128 {
        bill.iter()
            .filter(|line| !cost_only || line.item.is_cost())
            .map(|line| i128::from(line.amount.get()))
            .sum()
    };
    if !bill.is_empty() && (sum(true) != i128::from(cost.get()) || sum(false) != i128::from(whole.get())) {
        return Err("the lines of the bill are not the cost and the charge");
    }
    let share = markup.checked_sub(fee).ok_or("an amount cannot be held")?;
    Ok(Some(Parts { cost, share, fee }))
}

impl Parts {
    fn minus(self, other: Self) -> Option<Self> {
        Some(Self {
            cost: self.cost.checked_sub(other.cost)?,
            share: self.share.checked_sub(other.share)?,
            fee: self.fee.checked_sub(other.fee)?,
        })
    }
}

fn entry(
    intent: &AttemptIntent,
    kind: EntryKind,
    seq: u32,
    credit: Account,
    amount: Pico,
    hour: SystemTime,
) -> Entry {
    Entry {
        request: intent.request.clone(),
        attempt: intent.attempt,
        kind,
        seq,
        debit: Account::Customer(intent.caller.key.clone()),
        credit,
        amount,
        hour,
    }
}

/// The entries of an intent: what it holds, if anything.
pub fn intent_entries(intent: &AttemptIntent) -> Vec<Entry> {
    let held = intent.reserved.filter(|amount| *amount != Pico::ZERO);
    let hour = hour_of(intent.started);
    held.map(|amount| entry(intent, EntryKind::Reserve, 0, Account::Suspense, amount, hour))
        .into_iter()
        .collect()
}

/// The entries of a settlement. A cost that is known is there even if it is zero; one that is not known is not.
///
/// # Errors
/// [`LedgerError::Unbalanced`] for amounts that do not add up.
pub fn settlement_entries(
    intent: &AttemptIntent,
    settlement: &AttemptSettlement,
) -> Result<Vec<Entry>, LedgerError> {
    let hour = booked_in(intent.started, settlement.finished);
    let parts = parts(&settlement.charge, settlement.fee, &settlement.bill)
        .map_err(|message| unbalanced(&settlement.request, settlement.attempt, message))?;
    let mut entries = Vec::with_capacity(4);
    for held in intent_entries(intent) {
        entries.push(Entry {
            kind: EntryKind::Release,
            debit: held.credit,
            credit: held.debit,
            hour,
            ..held
        });
    }
    if let Some(Parts { cost, share, fee }) = parts {
        let provider = Account::Provider(intent.provider.clone());
        entries.push(entry(intent, EntryKind::Settle, 0, provider, cost, hour));
        if share != Pico::ZERO {
            entries.push(entry(intent, EntryKind::Markup, 0, Account::Markup, share, hour));
        }
        if fee != Pico::ZERO {
            entries.push(entry(intent, EntryKind::Fee, 0, Account::Fees, fee, hour));
        }
    }
    Ok(entries)
}

/// The entries that a correction adds to those of an attempt, of which `corrected` are corrections already; `None` if it says
/// nothing new or is less sure than what is known.
///
/// # Errors
/// [`LedgerError::NotSettled`]; [`LedgerError::Unbalanced`] for amounts that are not known or do not add up.
pub fn correction_entries(
    row: &AttemptRow,
    corrected: u32,
    correction: &AttemptCorrection,
) -> Result<Option<Vec<Entry>>, LedgerError> {
    let (request, attempt) = (&correction.request, correction.attempt);
    let unbalanced = |message| unbalanced(request, attempt, message);
    let Some(known) = row.charge() else {
        return Err(LedgerError::NotSettled {
            request: request.clone(),
            attempt,
        });
    };
    let new = parts(&correction.charge, correction.fee, &correction.bill)
        .map_err(unbalanced)?
        .ok_or_else(|| unbalanced("a correction without amounts"))?;
    let same = known == correction.charge && row.fee() == correction.fee;
    if known.cost.is_some() && (same || correction.charge.status > known.status) {
        return Ok(None);
    }
    let old = parts(&known, row.fee(), &[])
        .map_err(unbalanced)?
        .unwrap_or_default();
    let more = new
        .minus(old)
        .ok_or_else(|| unbalanced("the difference cannot be held"))?;
    let hour = booked_in(row.intent.started, correction.at);
    let amounts = [
        (Account::Provider(row.intent.provider.clone()), more.cost),
        (Account::Markup, more.share),
        (Account::Fees, more.fee),
    ];
    let moved = amounts.into_iter().filter(|(_, amount)| *amount != Pico::ZERO);
    let entries = moved
        .zip(corrected..)
        .map(|((account, amount), seq)| entry(&row.intent, EntryKind::Correct, seq, account, amount, hour));
    Ok(Some(entries.collect()))
}

fn unbalanced(request: &RequestId, attempt: u16, message: &'static str) -> LedgerError {
    LedgerError::Unbalanced {
        request: request.clone(),
        attempt,
        message,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The number of days of each month, counted one by one.
    #[test]
    fn a_month_ends_where_the_next_begins() {
        let mut first = -719_162_i64 * DAY; // 0001-01-01
        for year in 1..3_000 {
            let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let february = if leap { 29 } else { 28 };
            for days in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
                let next = first + days * DAY;
                assert_eq!(month_end(UtcTime::from_unix(first)), next, "{year}");
                assert_eq!(month_end(UtcTime::from_unix(next - 1)), next, "{year}");
                first = next;
            }
        }
    }
}
