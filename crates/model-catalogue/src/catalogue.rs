//! The immutable snapshot of a provider's models.

use std::collections::HashSet;

use integration_core::{ModelId, ProviderId};

use crate::day::Day;
use crate::error::CatalogueError;
use crate::file;
use crate::jump::{self, PriceJump};
use crate::price::is_hhmm;
use crate::record::ModelRecord;

/// The most models a catalogue takes: two hundred times those of the largest list of today.
const MAX_MODELS: usize = 100_000;

/// Whoever can say what models there are: a catalogue, or the answer of a provider's list.
pub trait ModelSource {
    /// Every model it knows of, each id once.
    fn models(&self) -> Vec<ModelRecord>;
}

/// The models of one provider as they were on one day. It never changes; a newer list is a new catalogue.
///
/// The records are sorted by id, so that two lists with the same content are the same catalogue, with the same
/// [id](Self::id), in whatever order the provider sent them.
#[derive(Debug, Clone, PartialEq)]
pub struct Catalogue {
    id: String,
    captured: String,
    provider: ProviderId,
    records: Vec<ModelRecord>,
    /// Places in `records`, sorted by canonical slug, then without a variant before with one, then by id.
    by_slug: Vec<usize>,
}

impl Catalogue {
    /// Makes a catalogue of records, in any order. `captured` is the day (UTC) on which the provider gave them, `YYYY-MM-DD`.
    ///
    /// # Errors
    /// [`CatalogueError`] if there is no record or there are more than 100,000, two have the same id, `captured` is not a day, or a
    /// value cannot be: an empty price, a time of day outside 0000 to 2400, a benchmark that is not finite, an expiration date that is not a day.
    pub fn new(
        captured: &str,
        provider: ProviderId,
        mut records: Vec<ModelRecord>,
    ) -> Result<Self, CatalogueError> {
        if Day::parse(captured).is_none() {
            return Err(CatalogueError::Captured {
                found: captured.to_owned(),
            });
        }
        if records.is_empty() {
            return Err(CatalogueError::Empty);
        }
        if records.len() > MAX_MODELS {
            return Err(CatalogueError::TooMany {
                found: records.len(),
                most: MAX_MODELS,
            });
        }
        let mut seen = HashSet::with_capacity(records.len());
        for record in &records {
            if !seen.insert(&record.id) {
                return Err(CatalogueError::Duplicate {
                    id: record.id.to_string(),
                });
            }
            check(record)?;
        }
        records.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        let mut by_slug: Vec<usize> = (0..records.len()).collect();
        by_slug.sort_unstable_by_key(|&place| slug_key(&records[place]));
        let id = file::id(captured, &provider, &records);
        Ok(Self {
            id,
            captured: captured.to_owned(),
            provider,
            records,
            by_slug,
        })
    }

    /// Reads the text of a catalogue file, as [`write`](Self::write) makes it.
    ///
    /// # Errors
    /// [`CatalogueError`] if the format is another version, the text is not of its shape (an unknown field, a price that is
    /// not a string, a price given twice) or the content is refused by [`new`](Self::new). A catalogue is never read in part.
    pub fn read(text: &str) -> Result<Self, CatalogueError> {
        let (captured, provider, records) = file::read(text)?;
        Self::new(&captured, provider, records)
    }

    /// The text of the catalogue file: JSON, one model per line, sorted by id. Reading it gives this catalogue again.
    pub fn write(&self) -> String {
        file::write(&self.captured, &self.provider, &self.records)
    }

    /// The catalogue compiled into this release. It is read anew at each call; keep it.
    ///
    /// # Errors
    /// [`CatalogueError`] if the shipped file is damaged; a test of this crate shows that it is not.
    #[cfg(feature = "bundled")]
    pub fn bundled() -> Result<Self, CatalogueError> {
        Self::read(crate::bundled::TEXT)
    }

    /// The name of this snapshot, `PROVIDER-YYYY-MM-DD-HASH`. The hash is the first 12 hexadecimal digits of the SHA-256 of
    /// what [`write`](Self::write) gives, so that the same name means the same prices.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The day (UTC) on which the provider gave the list, `YYYY-MM-DD`.
    pub fn captured(&self) -> &str {
        &self.captured
    }

    /// Whose list it is.
    pub fn provider(&self) -> &ProviderId {
        &self.provider
    }

    /// The models, sorted by id.
    pub fn records(&self) -> &[ModelRecord] {
        &self.records
    }

    /// The model of exactly this id.
    pub fn get(&self, id: &str) -> Option<&ModelRecord> {
        let place = self
            .records
            .binary_search_by(|record| record.id.as_str().cmp(id))
            .ok()?;
        self.records.get(place)
    }

