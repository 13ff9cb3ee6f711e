//! What the headers of an answer tell about rate limits.

use std::time::Duration;

use http_transport::HeaderMap;
use integration_core::{RateLimitFacts, RateWindow};

/// Reads `x-ratelimit-{limit,remaining,reset}-{requests,tokens}`; `None` if none of them is there. What to do about them is
/// for a limiter to decide.
pub fn rate_limits(headers: &HeaderMap) -> Option<RateLimitFacts> {
    let mut facts = RateLimitFacts::default();
    facts.requests = window(headers, "requests");
    facts.tokens = window(headers, "tokens");
    (!facts.is_empty()).then_some(facts)
}

fn window(headers: &HeaderMap, of: &str) -> Option<RateWindow> {
    let header = |what: &str| headers.get(format!("x-ratelimit-{what}-{of}"))?.to_str().ok();
    let mut window = RateWindow::new();
    window.limit = header("limit").and_then(|text| text.trim().parse().ok());
    window.remaining = header("remaining").and_then(|text| text.trim().parse().ok());
    window.resets_in = header("reset").and_then(duration);
    (window != RateWindow::new()).then_some(window)
}

/// A time such as `250ms`, `1s`, `6m0s`, `1h2m3.5s`, or plain seconds. A day is the most that is believed.
fn duration(text: &str) -> Option<Duration> {
    const DAY: f64 = 86_400.0;
    let mut rest = text.trim();
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        let (number, after) = rest.split_at(digits);
        let unit_end = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_end);
        let scale = match unit {
            "ms" => 0.001,
            "s" | "" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            "d" => DAY,
            _ => return None,
        };
        seconds += number.parse::<f64>().ok()? * scale;
        rest = after;
    }
    (!text.trim().is_empty()).then(|| Duration::from_secs_f64(seconds.min(DAY)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_every_form_seen() {
        for (text, milliseconds) in [
            ("250ms", 250),
            ("1s", 1000),
            ("6m0s", 360_000),
            ("1h2m3.5s", 3_723_500),
            ("7", 7000),
            ("99999h", 86_400_000),
        ] {
            assert_eq!(
                duration(text),
                Some(Duration::from_millis(milliseconds)),
                "{text}"
            );
        }
        for text in ["", "soon", "-1s", "1y", "1..5s", "s"] {
            assert_eq!(duration(text), None, "{text}");
        }
    }
}
