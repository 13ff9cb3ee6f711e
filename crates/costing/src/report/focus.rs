//! The FinOps Open Cost and Usage Specification: one CSV row for each hourly sum, written as they come, so that a file of a million rows
//! takes no more memory than one of ten.

use std::fmt::{self, Write};

use serde_json::json;

use super::calendar::{Date, Period, rfc3339};
use super::csv;
use super::escape::Csv;
use super::grouping::Filters;
use crate::rollup::{PicoSum, RollupRow};
use crate::time::UtcTime;

/// Which edition of the specification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum FocusVersion {
    /// Its 21 mandatory columns and those of use here.
    #[default]
    V1_2,
    /// The same, with the names of service and host provider that came with 1.3.
    V1_3,
}

/// Whose bill it is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FocusAccount {
    /// `BillingAccountId`.
    pub id: String,
    /// `BillingAccountName`.
    pub name: String,
}

impl FocusAccount {
    /// An account by its id and name.
    pub fn new(id: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            name: name.into(),
        }
    }
}

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct FocusTotals {
    /// Rows written.
    pub rows: u64,
    /// The sum of `BilledCost`.
    pub billed: PicoSum,
    /// Rows left out because nothing of their cost is known: the specification has no word for that, and zero would be a lie.
    pub left_out: u64,
    /// Attempts whose cost is not known, in those rows and in the others.
    pub unknown: u64,
}

const COLUMNS: [&str; 39] = [
    "BilledCost",
    "BillingAccountId",
    "BillingAccountName",
    "BillingCurrency",
    "BillingPeriodEnd",
    "BillingPeriodStart",
    "ChargeCategory",
    "ChargeClass",
    "ChargeDescription",
    "ChargePeriodEnd",
    "ChargePeriodStart",
    "ConsumedQuantity",
    "ConsumedUnit",
    "ContractedCost",
    "EffectiveCost",
    "InvoiceIssuerName",
    "ListCost",
    "PricingQuantity",
    "PricingUnit",
    "ProviderName",
    "PublisherName",
    "ServiceCategory",
    "ServiceName",
    "SkuId",
    "SubAccountId",
    "SubAccountName",
    "Tags",
    "x_AttemptCount",
    "x_CacheSavings",
    "x_CachedTokens",
    "x_Charge",
    "x_CompletionTokens",
    "x_CostStatus",
    "x_Markup",
    "x_Outcome",
    "x_PromptTokens",
    "x_RequestCount",
    "x_Task",
    "x_UnknownAttempts",
];

/// A file of cost and usage, written row by row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Focus {
    version: FocusVersion,
    account: FocusAccount,
    period: Period,
    filters: Filters,
}

impl Focus {
    /// A file for this account, of a period.
    pub fn new(version: FocusVersion, account: FocusAccount, period: Period) -> Self {
        Self {
            version,
            account,
            period,
            filters: Filters::none(),
        }
    }

    /// Only what these let through.
    #[must_use]
    pub fn with_filters(mut self, filters: Filters) -> Self {
        self.filters = filters;
        self
    }

    /// Writes the header, and a row for each sum of real calls in the period. Simulated calls are no charges and are passed over,
    /// as are rows by tag, unless a tag is asked for.
    ///
    /// # Errors
    /// Whatever `out` says. What was written until then stays.
    pub fn write<R: std::borrow::Borrow<RollupRow>>(
        &self,
        rows: impl IntoIterator<Item = R>,
        out: &mut dyn Write,
    ) -> Result<FocusTotals, fmt::Error> {
        let mut header = COLUMNS.to_vec();
        if self.version == FocusVersion::V1_3 {
            header.extend(["HostProviderName", "ServiceProviderName"]);
        }
        csv::row(out, header)?;
        let mut totals = FocusTotals::default();
        for row in rows {
            let row = row.borrow();
            let wanted = !row.key.simulated
                && row.key.tag.as_deref() == self.filters.tag()
                && self.period.contains(row.key.hour.into())
                && self.filters.hold(&row.key);
            if !wanted {
                continue;
            }
            totals.unknown = totals.unknown.saturating_add(row.sums.unknown);
            if row.sums.unknown > 0
                && row.sums.unknown >= row.sums.attempts
                && row.sums.charge == PicoSum::ZERO
            {
                totals.left_out += 1;
                continue;
            }
            csv::row(out, self.fields(row))?;
            totals.rows += 1;
            totals.billed += row.sums.cost;
        }
        Ok(totals)
    }

    /// Writes the same to a file or a socket.
    ///
    /// # Errors
    /// What `out` says, unchanged.
    pub fn write_to<R: std::borrow::Borrow<RollupRow>>(
        &self,
        rows: impl IntoIterator<Item = R>,
        out: &mut dyn std::io::Write,
    ) -> std::io::Result<FocusTotals> {
        super::Utf8::with(out, |out| self.write(rows, out))
    }

    fn fields(&self, row: &RollupRow) -> Vec<String> {
        let (key, sums) = (&row.key, &row.sums);
        let hour = UtcTime::from(key.hour);
        let date = Date::of(hour);
        let text = |text: &str| Csv(text).to_string();
        let optional = |value: Option<&str>| value.map(|value| Csv(value).to_string()).unwrap_or_default();
        let tokens = sums.prompt_tokens.saturating_add(sums.completion_tokens);
        // What one paid for: tokens where there are any, requests where there are none.
        let (quantity, unit) = if tokens > 0 {
            (tokens, "Tokens")
        } else {
            (sums.attempts, "Requests")
        };
        let author = key
            .model
            .as_str()
            .split_once('/')
            .map_or(key.provider.as_str(), |(author, _)| author);
        let cost = sums.cost.to_string();
        let class = if sums.attempts == 0 { "Correction" } else { "" };
        let tags = json!({
            "team": key.caller.team,
            "project": key.caller.project,
            "task": key.task,
            "tag": key.tag,
        });
        let mut fields = vec![
            cost.clone(),
            text(&self.account.id),
            text(&self.account.name),
            "USD".to_owned(),
            rfc3339(date.next_month_start()),
            rfc3339(date.month_start()),
            "Usage".to_owned(),
            class.to_owned(),
            text(&format!("{} by way of {}", key.model, key.provider)),
            rfc3339(UtcTime::from_unix(hour.unix() + 3_600)),
            rfc3339(hour),
            quantity.to_string(),
            unit.to_owned(),
            cost.clone(),
            cost.clone(),
            text(key.provider.as_str()),
            cost,
            quantity.to_string(),
            unit.to_owned(),
            text(key.provider.as_str()),
            text(author),
            "AI and Machine Learning".to_owned(),
            text(key.model.as_str()),
            text(key.model.as_str()),
            text(&key.caller.key),
            optional(key.caller.project.as_deref()),
            text(&tags.to_string()),
            sums.attempts.to_string(),
            (sums.uncached_cost - sums.cost).to_string(),
            sums.cached_tokens.to_string(),
            sums.charge.to_string(),
            sums.completion_tokens.to_string(),
            key.status.to_string(),
            sums.markup.to_string(),
            key.outcome.map_or("open", |outcome| outcome.as_str()).to_owned(),
            sums.prompt_tokens.to_string(),
            if key.first { sums.attempts } else { 0 }.to_string(),
            optional(key.task.as_deref()),
            sums.unknown.to_string(),
        ];
        if self.version == FocusVersion::V1_3 {
            fields.push(text(
                key.upstream
                    .as_ref()
                    .map_or(key.provider.as_str(), |name| name.as_str()),
            ));
            fields.push(text(key.provider.as_str()));
        }
        fields
    }
}