    /// The model that a name in a request or in an answer means.
    ///
    /// In this order: the model of this id; without the routing suffixes (`:nitro`, `:floor`, `:exacto`, `:online`), which
    /// choose an upstream and not a model; by canonical slug and the same variant. A slug without a variant means the model
    /// without one; where only one variant of it is left it means that one, and where several are left nobody can say.
    /// A variant that is not in the catalogue is never taken for its base model: their prices differ.
    pub fn resolve(&self, name: &str) -> Option<&ModelRecord> {
        if let Some(record) = self.get(name) {
            return Some(record);
        }
        let (base, variants) = split(name);
        let variant = catalogue_variant(variants)?;
        let record = match variant {
            None => self.get(base),
            Some(variant) => self.get(&format!("{base}:{variant}")),
        };
        record.or_else(|| self.by_slug(base, variant))
    }

    /// The model whose prices hold for an answer: what was asked decides wherever the answer's name leaves a choice.
    ///
    /// `requested` are the names that were sent, the fallbacks after the model; `served` is the name in the answer. That is
    /// mostly not an id but the permanent name, which a model shares with its variants: by itself it would mean the paid model
    /// where the free one was asked, or the usual one where the batch was. So the first requested model that the served
    /// name can mean is meant: by its id, with or without its variant, by its permanent name, and for a name without an author
    /// by the rest of either. Otherwise another model answered, a fallback of the account or the choice of a router, and its
    /// name is taken as [`resolve`](Self::resolve) takes it.
    ///
    /// `None` where nobody can say: for a name that is not in the catalogue, and where the variant that was asked is not in it.
    /// Then there is no price.
    pub fn resolve_served<'r>(
        &self,
        requested: impl IntoIterator<Item = &'r str>,
        served: &str,
    ) -> Option<&ModelRecord> {
        let (served_base, served_variants) = split(served);
        let served_variant = catalogue_variant(served_variants)?;
        for name in requested {
            let (base, variants) = split(name);
            let Some(variant) = catalogue_variant(variants) else {
                continue;
            };
            let record = self.resolve(name);
            // Where the variant that was asked is not listed, any other one tells the model's names.
            let Some(known) = record
                .or_else(|| self.resolve(base))
                .or_else(|| self.any_variant(base))
            else {
                continue;
            };
            let own = split(known.id.as_str()).0;
            let slug = known.canonical_slug.as_str();
            let means = [own, base, slug].contains(&served_base)
                || (!served_base.contains('/')
                    && [own, slug]
                        .into_iter()
                        .any(|name| without_author(name) == served_base));
            // A variant in the answer is the answer's word for what was served.
            if means && served_variant.is_none_or(|served| variant == Some(served)) {
                return record;
            }
        }
        self.resolve(served)
    }

    /// Refuses this list as the next one after `older`, where so much is missing that it is more likely broken than true: it is
    /// of another provider or was captured earlier; half of the models, or of those with a price that can be read, are gone; or one
    /// in twenty of the models in both lists, and not one alone, has a prompt or completion price that [jumped](PriceJump) by a
    /// factor of a hundred. A refusal says nothing about the older list; keep that one.
    ///
    /// The jump of a single model does not refuse a list. [`price_jumps`](Self::price_jumps) names it, to be reported.
    ///
    /// # Errors
    /// [`CatalogueError::Successor`], with the reason.
    pub fn check_successor(&self, older: &Self) -> Result<(), CatalogueError> {
        let refuse = |reason: String| Err(CatalogueError::Successor { reason });
        if self.provider != older.provider {
            return refuse(format!("it is of {}, not of {}", self.provider, older.provider));
        }
        // Days are written so that they sort as text.
        if self.captured < older.captured {
            return refuse(format!(
                "it was captured on {}, before {}",
                self.captured, older.captured
            ));
        }
        let priced = |list: &Self| {
            let with = list
                .records
                .iter()
                .filter(|record| record.prices.rates.values().any(|price| jump::is_price(price)));
            with.count()
        };
        for (what, now, before) in [
            ("models", self.records.len(), older.records.len()),
            ("models with prices", priced(self), priced(older)),
        ] {
            if before > 0 && now <= before / 2 {
                return refuse(format!("it has {now} {what}, where there were {before}"));
            }
        }
        let (jumps, compared) = jump::jumps(self, older);
        let mut jumped: Vec<_> = jumps.iter().map(|jump| &jump.model).collect();
        jumped.dedup();
        match jumps.first() {
            Some(first) if jump::are_too_many(jumped.len(), compared) => refuse(format!(
                "of {compared} models {} have a price a hundred times what it was, or a hundredth, as {} of {}, {} before and {} now",
                jumped.len(),
                first.key,
                first.model,
                first.before,
                first.now
            )),
            _ => Ok(()),
        }
    }

    /// The prompt and completion prices that are a hundred times or more those of an older list, or a hundredth or less, by model.
    /// Prices that are no number, or of models that are not in both, are not compared.
    pub fn price_jumps(&self, older: &Self) -> Vec<PriceJump> {
        jump::jumps(self, older).0
    }

    fn any_variant(&self, base: &str) -> Option<&ModelRecord> {
        let from = self.records.partition_point(|record| record.id.as_str() < base);
        self.records[from..]
            .iter()
            .take_while(|record| record.id.as_str().starts_with(base))
            .find(|record| split(record.id.as_str()).0 == base)
    }

    fn by_slug(&self, slug: &str, variant: Option<&str>) -> Option<&ModelRecord> {
        let from = self
            .by_slug
            .partition_point(|&place| self.records[place].canonical_slug.as_str() < slug);
        let mut same = self.by_slug[from..]
            .iter()
            .map(|&place| &self.records[place])
            .take_while(|r| r.canonical_slug == slug);
        if let Some(variant) = variant {
            return same.find(|record| record.id.variant() == Some(variant));
        }
        // The one without a variant comes first.
        let first = same.next()?;
        (first.id.variant().is_none() || same.next().is_none()).then_some(first)
    }
}

