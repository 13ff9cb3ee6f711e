//! The canonical text of prices: the same prices give the same text, however they were written.

use std::fmt::Write as _;

use crate::key::{PriceKey, Rate, Rates};
use crate::sheet::PriceSheet;
use crate::time::Weekday;

impl PriceSheet {
    /// These prices as a `pricing` object, which [`PriceSheet::from_pricing_json`] reads back: keys in one order, numbers
    /// without zeros at their end, and only what is priced by. What was not understood is not in it, nor a discount; the prices
    /// are those after it.
    pub fn to_pricing_json(&self) -> String {
        let mut json = String::from("{");
        write_rates(&mut json, self.base());
        if !self.overrides().is_empty() {
            json.push_str(separator(&json));
            json.push_str("\"overrides\":[");
            for entry in self.overrides() {
                json.push_str(separator(&json));
                json.push('{');
                if let Some(min) = entry.min_prompt_tokens {
                    let _ = write!(json, "\"min_prompt_tokens\":{min}");
                }
                if let Some((from, to)) = entry.window {
                    let _ = write!(json, "{}\"utc_start\":{from},\"utc_end\":{to}", separator(&json));
                }
                if let Some(days) = entry.days {
                    json.push_str(separator(&json));
                    json.push_str("\"utc_days\":[");
                    for day in Weekday::ALL
                        .into_iter()
                        .filter(|day| days >> day.index() & 1 == 1)
                    {
                        let _ = write!(json, "{}\"{day}\"", separator(&json));
                    }
                    json.push(']');
                }
                write_rates(&mut json, &entry.rates);
                json.push('}');
            }
            json.push(']');
        }
        json.push('}');
        json
    }
}

fn write_rates(json: &mut String, rates: &Rates) {
    for key in PriceKey::ALL {
        let Some(rate) = rates.get(key) else { continue };
        let _ = match rate {
            Rate::Fixed(price) | Rate::PerImage(price) => {
                write!(json, "{}\"{key}\":\"{}\"", separator(json), price.normalize())
            }
            Rate::Dynamic => write!(json, "{}\"{key}\":\"-1\"", separator(json)),
        };
    }
}

/// What stands before the next member: nothing at the beginning of an object or a list.
fn separator(json: &str) -> &'static str {
    if json.ends_with(['{', '[']) { "" } else { "," }
}
