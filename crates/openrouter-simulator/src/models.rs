//! Which models a request names: aliases, permanent names, routers and suffixes.

use model_catalogue::ModelRecord;

use crate::dice::Dice;
use crate::preferences::{Suffixes, suffixes};
use crate::presets::no_preset;
use crate::problem::Problem;
use crate::refusals::no_endpoints;
use crate::request::Asked;
use crate::simulation::Simulation;

/// A model of a request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target<'a> {
    /// As the request has it.
    pub(crate) name: &'a str,
    pub(crate) record: &'a ModelRecord,
    pub(crate) suffixes: Suffixes,
    /// How the model was found, as the metadata names it.
    pub(crate) strategy: &'static str,
}

impl Target<'_> {
    /// Every name by which a fault may mean the model.
    pub(crate) fn names(&self) -> [&str; 3] {
        [self.name, self.record.id.as_str(), &self.record.canonical_slug]
    }
}

impl Simulation {
    /// The model that a name stands for.
    pub(crate) fn target<'a>(&'a self, name: &'a str, asked: &Asked) -> Result<Target<'a>, Problem> {
        let invalid = || Problem::invalid(format!("{name} is not a valid model ID"));
        // What the preset of the first model says has been filled in; behind a later one it only has to be one.
        let bare = match name.split_once("@preset/") {
            Some((model, slug)) if !model.is_empty() && self.config.scenario.presets.contains_key(slug) => {
                model
            }
            Some((_, slug)) => return Err(no_preset(slug)),
            None => name,
        };
        let found = self.catalogue.resolve(bare).or_else(|| {
            let dotted = dotted(bare);
            self.catalogue.resolve(&dotted)
        });
        let Some(found) = found else {
            // A variant of a model that there is, is no endpoint rather than no model.
            let base = bare.split(':').next().unwrap_or(bare);
            let known = base != bare && self.catalogue.resolve(base).is_some();
            return Err(if known { no_endpoints(name) } else { invalid() });
        };
        let record = match &found.alias_target {
            Some(target) => self.catalogue.get(target.as_str()).ok_or_else(invalid)?,
            None => found,
        };
        if record.is_batch() {
            return Err(no_endpoints(name));
        }
        let mut target = Target {
            name,
            record,
            suffixes: suffixes(bare),
            strategy: match found.alias_target {
                Some(_) if bare.ends_with("-latest") => "latest",
                Some(_) => "alias",
                None => "direct",
            },
        };
        if record.id.author() == Some("openrouter") {
            target.strategy = match record.id.as_str() {
                "openrouter/free" => "free",
                "openrouter/fusion" => "fusion",
                "openrouter/bodybuilder" => "bodybuilder",
                id if id.starts_with("openrouter/pareto") => "pareto",
                _ => "auto",
            };
            let about = asked.about.to_le_bytes();
            let mut dice = Dice::new(self.config.seed, "router", &[name.as_bytes(), &about]);
            target.record = self.routed(record, asked, &mut dice).ok_or_else(|| {
                Problem::new(404, "No models match your request and model restrictions")
                    .with("error_type", "not_found")
            })?;
        }
        Ok(target)
    }

    /// The model that a router chooses: a free one for the router of free models, else one that is paid for; one that can
    /// read what is sent and call tools where there are any.
    fn routed(&self, router: &ModelRecord, asked: &Asked, dice: &mut Dice) -> Option<&ModelRecord> {
        let free = router.id.as_str().ends_with("/free");
        let has = |list: &[String], name: &str| list.iter().any(|one| one == name);
        let fits = |record: &&ModelRecord| {
            let sheet = self.prices.sheet(&record.id);
            let paid = sheet.is_some_and(|sheet| !sheet.is_dynamic() && !sheet.is_free());
            let ours = record.id.author() == Some("openrouter");
            let kind = if free {
                record.is_free_variant()
            } else {
                paid && !record.is_free_variant()
            };
            let reads = asked
                .inputs
                .iter()
                .all(|input| has(&record.input_modalities, input));
            let calls = asked.tools.is_empty() || has(&record.supported_parameters, "tools");
            kind && !ours && !record.is_batch() && !record.is_alias() && writes(record) && reads && calls
        };
        let all: Vec<&ModelRecord> = self.catalogue.records().iter().filter(fits).collect();
        dice.pick(&all)
    }
}

/// A name with a point in place of each dash between two digits: clients write versions both ways.
fn dotted(name: &str) -> String {
    let letters: Vec<char> = name.chars().collect();
    let digit = |at: Option<usize>| {
        at.and_then(|at| letters.get(at))
            .is_some_and(char::is_ascii_digit)
    };
    let point = |at: usize| digit(at.checked_sub(1)) && digit(Some(at + 1));
    letters
        .iter()
        .enumerate()
        .map(|(at, letter)| if *letter == '-' && point(at) { '.' } else { *letter })
        .collect()
}

pub(crate) fn writes(model: &ModelRecord) -> bool {
    model.output_modalities.iter().any(|modality| modality == "text")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dashes_between_digits_are_points() {
        assert_eq!(
            dotted("anthropic/claude-sonnet-4-5"),
            "anthropic/claude-sonnet-4.5"
        );
        assert_eq!(dotted("a/b-4"), "a/b-4");
        assert_eq!(dotted("-4-"), "-4-");
    }
}
