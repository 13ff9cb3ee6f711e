//! Which endpoints may serve a request, and in which order they are tried. No state and no time of its own.

use costing::{PriceKey, UtcTime};
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;

use crate::dice::Dice;
use crate::endpoint::{Endpoint, Tier};
use crate::parameters::supports;
use crate::preferences::{MaxPrice, Preferences, Sort};

/// What a request needs of an endpoint.
#[derive(Debug, Clone)]
pub(crate) struct Need<'a> {
    pub(crate) preferences: &'a Preferences,
    /// What the request or the model's suffix sorts by.
    pub(crate) sort: Option<Sort>,
    /// Only endpoints of this tier, if any of them is left.
    pub(crate) only_tier: Option<Tier>,
    /// Endpoints of this tier may serve besides the usual ones.
    pub(crate) with_tier: Option<Tier>,
    /// The parameters sent.
    pub(crate) sent: &'a [&'static str],
    /// Kinds of input besides text.
    pub(crate) inputs: &'a [&'static str],
    pub(crate) prompt_tokens: u64,
    pub(crate) max_tokens: Option<u64>,
    /// Slugs of the upstreams that the account has keys of its own for.
    pub(crate) own_keys: &'a [String],
    pub(crate) at: UtcTime,
}

/// An endpoint that might serve.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Candidate<'a> {
    /// Which of the request's models it serves.
    pub(crate) model: usize,
    pub(crate) endpoint: &'a Endpoint,
    /// Whether its status is not the usual one: it has been failing for the last half minute, or the scenario says so.
    pub(crate) down: bool,
    /// Whether the conversation has been served by it before.
    pub(crate) sticky: bool,
}

/// A step of the filter, in the order in which they are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Tier,
    Modality,
    Context,
    Providers,
    DataPolicy,
    Distillation,
    Quantization,
    Price,
    Parameters,
}

impl Step {
    pub(crate) const ALL: [Self; 9] = [
        Self::Tier,
        Self::Modality,
        Self::Context,
        Self::Providers,
        Self::DataPolicy,
        Self::Distillation,
        Self::Quantization,
        Self::Price,
        Self::Parameters,
    ];

    /// The name in the metadata of an error.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Tier => "Filter by Service Tier",
            Self::Modality => "Filter by Input Modality",
            Self::Context => "Filter by Context Length",
            Self::Providers => "Filter by Provider Preferences",
            Self::DataPolicy => "Filter by Data Policy",
            Self::Distillation => "Filter by Distillation",
            Self::Quantization => "Filter by Quantization",
            Self::Price => "Filter by Max Price",
            Self::Parameters => "Filter by Parameter Support",
        }
    }

    fn keeps(self, endpoint: &Endpoint, need: &Need<'_>) -> bool {
        let preferences = need.preferences;
        let named = |list: &[String]| list.iter().any(|slug| endpoint.is_named(slug));
        match self {
            Self::Tier => endpoint.tier.is_none_or(|tier| {
                let by_tag = |list: &[String]| list.contains(&endpoint.tag);
                need.only_tier == Some(tier)
                    || need.with_tier == Some(tier)
                    || by_tag(&preferences.order)
                    || preferences.only.as_deref().is_some_and(by_tag)
            }),
            Self::Modality => need
                .inputs
                .iter()
                .all(|input| endpoint.input_modalities.iter().any(|one| one == input)),
            Self::Context => {
                let wanted = need.max_tokens.unwrap_or(0);
                endpoint
                    .context_length
                    .is_none_or(|most| need.prompt_tokens.saturating_add(wanted) <= most)
                    && (need.max_tokens.is_none()
                        || endpoint.max_completion_tokens.is_none_or(|most| wanted <= most))
            }
            Self::Providers => {
                let in_order =
                    preferences.order.is_empty() || !preferences.no_fallbacks || named(&preferences.order);
                preferences.only.as_deref().is_none_or(named) && !named(&preferences.ignore) && in_order
            }
            Self::DataPolicy => {
                !(preferences.deny_collection && endpoint.trains) && (!preferences.zdr || endpoint.zdr)
            }
            Self::Distillation => !preferences.distillable || endpoint.distillable,
            Self::Quantization => preferences
                .quantizations
                .as_ref()
                .is_none_or(|list| list.iter().any(|one| one == endpoint.quantization)),
            Self::Price => affordable(endpoint, &preferences.max_price, need),
            Self::Parameters => {
                !preferences.require_parameters
                    || need.sent.iter().all(|name| supports(&endpoint.parameters, name))
            }
        }
    }
}

