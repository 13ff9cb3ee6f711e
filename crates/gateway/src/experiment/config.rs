//! `[[experiment]]` and `[[holdout]]` of `waypost.toml`.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, bail};
use experiments::analysis::AnalysisPlan;
use experiments::{Attribute, Experiment, Experiments, Holdout};
use model_catalogue::Catalogue;
use toml::{Table, Value};

use super::arm::{ArmSettings, Fields};

/// How long after a unit's first exposure its outcomes count, where the configuration does not say.
const WINDOW: &str = "24h";

/// The longest name of an experiment or an arm, in bytes.
const MOST_NAME: usize = 64;

/// The experiments of a gateway, checked against each other, each with what its arms do.
#[derive(Debug, Clone, Default)]
pub struct ExperimentSettings {
    set: Experiments,
    /// In the order of the set.
    each: Vec<Experimental>,
}

/// What the gateway is told of one experiment beside who is in which arm.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Experimental {
    /// How long after a unit's first exposure its outcomes count.
    pub window: Duration,
    /// How it is analysed, as that was written down before it began. Without one its units are counted and nothing is said.
    pub plan: Option<AnalysisPlan>,
    /// What the arms do, in the order of the experiment's.
    pub arms: Vec<ArmSettings>,
    /// What any of them decides.
    pub(super) fields: Fields,
    /// Whether it is aimed at models that callers name; without that it takes what leaves the choice to the gateway.
    pub(super) is_by_model: bool,
}

impl ExperimentSettings {
    /// Reads the tables: what the gateway does is taken out of each, the rest is an [`Experiment`].
    ///
    /// # Errors
    /// One sentence that names the experiment, the arm and the key.
    pub(crate) fn read(tables: Vec<Table>, holdouts: Vec<Holdout>) -> anyhow::Result<Self> {
        let (mut set, mut each) = (Vec::new(), Vec::new());
        for (index, table) in tables.into_iter().enumerate() {
            let of = match table.get("key").and_then(Value::as_str) {
                Some(key) => format!("the [[experiment]] '{key}'"),
                None => format!("[[experiment]] {}", index + 1),
            };
            let (experiment, of_gateway) = read(table).context(of)?;
            set.push(experiment);
            each.push(of_gateway);
        }
        let set =
            Experiments::new(set, holdouts).context("the [[experiment]]s of the configuration do not fit")?;
        Ok(Self { set, each })
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.each.is_empty()
    }

    /// Who is in which arm.
    pub fn set(&self) -> &Experiments {
        &self.set
    }

    /// Each with what is told of it, in the order of the configuration: the first that takes a request goes before the others.
    pub fn iter(&self) -> impl Iterator<Item = (&Experiment, &Experimental)> {
        self.set.iter().zip(&self.each)
    }

    /// The one of this name.
    pub fn get(&self, key: &str) -> Option<(&Experiment, &Experimental)> {
        self.iter().find(|(experiment, _)| experiment.key() == key)
    }

    /// Holds the models that arms name against the catalogue.
    ///
    /// # Errors
    /// One sentence that names the experiment, the arm and the model.
    pub(crate) fn check_models(
        &self,
        catalogue: &Catalogue,
        exists: impl Fn(&str) -> bool,
        is_learned: impl Fn(&str) -> bool,
    ) -> anyhow::Result<()> {
        for (experiment, of_gateway) in self.iter() {
            for (arm, settings) in experiment.arms().iter().zip(&of_gateway.arms) {
                settings
                    .check_models(catalogue, &exists, &is_learned)
                    .with_context(|| {
                        format!("the arm '{}' of [[experiment]] '{}'", arm.key, experiment.key())
                    })?;
            }
        }
        Ok(())
    }
}

