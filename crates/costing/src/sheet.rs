//! The prices of one model, parsed once: base prices and the overrides that hold under conditions.

use std::sync::Arc;

use model_catalogue::PriceStrings;
use model_catalogue::openrouter::{self, Problem};
use rust_decimal::Decimal;

use crate::cost::{Cost, Unpriced, cost};
use crate::discount::Discount;
use crate::key::{PriceKey, Rate, Rates};
use crate::money::Pico;
use crate::number::{self, NumberError};
use crate::quantity::Quantities;
use crate::time::{UtcTime, Weekday};

/// What a list writes for a price that depends on the request.
const DYNAMIC: &str = "-1";

/// Above this, a price for images in the completion is one per image: tokens cost around a ten-thousandth of a dollar.
const MAX_IMAGE_TOKEN_PRICE: Decimal = Decimal::from_parts(1, 0, 0, false, 3);

/// A price for images in the prompt above so many prompt tokens is one per image.
const MAX_IMAGE_TOKEN_RATIO: Decimal = Decimal::ONE_HUNDRED;

/// Why prices cannot be used at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PriceError {
    /// A price that is not a decimal number, is negative (but for `-1`, "decided per request"), or cannot be held exactly.
    #[error("the price `{key}` is `{text}`: {source}")]
    Number {
        /// Which price.
        key: String,
        /// As it was written.
        text: String,
        /// What is wrong with it.
        #[source]
        source: NumberError,
    },
    /// A price so large that it must be in another unit, such as per million tokens.
    #[error(
        "the price `{key}` is {text} US dollars for a single unit, more than the {limit} taken for real; is it per million?"
    )]
    TooLarge {
        /// Which price.
        key: String,
        /// As it was written.
        text: String,
        /// The largest price taken.
        limit: Decimal,
    },
    /// A price that a discount leaves with more digits than can be held exactly.
    #[error("the price `{key}` less {bps} basis points has more digits than can be held exactly")]
    Discounted {
        /// Which price.
        key: PriceKey,
        /// The discount.
        bps: u16,
    },
    /// Not a `pricing` object.
    #[error("the prices cannot be read: {0}")]
    Malformed(String),
}

/// Something in a list of prices that was not understood. The other prices hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SheetProblem {
    /// A price of which it is not known what it is for. Nothing is priced by it.
    #[error("the price `{key}` is not known; nothing is priced by it")]
    UnknownKey {
        /// Its name.
        key: String,
    },
    /// An override under a condition that is not understood. It is taken not to apply.
    #[error(
        "override {entry} has a condition that is not understood, `{condition}`; it is taken not to apply"
    )]
    UnknownCondition {
        /// Which override, from 1.
        entry: usize,
        /// The condition, as it was written.
        condition: String,
    },
    /// A price per image. Images cannot be priced by it, as usage counts their tokens.
    #[error("the price `{key}` is per image; usage with image tokens cannot be priced")]
    PerImage {
        /// Which price.
        key: PriceKey,
    },
    /// Something else that was left out.
    #[error("{0}")]
    LeftOut(String),
}

/// The prices of one model. Immutable; parse it once and share it.
///
/// The whole request is priced at one tier: every override whose conditions all hold replaces the prices it names, later ones
/// over earlier ones, and prices it does not name stay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PriceSheet {
    base: Rates,
    overrides: Box<[Override]>,
    problems: Vec<SheetProblem>,
    /// Where a discount was taken off: how much, and the sheet before it.
    list: Option<(Discount, Arc<PriceSheet>)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Override {
    /// Holds for more tokens than this.
    pub(crate) min_prompt_tokens: Option<u64>,
    /// HHMM, from inclusive, to exclusive; never equal.
    pub(crate) window: Option<(u16, u16)>,
    /// A bit for each day; `None` for every day.
    pub(crate) days: Option<u8>,
    pub(crate) rates: Rates,
}

/// Prices of plain text in pico-dollars, see [`PriceSheet::linear`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct LinearPrice {
    /// For a token of the prompt.
    pub prompt: u64,
    /// For a token of the completion.
    pub completion: u64,
    /// For the request itself.
    pub request: u64,
}

