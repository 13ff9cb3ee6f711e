//! The counts of all accounts, as a state machine: no clock, no lock, no I/O.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::answer::{BudgetFacts, BudgetRefusal, Overshoot, RefusalReason, Seen, Standing, clamped};
use super::rules::{Claim, ClaimLine, Demand, Level, Limits, OnUnpriced};
use super::scope::{Account, ReservationId};
use super::window::Window;
use crate::money::Pico;
use crate::time::UtcTime;

/// A window is remembered so long after its end, so that clocks that jump back and calls that end late find it again.
const REMEMBERED: i64 = 2 * 3_600;

/// So often what is over is dropped.
const PRUNE_EVERY: i64 = 3_600;

/// What is spent and held in all accounts.
///
/// An account counts each of its windows by itself: a call belongs to the window it began in, whenever it ends. In every window
/// and at all times, as long as the hard limit stays the same and nothing is [recorded](Self::record) from outside,
/// `spent + reserved <= limit + overshoot`, where the overshoot is the sum of what calls took beyond what was held for them.
#[derive(Debug, Clone, Default)]
pub struct BudgetState {
    accounts: HashMap<Account, Vec<Count>>,
    holds: HashMap<ReservationId, Hold>,
    expiries: BTreeSet<(UtcTime, ReservationId)>,
    lost: Vec<ReservationId>,
    overshoot: Over,
    prune_from: Option<UtcTime>,
}

/// One window of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Count {
    from: UtcTime,
    to: UtcTime,
    spent: i128,
    reserved: i128,
    overshoot: i128,
}

#[derive(Debug, Clone)]
struct Hold {
    at: UtcTime,
    expires: UtcTime,
    lines: Arc<[ClaimLine]>,
    phase: Phase,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The attempt runs: amounts are reserved.
    Open,
    /// It ended or was lost, and what it took is not known: amounts are spent until somebody knows better.
    Assumed,
}

#[derive(Debug, Clone, Copy, Default)]
struct Over {
    calls: u64,
    total: i128,
    largest: i128,
}

impl BudgetState {
    /// Nothing spent and nothing held.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes what a claim asks for from every account, or from none.
    ///
    /// A claim whose id is known already changes nothing and is admitted: it was. Holds whose time is over are given up first, by
    /// the time of the claim.
    ///
    /// # Errors
    /// [`BudgetRefusal`] of the account that will refuse longest. Nothing is taken then.
    pub fn reserve(&mut self, claim: &Claim) -> Result<Standing, Box<BudgetRefusal>> {
        self.expire(claim.at);
        if self.holds.contains_key(&claim.id) {
            return Ok(self.standing(claim, false));
        }
        self.check(claim)?;
        for line in claim.lines.iter() {
            if let Some(count) = self.count_mut(&line.account, claim.at) {
                count.reserved += i128::from(line.held.get());
            }
        }
        if !claim.lines.is_empty() {
            let hold = Hold {
                at: claim.at,
                expires: claim.expires,
                lines: Arc::clone(&claim.lines),
                phase: Phase::Open,
            };
            self.expiries.insert((claim.expires, claim.id.clone()));
            self.holds.insert(claim.id.clone(), hold);
        }
        Ok(self.standing(claim, false))
    }

    /// Counts what an attempt of an earlier process may have cost, as if it had been reserved and had ended unknown: what it asks for
    /// is spent until somebody settles it. It is refused by no limit, since it is over. A claim whose id is known changes nothing.
    pub fn assume(&mut self, claim: &Claim) {
        if claim.lines.is_empty() || self.holds.contains_key(&claim.id) {
            return;
        }
        for line in claim.lines.iter() {
            if let Some(count) = self.count_mut(&line.account, claim.at) {
                count.spent += i128::from(line.held.get());
            }
        }
        let hold = Hold {
            at: claim.at,
            expires: claim.expires,
            lines: Arc::clone(&claim.lines),
            phase: Phase::Assumed,
        };
        self.holds.insert(claim.id.clone(), hold);
    }