fn affordable(endpoint: &Endpoint, most: &MaxPrice, need: &Need<'_>) -> bool {
    let million = Decimal::from(1_000_000);
    let rate = |key| endpoint.sheet.as_ref()?.rate(key, need.prompt_tokens, need.at);
    let below = |most: Option<Decimal>, key, unit: Decimal| {
        most.is_none_or(|most| {
            // What has no price of its own costs nothing extra; a price that is not known is not below any.
            rate(key).map_or(!matches!(key, PriceKey::Prompt | PriceKey::Completion), |rate| {
                rate.checked_mul(unit).is_some_and(|rate| rate <= most)
            })
        })
    };
    below(most.prompt, PriceKey::Prompt, million)
        && below(most.completion, PriceKey::Completion, million)
        && below(most.request, PriceKey::Request, Decimal::ONE)
        && below(most.image, PriceKey::Image, Decimal::ONE)
        && below(most.audio, PriceKey::Audio, Decimal::ONE)
}

/// How many endpoints were left after each step; it ends with the step that left none.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Funnel(pub(crate) Vec<(Step, usize)>);

/// The endpoints that may serve a request, in the order in which they came, and how they came to be so few.
pub(crate) fn filter<'a>(candidates: Vec<Candidate<'a>>, need: &Need<'_>) -> (Vec<Candidate<'a>>, Funnel) {
    let mut left = candidates;
    let mut funnel = Funnel::default();
    for step in Step::ALL {
        left.retain(|candidate| step.keeps(candidate.endpoint, need));
        funnel.0.push((step, left.len()));
        if left.is_empty() {
            return (left, funnel);
        }
    }
    // What some of them can do and others cannot decides between them; what none can do is ignored.
    for name in ["tools", "response_format", "verbosity"] {
        let able = |candidate: &Candidate<'_>| supports(&candidate.endpoint.parameters, name);
        if need.sent.contains(&name) && left.iter().any(able) {
            left.retain(able);
        }
    }
    if need.only_tier == Some(Tier::Flex) {
        let cheap = |candidate: &Candidate<'_>| candidate.endpoint.tier == Some(Tier::Flex);
        if left.iter().any(cheap) {
            left.retain(cheap);
        }
    }
    (left, funnel)
}

/// From this uptime on an endpoint is one like any other, and below this one it is the last resort. Percent.
const NORMAL_UPTIME: f64 = 95.0;
const LAST_RESORT_UPTIME: f64 = 80.0;

/// Puts the endpoints that may serve into the order in which they are tried.
pub(crate) fn order<'a>(
    candidates: Vec<Candidate<'a>>,
    need: &Need<'_>,
    dice: &mut Dice,
) -> Vec<Candidate<'a>> {
    let preferences = need.preferences;
    let ordered = !preferences.order.is_empty();
    let with_tools = need.sent.contains(&"tools");
    let price = |candidate: &Candidate<'_>| {
        candidate
            .endpoint
            .price(need.prompt_tokens, need.at)
            .unwrap_or(Decimal::MAX)
    };
    let mut list = candidates;
    let sort = match (need.sort, need.only_tier) {
        (Some(sort), _) => Some(sort),
        (None, Some(Tier::Flex)) => Some(Sort::Price),
        (None, _) if with_tools && !ordered => Some(Sort::Exacto),
        _ => None,
    };
    match sort {
        Some(Sort::Price) => list.sort_by_key(price),
        Some(Sort::Throughput) => {
            list.sort_by(|a, b| b.endpoint.throughput.p50.total_cmp(&a.endpoint.throughput.p50));
        }
        Some(Sort::Latency) => {
            list.sort_by(|a, b| a.endpoint.latency.p50.total_cmp(&b.endpoint.latency.p50));
        }
        Some(Sort::Exacto) => list.sort_by_key(|candidate| std::cmp::Reverse(candidate.endpoint.quality)),
        None => list = balanced(list, need, dice),
    }
    if ordered {
        let place = |candidate: &Candidate<'_>| {
            let names = preferences.order.iter();
            names
                .clone()
                .position(|slug| candidate.endpoint.is_named(slug))
                .unwrap_or(names.len())
        };
        list.sort_by_key(place);
    }
    if need.only_tier == Some(Tier::Priority) {
        list.sort_by_key(|candidate| candidate.endpoint.tier != Some(Tier::Priority));
    }
    list.sort_by_key(|candidate| misses(candidate.endpoint, preferences));
    if !ordered {
        list.sort_by_key(|candidate| !candidate.sticky);
    }
    list.sort_by_key(|candidate| {
        !need
            .own_keys
            .iter()
            .any(|slug| slug == candidate.endpoint.upstream.slug)
    });
    if preferences.no_fallbacks && !ordered {
        list.truncate(1);
    }
    list
}

