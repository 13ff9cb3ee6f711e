//! The `provider` object of a request, and the suffixes of a model's name that mean the same.

use std::str::FromStr;

use rust_decimal::Decimal;
use serde_json::Value;

use crate::endpoint::{Percentiles, Tier};
use crate::fields::{Fields, flag, given, object, option, texts, wrong};
use crate::problem::Problem;

/// What a request says of who may serve it, and in which order.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Preferences {
    pub(crate) order: Vec<String>,
    pub(crate) only: Option<Vec<String>>,
    pub(crate) ignore: Vec<String>,
    pub(crate) no_fallbacks: bool,
    pub(crate) require_parameters: bool,
    /// Nobody who may train on what is sent.
    pub(crate) deny_collection: bool,
    /// Only those who keep nothing.
    pub(crate) zdr: bool,
    pub(crate) distillable: bool,
    pub(crate) quantizations: Option<Vec<String>>,
    pub(crate) sort: Option<Sort>,
    /// Whether the endpoints of all models are sorted together.
    pub(crate) across_models: bool,
    /// Tokens per second.
    pub(crate) min_throughput: Cutoffs,
    /// Seconds to the first token.
    pub(crate) max_latency: Cutoffs,
    pub(crate) max_price: MaxPrice,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sort {
    Price,
    Throughput,
    Latency,
    Exacto,
}

/// The worst figure at each percentile that is not held against an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Cutoffs {
    pub(crate) p50: Option<f64>,
    pub(crate) p75: Option<f64>,
    pub(crate) p90: Option<f64>,
    pub(crate) p99: Option<f64>,
}

impl Cutoffs {
    /// Each cutoff that is set, with the figure it is about.
    pub(crate) fn pairs(&self, figures: &Percentiles) -> impl Iterator<Item = (f64, f64)> {
        [
            (self.p50, figures.p50),
            (self.p75, figures.p75),
            (self.p90, figures.p90),
            (self.p99, figures.p99),
        ]
        .into_iter()
        .filter_map(|(cutoff, figure)| Some((cutoff?, figure)))
    }
}

/// The highest prices. Prompt and completion are in US dollars for a million tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct MaxPrice {
    pub(crate) prompt: Option<Decimal>,
    pub(crate) completion: Option<Decimal>,
    pub(crate) request: Option<Decimal>,
    pub(crate) image: Option<Decimal>,
    pub(crate) audio: Option<Decimal>,
}

const QUANTIZATIONS: &[&str] = &[
    "int4", "int8", "fp4", "mxfp4", "nvfp4", "fp6", "fp8", "mxfp8", "fp16", "bf16", "fp32", "unknown",
];
const SORTS: &[&str] = &["price", "throughput", "latency", "exacto"];

/// Reads `provider` and its older companion `route`.
pub(crate) fn preferences(fields: &Fields) -> Result<Preferences, Problem> {
    let mut read = Preferences {
        across_models: given(fields, "route").and_then(Value::as_str) == Some("sort"),
        ..Preferences::default()
    };
    let Some(provider) = object(fields, "provider")? else {
        return Ok(read);
    };
    read.order = texts(provider, "order", "provider.order")?.unwrap_or_default();
    read.only = texts(provider, "only", "provider.only")?;
    read.ignore = texts(provider, "ignore", "provider.ignore")?.unwrap_or_default();
    read.no_fallbacks = flag(provider, "allow_fallbacks")? == Some(false);
    read.require_parameters = flag(provider, "require_parameters")? == Some(true);
    let collection = option(
        provider,
        "data_collection",
        "provider.data_collection",
        &["allow", "deny"],
    )?;
    read.deny_collection = collection == Some("deny");
    read.zdr = flag(provider, "zdr")? == Some(true);
    read.distillable = flag(provider, "enforce_distillable_text")? == Some(true);
    read.quantizations = texts(provider, "quantizations", "provider.quantizations")?;
    for (at, name) in read.quantizations.iter().flatten().enumerate() {
        if !QUANTIZATIONS.contains(&name.as_str()) {
            return Err(Problem::invalid(format!(
                "provider.quantizations.{at}: Invalid option: expected one of \"{}\"",
                QUANTIZATIONS.join("\"|\"")
            )));
        }
    }
    match given(provider, "sort") {
        Some(Value::Object(sort)) => {
            read.sort = sort_by(option(sort, "by", "provider.sort.by", SORTS)?);
            let partition = option(sort, "partition", "provider.sort.partition", &["model", "none"])?;
            read.across_models = partition.map_or(read.across_models, |partition| partition == "none");
        }
        _ => read.sort = sort_by(option(provider, "sort", "provider.sort", SORTS)?),
    }
    read.min_throughput = cutoffs(provider, "preferred_min_throughput")?;
    read.max_latency = cutoffs(provider, "preferred_max_latency")?;
    if let Some(prices) = object(provider, "max_price")? {
        let price = |name| amount(prices, name);
        read.max_price = MaxPrice {
            prompt: price("prompt")?,
            completion: price("completion")?,
            request: price("request")?,
            image: price("image")?,
            audio: price("audio")?,
        };
    }
    object(provider, "options")?;
    Ok(read)
}

fn sort_by(name: Option<&str>) -> Option<Sort> {
    match name {
        Some("price") => Some(Sort::Price),
        Some("throughput") => Some(Sort::Throughput),
        Some("latency") => Some(Sort::Latency),
        Some("exacto") => Some(Sort::Exacto),
        _ => None,
    }
}

