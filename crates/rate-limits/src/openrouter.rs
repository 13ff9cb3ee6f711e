//! OpenRouter's own limits, as its documentation gives them.

use crate::limits::Limits;
use integration_core::ModelPattern;

use crate::rules::LimitRules;

/// The name under which all free requests of an account are counted together.
pub const FREE_SCOPE: &str = "openrouter/free";
/// Free requests per minute.
pub const FREE_PER_MINUTE: u32 = 20;
/// Free requests per UTC day for an account that has bought few credits or none.
pub const FREE_DAILY_LOW: u32 = 50;
/// Free requests per UTC day for the others.
pub const FREE_DAILY_HIGH: u32 = 1_000;
/// From so many credits ever bought the higher quota holds. The documentation says 10; the service switches at 9.
pub const FREE_HIGH_FROM_CREDITS: u32 = 9;

/// What is known of an account. Not exhaustive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Account {
    /// Nothing: the day's quota is not limited until it is told, by a refusal or by
    /// [`crate::RateLimiter::set_openrouter_free_daily`].
    Unknown,
    /// Credits ever bought, in whole US dollars, rounded down. The present balance says nothing about it.
    Bought(u32),
}

/// The limits of OpenRouter's free models: 20 requests a minute, and 50 or 1,000 a UTC day by the credits ever bought. They are
/// the account's, over every `:free` model and the router `openrouter/free` together. Its paid models have no fixed limits.
///
/// ```
/// use rate_limits::{Account, openrouter_free_tier};
/// let rules = openrouter_free_tier(Account::Bought(25));
/// let (_, free) = rules.find(&"acme/swift:free".parse()?);
/// assert_eq!((free.requests_per_minute, free.requests_per_day), (Some(20), Some(1000)));
/// assert!(rules.find(&"acme/swift".parse()?).1.is_none());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn openrouter_free_tier(account: Account) -> LimitRules {
    let mut limits = Limits::none().with_requests_per_minute(FREE_PER_MINUTE);
    limits.requests_per_day = match account {
        Account::Unknown => None,
        Account::Bought(credits) if credits >= FREE_HIGH_FROM_CREDITS => Some(FREE_DAILY_HIGH),
        Account::Bought(_) => Some(FREE_DAILY_LOW),
    };
    let rules = LimitRules::new().with_shared(ModelPattern::Variant("free".to_owned()), FREE_SCOPE, limits);
    match FREE_SCOPE.parse() {
        Ok(router) => rules.with_shared(router, FREE_SCOPE, limits),
        Err(_) => rules,
    }
}
