//! The proof that a ledger adds up: everything it holds against everything else.

use std::collections::btree_map::Entry as Slot;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use integration_core::RequestId;

use crate::ledger::AttemptRow;
use crate::ledger_entry::{Account, Entry, EntryKind};
use crate::rollup::{PicoSum, RollupKey, RollupRow, RollupSums};
use crate::rollup_change::RollupChanges;

/// How many violations are described. The others are counted.
const DESCRIBED: usize = 100;

/// What of a ledger does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Rule {
    /// The debits of all accounts are their credits.
    DebitsAreCredits,
    /// The lines of a bill are the cost and the charge of its attempt.
    BillIsLine,
    /// Cost and markup are the charge, and the entries of an attempt are these amounts.
    LineIsEntries,
    /// The attempts of a request are what its entries charge.
    LinesAreRequest,
    /// The requests of a key are what its account was charged, and the keys are the total.
    RequestsAreKey,
    /// The hourly sums are the attempts and their entries.
    RollupsAreEntries,
    /// The sums of feedback are what callers said, each in the sum of the model that answered.
    SumsAreFeedback,
    /// An attempt is open, or it ended once: nothing is booked of an open one, everything of one that ended, and nothing is held
    /// for it any more.
    OneEnd,
    /// What can be written twice is there once.
    Once,
}

impl Rule {
    /// The word for it in records and reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DebitsAreCredits => "debits_are_credits",
            Self::BillIsLine => "bill_is_line",
            Self::LineIsEntries => "line_is_entries",
            Self::LinesAreRequest => "lines_are_request",
            Self::RequestsAreKey => "requests_are_key",
            Self::RollupsAreEntries => "rollups_are_entries",
            Self::SumsAreFeedback => "sums_are_feedback",
            Self::OneEnd => "one_end",
            Self::Once => "once",
        }
    }
}

/// Where something does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Place {
    /// In the whole ledger.
    Ledger,
    /// In an account.
    Account(Account),
    /// In a request.
    Request(RequestId),
    /// In an attempt.
    Attempt(RequestId, u16),
    /// In an hourly sum.
    Rollup(Box<RollupKey>),
    /// In the feedback on a model, in words.
    Feedback(String),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ledger => f.write_str("the ledger"),
            Self::Account(account) => write!(f, "account {account}"),
            Self::Request(request) => write!(f, "request {request}"),
            Self::Attempt(request, attempt) => write!(f, "attempt {attempt} of request {request}"),
            Self::Feedback(of) => write!(f, "the feedback on {of}"),
            Self::Rollup(key) => {
                let hour = crate::time::UtcTime::from(key.hour).unix();
                write!(
                    f,
                    "the sum of second {hour}, {} at {} for {}, ",
                    key.model, key.provider, key.caller.key
                )?;
                match &key.tag {
                    Some(tag) => write!(f, "label {tag:?}, ")?,
                    None => f.write_str("all labels, ")?,
                }
                let outcome = key.outcome.map_or("open", |outcome| outcome.as_str());
                write!(f, "{outcome}, {}", key.status)
            }
        }
    }
}

/// Something that does not hold, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// What.
    pub rule: Rule,
    /// Where.
    pub place: Place,
    /// What was found, and what was to be found.
    pub detail: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.rule.as_str(), self.place, self.detail)
    }
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Verification {
    /// How many attempts were checked.
    pub attempts: u64,
    /// Of these, how many are open.
    pub open: u64,
    /// How many requests.
    pub requests: u64,
    /// How many entries.
    pub entries: u64,
    /// How many hourly sums.
    pub rollups: u64,
    /// What all callers were charged, simulated attempts included.
    pub charged: PicoSum,
    /// How many violations there are.
    pub violation_count: u64,
    /// The first hundred of them.
    pub violations: Vec<Violation>,
}

impl Verification {
    /// Whether everything holds.
    pub const fn holds(&self) -> bool {
        self.violation_count == 0
    }
}

