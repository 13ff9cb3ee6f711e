//! What came of an experiment: its units out of the store, held against its plan.

use anyhow::{Context, bail};
use experiments::analysis::{Report, Timeline, analyse};
use experiments::{Attribution, Experiment, OutcomeStore, UnitLine};
use serde_json::{Value, json};

use super::config::Experimental;

/// The units of the current version of an experiment, as they stand at a time.
#[derive(Debug)]
pub(crate) struct Results<'a> {
    pub(crate) experiment: &'a Experiment,
    pub(crate) of_gateway: &'a Experimental,
    /// When they are looked at, in milliseconds since 1970-01-01 UTC.
    pub(crate) as_of_ms: i64,
    /// Whether the units of simulated answers are asked for. They are kept apart from those of real ones.
    pub(crate) simulated: bool,
}

/// The name under which an experiment's exposures are kept. Units of simulated answers are those of another experiment, so that they
/// are never counted as real ones; no experiment of a configuration has such a name.
pub(crate) fn stored_key(key: &str, simulated: bool) -> String {
    if simulated {
        format!("simulated/{key}")
    } else {
        key.to_owned()
    }
}

impl Results<'_> {
    fn attribution(&self) -> anyhow::Result<Attribution> {
        let window = i64::try_from(self.of_gateway.window.as_millis()).unwrap_or(i64::MAX);
        let (version, unit) = (self.experiment.version(), self.experiment.unit());
        let key = stored_key(self.experiment.key(), self.simulated);
        Ok(Attribution::new(key, version, unit, window)?)
    }

    /// Holds all units against the plan; `None` without a plan.
    pub(crate) async fn report(&self, store: &dyn OutcomeStore) -> anyhow::Result<Option<Report>> {
        let Some(plan) = &self.of_gateway.plan else {
            return Ok(None);
        };
        let arms = self.experiment.arms();
        let names = arms.iter().map(|arm| arm.key.as_str());
        let mut timeline = Timeline::new(plan, self.attribution()?, names)?;
        let mut failed = None;
        store
            .for_each_unit(&self.attribution()?, &mut |row| {
                if failed.is_none() {
                    failed = timeline.add(&row, self.as_of_ms).err();
                }
            })
            .await?;
        if let Some(error) = failed {
            return Err(error).context("a unit of the experiment cannot be analysed");
        }
        Ok(Some(analyse(plan, &timeline, arms)?))
    }

    /// Gives each unit as a line, from which `experiment analyse --input` makes the same report.
    pub(crate) async fn lines(
        &self,
        store: &dyn OutcomeStore,
        mut write: impl FnMut(&UnitLine) -> anyhow::Result<()> + Send,
    ) -> anyhow::Result<u64> {
        let attribution = self.attribution()?;
        let (mut count, mut failed) = (0, None);
        store
            .for_each_unit(&attribution, &mut |row| {
                if failed.is_none() {
                    let standing = attribution.standing(&row, self.as_of_ms);
                    failed = write(&UnitLine::of(&row, standing)).err();
                    count += 1;
                }
            })
            .await?;
        match failed {
            Some(error) => Err(error),
            None => Ok(count),
        }
    }

    /// All that is known of the experiment.
    pub(crate) fn json(&self, report: Option<&Report>) -> anyhow::Result<Value> {
        let mut value = definition(self.experiment, self.of_gateway)?;
        let Some(fields) = value.as_object_mut() else {
            bail!("the definition of an experiment is no object");
        };
        fields.insert("as_of_ms".to_owned(), json!(self.as_of_ms));
        fields.insert("simulated".to_owned(), json!(self.simulated));
        fields.insert("analysis".to_owned(), serde_json::to_value(report)?);
        Ok(value)
    }

    /// What nobody is to miss.
    pub(crate) fn notices(&self) -> Vec<String> {
        let notice = "The answers are simulated: these figures say nothing of real models.";
        self.simulated.then(|| notice.to_owned()).into_iter().collect()
    }

    /// The heading of a report.
    pub(crate) fn title(&self) -> String {
        format!("{}, version {}", self.experiment.key(), self.experiment.version())
    }
}

/// What an experiment is, and what its plan needs.
pub(crate) fn definition(experiment: &Experiment, of_gateway: &Experimental) -> anyhow::Result<Value> {
    let arms: Vec<Value> = experiment
        .arms()
        .iter()
        .zip(&of_gateway.arms)
        .map(|(arm, does)| json!({ "arm": arm.key, "weight_bps": arm.weight_bps, "does": does }))
        .collect();
    let forecast = match &of_gateway.plan {
        Some(plan) => Some(plan.forecast().context("the plan cannot be forecast")?),
        None => None,
    };
    Ok(json!({
        "experiment": experiment.key(),
        "version": experiment.version(),
        "status": experiment.status(),
        "unit": experiment.unit(),
        "coverage_bps": experiment.coverage_bps(),
        "window_ms": u64::try_from(of_gateway.window.as_millis()).unwrap_or(u64::MAX),
        "arms": arms,
        "plan": of_gateway.plan,
        "forecast": forecast,
    }))
}
