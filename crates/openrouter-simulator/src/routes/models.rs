//! The list of models: what it holds, and what a query leaves of it.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use model_catalogue::{Catalogue, ModelRecord};
use rust_decimal::Decimal;
use serde_json::{Value, json};

use crate::dice::Dice;
use crate::endpoint::{Endpoint, endpoints};
use crate::problem::Problem;
use crate::routes::entries;
use crate::routes::more_models::{OTHERS, other};
use crate::routes::page::{Call, Page, Refusal};
use crate::routes::query::{Issues, Query};
use crate::simulation::Simulation;

/// Every model there is, those included that write no text.
#[derive(Debug)]
pub(crate) struct Listing {
    seed: u64,
    all: Catalogue,
    /// In the order of the records.
    entries: Vec<Value>,
    /// Ids with dashes in place of dots, which the service takes as well.
    dashed: HashMap<String, usize>,
    /// Made when a query first needs them.
    facts: OnceLock<Vec<Facts>>,
}

/// What a query can ask about a model besides what its record says.
#[derive(Debug, Clone, PartialEq)]
struct Facts {
    /// Names and slugs of those who serve it, in lower case.
    providers: Vec<String>,
    zdr: bool,
    distillable: bool,
    regions: Vec<&'static str>,
    throughput: f64,
    latency: f64,
    /// From 0 to 1; `None` for a model without tools.
    tool_success: Option<Decimal>,
    popularity: u32,
    this_week: u32,
    elo: u32,
    categories: Vec<&'static str>,
}

const CATEGORIES: &[&str] = &[
    "programming",
    "roleplay",
    "marketing",
    "marketing/seo",
    "technology",
    "science",
    "translation",
    "legal",
    "finance",
    "health",
    "trivia",
    "academia",
];

const OUTPUTS: &[&str] = &[
    "text",
    "image",
    "embeddings",
    "audio",
    "video",
    "rerank",
    "decisions",
    "speech",
    "transcription",
];

const INPUTS: &[&str] = &["text", "image", "audio", "file", "video"];

const SORTS: &[&str] = &[
    "most-popular",
    "newest",
    "top-weekly",
    "pricing-low-to-high",
    "pricing-high-to-low",
    "context-high-to-low",
    "throughput-high-to-low",
    "latency-low-to-high",
    "intelligence-high-to-low",
    "coding-high-to-low",
    "agentic-high-to-low",
    "design-arena-elo-high-to-low",
];

const CLIENTS: &[&str] = &["claude_code", "claude_desktop", "codex"];

/// Where an upstream can keep its data.
fn regions(slug: &str) -> &'static [&'static str] {
    match slug {
        "mistral" => &["eu"],
        "amazon-bedrock" | "azure" | "google-vertex" => &["eu", "us"],
        "alibaba" | "deepseek" | "minimax" | "moonshotai" | "z-ai" => &[],
        _ => &["us"],
    }
}

/// The endpoints of a model, whatever it gives.
fn endpoints_of(seed: u64, record: &ModelRecord) -> Vec<Endpoint> {
    let mut all = endpoints(seed, record);
    if let Some(other) = other(record.id.as_str()) {
        // The first one has the list's own prices.
        all.truncate(1);
        for endpoint in &mut all {
            endpoint.tag = other.upstream.slug.to_owned();
            endpoint.upstream = other.upstream;
        }
    }
    all
}

