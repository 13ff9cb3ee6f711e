//! The account behind the keys, as a scenario describes it.

use std::str::FromStr;

use rust_decimal::Decimal;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _};

use super::values::share;

/// US dollars: a text with decimals, or a whole number. A number with a point is refused, as it would have been rounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Dollars(pub(crate) Decimal);

impl<'de> Deserialize<'de> for Dollars {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Whole(i64),
            Text(String),
        }
        let wrong = || D::Error::custom("an amount is a whole number or a text such as \"2.50\"");
        match Written::deserialize(deserializer).map_err(|_| wrong())? {
            Written::Whole(dollars) => Ok(Self(Decimal::from(dollars))),
            Written::Text(text) => Decimal::from_str(&text).map(Self).map_err(|_| wrong()),
        }
    }
}

/// When an amount starts anew. Days, weeks (from Monday) and months are those of UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Interval {
    Daily,
    Weekly,
    Monthly,
}

/// The account. Without one there is always enough money, and free models have the limits of an account that has bought
/// credits.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct AccountShape {
    /// Credits bought in all; without it there is no end to them.
    pub(crate) credits: Option<Dollars>,
    /// Credits used before the start.
    pub(crate) used: Dollars,
    /// The model of requests that name none.
    pub(crate) default_model: Option<String>,
    /// Whether the limits of free models hold.
    pub(crate) free_limits: bool,
    /// Below this balance, requests on their way may hold a share of it only.
    pub(crate) low_balance: Option<Dollars>,
    /// That share, 0 to 1.
    #[serde(deserialize_with = "share")]
    pub(crate) in_flight_share: Decimal,
    /// Slugs of the upstreams that the account has keys of its own for.
    pub(crate) byok: Vec<String>,
    /// What may be bought with own keys in a month without a fee, by list price.
    pub(crate) byok_allowance: Dollars,
    /// The fee beyond it, as a share of the list price.
    #[serde(deserialize_with = "share")]
    pub(crate) byok_fee: Decimal,
    /// The only upstreams that may serve the account.
    pub(crate) allowed_providers: Option<Vec<String>>,
    /// Upstreams that may not.
    pub(crate) ignored_providers: Vec<String>,
    /// Nobody who may train on what is sent.
    pub(crate) deny_data_collection: bool,
    /// Only those who keep nothing.
    pub(crate) zdr: bool,
    /// A request whose text holds one of these is refused.
    pub(crate) blocked: Vec<String>,
    /// The limit of every key that was not made here.
    pub(crate) key_limit: Option<KeyLimitShape>,
    #[serde(rename = "budget")]
    pub(crate) budgets: Vec<BudgetShape>,
}

impl Default for AccountShape {
    fn default() -> Self {
        Self {
            credits: None,
            used: Dollars::default(),
            default_model: None,
            free_limits: true,
            low_balance: None,
            in_flight_share: Decimal::new(5, 1),
            byok: Vec::new(),
            byok_allowance: Dollars(Decimal::from(25_000)),
            byok_fee: Decimal::new(5, 2),
            allowed_providers: None,
            ignored_providers: Vec::new(),
            deny_data_collection: false,
            zdr: false,
            blocked: Vec::new(),
            key_limit: None,
            budgets: Vec::new(),
        }
    }
}

/// The limit of a key.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeyLimitShape {
    pub(crate) limit: Dollars,
    pub(crate) reset: Option<Interval>,
    /// The status that tells of it. The service has been seen to use both.
    #[serde(default = "payment_required", deserialize_with = "limit_status")]
    pub(crate) status: u16,
    #[serde(default)]
    pub(crate) include_byok: bool,
}

fn payment_required() -> u16 {
    402
}

fn limit_status<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u16, D::Error> {
    match u16::deserialize(deserializer)? {
        status @ (402 | 403) => Ok(status),
        other => Err(D::Error::custom(format_args!(
            "the status is 402 or 403, not {other}"
        ))),
    }
}

/// Whose budget it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum BudgetScope {
    Guardrail,
    Workspace,
}

/// A budget of all keys together.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BudgetShape {
    pub(crate) scope: BudgetScope,
    pub(crate) limit: Dollars,
    pub(crate) reset: Interval,
}