fn read(mut table: Table) -> anyhow::Result<(Experiment, Experimental)> {
    let window = match table.remove("window") {
        None => WINDOW.to_owned(),
        Some(Value::String(window)) => window,
        Some(_) => bail!("window must be a time in quotes, such as \"24h\""),
    };
    let time = window.parse::<jiff::SignedDuration>().ok();
    let time = time.and_then(|time| Duration::try_from(time).ok());
    // A whole number of milliseconds, as exposures and outcomes have them.
    let Some(time) = time.filter(|time| (1..=i64::MAX as u128).contains(&time.as_millis())) else {
        bail!("window is '{window}'; it must be a time above 0, such as 24h or 30m");
    };
    let plan: Option<AnalysisPlan> = match table.remove("plan") {
        None => None,
        Some(plan) => Some(plan.try_into().context("its plan")?),
    };
    let mut arms = Vec::new();
    if let Some(Value::Array(tables)) = table.get_mut("arms") {
        for (index, arm) in tables.iter_mut().enumerate() {
            let Value::Table(arm) = arm else {
                bail!("arm {} must be a table", index + 1);
            };
            let of = match arm.get("key").and_then(Value::as_str) {
                Some(key) => format!("its arm '{key}'"),
                None => format!("its arm {}", index + 1),
            };
            arms.push(take_settings(arm).context(of)?);
        }
    }
    let experiment: Experiment = Value::Table(table).try_into()?;
    let arm_keys = experiment.arms().iter().map(|arm| arm.key.as_str());
    for name in std::iter::once(experiment.key()).chain(arm_keys) {
        check_name(name)?;
    }
    if let Some(plan) = &plan
        && experiment.arm(plan.control()).is_none()
    {
        bail!("its plan: the control '{}' is none of its arms", plan.control());
    }
    let fields = arms.iter().map(Fields::of).fold(Fields::default(), Fields::and);
    let mut conditions = experiment.targeting().iter();
    let is_by_model = conditions.any(|condition| condition.attribute() == Attribute::Model);
    let of_gateway = Experimental {
        window: time,
        plan,
        arms,
        fields,
        is_by_model,
    };
    Ok((experiment, of_gateway))
}

/// Takes what an arm does out of its table.
fn take_settings(arm: &mut Table) -> anyhow::Result<ArmSettings> {
    let mut settings = Table::new();
    for key in ArmSettings::KEYS {
        if let Some(value) = arm.remove(key) {
            settings.insert(key.to_owned(), value);
        }
    }
    for key in ["key", "weight_bps"] {
        if !arm.contains_key(key) {
            bail!("it has no {key}");
        }
    }
    if let Some(key) = arm
        .keys()
        .find(|key| !["key", "weight_bps"].contains(&key.as_str()))
    {
        let all = ArmSettings::KEYS.join(", ");
        bail!("there is no key '{key}'; an arm has key, weight_bps, {all}");
    }
    let settings: ArmSettings = Value::Table(settings).try_into()?;
    settings.check()?;
    Ok(settings)
}

/// Reads entries of a kind that have names, which are plain and differ.
///
/// # Errors
/// One sentence that names the entry.
pub(crate) fn read_named<E, S>(
    kind: &str,
    entries: Vec<E>,
    name: impl Fn(&E) -> &str,
    read: impl Fn(E) -> anyhow::Result<S>,
) -> anyhow::Result<Vec<S>> {
    let mut names = BTreeSet::new();
    let one = |entry: E| {
        let name = name(&entry).to_owned();
        let of = format!("the [[{kind}]] '{name}'");
        check_name(&name).with_context(|| of.clone())?;
        if !names.insert(name.clone()) {
            bail!("there are two [[{kind}]] '{name}'");
        }
        read(entry).context(of)
    };
    entries.into_iter().map(one).collect()
}