/// Checks a ledger row by row. It remembers the hourly sums and the accounts, not the attempts.
///
/// The attempts come in the order of their request and number, each with its entries in the order of kind and number; then the
/// hourly sums in any order.
#[derive(Debug, Default)]
pub struct Verifier {
    found: Verification,
    /// Debits and credits by account.
    accounts: BTreeMap<Account, (PicoSum, PicoSum)>,
    /// What the lines of each key come to, and what is held for its open attempts.
    by_key: BTreeMap<String, (PicoSum, PicoSum)>,
    expected: RollupChanges,
    stored: BTreeMap<RollupKey, RollupSums>,
    request: Option<RequestSums>,
    last: Option<(RequestId, u16)>,
}

#[derive(Debug)]
struct RequestSums {
    request: RequestId,
    lines: PicoSum,
    entries: PicoSum,
}

/// What the entries of one attempt come to.
#[derive(Debug, Default, PartialEq, Eq)]
struct Booked {
    cost: PicoSum,
    markup: PicoSum,
    charge: PicoSum,
    held: PicoSum,
    settled: u32,
}

impl Verifier {
    /// Nothing checked yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes over a violation that its store found, of what only stores can hold against each other.
    pub fn violated(&mut self, rule: Rule, place: Place, detail: impl Into<String>) {
        self.found.violation_count += 1;
        if self.found.violations.len() < DESCRIBED {
            self.found.violations.push(Violation {
                rule,
                place,
                detail: detail.into(),
            });
        }
    }

    /// Checks an attempt and its entries.
    pub fn attempt(&mut self, row: &AttemptRow, entries: &[Entry]) {
        let (request, attempt) = (&row.intent.request, row.intent.attempt);
        let place = || Place::Attempt(request.clone(), attempt);
        self.found.attempts += 1;
        self.found.entries += entries.len() as u64;
        let next = (request.clone(), attempt);
        if self.last.as_ref().is_some_and(|last| *last >= next) {
            self.violated(Rule::Once, place(), "the attempt is there twice, or out of order");
        }
        self.last = Some(next);
        let booked = self.book(row, entries);
        self.end(row, &booked);
        self.line(row, &booked);
        self.sum_up(row, &booked);
        self.expected.add(row, entries);
    }

    /// Adds the entries to the accounts, and looks at each of them.
    fn book(&mut self, row: &AttemptRow, entries: &[Entry]) -> Booked {
        let place = || Place::Attempt(row.intent.request.clone(), row.intent.attempt);
        let mut booked = Booked::default();
        let mut names = BTreeSet::new();
        let customer = Account::Customer(row.intent.caller.key.clone());
        let provider = Account::Provider(row.intent.provider.clone());
        for entry in entries {
            let name = format!("entry {} {}", entry.kind, entry.seq);
            if (&entry.request, entry.attempt) != (&row.intent.request, row.intent.attempt) {
                self.violated(Rule::Once, place(), format!("{name} is of another attempt"));
            }
            if !names.insert((entry.kind, entry.seq)) {
                self.violated(Rule::Once, place(), format!("{name} is there twice"));
            }
            self.accounts.entry(entry.debit.clone()).or_default().0 += entry.amount;
            self.accounts.entry(entry.credit.clone()).or_default().1 += entry.amount;
            let (from, to) = (&entry.debit, &entry.credit);
            let allowed = match entry.kind {
                EntryKind::Reserve => *from == customer && *to == Account::Suspense,
                EntryKind::Release => *from == Account::Suspense && *to == customer,
                EntryKind::Settle => *from == customer && *to == provider,
                EntryKind::Markup => *from == customer && *to == Account::Markup,
                EntryKind::Fee => *from == customer && *to == Account::Fees,
                EntryKind::Correct => {
                    *from == customer && (*to == provider || matches!(to, Account::Markup | Account::Fees))
                }
            };
            if !allowed {
                self.violated(
                    Rule::LineIsEntries,
                    place(),
                    format!("{name} moves {from} to {to}"),
                );
            }
            let amount = PicoSum::from(entry.amount);
            match entry.kind {
                EntryKind::Reserve => booked.held += amount,
                EntryKind::Release => booked.held -= amount,
                EntryKind::Settle => {
                    booked.settled += 1;
                    booked.cost += amount;
                    booked.charge += amount;
                }
                EntryKind::Markup | EntryKind::Fee => {
                    booked.markup += amount;
                    booked.charge += amount;
                }
                EntryKind::Correct => {
                    match to {
                        Account::Provider(_) => booked.cost += amount,
                        _ => booked.markup += amount,
                    }
                    booked.charge += amount;
                }
            }
        }
        booked
    }

