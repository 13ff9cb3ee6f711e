//! What an attempt cost, once it is over, and what the attempts of a call come to.

use costing::reconcile::{Variance, VarianceRule};
use costing::{
    BillLine, CallToPrice, Caller, Charge, CostStatus, Ending, Markup, MarkupRule, MarkupRules,
    MarkupSubject, Pico, PriceSheet, UtcTime,
};
use integration_core::{Delivery, ErrorKind, Usage};
use model_catalogue::Catalogue;
use routing::{AttemptOutcome, AttemptResult, NamedPlan, Plan, Target};
use rust_decimal::Decimal;

use crate::profile::BYTES_PER_TOKEN;

/// What is added to the cost of a caller's attempt at a model, its fixed fee included.
pub(crate) fn rule_for(
    markups: &MarkupRules,
    catalogue: &Catalogue,
    caller: &Caller,
    target: &Target,
) -> MarkupRule {
    let listed = catalogue.resolve(target.model.as_str());
    let model = listed.map_or(&target.model, |model| &model.id);
    let mut subject = MarkupSubject::new(&target.provider, model).with_key(&caller.key);
    if let Some(team) = &caller.team {
        subject = subject.with_team(team);
    }
    markups.rule_for(subject)
}

/// Puts the expected charges of a caller into plans. A plan is ordered by cost and made with one markup; which one an attempt bears
/// depends on its model.
pub(crate) struct Charges<'a> {
    pub(crate) markups: &'a MarkupRules,
    pub(crate) catalogue: &'a Catalogue,
    pub(crate) caller: &'a Caller,
}

impl Charges<'_> {
    /// A plan with the charges that would be asked for.
    pub(crate) fn of(&self, mut plan: Plan) -> Plan {
        for one in &mut plan.candidates {
            if let Some(charge) = self.charge(&one.target, one.expected_cost) {
                one.expected_charge = charge;
            }
        }
        plan
    }

    /// The same for models that were named.
    pub(crate) fn of_named(&self, mut plan: NamedPlan) -> NamedPlan {
        for one in &mut plan.candidates {
            one.expected_charge = one.expected_cost.and_then(|cost| self.charge(&one.target, cost));
        }
        plan
    }

    fn charge(&self, target: &Target, cost: Decimal) -> Option<Decimal> {
        let rule = rule_for(self.markups, self.catalogue, self.caller, target);
        let cost = Pico::from_decimal(cost).ok()?;
        let charge = Charge::known(cost, rule, CostStatus::Estimated).ok()?;
        charge.charge.map(Pico::to_decimal)
    }
}

/// What an attempt cost, with everything that is kept beside it.
pub(crate) struct Priced {
    pub(crate) charge: Charge,
    pub(crate) fee: Pico,
    pub(crate) bill: Vec<BillLine>,
    pub(crate) uncached: Option<Pico>,
    pub(crate) reported: Option<Decimal>,
    pub(crate) computed: Option<Decimal>,
    pub(crate) variance: Option<Variance>,
}

/// What an attempt cost.
///
/// One that never left, or that the provider refused before it answered, cost nothing. Of an answer that came, or was cut off by
/// us, without a word of what it used, the prompt and the text that came are taken for what they were estimated at: the cost is
/// an estimate, and asked for. One whose fate is not known is pending, never zero.
pub(crate) fn price(
    outcome: &AttemptOutcome,
    sheet: Option<&PriceSheet>,
    at: UtcTime,
    rule: MarkupRule,
    prompt_tokens: u64,
) -> Priced {
    let failure = match &outcome.result {
        AttemptResult::Failed(failure) => Some(failure),
        _ => None,
    };
    let refused =
        failure.is_some_and(|failure| matches!(failure.delivery, Delivery::NotSent | Delivery::Answered));
    if refused && outcome.usage.is_none() {
        return Priced {
            charge: Charge {
                cost: Some(Pico::ZERO),
                markup: Some(Pico::ZERO),
                charge: Some(Pico::ZERO),
                markup_bps: rule.share().bps(),
                status: CostStatus::Computed,
            },
            fee: Pico::ZERO,
            bill: Vec::new(),
            uncached: None,
            reported: None,
            computed: None,
            variance: None,
        };
    }
    let guess = outcome
        .usage
        .is_none()
        .then(|| seen(outcome, prompt_tokens))
        .flatten();
    let usage = outcome.usage.as_ref().or(guess.as_ref());
    let mut call = CallToPrice::new(usage, sheet, at)
        .with_markup(rule)
        .with_insurance(ending(outcome));
    if guess.is_some() {
        call = call.with_estimated_counts();
    }
    let priced = call.price();
    let fee = priced.charge.cost.map_or(Pico::ZERO, |cost| rule.fee_on(cost));
    let computed = priced.computed.as_ref().map(|cost| cost.total());
    let pair = priced.reported_for_usage.zip(computed);
    Priced {
        charge: priced.charge,
        fee,
        bill: priced
            .bill()
            .map(|bill| bill.lines().copied().collect())
            .unwrap_or_default(),
        uncached: call.uncached_cost(&priced),
        reported: priced.reported,
        computed,
        variance: pair.map(|(reported, computed)| VarianceRule::DEFAULT.compare(reported, computed)),
    }
}