fn cutoffs(provider: &Fields, name: &str) -> Result<Cutoffs, Problem> {
    let path = format!("provider.{name}");
    let number = |path: &str, value: &Value| {
        value
            .as_f64()
            .filter(|number| *number >= 0.0)
            .ok_or_else(|| wrong(path, "a number from 0 up", value))
    };
    match given(provider, name) {
        None => Ok(Cutoffs::default()),
        Some(Value::Object(each)) => {
            let one = |name: &str| {
                given(each, name)
                    .map(|value| number(&format!("{path}.{name}"), value))
                    .transpose()
            };
            Ok(Cutoffs {
                p50: one("p50")?,
                p75: one("p75")?,
                p90: one("p90")?,
                p99: one("p99")?,
            })
        }
        Some(value) => Ok(Cutoffs {
            p50: Some(number(&path, value)?),
            ..Cutoffs::default()
        }),
    }
}

/// A price as a number or as a text; clients send both.
fn amount(prices: &Fields, name: &str) -> Result<Option<Decimal>, Problem> {
    let Some(value) = given(prices, name) else {
        return Ok(None);
    };
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => String::new(),
    };
    Decimal::from_str(&text)
        .or_else(|_| Decimal::from_scientific(&text))
        .ok()
        .filter(|price| !price.is_sign_negative())
        .map(Some)
        .ok_or_else(|| wrong(&format!("provider.max_price.{name}"), "a price", value))
}

/// What the suffixes of a model's name say of the routing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Suffixes {
    /// The last one that sorts.
    pub(crate) sort: Option<Sort>,
    /// The tier that may serve besides the usual endpoints.
    pub(crate) tier: Option<Tier>,
    /// Whether the web is searched first.
    pub(crate) online: bool,
}

/// Reads the suffixes; those of the catalogue (`:free`) say nothing here.
pub(crate) fn suffixes(name: &str) -> Suffixes {
    let mut read = Suffixes::default();
    for suffix in name.split(':').skip(1) {
        match suffix {
            "nitro" => (read.sort, read.tier) = (Some(Sort::Throughput), Some(Tier::Priority)),
            "floor" => (read.sort, read.tier) = (Some(Sort::Price), Some(Tier::Flex)),
            "exacto" => (read.sort, read.tier) = (Some(Sort::Exacto), None),
            "online" => read.online = true,
            _ => {}
        }
    }
    read
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(body: Value) -> Result<Preferences, Problem> {
        preferences(body.as_object().unwrap())
    }

    #[test]
    fn all_of_it_is_read() {
        let read = read(json!({ "route": "sort", "provider": {
            "order": ["a"], "only": ["b"], "ignore": ["c"], "allow_fallbacks": false, "require_parameters": true,
            "data_collection": "deny", "zdr": true, "enforce_distillable_text": true, "quantizations": ["fp8"],
            "sort": { "by": "latency" }, "preferred_min_throughput": 50, "preferred_max_latency": { "p90": 1.5 },
            "max_price": { "prompt": 1, "completion": "2.5", "request": 1e-3 }, "options": {}, "something": 1,
        } }))
        .unwrap();
        assert!(read.no_fallbacks && read.require_parameters && read.deny_collection && read.zdr);
        assert!(read.distillable && read.across_models);
        assert_eq!(read.sort, Some(Sort::Latency));
        assert_eq!(
            (read.min_throughput.p50, read.max_latency.p90),
            (Some(50.0), Some(1.5))
        );
        let prices = read.max_price;
        assert_eq!(prices.prompt, Some(Decimal::ONE));
        assert_eq!(prices.completion, Some(Decimal::new(25, 1)));
        assert_eq!(prices.request, Some(Decimal::new(1, 3)));
        assert_eq!(
            super::preferences(&Fields::new()).unwrap(),
            Preferences::default()
        );
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        for (provider, part) in [
            (json!({ "sort": "cheap" }), "provider.sort: Invalid option"),
            (json!({ "sort": { "by": "x" } }), "provider.sort.by"),
            (json!({ "sort": { "partition": "x" } }), "provider.sort.partition"),
            (json!({ "quantizations": ["fp7"] }), "provider.quantizations.0"),
            (json!({ "data_collection": "no" }), "provider.data_collection"),
            (
                json!({ "max_price": { "prompt": "cheap" } }),
                "provider.max_price.prompt",
            ),
            (
                json!({ "max_price": { "prompt": -1 } }),
                "provider.max_price.prompt",
            ),
            (
                json!({ "preferred_max_latency": "1" }),
                "provider.preferred_max_latency",
            ),
            (json!({ "preferred_min_throughput": { "p50": -1 } }), "p50"),
            (json!({ "zdr": "yes" }), "zdr"),
        ] {
            let problem = read(json!({ "provider": provider })).unwrap_err();
            assert!(problem.message.contains(part), "{}", problem.message);
        }
    }

    #[test]
    fn the_last_suffix_that_sorts_wins() {
        assert_eq!(suffixes("a/b:free"), Suffixes::default());
        let nitro = suffixes("a/b:floor:online:nitro");
        assert_eq!(
            (nitro.sort, nitro.tier, nitro.online),
            (Some(Sort::Throughput), Some(Tier::Priority), true)
        );
        assert_eq!(suffixes("a/b:nitro:floor").tier, Some(Tier::Flex));
        assert_eq!(suffixes("a/b:exacto").sort, Some(Sort::Exacto));
    }
}