impl LinearPrice {
    /// What a call of plain text costs; `None` if that is more than can be held.
    pub fn cost(&self, prompt_tokens: u64, completion_tokens: u64) -> Option<Pico> {
        // Two products of 64 bits each and a third number: below 2^130 only in theory, so each step is checked.
        let prompt = u128::from(self.prompt) * u128::from(prompt_tokens);
        let completion = u128::from(self.completion) * u128::from(completion_tokens);
        let total = prompt
            .checked_add(completion)?
            .checked_add(u128::from(self.request))?;
        i64::try_from(total).ok().map(Pico::new)
    }
}

impl Override {
    fn applies(&self, prompt_tokens: u64, at: UtcTime) -> bool {
        self.min_prompt_tokens.is_none_or(|min| prompt_tokens > min)
            && self.window.is_none_or(|(from, to)| {
                let now = at.hhmm();
                if from < to {
                    (from..to).contains(&now)
                } else {
                    now >= from || now < to
                }
            })
            && self.days.is_none_or(|days| days >> at.weekday().index() & 1 == 1)
    }
}

impl PriceSheet {
    /// Parses the strings of a catalogue. What it does not understand but can do without is in
    /// [`problems`](Self::problems).
    ///
    /// # Errors
    /// [`PriceError`] if a price is not a number, or too large to be true.
    pub fn parse(strings: &PriceStrings) -> Result<Self, PriceError> {
        let mut problems = Vec::new();
        let mut base = rates(strings.rates.iter(), &mut problems)?;
        let repeated: Vec<(PriceKey, PriceKey)> = PriceKey::ALL
            .into_iter()
            .filter_map(|key| Some((key, key.repeats()?)))
            .filter(|(key, of)| base.get(*key).is_some() && base.get(*key) == base.get(*of))
            .collect();
        let mut overrides = Vec::with_capacity(strings.overrides.len());
        for (index, strings) in strings.overrides.iter().enumerate() {
            let mut rates = rates(strings.rates.iter(), &mut problems)?;
            for (key, of) in &repeated {
                if let (None, Some(rate)) = (rates.get(*key), rates.get(*of)) {
                    rates.set(*key, rate);
                }
            }
            match conditions(strings) {
                Ok((window, days)) => {
                    overrides.push(Override {
                        min_prompt_tokens: strings.min_prompt_tokens,
                        window,
                        days,
                        rates,
                    });
                }
                Err(condition) => {
                    problems.push(SheetProblem::UnknownCondition {
                        entry: index + 1,
                        condition,
                    });
                }
            }
        }
        mark_per_image(&mut base, &mut overrides, &mut problems);
        Ok(Self {
            base,
            overrides: overrides.into_boxed_slice(),
            problems,
            list: None,
        })
    }

    /// Reads a `pricing` object as OpenRouter writes it, overrides included. Prices are decimal strings.
    ///
    /// # Errors
    /// [`PriceError::Malformed`] if it is not a JSON object, or a price is not a string; otherwise as [`PriceSheet::parse`].
    pub fn from_pricing_json(json: &str) -> Result<Self, PriceError> {
        let (strings, left_out) =
            openrouter::read_prices(json).map_err(|error| PriceError::Malformed(error.to_string()))?;
        let not_a_string = |path: &str| {
            let name = path.rsplit('.').next().unwrap_or(path);
            PriceKey::from_name(name).is_some()
        };
        for field in &left_out {
            if matches!(field.problem, Problem::Unexpected { .. }) && not_a_string(&field.path) {
                let message = format!("`{}` is not a decimal string, such as \"0.0000025\"", field.path);
                return Err(PriceError::Malformed(message));
            }
        }
        let mut sheet = Self::parse(&strings)?;
        // Unknown prices and conditions are in the strings and reported already.
        sheet.problems.extend(
            left_out
                .iter()
                .filter(|field| !field.path.contains("overrides[]") && field.problem != Problem::Unknown)
                .map(|field| SheetProblem::LeftOut(field.to_string())),
        );
        Ok(sheet)
    }

    /// What was not understood.
    pub fn problems(&self) -> &[SheetProblem] {
        &self.problems
    }