/// How an answer ended, by which OpenRouter bills no tokens of one that failed.
fn ending(outcome: &AttemptOutcome) -> Ending {
    match (&outcome.result, &outcome.finish_reason) {
        // What we cut off has no reason for its end, and is billed as far as it came.
        _ if is_cut_off(outcome) => Ending::Complete,
        (AttemptResult::Failed(_), _) => Ending::Error,
        (AttemptResult::Complete, None) => Ending::Blank,
        _ => Ending::Complete,
    }
}

/// Whether it was us who ended an answer that had begun: the caller went, a deadline passed, the gateway stopped. A deadline of the
/// provider's own has its status or its code.
fn is_cut_off(outcome: &AttemptOutcome) -> bool {
    match &outcome.result {
        AttemptResult::Complete => false,
        AttemptResult::Cancelled => true,
        AttemptResult::Failed(failure) => {
            failure.delivery == Delivery::Partial
                && matches!(failure.kind, ErrorKind::Timeout | ErrorKind::Cancelled)
                && failure.status.is_none()
                && failure.code.is_none()
        }
    }
}

/// What can be said of the use of an answer that said nothing of it itself. `None` where nothing came, and where the provider ended
/// it with an error: what it bills then nobody knows.
fn seen(outcome: &AttemptOutcome, prompt_tokens: u64) -> Option<Usage> {
    let is_whole = matches!(outcome.result, AttemptResult::Complete);
    let came = is_whole || (is_cut_off(outcome) && outcome.text_bytes > 0);
    if !came {
        return None;
    }
    let mut usage = Usage::default();
    usage.prompt_tokens = Some(prompt_tokens);
    usage.completion_tokens = Some(outcome.text_bytes.div_ceil(BYTES_PER_TOKEN));
    Some(usage)
}

/// Sums amounts that are known; `None` if none is, or the sum cannot be held.
pub(crate) fn sum(amounts: impl Iterator<Item = Option<Pico>>) -> Option<Pico> {
    amounts
        .flatten()
        .map(Some)
        .reduce(|sum, amount| sum?.checked_add(amount?))
        .flatten()
}

/// The sum of several charges, amount by amount, so that the total is what its lines add up to.
pub(crate) fn total(charges: &[Charge]) -> Charge {
    // An attempt known to be free says nothing about how certain the price of the others is.
    let paid = charges
        .iter()
        .filter(|charge| charge.cost != Some(Pico::ZERO))
        .map(|charge| charge.status)
        .max();
    let status = paid
        .or_else(|| charges.iter().map(|charge| charge.status).max())
        .unwrap_or(CostStatus::Pending);
    // The share of the last attempt, which is the one that answered if one did.
    let share = charges
        .last()
        .map_or(Markup::DEFAULT, |charge| Markup::from_bps(charge.markup_bps));
    let known = charges.iter().any(|charge| charge.cost.is_some());
    let cost = sum(charges.iter().map(|charge| charge.cost));
    let added = sum(charges.iter().map(|charge| charge.markup));
    let charge = sum(charges.iter().map(|charge| charge.charge));
    match (cost, added, charge) {
        (Some(_), Some(_), Some(_)) => Charge {
            cost,
            markup: added,
            charge,
            markup_bps: share.bps(),
            status,
        },
        _ if known => Charge::unknown(share, CostStatus::Unpriced),
        _ => Charge::unknown(share, status),
    }
}