    /// What [`reserve`](Self::reserve) would say, without taking anything: for choosing among models, and for headers.
    ///
    /// # Errors
    /// As [`reserve`](Self::reserve).
    pub fn preview(&mut self, claim: &Claim) -> Result<Standing, Box<BudgetRefusal>> {
        self.expire(claim.at);
        let taken = self.holds.contains_key(&claim.id);
        if !taken {
            self.check(claim)?;
        }
        Ok(self.standing(claim, !taken))
    }

    /// Ends a hold with what was seen. It is never refused: what was charged counts, also above a limit and after the hold was
    /// given up. A hold that ended unknown can be settled once more. An unknown id changes nothing, so everything may be said
    /// twice. Returns whether something was changed.
    pub fn settle(&mut self, id: &ReservationId, seen: Seen) -> bool {
        let Some(hold) = self.holds.get(id) else {
            return false;
        };
        let (at, expires, phase) = (hold.at, hold.expires, hold.phase);
        if phase == Phase::Assumed && seen == Seen::Unknown {
            return false;
        }
        let lines = Arc::clone(&hold.lines);
        let mut most = 0;
        for line in lines.iter() {
            let held = i128::from(line.held.get());
            let actual = match seen {
                Seen::Known(actual) => i128::from(actual.get()),
                Seen::Unknown => held,
            };
            let over = (actual - held).max(0);
            most = most.max(over);
            if let Some(count) = self.count_mut(&line.account, at) {
                match phase {
                    Phase::Open => count.reserved -= held,
                    Phase::Assumed => count.spent -= held,
                }
                count.spent += actual;
                count.overshoot += over;
            }
        }
        if most > 0 {
            self.overshoot.calls += 1;
            self.overshoot.total += most;
            self.overshoot.largest = self.overshoot.largest.max(most);
        }
        if phase == Phase::Open {
            self.expiries.remove(&(expires, id.clone()));
        }
        match seen {
            Seen::Known(_) => {
                self.holds.remove(id);
            }
            Seen::Unknown => {
                if let Some(hold) = self.holds.get_mut(id) {
                    hold.phase = Phase::Assumed;
                }
            }
        }
        true
    }

    /// Ends a hold of an attempt that was never made: nothing is charged. Returns whether something was changed.
    pub fn release(&mut self, id: &ReservationId) -> bool {
        self.settle(id, Seen::Known(Pico::ZERO))
    }

    /// Gives up every hold whose time is over at `now`: what it held is taken as spent, since it may well be, until somebody
    /// settles it. Which ones they are is in [`take_lost`](Self::take_lost).
    pub fn expire(&mut self, now: UtcTime) {
        while self.expiries.first().is_some_and(|(expires, _)| *expires <= now) {
            if let Some((_, id)) = self.expiries.pop_first() {
                self.settle(&id, Seen::Unknown);
                self.lost.push(id);
            }
        }
        self.prune(now);
    }

    /// The holds that were given up since this was last asked, and not settled since: their cost is to be found out.
    pub fn take_lost(&mut self) -> Vec<ReservationId> {
        let mut lost = std::mem::take(&mut self.lost);
        lost.retain(|id| {
            self.holds
                .get(id)
                .is_some_and(|hold| hold.phase == Phase::Assumed)
        });
        lost
    }

    /// Counts a charge that no hold was for, in the window of that time: what a ledger says was spent before a restart, or by how
    /// much a charge was corrected, which may be negative.
    pub fn record(&mut self, account: &Account, at: UtcTime, charge: Pico) {
        if let Some(count) = self.count_mut(account, at) {
            count.spent += i128::from(charge.get());
        }
    }

    /// How an account stands at a time under these limits. `None` without a limit.
    pub fn facts(&self, account: &Account, limits: &Limits, at: UtcTime) -> Option<BudgetFacts> {
        let (level, limit) = limits.foremost()?;
        Some(facts(account, level, limit, self.count(account, at)))
    }

