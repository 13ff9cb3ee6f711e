//! Chance: each arm as often as it is believed to be best.

use experiments::bandit::Dice;

use super::Views;

/// How many draws a choice's weights are made of.
pub(super) const DRAWS: u32 = 32;

/// Weighs each arm by how many of [`DRAWS`] draws from what is believed (normal, the deviation `spread` × that of the regression)
/// hold it for best.
///
/// One of the draws taken at random is a draw like any other, so to choose by these weights is Thompson sampling, not like it. But
/// the weights are known numbers, which the probability of being best is not without an integral: a propensity read from them is the
/// one that was chosen by.
pub(super) fn weigh(views: &mut Views, spread: f64, dice: &mut Dice) {
    for _ in 0..DRAWS {
        let mut best = f64::NEG_INFINITY;
        let mut first = None;
        for (arm, view) in views.candidates() {
            let drawn = view.utility + spread * view.spread * dice.normal();
            if first.is_none() || drawn > best {
                (best, first) = (drawn, Some(arm));
            }
        }
        if let Some(arm) = first {
            views.add(arm, f64::from(DRAWS).recip());
        }
    }
}