    /// An attempt is open and nothing is booked but what it holds, or it ended and nothing is held.
    fn end(&mut self, row: &AttemptRow, booked: &Booked) {
        let place = || Place::Attempt(row.intent.request.clone(), row.intent.attempt);
        let Some(settlement) = &row.settlement else {
            self.found.open += 1;
            let reserved = PicoSum::from(row.intent.reserved.unwrap_or_default());
            self.by_key.entry(row.intent.caller.key.clone()).or_default().1 += reserved;
            let nothing = Booked {
                held: reserved,
                ..Booked::default()
            };
            if *booked != nothing || !row.corrections.is_empty() {
                self.violated(
                    Rule::OneEnd,
                    place(),
                    "the attempt is open, and something is booked of it",
                );
            }
            return;
        };
        if booked.held != PicoSum::ZERO {
            let detail = format!("the attempt ended, and {} are still held", booked.held);
            self.violated(Rule::OneEnd, place(), detail);
        }
        let known = u32::from(settlement.charge.cost.is_some());
        if booked.settled != known {
            let detail = format!("{} entries settle it, not {known}", booked.settled);
            self.violated(Rule::OneEnd, place(), detail);
        }
    }

    /// The bill is the line and the line is the entries.
    fn line(&mut self, row: &AttemptRow, booked: &Booked) {
        let place = || Place::Attempt(row.intent.request.clone(), row.intent.attempt);
        let Some(charge) = row.charge() else { return };
        let amounts = (charge.cost, charge.markup, charge.charge);
        let (cost, markup, whole) = match amounts {
            (Some(cost), Some(markup), Some(whole)) => (cost.into(), markup.into(), whole.into()),
            (None, None, None) => (PicoSum::ZERO, PicoSum::ZERO, PicoSum::ZERO),
            _ => {
                self.violated(
                    Rule::LineIsEntries,
                    place(),
                    "some amounts are known and some are not",
                );
                return;
            }
        };
        if cost + markup != whole {
            let detail = format!("cost {cost} and markup {markup} are not the charge {whole}");
            self.violated(Rule::LineIsEntries, place(), detail);
        }
        for (name, line, entries) in [
            ("cost", cost, booked.cost),
            ("markup", markup, booked.markup),
            ("charge", whole, booked.charge),
        ] {
            if line != entries {
                let detail = format!("the {name} is {line}, and its entries are {entries}");
                self.violated(Rule::LineIsEntries, place(), detail);
            }
        }
        let bill = row.bill();
        if !bill.is_empty() {
            let of_cost: PicoSum = bill.iter().filter(|l| l.item.is_cost()).map(|l| l.amount).sum();
            let of_all: PicoSum = bill.iter().map(|l| l.amount).sum();
            if (of_cost, of_all) != (cost, whole) {
                let detail = format!(
                    "the bill has cost {of_cost} and charge {of_all}, and the line {cost} and {whole}"
                );
                self.violated(Rule::BillIsLine, place(), detail);
            }
        }
    }

    fn sum_up(&mut self, row: &AttemptRow, booked: &Booked) {
        let charge = row.charge().and_then(|charge| charge.charge).unwrap_or_default();
        self.by_key.entry(row.intent.caller.key.clone()).or_default().0 += charge;
        self.found.charged += charge;
        let request = &row.intent.request;
        if self.request.as_ref().is_none_or(|sums| sums.request != *request) {
            self.close_request();
            self.found.requests += 1;
        }
        let sums = self.request.get_or_insert_with(|| RequestSums {
            request: request.clone(),
            lines: PicoSum::ZERO,
            entries: PicoSum::ZERO,
        });
        sums.lines += charge;
        sums.entries += booked.charge;
    }

    fn close_request(&mut self) {
        let Some(sums) = self.request.take() else { return };
        if sums.lines != sums.entries {
            let detail = format!("its lines are {}, and its entries {}", sums.lines, sums.entries);
            self.violated(Rule::LinesAreRequest, Place::Request(sums.request), detail);
        }
    }