    /// The accounts in whose window at a time something was counted, in order.
    pub fn counted(&self, at: UtcTime) -> Vec<Account> {
        let holds = |count: &Count| (count.from..count.to).contains(&at);
        let counted = self
            .accounts
            .iter()
            .filter(|(_, counts)| counts.iter().any(holds));
        let mut accounts: Vec<_> = counted.map(|(account, _)| account.clone()).collect();
        accounts.sort_unstable();
        accounts
    }

    /// By how much calls took more than was held for them, since the start. Of a call, the account where it was most counts.
    pub fn overshoot(&self) -> Overshoot {
        Overshoot {
            calls: self.overshoot.calls,
            total: clamped(self.overshoot.total),
            largest: clamped(self.overshoot.largest),
        }
    }

    /// The same in one window of one account.
    pub fn overshoot_of(&self, account: &Account, at: UtcTime) -> Pico {
        clamped(self.count(account, at).overshoot)
    }

    /// How many attempts hold something.
    pub fn open(&self) -> usize {
        self.expiries.len()
    }

    /// How many accounts have something to remember.
    pub fn accounts(&self) -> usize {
        self.accounts.len()
    }

    /// Whether every account admits the claim.
    fn check(&self, claim: &Claim) -> Result<(), Box<BudgetRefusal>> {
        let refusals = claim.lines.iter().filter_map(|line| self.refusal(claim, line));
        match refusals.max_by_key(BudgetRefusal::lasting) {
            Some(refusal) => Err(Box::new(refusal)),
            None => Ok(()),
        }
    }

    fn refusal(&self, claim: &Claim, line: &ClaimLine) -> Option<BudgetRefusal> {
        let limit = line.limits.hard?;
        let count = self.seen(claim, line);
        let facts = || facts(&line.account, Level::Hard, limit, count);
        let asked = claim.demand.amount();
        if asked.is_none() && line.limits.on_unpriced == OnUnpriced::Deny {
            let reason = match claim.demand {
                Demand::Unpriced(reason) => RefusalReason::NoPrice(reason),
                Demand::NoPrices => RefusalReason::NoPrices,
                Demand::Known(_) => RefusalReason::NoBound,
            };
            return Some(BudgetRefusal {
                facts: facts(),
                asked,
                reason,
            });
        }
        let Count { spent, reserved, .. } = count;
        let mut held = line.held;
        if line.account.window == Window::Request {
            // One request keeps nobody else out, so all that it may take counts, and not only what is held for it.
            match claim.demand.most() {
                Some(most) => held = most,
                None if asked.is_some() && line.limits.on_unpriced == OnUnpriced::Deny => {
                    return Some(BudgetRefusal {
                        facts: facts(),
                        asked,
                        reason: RefusalReason::NoBound,
                    });
                }
                None => {}
            }
        }
        let (limit, held) = (i128::from(limit.get()), i128::from(held.get()));
        let fits = |taken: i128| match asked {
            // What is known to cost nothing takes nothing from anybody.
            Some(Pico::ZERO) => true,
            _ if held == 0 => taken < limit,
            _ => taken + held <= limit,
        };
        if fits(spent + reserved) {
            return None;
        }
        let reason = if held > limit {
            RefusalReason::TooLarge
        } else if fits(spent) {
            RefusalReason::InFlight
        } else {
            RefusalReason::Spent
        };
        Some(BudgetRefusal {
            facts: facts(),
            asked: asked.or(Some(line.held).filter(|_| held > 0)),
            reason,
        })
    }

    /// The window that a line of a claim is in. For a budget per request it is what the request's other attempts took.
    fn seen(&self, claim: &Claim, line: &ClaimLine) -> Count {
        let mut count = self.count(&line.account, claim.at);
        if line.account.window == Window::Request {
            count.spent = i128::from(claim.already.get());
        }
        count
    }

