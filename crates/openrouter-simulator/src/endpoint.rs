//! The endpoints of a model: who serves it, at which price, how fast, and under which conditions.

use std::str::FromStr;

use costing::{PriceKey, PriceSheet, UtcTime};
use model_catalogue::{ModelRecord, PriceStrings};
use rust_decimal::Decimal;

use crate::dice::Dice;
use crate::moment::Moment;
use crate::simulation::Simulation;
use crate::upstream::{Upstream, has_open_weights, upstreams};

/// A tier of service that an endpoint belongs to. It is reached by whoever asks for it and by nobody else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Tier {
    Flex,
    Priority,
}

impl Tier {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Flex => "flex",
            Self::Priority => "priority",
        }
    }
}

/// A figure at four percentiles.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Percentiles {
    pub(crate) p50: f64,
    pub(crate) p75: f64,
    pub(crate) p90: f64,
    pub(crate) p99: f64,
}

/// One way to a model.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Endpoint {
    pub(crate) upstream: Upstream,
    /// What a request names it by: the slug of the upstream, with a region, a quantization or a tier behind it.
    pub(crate) tag: String,
    pub(crate) quantization: &'static str,
    pub(crate) tier: Option<Tier>,
    pub(crate) prices: PriceStrings,
    /// `None` where the prices cannot be read.
    pub(crate) sheet: Option<PriceSheet>,
    pub(crate) context_length: Option<u64>,
    pub(crate) max_completion_tokens: Option<u64>,
    pub(crate) parameters: Vec<String>,
    pub(crate) input_modalities: Vec<String>,
    /// Percent of the last half hour in which it answered.
    pub(crate) uptime: f64,
    /// To the first token, in milliseconds.
    pub(crate) latency: Percentiles,
    /// Tokens per second.
    pub(crate) throughput: Percentiles,
    /// Whether it may train on what it is sent.
    pub(crate) trains: bool,
    /// Whether it keeps nothing of what it is sent.
    pub(crate) zdr: bool,
    /// Whether the author lets other models be trained on the answers.
    pub(crate) distillable: bool,
    /// How well it calls tools, 0 to 100; what `exacto` sorts by.
    pub(crate) quality: u32,
}

impl Endpoint {
    /// US dollars per token of prompt and completion together: what cheap means where one of several is drawn.
    pub(crate) fn price(&self, prompt_tokens: u64, at: UtcTime) -> Option<Decimal> {
        let rate = |key| self.sheet.as_ref()?.rate(key, prompt_tokens, at);
        rate(PriceKey::Prompt)?.checked_add(rate(PriceKey::Completion)?)
    }

    /// Whether a slug of a request means this endpoint: the tag itself, or the slug of the upstream, which reaches every
    /// endpoint of it but those of a tier.
    pub(crate) fn is_named(&self, slug: &str) -> bool {
        self.tag == slug || self.tier.is_none() && self.upstream.slug == slug
    }

    /// Whether reading the prompt from a cache is cheaper here than reading it anew.
    pub(crate) fn has_cheap_cache(&self, prompt_tokens: u64, at: UtcTime) -> bool {
        let rate = |key| self.sheet.as_ref()?.rate(key, prompt_tokens, at);
        match (rate(PriceKey::InputCacheRead), rate(PriceKey::Prompt)) {
            (Some(read), Some(prompt)) => read < prompt,
            _ => false,
        }
    }
}

/// The status of an endpoint that is like any other.
pub(crate) const NORMAL: i32 = 0;
/// The status of one that has been failing: the number that the service has been seen to give to one of a poor record.
const FAILING: i32 = -2;