impl Facts {
    fn of(seed: u64, record: &ModelRecord) -> Self {
        let endpoints = endpoints_of(seed, record);
        let mut dice = Dice::new(seed, "list", &[record.id.as_str().as_bytes()]);
        let names = |one: &Endpoint| [one.upstream.name.to_lowercase(), one.upstream.slug.to_owned()];
        let best = |figure: fn(&Endpoint) -> f64, better: fn(f64, f64) -> f64| {
            endpoints.iter().map(figure).reduce(better).unwrap_or_default()
        };
        let tools = record.supported_parameters.iter().any(|one| one == "tools");
        let quality = endpoints.iter().map(|one| one.quality).max();
        Self {
            providers: endpoints.iter().flat_map(names).collect(),
            zdr: endpoints.iter().any(|one| one.zdr),
            distillable: endpoints.iter().any(|one| one.distillable),
            regions: endpoints
                .iter()
                .flat_map(|one| regions(one.upstream.slug))
                .copied()
                .collect(),
            throughput: best(|one| one.throughput.p50, f64::max),
            latency: best(|one| one.latency.p50, f64::min),
            tool_success: quality
                .filter(|_| tools)
                .map(|quality| Decimal::new(quality.into(), 2)),
            popularity: dice.below(1_000_000),
            this_week: dice.below(1_000_000),
            elo: dice.between(900, 1_400),
            categories: CATEGORIES.iter().copied().filter(|_| dice.chance(0.3)).collect(),
        }
    }
}

impl Listing {
    pub(crate) fn new(seed: u64, catalogue: &Catalogue) -> Self {
        let mut records = catalogue.records().to_vec();
        let known = |id: &str| catalogue.get(id).is_some();
        records.extend(
            OTHERS
                .iter()
                .filter(|other| !known(other.id))
                .filter_map(|other| other.record()),
        );
        let all = Catalogue::new(catalogue.captured(), catalogue.provider().clone(), records)
            .unwrap_or_else(|_| catalogue.clone());
        let entries = entries::models(&all);
        let dashed = |(at, record): (usize, &ModelRecord)| (record.id.as_str().replace('.', "-"), at);
        let dashed = all.records().iter().enumerate().map(dashed).collect();
        Self {
            seed,
            all,
            entries,
            dashed,
            facts: OnceLock::new(),
        }
    }

    pub(crate) fn captured(&self) -> &str {
        self.all.captured()
    }

    pub(crate) fn records(&self) -> &[ModelRecord] {
        self.all.records()
    }

    /// The model that a name means: an id, a dated name, with dashes for dots, with or without variants.
    pub(crate) fn find(&self, name: &str) -> Option<&ModelRecord> {
        let dashed = || {
            let place = self.dashed.get(&name.replace('.', "-"))?;
            self.records().get(*place)
        };
        self.all.resolve(name).or_else(dashed)
    }

    /// The same, and what an alias stands for now.
    pub(crate) fn follow(&self, name: &str) -> Option<&ModelRecord> {
        let record = self.find(name)?;
        match &record.alias_target {
            Some(target) => self.all.get(target.as_str()),
            None => Some(record),
        }
    }

    fn entry(&self, record: &ModelRecord) -> Option<&Value> {
        let found = self
            .records()
            .binary_search_by(|one| one.id.as_str().cmp(record.id.as_str()));
        self.entries.get(found.ok()?)
    }

    fn facts(&self) -> &[Facts] {
        self.facts.get_or_init(|| {
            self.records()
                .iter()
                .map(|one| Facts::of(self.seed, one))
                .collect()
        })
    }

    /// The places of the models that a filter leaves, in its order.
    fn select(&self, filter: &Filter, today: i64) -> Vec<usize> {
        let facts = if filter.needs_facts() { self.facts() } else { &[] };
        let mut kept: Vec<usize> = (0..self.records().len())
            .filter(|at| filter.keeps(&self.records()[*at], facts.get(*at), today))
            .collect();
        if let Some(sort) = &filter.sort {
            // A stable sort: models that are equal stay in the order of the list.
            kept.sort_by(|a, b| {
                let pick = |at: usize| (&self.records()[at], facts.get(at));
                order(sort, pick(*a), pick(*b))
            });
        }
        kept
    }