    /// How a claim that is admitted stands. `add` counts it, where it is not in the counts.
    fn standing(&self, claim: &Claim, add: bool) -> Standing {
        let mut standing = Standing::default();
        let mut least: Option<((bool, i128), &ClaimLine, Count)> = None;
        for line in claim.lines.iter() {
            let Some((level, limit)) = line.limits.foremost() else {
                continue;
            };
            let mut count = self.seen(claim, line);
            if add || line.account.window == Window::Request {
                count.reserved += i128::from(line.held.get());
            }
            let taken = count.spent + count.reserved;
            let passes = |limit: Option<Pico>| limit.filter(|limit| taken > i128::from(limit.get()));
            standing.prefer_cheaper |= passes(line.limits.shaping).is_some();
            if let Some(soft) = passes(line.limits.soft) {
                let warning = facts(&line.account, Level::Soft, soft, count);
                standing.warnings.push(warning);
            }
            let rank = (level != Level::Hard, i128::from(limit.get()) - taken);
            if least.as_ref().is_none_or(|(least, ..)| rank < *least) {
                least = Some((rank, line, count));
            }
        }
        standing.tightest = least.and_then(|(_, line, count)| {
            let (level, limit) = line.limits.foremost()?;
            Some(facts(&line.account, level, limit, count))
        });
        standing
    }

    /// The window of an account at a time, empty if nothing was counted in it.
    fn count(&self, account: &Account, at: UtcTime) -> Count {
        let holds = |count: &&Count| (count.from..count.to).contains(&at);
        let counts = self.accounts.get(account).map(Vec::as_slice);
        let found = counts.and_then(|counts| counts.iter().rev().find(holds));
        found.copied().unwrap_or_else(|| Count::at(account, at))
    }

    /// The window of an account at a time, made if needed. `None` for budgets per request, which have no memory.
    fn count_mut(&mut self, account: &Account, at: UtcTime) -> Option<&mut Count> {
        let (from, to) = account.window.span(at)?;
        if !self.accounts.contains_key(account) {
            self.accounts.insert(account.clone(), Vec::with_capacity(1));
        }
        let counts = self.accounts.get_mut(account)?;
        let place = counts.iter().rposition(|count| count.from == from);
        let place = place.unwrap_or_else(|| {
            counts.push(Count::of(from, to));
            counts.len() - 1
        });
        counts.get_mut(place)
    }

    /// Drops windows that ended long ago and in which nothing runs, and the memory of attempts all of whose windows are gone.
    fn prune(&mut self, now: UtcTime) {
        match self.prune_from {
            Some(from) if now < from => return,
            // The first time there is nothing to drop.
            None => {
                self.prune_from = Some(later(now, PRUNE_EVERY));
                return;
            }
            Some(_) => self.prune_from = Some(later(now, PRUNE_EVERY)),
        }
        let over = |to: UtcTime| later(to, REMEMBERED) < now;
        self.accounts.retain(|_, counts| {
            counts.retain(|count| count.reserved != 0 || !over(count.to));
            !counts.is_empty()
        });
        self.holds.retain(|_, hold| {
            hold.phase == Phase::Open
                || hold.lines.iter().any(|line| {
                    let span = line.account.window.span(hold.at);
                    span.is_some_and(|(_, to)| !over(to))
                })
        });
    }
}

impl Count {
    /// An empty one.
    const fn of(from: UtcTime, to: UtcTime) -> Self {
        Self {
            from,
            to,
            spent: 0,
            reserved: 0,
            overshoot: 0,
        }
    }

    fn at(account: &Account, at: UtcTime) -> Self {
        let (from, to) = account.window.span(at).unwrap_or((at, at));
        Self::of(from, to)
    }
}

fn facts(account: &Account, level: Level, limit: Pico, count: Count) -> BudgetFacts {
    BudgetFacts {
        account: account.clone(),
        level,
        limit,
        spent: clamped(count.spent),
        reserved: clamped(count.reserved),
        resets_at: Some(count.to).filter(|_| account.window != Window::Request),
    }
}

fn later(time: UtcTime, seconds: i64) -> UtcTime {
    UtcTime::from_unix(time.unix().saturating_add(seconds))
}