/// Whether an endpoint misses any of the figures that are preferred.
fn misses(endpoint: &Endpoint, preferences: &Preferences) -> bool {
    let slow = |(cutoff, figure): (f64, f64)| figure < cutoff;
    let late = |(cutoff, figure): (f64, f64)| figure / 1_000.0 > cutoff;
    preferences.min_throughput.pairs(&endpoint.throughput).any(slow)
        || preferences.max_latency.pairs(&endpoint.latency).any(late)
}

/// The usual order: of those without trouble one is drawn, the cheaper the likelier; the rest follow by price. Those with a
/// poor record come after them, and those that fail at the moment last.
fn balanced<'a>(candidates: Vec<Candidate<'a>>, need: &Need<'_>, dice: &mut Dice) -> Vec<Candidate<'a>> {
    let class = |candidate: &Candidate<'_>| match candidate.endpoint.uptime {
        _ if candidate.down => 3,
        uptime if uptime < LAST_RESORT_UPTIME => 2,
        uptime if uptime < NORMAL_UPTIME => 1,
        _ => 0,
    };
    let mut list = candidates;
    list.sort_by_key(|candidate| {
        let price = candidate.endpoint.price(need.prompt_tokens, need.at);
        (class(candidate), price.unwrap_or(Decimal::MAX))
    });
    let best = list.iter().map(class).min().unwrap_or_default();
    let stable = list
        .iter()
        .take_while(|candidate| class(candidate) == best)
        .count();
    let prices: Vec<Option<f64>> = list[..stable]
        .iter()
        .map(|candidate| candidate.endpoint.price(need.prompt_tokens, need.at)?.to_f64())
        .collect();
    if let Some(drawn) = draw(&weights(&prices), dice) {
        list[..=drawn].rotate_right(1);
    }
    list
}

/// The weight of each price, 1/price². Where some cost nothing only those have one; a price that is not known counts as the
/// highest that is.
pub(crate) fn weights(prices: &[Option<f64>]) -> Vec<f64> {
    let highest = prices.iter().flatten().copied().fold(0.0, f64::max);
    let free = prices.contains(&Some(0.0));
    if highest == 0.0 || free {
        let weight = |price: &Option<f64>| if free && *price != Some(0.0) { 0.0 } else { 1.0 };
        return prices.iter().map(weight).collect();
    }
    prices
        .iter()
        // As a ratio, so that prices of a millionth do not leave the range where fractions are exact.
        .map(|price| (highest / price.unwrap_or(highest)).powi(2))
        .collect()
}

/// One place, drawn by weight; `None` for an empty list.
pub(crate) fn draw(weights: &[f64], dice: &mut Dice) -> Option<usize> {
    let all: f64 = weights.iter().sum();
    let mut left = dice.unit() * all;
    for (at, weight) in weights.iter().enumerate() {
        left -= weight;
        if left < 0.0 {
            return Some(at);
        }
    }
    weights.iter().rposition(|weight| *weight > 0.0)
}

#[cfg(test)]
#[path = "routing_tests.rs"]
mod tests;