    /// The body for a part of the list.
    fn page(&self, kept: &[usize], filter: &Filter, path: &str, query: &Query) -> Value {
        let total = kept.len();
        let (start, size) = match (filter.offset, filter.limit) {
            (None, None) => (0, total),
            (offset, limit) => (offset.unwrap_or(0), limit.unwrap_or(500)),
        };
        let data: Vec<&Value> = kept
            .iter()
            .skip(start)
            .take(size)
            .filter_map(|at| self.entries.get(*at))
            .collect();
        let end = start.saturating_add(data.len());
        let others = query.without(&["offset", "limit"]);
        let next = (end < total).then(|| format!("/api/v1{path}?{others}offset={end}&limit={size}"));
        json!({ "data": data, "total_count": total, "links": { "next": next } })
    }
}

type Picked<'a> = (&'a ModelRecord, Option<&'a Facts>);

fn order(sort: &str, a: Picked<'_>, b: Picked<'_>) -> Ordering {
    /// What has no figure comes last, whichever way the others go.
    fn by<T: PartialOrd>(a: Option<T>, b: Option<T>, high_first: bool) -> Ordering {
        match (a, b) {
            (Some(a), Some(b)) => {
                let low_first = a.partial_cmp(&b).unwrap_or(Ordering::Equal);
                if high_first {
                    low_first.reverse()
                } else {
                    low_first
                }
            }
            (a, b) => b.is_some().cmp(&a.is_some()),
        }
    }
    let mean = |record: &ModelRecord| Some(price(record, "prompt")? + price(record, "completion")?);
    let figure = |pick: fn(&Facts) -> f64, high: bool| by(a.1.map(pick), b.1.map(pick), high);
    let index = |pick: fn(&ModelRecord) -> Option<f64>| by(pick(a.0), pick(b.0), true);
    match sort {
        "newest" => by(a.0.created, b.0.created, true),
        "pricing-low-to-high" => by(mean(a.0), mean(b.0), false),
        "pricing-high-to-low" => by(mean(a.0), mean(b.0), true),
        "context-high-to-low" => by(a.0.context_length, b.0.context_length, true),
        "throughput-high-to-low" => figure(|facts| facts.throughput, true),
        "latency-low-to-high" => figure(|facts| facts.latency, false),
        "most-popular" => figure(|facts| facts.popularity.into(), true),
        "top-weekly" => figure(|facts| facts.this_week.into(), true),
        "design-arena-elo-high-to-low" => figure(|facts| facts.elo.into(), true),
        "intelligence-high-to-low" => index(|record| record.benchmarks.intelligence_index),
        "coding-high-to-low" => index(|record| record.benchmarks.coding_index),
        "agentic-high-to-low" => index(|record| record.benchmarks.agentic_index),
        _ => Ordering::Equal,
    }
}

/// US dollars per million tokens; `None` where the price is not known or not fixed.
fn price(record: &ModelRecord, key: &str) -> Option<Decimal> {
    let text = record.prices.rates.get(key)?;
    let price: Decimal = text
        .parse()
        .ok()
        .or_else(|| Decimal::from_scientific(text).ok())?;
    if price.is_sign_negative() && !price.is_zero() {
        return None;
    }
    price.checked_mul(Decimal::from(1_000_000))
}

/// A span of figures, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Span {
    least: Option<Decimal>,
    most: Option<Decimal>,
}

impl Span {
    fn is_open(&self) -> bool {
        self.least.is_none() && self.most.is_none()
    }

    /// A figure that is not known is in no span but the open one.
    fn holds(&self, figure: Option<Decimal>) -> bool {
        let within = |figure: Decimal| {
            self.least.is_none_or(|least| figure >= least) && self.most.is_none_or(|most| figure <= most)
        };
        self.is_open() || figure.is_some_and(within)
    }
}