    /// These prices less a discount: every price, under every condition, to the last digit. This sheet stays as it is, and the
    /// new one knows it as its [list](Self::list). Prices decided per request stay so.
    ///
    /// # Errors
    /// [`PriceError::Discounted`] if a price would have more digits than can be held exactly.
    pub fn with_discount(&self, discount: Discount) -> Result<Self, PriceError> {
        let reduced = |rates: &Rates| {
            let mut reduced = *rates;
            for key in PriceKey::ALL {
                let less = |price: Decimal| {
                    discount.of(price).ok_or(PriceError::Discounted {
                        key,
                        bps: discount.bps(),
                    })
                };
                match rates.get(key) {
                    Some(Rate::Fixed(price)) => reduced.set(key, Rate::Fixed(less(price)?)),
                    Some(Rate::PerImage(price)) => reduced.set(key, Rate::PerImage(less(price)?)),
                    Some(Rate::Dynamic) | None => {}
                }
            }
            Ok(reduced)
        };
        let overrides: Result<Vec<Override>, PriceError> = self
            .overrides
            .iter()
            .map(|entry| {
                Ok(Override {
                    rates: reduced(&entry.rates)?,
                    ..entry.clone()
                })
            })
            .collect();
        Ok(Self {
            base: reduced(&self.base)?,
            overrides: overrides?.into_boxed_slice(),
            problems: self.problems.clone(),
            list: Some((discount, Arc::new(self.clone()))),
        })
    }

    /// The prices before the last discount; these, if there was none.
    pub fn list(&self) -> &Self {
        self.list.as_ref().map_or(self, |(_, list)| list)
    }

    /// The last discount, if there was one.
    pub fn discount(&self) -> Option<Discount> {
        self.list.as_ref().map(|(discount, _)| *discount)
    }

    /// Whether the list has a price of this key, under whatever condition.
    pub(crate) fn names(&self, key: PriceKey) -> bool {
        self.base.get(key).is_some() || self.overrides.iter().any(|entry| entry.rates.get(key).is_some())
    }

    pub(crate) const fn base(&self) -> &Rates {
        &self.base
    }

    pub(crate) const fn overrides(&self) -> &[Override] {
        &self.overrides
    }

    /// Whether a price of prompt or completion is decided per request by the provider, so that no cost can be foreseen.
    pub fn is_dynamic(&self) -> bool {
        let dynamic = |rates: &Rates| {
            [PriceKey::Prompt, PriceKey::Completion]
                .iter()
                .any(|key| rates.get(*key) == Some(Rate::Dynamic))
        };
        dynamic(&self.base) || self.overrides.iter().any(|entry| dynamic(&entry.rates))
    }

    /// Whether prompt and completion are priced and every price, under any condition, is zero.
    pub fn is_free(&self) -> bool {
        let zero = |rates: &Rates| rates.iter().all(|rate| rate == Rate::Fixed(Decimal::ZERO));
        let priced = [PriceKey::Prompt, PriceKey::Completion]
            .iter()
            .all(|key| self.base.get(*key).is_some());
        priced && zero(&self.base) && self.overrides.iter().all(|entry| zero(&entry.rates))
    }

    /// US dollars per unit for a request with a prompt of so many tokens at that time. `None` if the list has no such price, or
    /// it is decided per request.
    pub fn rate(&self, key: PriceKey, prompt_tokens: u64, at: UtcTime) -> Option<Decimal> {
        self.effective(prompt_tokens, at).fixed(key)
    }

    /// Whether an override holds for such a request. Answers are known to state the base price in such a case at first, so their
    /// cost is worth asking for again.
    pub fn has_override_for(&self, prompt_tokens: u64, at: UtcTime) -> bool {
        self.overrides
            .iter()
            .any(|entry| entry.applies(prompt_tokens, at))
    }

    /// The prices of a call of plain text in whole pico-dollars, if they are that simple: no price under a condition, none
    /// decided per request, and each a whole number of pico-dollars. `tokens x price + request` is then exactly what
    /// [`cost`](Self::cost) makes of [`Quantities::of_tokens`].
    pub fn linear(&self) -> Option<LinearPrice> {
        if !self.overrides.is_empty() {
            return None;
        }
        let whole = |key: PriceKey| match self.base.get(key)? {
            Rate::Fixed(price) => u64::try_from(Pico::from_decimal_exact(price).ok()?.get()).ok(),
            Rate::Dynamic | Rate::PerImage(_) => None,
        };
        let request = match self.base.get(PriceKey::Request) {
            None => 0,
            Some(_) => whole(PriceKey::Request)?,
        };
        Some(LinearPrice {
            prompt: whole(PriceKey::Prompt)?,
            completion: whole(PriceKey::Completion)?,
            request,
        })
    }

