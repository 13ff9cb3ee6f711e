//! The cost of one call, line by line.

use rust_decimal::Decimal;
use serde::{Serialize, Serializer};

use crate::key::{PriceKey, Rate, Rates};
use crate::quantity::{Bucket, Quantities};

/// Why no cost can be said. Never zero instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unpriced {
    /// The price depends on what the provider makes of the request.
    #[error("the price `{0}` is decided per request by the provider")]
    Dynamic(PriceKey),
    /// There is something to pay for that the list has no price for.
    #[error("there is no price for `{0}`")]
    NoPrice(Bucket),
    /// The price is per image, and the usage counts tokens.
    #[error("the price `{0}` is per image, which the usage does not count")]
    PerImage(PriceKey),
    /// The amount is larger than a decimal holds.
    #[error("the amount is too large")]
    Overflow,
}

/// One line of a bill.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct CostLine {
    /// What is paid for.
    pub bucket: Bucket,
    /// How many of it.
    pub quantity: u64,
    /// US dollars for one, as the list has it.
    #[serde(rename = "unit_price_usd", serialize_with = "plain")]
    pub unit_price: Decimal,
    /// US dollars for all: quantity times price, unrounded.
    #[serde(rename = "amount_usd", serialize_with = "plain")]
    pub amount: Decimal,
}

fn plain<S: Serializer>(amount: &Decimal, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&amount.normalize())
}

const NO_LINE: CostLine = CostLine {
    bucket: Bucket::Request,
    quantity: 0,
    unit_price: Decimal::ZERO,
    amount: Decimal::ZERO,
};

/// The cost of one call in US dollars, unrounded: a line for each bucket that is not empty, and their sum.
///
/// It is made without an allocation. Amounts are exact while they have at most 28 significant digits, which prices of today
/// times counts of today are far from; beyond, the last digit is rounded to even.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    lines: [CostLine; Bucket::COUNT],
    len: usize,
    total: Decimal,
}

impl Cost {
    /// The lines, in the order of [`Bucket::ALL`].
    pub fn lines(&self) -> impl ExactSizeIterator<Item = &CostLine> {
        self.lines.iter().take(self.len)
    }

    /// The line of a bucket, if it is not empty.
    pub fn line(&self, bucket: Bucket) -> Option<&CostLine> {
        self.lines().find(|line| line.bucket == bucket)
    }

    /// The sum of all lines, in US dollars.
    pub const fn total(&self) -> Decimal {
        self.total
    }

    fn push(&mut self, bucket: Bucket, quantity: u64, unit_price: Decimal) -> Result<(), Unpriced> {
        let amount = unit_price
            .checked_mul(Decimal::from(quantity))
            .ok_or(Unpriced::Overflow)?;
        let place = self.lines.get_mut(self.len).ok_or(Unpriced::Overflow)?;
        *place = CostLine {
            bucket,
            quantity,
            unit_price,
            amount,
        };
        self.len += 1;
        self.total = self.total.checked_add(amount).ok_or(Unpriced::Overflow)?;
        Ok(())
    }
}

/// The list of lines.
impl Serialize for Cost {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.lines())
    }
}

/// The one place where quantities meet prices.
pub(crate) fn cost(mut quantities: Quantities, rates: &Rates) -> Result<Cost, Unpriced> {
    merge_unpriced_kinds(&mut quantities, rates);
    let mut cost = Cost {
        lines: [NO_LINE; Bucket::COUNT],
        len: 0,
        total: Decimal::ZERO,
    };
    for bucket in Bucket::ALL {
        let quantity = quantities.get(bucket);
        if quantity == 0 {
            continue;
        }
        let found = prices_of(bucket)
            .iter()
            .find_map(|key| Some((*key, rates.get(*key)?)));
        match found {
            Some((PriceKey::Request, Rate::Fixed(price))) if price.is_zero() => {}
            Some((_, Rate::Fixed(price))) => cost.push(bucket, quantity, price)?,
            Some((key, Rate::Dynamic)) => return Err(Unpriced::Dynamic(key)),
            Some((key, Rate::PerImage(_))) => return Err(Unpriced::PerImage(key)),
            // Few lists have a fee per request. Where there is none, there is none.
            None if bucket == Bucket::Request => {}
            None => return Err(Unpriced::NoPrice(bucket)),
        }
    }
    Ok(cost)
}

/// Kinds of tokens without a price of their own are tokens like the others of their prompt or completion.
fn merge_unpriced_kinds(quantities: &mut Quantities, rates: &Rates) {
    let absent = |keys: &[PriceKey]| keys.iter().all(|key| rates.get(*key).is_none());
    for (kind, parent) in [
        (Bucket::AudioPrompt, Bucket::UncachedPrompt),
        (Bucket::AudioCacheRead, Bucket::CacheRead),
        (Bucket::ImagePrompt, Bucket::UncachedPrompt),
        (Bucket::AudioCompletion, Bucket::Completion),
        (Bucket::ImageCompletion, Bucket::Completion),
    ] {
        if absent(prices_of(kind)) {
            quantities.merge(kind, parent);
        }
    }
    // Reasoning is priced on nearly every list like the rest of the completion; then it is no line of its own.
    let reasoning = rates.get(PriceKey::InternalReasoning);
    if reasoning.is_none() || reasoning == rates.get(PriceKey::Completion) {
        quantities.merge(Bucket::Reasoning, Bucket::Completion);
    }
}

/// The prices a bucket is paid by; the first one that the list has counts.
///
/// A cache price that is absent means that the provider asks nothing extra: the tokens are prompt tokens.
const fn prices_of(bucket: Bucket) -> &'static [PriceKey] {
    match bucket {
        Bucket::UncachedPrompt => &[PriceKey::Prompt],
        Bucket::CacheRead => &[PriceKey::InputCacheRead, PriceKey::Prompt],
        Bucket::CacheWrite => &[PriceKey::InputCacheWrite, PriceKey::Prompt],
        Bucket::CacheWrite1h => &[
            PriceKey::InputCacheWrite1h,
            PriceKey::InputCacheWrite,
            PriceKey::Prompt,
        ],
        Bucket::AudioPrompt => &[PriceKey::Audio],
        Bucket::AudioCacheRead => &[PriceKey::InputAudioCache],
        Bucket::ImagePrompt => &[PriceKey::ImageToken, PriceKey::Image],
        Bucket::Completion => &[PriceKey::Completion],
        Bucket::Reasoning => &[PriceKey::InternalReasoning],
        Bucket::AudioCompletion => &[PriceKey::AudioOutput],
        Bucket::ImageCompletion => &[PriceKey::ImageOutput],
        Bucket::Request => &[PriceKey::Request],
        Bucket::WebSearch => &[PriceKey::WebSearch],
        Bucket::ServerTool => &[],
    }
}