impl Simulation {
    /// How an endpoint of a model stands: what the scenario says, else whether it has been failing for the last half minute.
    /// The lists show it, and whoever is not [`NORMAL`] is tried last.
    pub(crate) fn status_of(&self, record: &ModelRecord, endpoint: &Endpoint, now: Moment) -> i32 {
        let models = [record.id.as_str(), record.canonical_slug.as_str()];
        let upstreams = [endpoint.upstream.name, endpoint.upstream.slug, &endpoint.tag];
        let rules = &self.config.scenario.statuses;
        let staged = rules
            .iter()
            .find(|rule| rule.is_about(&models, &upstreams, now.since));
        match staged {
            Some(rule) => rule.status,
            None if self.is_down(record.id.as_str(), endpoint, now) => FAILING,
            None => NORMAL,
        }
    }
}

/// Regions that some upstreams offer as endpoints of their own, and what they cost more, in percent.
const REGIONS: &[(&str, &[(&str, u32)])] = &[("google-vertex", &[("global", 100), ("us-east5", 110)])];

/// An author, an upstream, and the tiers that it offers for the author's models.
type TiersOf = (&'static str, &'static str, &'static [(Tier, u32)]);

/// The tiers, and what they cost, in percent.
const TIERS: &[TiersOf] = &[
    ("openai", "openai", &[(Tier::Flex, 50), (Tier::Priority, 200)]),
    (
        "google",
        "google-vertex",
        &[(Tier::Flex, 50), (Tier::Priority, 180)],
    ),
];

/// Parameters that some hosts of open weights do not take.
const OPTIONAL: &[&str] = &[
    "structured_outputs",
    "logprobs",
    "top_logprobs",
    "logit_bias",
    "min_p",
    "top_a",
    "seed",
    "repetition_penalty",
];

/// The endpoints of a model, the first one as the catalogue has the model. They follow from the seed and the model.
pub(crate) fn endpoints(seed: u64, record: &ModelRecord) -> Vec<Endpoint> {
    let model = record.id.as_str();
    let open = has_open_weights(model);
    let mut all = Vec::new();
    for (rank, upstream) in upstreams(seed, model).into_iter().enumerate() {
        let mut dice = Dice::new(seed, "endpoint", &[model.as_bytes(), upstream.slug.as_bytes()]);
        let base = base(seed, record, upstream, rank, open, &mut dice);
        let regions = REGIONS.iter().find(|(slug, _)| *slug == upstream.slug);
        match regions {
            Some((slug, regions)) => all.extend(regions.iter().map(|(region, percent)| Endpoint {
                tag: format!("{slug}/{region}"),
                ..priced(&base, *percent)
            })),
            None => all.push(base.clone()),
        }
        let tiers = TIERS.iter().find(|(author, slug, _)| {
            *slug == upstream.slug && record.id.author() == Some(author) && record.id.variant().is_none()
        });
        for (tier, percent) in tiers.into_iter().flat_map(|(_, _, tiers)| *tiers) {
            all.push(Endpoint {
                tag: format!("{}/{}", upstream.slug, tier.name()),
                tier: Some(*tier),
                latency: stretched(base.latency, if *tier == Tier::Flex { 3.0 } else { 0.7 }),
                throughput: stretched(base.throughput, if *tier == Tier::Flex { 0.6 } else { 1.4 }),
                ..priced(&base, *percent)
            });
        }
    }
    all
}

fn base(
    seed: u64,
    record: &ModelRecord,
    upstream: Upstream,
    rank: usize,
    open: bool,
    dice: &mut Dice,
) -> Endpoint {
    let model = record.id.as_str();
    let own = rank == 0;
    // Those who do not say how they run a model are of an unknown quantization.
    let quantization = if open {
        dice.word(&["fp8", "fp8", "bf16", "fp4", "fp16", "int8"])
    } else {
        "unknown"
    };
    let percent = match (open, own) {
        (true, false) => [80, 90, 110, 125, 150][dice.below(5) as usize],
        _ => 100,
    };
    let smaller = open && !own && dice.chance(0.3);
    let fewer = open && !own && dice.chance(0.4);
    let mut parameters = record.supported_parameters.clone();
    if fewer {
        let lacks = dice.between(1, 4) as usize;
        let first = dice.below(OPTIONAL.len() as u32) as usize;
        parameters.retain(|one| {
            !OPTIONAL
                .iter()
                .cycle()
                .skip(first)
                .take(lacks)
                .any(|lacking| lacking == one)
        });
    }
    // Half a context is still more than most requests need, and less than some do.
    let shrunk = |tokens: Option<u64>| tokens.map(|tokens| if smaller { tokens / 2 } else { tokens });
    let mut speed = Dice::new(seed, "speed", &[model.as_bytes(), upstream.name.as_bytes()]);
    let first = 250.0 + 650.0 * speed.unit();
    let per_second = 30.0 + 70.0 * speed.unit();
    let free = record.is_free_variant();
    let prices = scaled(&record.prices, percent);
    Endpoint {
        upstream,
        tag: match quantization {
            "unknown" | "bf16" => upstream.slug.to_owned(),
            other => format!("{}/{other}", upstream.slug),
        },
        quantization,
        tier: None,
        sheet: PriceSheet::parse(&prices).ok(),
        prices,
        context_length: shrunk(record.context_length),
        max_completion_tokens: shrunk(record.max_completion_tokens),
        parameters,
        input_modalities: record.input_modalities.clone(),
        uptime: if open && !own && dice.chance(0.12) {
            f64::from(dice.between(800, 949)) / 10.0
        } else {
            f64::from(dice.between(990, 1000)) / 10.0
        },
        latency: spread(first, [1.0, 1.3, 1.8, 3.0]),
        throughput: spread(per_second, [1.0, 0.85, 0.65, 0.4]),
        trains: free || open && !own && dice.chance(0.15),
        zdr: !free
            && (upstream.slug == "amazon-bedrock"
                || upstream.slug == "google-vertex"
                || open && dice.chance(0.5)),
        distillable: open,
        quality: dice.between(70, 99),
    }
}

fn spread(middle: f64, factors: [f64; 4]) -> Percentiles {
    let [p50, p75, p90, p99] = factors.map(|factor| (middle * factor * 10.0).round() / 10.0);
    Percentiles { p50, p75, p90, p99 }
}

fn stretched(figures: Percentiles, factor: f64) -> Percentiles {
    let one = |figure: f64| (figure * factor * 10.0).round() / 10.0;
    Percentiles {
        p50: one(figures.p50),
        p75: one(figures.p75),
        p90: one(figures.p90),
        p99: one(figures.p99),
    }
}

/// The same endpoint at another price.
fn priced(base: &Endpoint, percent: u32) -> Endpoint {
    let prices = scaled(&base.prices, percent);
    Endpoint {
        sheet: PriceSheet::parse(&prices).ok(),
        prices,
        ..base.clone()
    }
}

/// Every price multiplied, exactly. What is decided per request stays so.
fn scaled(prices: &PriceStrings, percent: u32) -> PriceStrings {
    if percent == 100 {
        return prices.clone();
    }
    let factor = Decimal::new(percent.into(), 2);
    let scale = |text: &mut String| {
        let price = Decimal::from_str(text).or_else(|_| Decimal::from_scientific(text));
        if let Some(scaled) = price
            .ok()
            .filter(|price| !price.is_sign_negative())
            .and_then(|price| price.checked_mul(factor))
        {
            *text = scaled.normalize().to_string();
        }
    };
    let mut prices = prices.clone();
    prices.rates.values_mut().for_each(scale);
    for entry in &mut prices.overrides {
        entry.rates.values_mut().for_each(scale);
    }
    prices
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use model_catalogue::Catalogue;

    use super::*;

    const AT: UtcTime = UtcTime::from_unix(1_787_000_000);

    fn of(model: &str, seed: u64) -> Vec<Endpoint> {
        static CATALOGUE: std::sync::OnceLock<Catalogue> = std::sync::OnceLock::new();
        let catalogue = CATALOGUE.get_or_init(|| Catalogue::bundled().unwrap());
        endpoints(seed, catalogue.get(model).unwrap())
    }

    #[test]
    fn the_first_endpoint_is_as_the_catalogue_has_the_model() {
        let catalogue = Catalogue::bundled().unwrap();
        for record in catalogue.records() {
            for seed in [1, 2] {
                let all = endpoints(seed, record);
                assert_eq!(all, endpoints(seed, record));
                let first = &all[0];
                assert_eq!(first.prices, record.prices, "{}", record.id);
                assert_eq!(first.context_length, record.context_length);
                assert_eq!(first.parameters, record.supported_parameters);
                let tags: BTreeSet<&str> = all.iter().map(|one| one.tag.as_str()).collect();
                assert_eq!(tags.len(), all.len(), "{tags:?}");
                assert!(
                    all.iter()
                        .all(|one| one.tag.split('/').next() == Some(one.upstream.slug))
                );
                assert!(all.iter().all(|one| (80.0..=100.0).contains(&one.uptime)));
            }
        }
    }

    #[test]
    fn a_slug_means_every_endpoint_but_those_of_a_tier() {
        let all = of("openai/gpt-4o-mini", 1);
        let named = |slug: &str| {
            let tags = all.iter().filter(|one| one.is_named(slug));
            tags.map(|one| one.tag.as_str()).collect::<Vec<_>>()
        };
        assert_eq!(named("openai"), ["openai"]);
        assert_eq!(named("openai/priority"), ["openai/priority"]);
        assert_eq!(named("OpenAI"), [""; 0]);
        let all = of("google/gemini-2.5-flash", 1);
        let vertex: Vec<&str> = all
            .iter()
            .filter(|one| one.is_named("google-vertex"))
            .map(|one| one.tag.as_str())
            .collect();
        assert_eq!(vertex, ["google-vertex/global", "google-vertex/us-east5"]);
    }

    #[test]
    fn tiers_and_hosts_have_prices_of_their_own_to_the_last_digit() {
        let all = of("openai/gpt-4o-mini", 1);
        let price = |tag: &str| {
            let one = all.iter().find(|one| one.tag == tag).unwrap();
            one.price(1, AT).unwrap()
        };
        assert_eq!(price("openai/flex") * Decimal::TWO, price("openai"));
        assert_eq!(price("openai/priority"), price("openai") * Decimal::TWO);
        assert_eq!(price("azure"), price("openai"));
        let odd = PriceStrings::new([("prompt", "0.0000000208333333333333"), ("completion", "-1")]);
        assert_eq!(scaled(&odd, 125).rates["prompt"], "0.000000026041666666666625");
        assert_eq!(scaled(&odd, 125).rates["completion"], "-1");
        let spread: BTreeSet<String> = (0..40)
            .flat_map(|seed| of("meta-llama/llama-3.3-70b-instruct", seed))
            .map(|one| one.prices.rates["prompt"].clone())
            .collect();
        assert!(spread.len() >= 5, "{spread:?}");
    }

    #[test]
    fn hosts_differ_in_what_they_take_and_keep() {
        let all: Vec<Endpoint> = (0..60)
            .flat_map(|seed| of("meta-llama/llama-3.3-70b-instruct", seed))
            .collect();
        let kinds: BTreeSet<&str> = all.iter().map(|one| one.quantization).collect();
        assert!(kinds.len() >= 4);
        for differs in [
            all.iter().any(|one| one.trains) && all.iter().any(|one| !one.trains),
            all.iter().any(|one| one.zdr) && all.iter().any(|one| !one.zdr),
            all.iter().any(|one| one.uptime < 95.0),
            all.iter()
                .any(|one| one.parameters.len() < all[0].parameters.len()),
            all.iter().any(|one| one.context_length < all[0].context_length),
        ] {
            assert!(differs);
        }
        assert!(
            of("openai/gpt-4o-mini", 1)
                .iter()
                .all(|one| !one.distillable && one.quantization == "unknown")
        );
    }
}