/// What a query asks for.
#[derive(Debug, Clone, PartialEq, Default)]
struct Filter {
    offset: Option<usize>,
    limit: Option<usize>,
    /// `None` for all.
    outputs: Option<Vec<String>>,
    inputs: Vec<String>,
    parameters: Vec<String>,
    category: Option<String>,
    text: Option<String>,
    context: Option<u64>,
    price: Span,
    output_price: Span,
    family: Option<String>,
    authors: Vec<String>,
    providers: Vec<String>,
    distillable: Option<bool>,
    zdr: bool,
    region: Option<String>,
    age: Span,
    intelligence: Span,
    coding: Span,
    agentic: Span,
    tool_success: Span,
    sort: Option<String>,
    client: bool,
}

/// Reads parameters and collects what is wrong with them.
struct Reader<'a> {
    query: &'a Query,
    issues: Issues,
}

impl Reader<'_> {
    fn whole(&mut self, name: &str, least: usize, most: usize) -> Option<usize> {
        let text = self.query.get(name)?;
        match text.parse::<usize>() {
            Ok(number) if (least..=most).contains(&number) => return Some(number),
            Ok(number) if number < least => {
                self.issues
                    .number(name, &format!("Too small: expected number to be >={least}"));
            }
            Ok(_) => self
                .issues
                .number(name, &format!("Too big: expected number to be <={most}")),
            Err(_) => self
                .issues
                .number(name, "Invalid input: expected number, received NaN"),
        }
        None
    }

    fn number(&mut self, name: &str, most: Option<Decimal>) -> Option<Decimal> {
        let text = self.query.get(name)?;
        let number = text
            .parse::<Decimal>()
            .ok()
            .or_else(|| Decimal::from_scientific(text).ok());
        let fits = |number: &Decimal| {
            (!number.is_sign_negative() || number.is_zero()) && most.is_none_or(|most| *number <= most)
        };
        let good = number.filter(fits);
        if good.is_none() {
            self.issues
                .number(name, "Invalid input: expected a number in range, from 0 up");
        }
        good
    }

    fn span(&mut self, name: &str, most: Option<Decimal>) -> Span {
        Span {
            least: self.number(&format!("min_{name}"), most),
            most: self.number(&format!("max_{name}"), most),
        }
    }

    fn option(&mut self, name: &str, options: &[&str]) -> Option<String> {
        let text = self.query.get(name)?;
        if options.contains(&text) {
            return Some(text.to_owned());
        }
        self.issues.option(name, options);
        None
    }

    fn options(&mut self, name: &str, options: &[&str]) -> Vec<String> {
        let list = self.query.list(name);
        if list.iter().any(|one| !options.contains(one)) {
            self.issues.option(name, options);
        }
        list.into_iter().map(str::to_owned).collect()
    }

    fn list(&self, name: &str) -> Vec<String> {
        self.query.list(name).into_iter().map(str::to_lowercase).collect()
    }

    fn outputs(&mut self) -> Option<Vec<String>> {
        if self.query.get("output_modalities") == Some("all") {
            return None;
        }
        let asked = self.options("output_modalities", OUTPUTS);
        Some(if asked.is_empty() {
            vec!["text".to_owned()]
        } else {
            asked
        })
    }
}

impl Filter {
    /// The part that every list of models understands.
    fn read_common(reader: &mut Reader<'_>) -> Self {
        Self {
            offset: reader.whole("offset", 0, usize::MAX),
            limit: reader.whole("limit", 1, 1_000),
            outputs: reader.outputs(),
            sort: reader.option("sort", SORTS),
            ..Self::default()
        }
    }

