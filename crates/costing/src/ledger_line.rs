//! Lines of a bill, read back from where they were kept.

use std::str::FromStr;

use rust_decimal::Decimal;
use serde::{Deserialize, Deserializer};

use crate::bill::{BillItem, BillLine};
use crate::charge::CostStatus;
use crate::money::Pico;
use crate::quantity::Bucket;

/// A word that is no item of a bill.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no item of a bill")]
pub struct UnknownBillItem(pub String);

impl FromStr for BillItem {
    type Err = UnknownBillItem;

    fn from_str(text: &str) -> Result<Self, UnknownBillItem> {
        let others = [
            Self::NotItemised,
            Self::ProviderFee,
            Self::Difference,
            Self::Markup,
            Self::FixedFee,
        ];
        let mut all = Bucket::ALL.into_iter().map(Self::Used).chain(others);
        all.find(|item| item.as_str() == text)
            .ok_or_else(|| UnknownBillItem(text.to_owned()))
    }
}

/// What a line is written as.
#[derive(Deserialize)]
struct Written {
    item: String,
    quantity: Option<u64>,
    unit_price_usd: Option<String>,
    amount_usd: Pico,
    status: String,
}

/// Reads what a line was written as. A price comes back without trailing zeros.
impl<'de> Deserialize<'de> for BillLine {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        let written = Written::deserialize(deserializer)?;
        let price = |text: String| Decimal::from_str_exact(&text).map_err(Error::custom);
        Ok(Self {
            item: written.item.parse().map_err(Error::custom)?,
            quantity: written.quantity,
            unit_price: written.unit_price_usd.map(price).transpose()?,
            amount: written.amount_usd,
            status: written.status.parse::<CostStatus>().map_err(Error::custom)?,
        })
    }
}