impl ModelSource for Catalogue {
    fn models(&self) -> Vec<ModelRecord> {
        self.records.clone()
    }
}

/// Whether a suffix of a model's name (`nitro` of `a/b:nitro`) chooses who serves the model. Such a suffix is in no list of
/// models; the provider takes it behind any of them.
pub fn is_routing_variant(suffix: &str) -> bool {
    ROUTING_VARIANTS.contains(&suffix)
}

const ROUTING_VARIANTS: [&str; 4] = ["nitro", "floor", "exacto", "online"];

/// The name before the first `:` and the suffixes after it.
fn split(name: &str) -> (&str, impl Iterator<Item = &str>) {
    let (base, variants) = name
        .split_once(':')
        .map_or((name, None), |(base, rest)| (base, Some(rest)));
    (base, variants.into_iter().flat_map(|rest| rest.split(':')))
}

/// The one suffix that is part of a model's id. `None` if there are several, which no id has.
fn catalogue_variant<'a>(variants: impl Iterator<Item = &'a str>) -> Option<Option<&'a str>> {
    let mut kept = variants.filter(|variant| !is_routing_variant(variant));
    let variant = kept.next();
    kept.next().is_none().then_some(variant)
}

fn without_author(name: &str) -> &str {
    name.split_once('/').map_or(name, |(_, rest)| rest)
}

fn slug_key(record: &ModelRecord) -> (&str, bool, &ModelId) {
    (&record.canonical_slug, record.id.variant().is_some(), &record.id)
}

/// What a record must be for the file to hold it and for a reader to rely on it.
fn check(record: &ModelRecord) -> Result<(), CatalogueError> {
    let refuse = |field, message: String| {
        Err(CatalogueError::Value {
            id: record.id.to_string(),
            field,
            message,
        })
    };
    if record.canonical_slug.is_empty() {
        return refuse("canonical_slug", "it is empty".to_owned());
    }
    let overrides = &record.prices.overrides;
    for (key, value) in record
        .prices
        .rates
        .iter()
        .chain(overrides.iter().flat_map(|over| &over.rates))
    {
        if key.is_empty() || value.is_empty() {
            return refuse("price", format!("'{key}' is '{value}'"));
        }
    }
    for time in overrides
        .iter()
        .flat_map(|over| [over.utc_start, over.utc_end])
        .flatten()
    {
        if !is_hhmm(time.into()) {
            return refuse("price window", format!("{time} is not a time of day as HHMM"));
        }
    }
    let measured = &record.benchmarks;
    for index in [
        measured.intelligence_index,
        measured.coding_index,
        measured.agentic_index,
    ]
    .into_iter()
    .flatten()
    {
        if !index.is_finite() {
            return refuse("benchmark", format!("{index} is not a number"));
        }
    }
    match &record.expiration_date {
        Some(date) if Day::parse(date).is_none() => {
            refuse("expiration_date", format!("'{date}' is not written YYYY-MM-DD"))
        }
        _ => Ok(()),
    }
}