    fn read(query: &Query) -> Result<Self, Issues> {
        let mut reader = Reader {
            query,
            issues: Issues::default(),
        };
        let rate = Some(Decimal::ONE);
        let filter = Self {
            inputs: reader.options("input_modalities", INPUTS),
            parameters: reader.list("supported_parameters"),
            category: reader.option("category", CATEGORIES),
            text: query
                .get("q")
                .map(str::to_lowercase)
                .filter(|text| !text.is_empty()),
            context: reader
                .whole("context", 1, usize::MAX)
                .and_then(|context| u64::try_from(context).ok()),
            price: reader.span("price", None),
            output_price: reader.span("output_price", None),
            family: query.get("arch").map(str::to_lowercase),
            authors: reader.list("model_authors"),
            providers: reader.list("providers"),
            distillable: reader
                .option("distillable", &["true", "false"])
                .map(|text| text == "true"),
            zdr: reader.option("zdr", &["true"]).is_some(),
            region: reader.option("region", &["eu", "us"]),
            age: reader.span("age_days", None),
            intelligence: reader.span("intelligence_index", None),
            coding: reader.span("coding_index", None),
            agentic: reader.span("agentic_index", None),
            tool_success: reader.span("tool_success_rate", rate),
            ..Self::read_common(&mut reader)
        };
        if reader.issues.is_empty() {
            Ok(filter)
        } else {
            Err(reader.issues)
        }
    }

    fn read_of_user(query: &Query) -> Result<Self, Issues> {
        let mut reader = Reader {
            query,
            issues: Issues::default(),
        };
        let filter = Self {
            client: reader.option("client", CLIENTS).is_some(),
            ..Self::read_common(&mut reader)
        };
        if reader.issues.is_empty() {
            Ok(filter)
        } else {
            Err(reader.issues)
        }
    }

    fn needs_facts(&self) -> bool {
        let sorts_by_facts = |sort: &str| {
            matches!(
                sort,
                "throughput-high-to-low"
                    | "latency-low-to-high"
                    | "most-popular"
                    | "top-weekly"
                    | "design-arena-elo-high-to-low"
            )
        };
        self.category.is_some()
            || !self.providers.is_empty()
            || self.distillable.is_some()
            || self.zdr
            || self.region.is_some()
            || !self.tool_success.is_open()
            || self.sort.as_deref().is_some_and(sorts_by_facts)
    }

    fn keeps(&self, record: &ModelRecord, facts: Option<&Facts>, today: i64) -> bool {
        let any = |wanted: &[String], has: &[String]| wanted.iter().any(|one| has.contains(one));
        let every = |wanted: &[String], has: &[String]| wanted.iter().all(|one| has.contains(one));
        let tools = || record.supported_parameters.iter().any(|one| one == "tools");
        let id = record.id.as_str();
        let family = record.tokenizer.as_deref().unwrap_or("Other").to_lowercase();
        let figure = |figure: Option<f64>| figure.and_then(|figure| Decimal::try_from(figure).ok());
        let age = record
            .created
            .map(|created| Decimal::from((today - created.div_euclid(86_400)).max(0)));
        let by_record = self
            .outputs
            .as_ref()
            .is_none_or(|outputs| any(outputs, &record.output_modalities))
            && every(&self.inputs, &record.input_modalities)
            && every(&self.parameters, &record.supported_parameters)
            && self
                .text
                .as_ref()
                .is_none_or(|text| id.to_lowercase().contains(text))
            && self
                .context
                .is_none_or(|least| record.context_length.is_some_and(|context| context >= least))
            && self.family.as_ref().is_none_or(|wanted| family == *wanted)
            && (self.authors.is_empty()
                || record.id.author().is_some_and(|author| {
                    self.authors
                        .iter()
                        .any(|one| one == author.trim_start_matches('~'))
                }))
            && (self.price.is_open() || self.price.holds(price(record, "prompt")))
            && (self.output_price.is_open() || self.output_price.holds(price(record, "completion")))
            && self.age.holds(age)
            && self
                .intelligence
                .holds(figure(record.benchmarks.intelligence_index))
            && self.coding.holds(figure(record.benchmarks.coding_index))
            && self.agentic.holds(figure(record.benchmarks.agentic_index))
            && (!self.client || tools());
        by_record
            && facts.is_none_or(|facts| {
                self.category
                    .as_ref()
                    .is_none_or(|category| facts.categories.contains(&category.as_str()))
                    && (self.providers.is_empty() || any(&self.providers, &facts.providers))
                    && self.distillable.is_none_or(|wanted| facts.distillable == wanted)
                    && (!self.zdr || facts.zdr)
                    && self
                        .region
                        .as_ref()
                        .is_none_or(|region| facts.regions.contains(&region.as_str()))
                    && self.tool_success.holds(facts.tool_success)
            })
    }
}