    /// The cost of a call. Allocates nothing.
    ///
    /// # Errors
    /// [`Unpriced`] if something was used that has no price.
    pub fn cost(&self, quantities: &Quantities, at: UtcTime) -> Result<Cost, Unpriced> {
        cost(*quantities, &self.effective(quantities.prompt_tokens(), at))
    }

    fn effective(&self, prompt_tokens: u64, at: UtcTime) -> Rates {
        let mut rates = self.base;
        for entry in self
            .overrides
            .iter()
            .filter(|entry| entry.applies(prompt_tokens, at))
        {
            rates.overlay(&entry.rates);
        }
        rates
    }
}

/// What a call of plain text is expected to cost, in US dollars, by the function that will price it. `None` where no cost can
/// be said.
pub fn expected_cost(
    sheet: &PriceSheet,
    prompt_tokens: u64,
    completion_tokens: u64,
    at: UtcTime,
) -> Option<Decimal> {
    let cost = sheet.cost(&Quantities::of_tokens(prompt_tokens, completion_tokens), at);
    cost.ok().map(|cost| cost.total())
}

fn rates<'a>(
    strings: impl Iterator<Item = (&'a String, &'a String)>,
    problems: &mut Vec<SheetProblem>,
) -> Result<Rates, PriceError> {
    let mut rates = Rates::default();
    for (name, text) in strings {
        match PriceKey::from_name(name) {
            Some(key) => rates.set(key, rate(key, text)?),
            None => problems.push(SheetProblem::UnknownKey { key: name.clone() }),
        }
    }
    Ok(rates)
}

fn rate(key: PriceKey, text: &str) -> Result<Rate, PriceError> {
    if text == DYNAMIC {
        return Ok(Rate::Dynamic);
    }
    let price = number::parse(text).map_err(|source| PriceError::Number {
        key: key.as_str().to_owned(),
        text: text.to_owned(),
        source,
    })?;
    if price > key.limit() {
        let (key, limit) = (key.as_str().to_owned(), key.limit());
        return Err(PriceError::TooLarge {
            key,
            text: text.to_owned(),
            limit,
        });
    }
    Ok(Rate::Fixed(price))
}

/// A daily window (HHMM, half open) and a set of days.
type Conditions = (Option<(u16, u16)>, Option<u8>);

/// The conditions in time; as an error, one that is not understood.
fn conditions(entry: &model_catalogue::PriceOverride) -> Result<Conditions, String> {
    if let Some(condition) = entry.unknown_conditions.first() {
        return Err(condition.clone());
    }
    let window = match (entry.utc_start, entry.utc_end) {
        (None, None) => None,
        (from, to) => Some((from.unwrap_or(0), to.unwrap_or(2400))),
    };
    if let Some((from, to)) = window.filter(|(from, to)| from == to || !is_hhmm(*from) || !is_hhmm(*to)) {
        // An empty window or a whole day: nobody can say which.
        return Err(format!("utc_start={from:04}, utc_end={to:04}"));
    }
    let mut days = None;
    for name in &entry.utc_days {
        let day: Weekday = name.parse().map_err(|_| format!("utc_days={name}"))?;
        days = Some(days.unwrap_or(0) | 1 << day.index());
    }
    Ok((window, days))
}

const fn is_hhmm(time: u16) -> bool {
    time == 2400 || (time < 2400 && time % 100 < 60)
}

/// Older lists write `image` and `image_output` per image, newer ones per token; the size of the number tells which.
fn mark_per_image(base: &mut Rates, overrides: &mut [Override], problems: &mut Vec<SheetProblem>) {
    let most = base
        .fixed(PriceKey::Prompt)
        .and_then(|prompt| prompt.checked_mul(MAX_IMAGE_TOKEN_RATIO));
    let limits = [
        (PriceKey::Image, most.unwrap_or_default()),
        (PriceKey::ImageOutput, MAX_IMAGE_TOKEN_PRICE),
    ];
    for (key, limit) in limits {
        let mut found = false;
        for rates in
            std::iter::once(base as &mut Rates).chain(overrides.iter_mut().map(|entry| &mut entry.rates))
        {
            if let Some(price) = rates.fixed(key).filter(|price| *price > limit) {
                rates.set(key, Rate::PerImage(price));
                found = true;
            }
        }
        if found {
            problems.push(SheetProblem::PerImage { key });
        }
    }
}
