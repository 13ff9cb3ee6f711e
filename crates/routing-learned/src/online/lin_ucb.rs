//! Optimism: the arm that could be best.

use super::Views;

/// All weight on the arm of the largest utility + `alpha` × spread, the first of equals (Li, Chu, Langford & Schapire 2010, WWW).
pub(super) fn weigh(views: &mut Views, alpha: f64) {
    let mut best = f64::NEG_INFINITY;
    let mut first = None;
    for (arm, view) in views.candidates() {
        let hoped = view.utility + alpha * view.spread;
        if first.is_none() || hoped > best {
            (best, first) = (hoped, Some(arm));
        }
    }
    if let Some(arm) = first {
        views.add(arm, 1.0);
    }
}