impl Simulation {
    /// The endpoints of a model, whatever it gives.
    pub(crate) fn endpoints_of(&self, record: &ModelRecord) -> Arc<[Endpoint]> {
        match other(record.id.as_str()) {
            Some(_) => endpoints_of(self.config.seed, record).into(),
            None => self.endpoints(record),
        }
    }
}

const CACHE: &str = "public, max-age=300, stale-while-revalidate=3600, stale-if-error=3600";

fn today(simulation: &Simulation) -> i64 {
    simulation.time().unix().div_euclid(86_400)
}

/// `GET /models`.
pub(crate) fn list(simulation: &Simulation, call: &Call<'_>) -> Result<Page, Refusal> {
    let filter = Filter::read(&call.query)?;
    let listing = &simulation.listing;
    let kept = listing.select(&filter, today(simulation));
    let body = listing.page(&kept, &filter, "/models", &call.query);
    Ok(Page::json(&body).with_header("cache-control", CACHE))
}

/// `GET /models/user`: without the models that nobody serves whom the account lets serve.
pub(crate) fn of_user(simulation: &Simulation, call: &Call<'_>) -> Result<Page, Refusal> {
    let filter = Filter::read_of_user(&call.query)?;
    let listing = &simulation.listing;
    let mut kept = listing.select(&filter, today(simulation));
    let shape = &simulation.config.scenario.account;
    let named = |list: &[String], one: &Endpoint| list.iter().any(|slug| one.is_named(slug));
    let may_serve = |one: &Endpoint| {
        shape
            .allowed_providers
            .as_ref()
            .is_none_or(|list| named(list, one))
            && !named(&shape.ignored_providers, one)
            && !(shape.deny_data_collection && one.trains)
            && (!shape.zdr || one.zdr)
    };
    kept.retain(|at| {
        let record = listing.records().get(*at);
        record.is_some_and(|record| simulation.endpoints_of(record).iter().any(may_serve))
    });
    Ok(Page::json(&listing.page(
        &kept,
        &filter,
        "/models/user",
        &call.query,
    )))
}

/// `GET /models/count`.
pub(crate) fn count(simulation: &Simulation, call: &Call<'_>) -> Result<Page, Refusal> {
    let mut reader = Reader {
        query: &call.query,
        issues: Issues::default(),
    };
    let filter = Filter {
        outputs: reader.outputs(),
        ..Filter::default()
    };
    if !reader.issues.is_empty() {
        return Err(reader.issues.into());
    }
    let count = simulation.listing.select(&filter, today(simulation)).len();
    Ok(Page::json(&json!({ "data": { "count": count } })).with_header("cache-control", CACHE))
}

/// The name in a path of two parts.
pub(crate) fn named(call: &Call<'_>) -> String {
    format!("{}/{}", call.value(0), call.value(1))
}

pub(crate) fn no_model(name: &str) -> Problem {
    Problem::new(404, format!("Model {name} not found")).with("error_type", "not_found")
}

/// `GET /model/{author}/{slug}`.
pub(crate) fn one(simulation: &Simulation, call: &Call<'_>) -> Result<Page, Refusal> {
    let name = named(call);
    let listing = &simulation.listing;
    let entry = listing.follow(&name).and_then(|record| listing.entry(record));
    let entry = entry.ok_or_else(|| no_model(&name))?;
    Ok(Page::json(&json!({ "data": entry })))
}

#[cfg(test)]
#[path = "models_tests.rs"]
mod tests;
