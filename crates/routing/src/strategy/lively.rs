//! Strategies that go by how deployments are doing.

use super::{Contender, Dice, Strategy, Term, sort_by};
use crate::{Reading, RouteRequest};

/// The time to the first token taken for a deployment that nobody has timed, in milliseconds: a quick one's, so that it is tried.
const UNTIMED_MS: f64 = 300.0;

/// How long the whole answer is expected to take, in milliseconds; `None` where the first token was never timed.
pub(crate) fn expected_ms(request: &RouteRequest, reading: &Reading) -> Option<f64> {
    let writing = match reading.tokens_per_second {
        Some(rate) if rate > 0.0 => request.completion_tokens as f64 * 1_000.0 / rate,
        _ => 0.0,
    };
    Some(reading.ttft_ms? + writing)
}

/// The quickest, by the time to the first token times the calls under way (peak EWMA), among two that are drawn at random
/// (Mitzenmacher 2001): everybody running to the one best host makes it the worst.
///
/// Failures count as slow, so that a host which refuses at once is not mistaken for a quick one.
#[derive(Debug, Clone, Copy, Default)]
pub struct LowestLatency;

fn load(one: &Contender) -> f64 {
    let reading = &one.reading;
    let failing = reading.error_rate.unwrap_or_default().clamp(0.0, 0.99);
    let first = reading.ttft_ms.unwrap_or(UNTIMED_MS);
    first * (f64::from(reading.in_flight) + 1.0) / (1.0 - failing)
}

impl Strategy for LowestLatency {
    fn word(&self) -> String {
        "lowest-latency".to_owned()
    }

    fn arrange(&self, _: &RouteRequest, contenders: &mut [Contender], dice: &mut Dice) -> f64 {
        sort_by(contenders, load);
        let count = contenders.len();
        if count < 2 {
            return 1.0;
        }
        // Two different ones; in this order, the better of the two is the one that comes first.
        let first = dice.below(count);
        let second = (first + 1 + dice.below(count - 1)) % count;
        let winner = first.min(second);
        if let Some(front) = contenders.get_mut(..=winner) {
            front.rotate_right(1);
        }
        // The other one of the pair must be one of those behind it.
        let behind = (count - 1 - winner) as f64;
        behind * 2.0 / (count as f64 * (count as f64 - 1.0))
    }

    fn terms(&self, request: &RouteRequest, _: &[Contender], one: &Contender) -> Vec<Term> {
        let reading = &one.reading;
        let mut terms = vec![
            Term::new("ttft_ms", reading.ttft_ms.unwrap_or(UNTIMED_MS)),
            Term::new("in_flight", f64::from(reading.in_flight)),
            Term::new("error_rate", reading.error_rate.unwrap_or_default()),
        ];
        terms.extend(expected_ms(request, reading).map(|whole| Term::new("whole_answer_ms", whole)));
        terms
    }
}

/// The most tokens a second first; what was never timed comes last.
#[derive(Debug, Clone, Copy, Default)]
pub struct Throughput;

impl Strategy for Throughput {
    fn word(&self) -> String {
        "throughput".to_owned()
    }

    fn arrange(&self, _: &RouteRequest, contenders: &mut [Contender], _: &mut Dice) -> f64 {
        sort_by(contenders, |one| -one.reading.tokens_per_second.unwrap_or(0.0))
    }
}

/// The fewest calls under way first.
#[derive(Debug, Clone, Copy, Default)]
pub struct LeastBusy;

impl Strategy for LeastBusy {
    fn word(&self) -> String {
        "least-busy".to_owned()
    }

    fn arrange(&self, _: &RouteRequest, contenders: &mut [Contender], _: &mut Dice) -> f64 {
        sort_by(contenders, |one| f64::from(one.reading.in_flight))
    }
}

/// The most room in its rate limits first. A deployment without a known limit has all of its room.
#[derive(Debug, Clone, Copy, Default)]
pub struct Headroom;

impl Strategy for Headroom {
    fn word(&self) -> String {
        "headroom".to_owned()
    }

    fn arrange(&self, _: &RouteRequest, contenders: &mut [Contender], _: &mut Dice) -> f64 {
        sort_by(contenders, |one| -one.reading.headroom.unwrap_or(1.0))
    }
}