    /// Notes entries that belong to no attempt.
    pub fn stray_entry(&mut self, entry: &Entry) {
        self.found.entries += 1;
        let place = Place::Attempt(entry.request.clone(), entry.attempt);
        let detail = format!("entry {} {} is of no attempt", entry.kind, entry.seq);
        self.violated(Rule::LineIsEntries, place, detail);
    }

    /// Takes an hourly sum, to be compared at the end.
    pub fn rollup(&mut self, row: RollupRow) {
        self.found.rollups += 1;
        match self.stored.entry(row.key) {
            Slot::Vacant(free) => {
                free.insert(row.sums);
            }
            Slot::Occupied(taken) => {
                let place = Place::Rollup(Box::new(taken.key().clone()));
                self.violated(Rule::Once, place, "the sum is there twice");
            }
        }
    }

    /// What was found, once everything was given.
    pub fn finish(mut self) -> Verification {
        self.close_request();
        let (mut debits, mut credits) = (PicoSum::ZERO, PicoSum::ZERO);
        for (debit, credit) in self.accounts.values() {
            debits += *debit;
            credits += *credit;
        }
        if debits != credits {
            let detail = format!("the debits are {debits}, and the credits {credits}");
            self.violated(Rule::DebitsAreCredits, Place::Ledger, detail);
        }
        self.check_keys();
        self.check_rollups();
        self.found
    }

    /// The lines of the keys are the balances of their accounts, but for what is held.
    fn check_keys(&mut self) {
        let balance = |of: &(PicoSum, PicoSum)| of.0 - of.1;
        let (mut lines, mut held) = (PicoSum::ZERO, PicoSum::ZERO);
        for (key, (of_lines, of_held)) in std::mem::take(&mut self.by_key) {
            let account = Account::Customer(key);
            let found = self
                .accounts
                .remove(&account)
                .map_or(PicoSum::ZERO, |of| balance(&of));
            lines += of_lines;
            held += of_held;
            if found != of_lines + of_held {
                let detail =
                    format!("its requests are {of_lines}, {of_held} are held, and its account is {found}");
                self.violated(Rule::RequestsAreKey, Place::Account(account), detail);
            }
        }
        let suspense = self
            .accounts
            .get(&Account::Suspense)
            .map_or(PicoSum::ZERO, balance);
        if PicoSum::ZERO - suspense != held {
            let found = PicoSum::ZERO - suspense;
            let detail = format!("{found} are held, and {held} for open attempts");
            self.violated(Rule::OneEnd, Place::Account(Account::Suspense), detail);
        }
        if lines != self.found.charged {
            let detail = format!("the keys are {lines}, and the total {}", self.found.charged);
            self.violated(Rule::RequestsAreKey, Place::Ledger, detail);
        }
        let left: Vec<_> = self
            .accounts
            .keys()
            .filter(|a| matches!(a, Account::Customer(_)))
            .cloned()
            .collect();
        for account in left {
            self.violated(
                Rule::RequestsAreKey,
                Place::Account(account),
                "it has entries and no attempts",
            );
        }
    }

    fn check_rollups(&mut self) {
        let mut stored = std::mem::take(&mut self.stored);
        let expected = std::mem::take(&mut self.expected);
        for (key, change) in expected.iter() {
            let found = stored.remove(key);
            if found != change.to_sums() {
                let (found, expected) = (found.unwrap_or_default(), change.to_sums().unwrap_or_default());
                let place = Place::Rollup(Box::new(key.clone()));
                self.violated(Rule::RollupsAreEntries, place, difference(&found, &expected));
            }
        }
        for (key, sums) in stored {
            if sums != RollupSums::default() {
                let place = Place::Rollup(Box::new(key));
                let detail = difference(&sums, &RollupSums::default());
                self.violated(Rule::RollupsAreEntries, place, detail);
            }
        }
    }
}

fn difference(found: &RollupSums, expected: &RollupSums) -> String {
    format!(
        "it has {} attempts ({} unknown), cost {}, markup {}; the attempts and entries are {} ({}), {}, {}",
        found.attempts,
        found.unknown,
        found.cost,
        found.markup,
        expected.attempts,
        expected.unknown,
        expected.cost,
        expected.markup
    )
}