/// Names are put into headers and into reports, as `experiment=arm`.
fn check_name(name: &str) -> anyhow::Result<()> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if name.is_empty() || name.len() > MOST_NAME || !name.bytes().all(is_plain) {
        bail!("the name '{name}' must be 1 to {MOST_NAME} letters, digits, `-`, `_` and `.`");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use crate::config::{Overrides, Settings};
    use crate::environment::Environment;

    use super::*;

    const MINI: &str = "openai/gpt-4o-mini";

    /// Everybody is in one arm that does this.
    fn single(key: &str, does: &str) -> String {
        format!(
            "[[experiment]]\nkey = \"{key}\"\narms = [{{ key = \"on\", weight_bps = 10000{}{does} }}]\n",
            if does.is_empty() { "" } else { ", " }
        )
    }

    fn configured(config: &str) -> anyhow::Result<Settings> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("waypost.toml");
        std::fs::write(&file, config).unwrap();
        let overrides = Overrides {
            config: Some(file),
            ..Overrides::default()
        };
        let settings = Settings::resolve(&overrides, &Environment::of([]))?;
        settings.check_models(&crate::app::bundled()?.0)?;
        Ok(settings)
    }

    #[test]
    fn a_mistake_in_an_experiment_is_told_at_the_start() {
        let good = single("one", "");
        let both = format!("{good}{good}");
        for (config, says) in [
            (single("one", "modle = \"a/b\""), "'modle'"),
            (single("one", "model = \"no/such\""), "'no/such'"),
            (single("one", "fallbacks = [\"no/such\"]"), "'no/such'"),
            (single("one", "fallbacks = []"), "fallbacks"),
            (single("one", "only = [\"no-such/*\"]"), "'no-such/*'"),
            (single("one", "only = [\"a*b\"]"), "'a*b'"),
            (single("one", "strategy = \"dearest\""), "dearest"),
            (single("one", "min_quality = nan"), "min_quality"),
            (single("one", "confidence = 1.0"), "confidence"),
            (single("one", "system = \"\""), "system"),
            (single("one", "system = 1"), "system"),
            (
                single("one", "model = \"openai/gpt-4o\", strategy = \"cheapest\""),
                "choose nothing",
            ),
            (good.replace(", weight_bps = 10000", ""), "no weight_bps"),
            (good.replace("10000", "9999"), "9999"),
            (good.replace("key = \"on\", ", ""), "no key"),
            (format!("{good}window = \"0s\"\n"), "window"),
            (format!("{good}window = 24\n"), "window must be a time in quotes"),
            (format!("{good}widow = \"1h\"\n"), "widow"),
            (format!("{good}plan = 1\n"), "its plan"),
            (single("a b", ""), "'a b'"),
            (single("", ""), "key"),
            (both, "'one'"),
            (
                format!("{good}[[holdout]]\nsalt = \"a\"\nshare_bps = 10001\n"),
                "'a'",
            ),
            (format!("{good}[[holdout]]\nsalt = \"a\"\nshare = 1\n"), "share"),
            ("[[experiment]]\narms = []\n".to_owned(), "[[experiment]] 1"),
        ] {
            let error = format!("{:#}", configured(&config).expect_err(&config));
            assert!(error.contains(says), "{config}: {error}");
            assert!(
                error.contains("experiment") || error.contains("holdout") || error.contains("share"),
                "{error}"
            );
        }
        let plan = "[experiment.plan]\ncontrol = \"on\"\n[[experiment.plan.metrics]]\nkey = \"cost\"\nrole = \"goal\"\n\
                    kind = { mean = { of = \"cost\" } }\ndirection = \"lower_is_better\"\n";
        let settings = configured(&format!("{good}window = \"36h\"\n{plan}")).unwrap();
        let (_, one) = settings.experiments.get("one").unwrap();
        assert_eq!(one.window, Duration::from_secs(36 * 3_600));
        assert_eq!(one.plan.as_ref().unwrap().control(), "on");
        let error = configured(&format!("{good}{}", plan.replace("\"on\"", "\"off\""))).unwrap_err();
        assert!(
            format!("{error:#}").contains("the control 'off' is none of its arms"),
            "{error:#}"
        );
        let settings = configured(&format!(
            "[aliases]\nfast = \"{MINI}\"\n{}",
            single("one", "model = \"fast\"")
        ))
        .unwrap();
        let (experiment, one) = settings.experiments.get("one").unwrap();
        assert_eq!(one.window, Duration::from_secs(24 * 3_600));
        assert_eq!(
            (experiment.arms().len(), one.arms[0].model.as_deref()),
            (1, Some("fast"))
        );
    }
}
