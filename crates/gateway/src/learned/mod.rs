//! Policies that were learnt from outcomes: a call for the model `waypost/NAME` goes where the policy sends its prompt.

mod cascade;
mod chosen;
mod config;
mod file;
mod simulated;
mod watch;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use costing::{Caller, Pico};
use integration_core::{ModelId, printable};
use routing_learned::{Policy, Predictor, Rule, Scratch, embedded_part};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::app::App;
use crate::config::Settings;
use crate::embed::Embedder;

pub(crate) use self::cascade::LearnedCheck;
use self::cascade::ServedCascade;
pub(crate) use self::chosen::{Chosen, Decision};
use self::chosen::{Wanted, order};
pub use self::config::LearnedConfig;
pub(crate) use self::config::LearnedSettings;
use self::config::{BasisSettings, model_name};
use self::file::Certified;
pub(crate) use self::file::{LONGEST_NAME, hex, read_predictor, said};
pub(crate) use self::simulated::Simulated;
pub(crate) use self::watch::{Kept, Taken, Watch};

/// The folders below the data directory that labels are kept in: those of a simulation say nothing of real answers.
const FOLDER: &str = "learned";
const FOLDER_SIMULATED: &str = "learned-simulated";

/// The basis of a choice that the answer is looked at after.
pub(crate) const CASCADE: &str = "cascade";

/// The basis of a choice for a request that nothing was promised for.
pub(crate) const NO_PROMISE: &str = "no_promise";

/// How long a decision waits for a vector.
pub(crate) const VECTOR_TIME: Duration = Duration::from_secs(3);

/// The learned policies of a running gateway, by the models that callers ask for.
#[derive(Debug, Default)]
pub(crate) struct LearnedPolicies(BTreeMap<String, Arc<LearnedPolicy>>);

/// One of them.
#[derive(Debug)]
pub(crate) struct LearnedPolicy {
    pub(crate) name: String,
    /// Predicts scores of models, or is the check of a cascade.
    pub(crate) predictor: Predictor,
    /// The SHA-256 of the predictor's file.
    pub(crate) sha256: String,
    pub(crate) basis: Basis,
}

/// By what a policy chooses.
#[derive(Debug)]
pub(crate) enum Basis {
    /// The cheapest model that is predicted to score this.
    AtLeast(f64),
    /// What was certified, as long as the promise is kept.
    Certified(Arc<Watch>),
    /// The cheap model first, and the dear one if a look at the answer says so.
    Cascade(ServedCascade),
}

impl LearnedPolicies {
    /// Reads the files of the entries, and the labels that are kept. `exists`: whether there is a model of a name.
    ///
    /// # Errors
    /// One sentence that names the entry.
    pub(crate) fn read(settings: &Settings, exists: impl Fn(&str) -> bool) -> anyhow::Result<Self> {
        let read = |entry: &LearnedSettings| {
            let policy = LearnedPolicy::read(entry, settings, &exists)?;
            if let Basis::Certified(watch) = &policy.basis {
                watch.read_labels().with_context(|| of(entry))?;
                if !settings.serves_nobody {
                    watch.warn_of_broken(&policy.name);
                }
            }
            Ok((policy.model(), Arc::new(policy)))
        };
        let entries = settings.learned.iter();
        entries.map(read).collect::<anyhow::Result<_>>().map(Self)
    }

    /// The policy that a model's name stands for.
    pub(crate) fn of_model(&self, model: &str) -> Option<&Arc<LearnedPolicy>> {
        self.0.get(model)
    }

    /// The policies, by their names.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<LearnedPolicy>> {
        self.0.values()
    }

    /// The policy of this name.
    pub(crate) fn named(&self, name: &str) -> Option<&Arc<LearnedPolicy>> {
        self.0.get(&model_name(name))
    }
}

impl LearnedPolicy {
    /// Reads the files of an entry, without its labels: what was certified, as it was.
    ///
    /// # Errors
    /// One sentence that names the entry.
    pub(crate) fn read(
        entry: &LearnedSettings,
        settings: &Settings,
        exists: impl Fn(&str) -> bool,
    ) -> anyhow::Result<Self> {
        let policy = Self::of_files(entry, settings).with_context(|| of(entry))?;
        policy.check(exists).with_context(|| of(entry))?;
        policy
            .check_aliases(&settings.aliases)
            .with_context(|| of(entry))?;
        Ok(policy)
    }

    fn of_files(entry: &LearnedSettings, settings: &Settings) -> anyhow::Result<Self> {
        let (predictor, sha256) = read_predictor(&entry.predictor)?;
        let basis = match &entry.basis {
            BasisSettings::AtLeast(score) => Basis::AtLeast(*score),
            BasisSettings::Certified {
                certificate,
                labels,
                window,
            } => {
                let certified = Certified::read(certificate, &sha256)?;
                let folder = if settings.is_simulated() {
                    FOLDER_SIMULATED
                } else {
                    FOLDER
                };
                let folder = settings.data_dir.join(folder);
                let models = predictor.models();
                let watch = Watch::new(&entry.name, certified, models, *labels, *window, &folder)
                    .with_context(|| certificate.display().to_string())?;
                Basis::Certified(Arc::new(watch))
            }
            BasisSettings::Cascade(file) => Basis::Cascade(ServedCascade::read(file, &predictor, &sha256)?),
        };
        Ok(Self {
            name: entry.name.clone(),
            predictor,
            sha256,
            basis,
        })
    }

    fn check(&self, exists: impl Fn(&str) -> bool) -> anyhow::Result<()> {
        if let Some(model) = self.models().iter().find(|model| !exists(model)) {
            let model = printable(model.clone(), LONGEST_NAME);
            bail!("it is of '{model}', which is not in the catalogue; `waypost models` lists it");
        }
        let all = 0..self.predictor.models().len();
        let is_cascade = matches!(self.basis, Basis::Cascade(_));
        if !is_cascade
            && all
                .into_iter()
                .any(|model| self.predictor.expected_cost(model, None).is_none())
        {
            bail!(
                "its predictor was trained without the costs of some models, so that it cannot tell the cheapest"
            );
        }
        Ok(())
    }

    /// A call for one of its models goes to that model, and not to another that an alias names.
    fn check_aliases(&self, aliases: &BTreeMap<String, String>) -> anyhow::Result<()> {
        let named = self
            .models()
            .iter()
            .find_map(|model| aliases.get_key_value(model));
        match named {
            Some((model, other)) => bail!("[aliases] sends its model '{model}' to '{other}'"),
            None => Ok(()),
        }
    }

    /// The models that it chooses among.
    pub(crate) fn models(&self) -> &[String] {
        match &self.basis {
            Basis::Cascade(cascade) => &cascade.models,
            _ => self.predictor.models(),
        }
    }

    /// The SHA-256 of the file that it chooses by.
    fn file(&self) -> &str {
        match &self.basis {
            Basis::AtLeast(_) => &self.sha256,
            Basis::Certified(watch) => &watch.sha256,
            Basis::Cascade(cascade) => &cascade.sha256,
        }
    }

    /// What callers ask for.
    pub(crate) fn model(&self) -> String {
        model_name(&self.name)
    }

    /// The tag of a request by which its scores are predicted: the first of its labels, or else its task, that is known. A request with labels of
    /// which none is known is of a kind that nothing is known of.
    pub(crate) fn tag<'a>(&self, tags: &'a [String], task: Option<&'a str>) -> Tag<'a> {
        let labels = tags.iter().map(String::as_str);
        match labels.chain(task).find(|tag| self.knows(tag)) {
            Some(tag) => Tag::Known(tag),
            None if tags.is_empty() => Tag::None,
            None => Tag::Unknown,
        }
    }

    fn knows(&self, tag: &str) -> bool {
        let known = self.predictor.tags();
        let has_promise = |watch: &Watch| watch.kept.iter().any(|kept| kept.tag.as_deref() == Some(tag));
        known.binary_search_by(|one| one.as_str().cmp(tag)).is_ok()
            || matches!(&self.basis, Basis::Certified(watch) if has_promise(watch))
    }

    /// Whether a choice wants a look that takes a vector.
    pub(crate) fn wants_vector(&self) -> bool {
        self.predictor.embedding().is_some()
    }

    /// Chooses a model. `view`: what was predicted with the prompt's vector, where the predictor wants one. Where that is missing, the reference of a
    /// certified policy answers, for what was certified looks at it. `draw`: a number from 0 up to 1 by chance. `asks`: how the answer is wanted.
    pub(crate) fn choose(
        self: &Arc<Self>,
        prompt: &str,
        tag: Tag<'_>,
        view: Option<&View>,
        draw: f64,
        asks: Asks,
    ) -> Option<Chosen> {
        let (policy, basis, reference, label) = match &self.basis {
            Basis::Cascade(cascade) => return Some(cascade.chosen(self, tag.known(), asks.whole)),
            Basis::AtLeast(score) => (Policy::Routed(Rule::AtLeast(*score)), "predicted", None, None),
            Basis::Certified(watch) => {
                let reference = self.number(watch.ladder.reference())?;
                let is_blind = self.wants_vector() && view.is_none();
                match watch.of(tag).map(Kept::now) {
                    _ if is_blind => (Policy::Single(reference), "no_vector", Some(reference), None),
                    None => (Policy::Single(reference), NO_PROMISE, Some(reference), None),
                    Some(now) if now.is_broken => {
                        (now.policy, "promise_broken", Some(reference), Some(watch))
                    }
                    Some(now) => (now.policy, "certified", Some(reference), Some(watch)),
                }
            }
        };
        let own = if view.is_none() {
            Some(self.look(prompt, tag.known(), None)?)
        } else {
            None
        };
        let view = view.or(own.as_ref())?;
        let choice = policy.choose(&view.predicted, &view.expected_costs, draw)?;
        let models = self.predictor.models();
        let label = label.map(|watch| Wanted {
            share: watch.share,
            models: watch
                .ladder
                .choices(&view.predicted, &view.expected_costs)
                .into_iter()
                .filter_map(|model| models.get(model).cloned())
                .collect(),
        });
        let told = asks.explain.then_some(view);
        let order = order(models, &view.predicted, choice.model, reference);
        Some(Chosen::of_predicted(
            self,
            basis,
            tag.known(),
            choice.propensity,
            order,
            label,
            told,
        ))
    }

    /// The vector of a prompt, if predictions want one and it can be had. It is asked of the embedding model once, in a call of its own that
    /// the caller is charged for. It waits for `time` at the longest.
    pub(crate) async fn vector(
        &self,
        app: &Arc<App>,
        prompt: &str,
        (caller, user, tags): (&Caller, Option<String>, &[String]),
        time: Duration,
    ) -> Option<Vec<f32>> {
        let model = self.predictor.embedding()?;
        let text = embedded_part(prompt).to_owned();
        if text.trim().is_empty() {
            return None;
        }
        let embedder = Embedder::new(app, ModelId::new(model).ok()?)?;
        let (begun, caller, tags) = (Arc::clone(app), caller.clone(), tags.to_owned());
        // A task of its own: what was sent is billed, whoever goes.
        let asked = app.tasks.spawn(async move {
            let whose = (caller, user, &tags[..]);
            embedder.vectors(&begun, vec![text], whose, 1, time).await.0
        });
        match asked.await.ok()? {
            Ok(vectors) => {
                let vector = vectors.into_iter().next()?;
                let is_taken = self.predictor.dimensions() == Some(vector.len())
                    && vector.iter().all(|number| number.is_finite())
                    && vector.iter().any(|number| *number != 0.0);
                is_taken.then_some(vector)
            }
            Err(error) => {
                tracing::warn!(policy = self.name, "{model} makes no vector: {}", error.message());
                None
            }
        }
    }

    /// What is predicted of a request. With a vector it may read all that were learnt from, so it is no work for a thread that others wait for.
    pub(crate) fn look(&self, prompt: &str, tag: Option<&str>, vector: Option<&[f32]>) -> Option<View> {
        let (mut scratch, mut predicted) = (Scratch::new(), Vec::new());
        let (predictor, scores) = (&self.predictor, &mut predicted);
        match vector {
            Some(vector) => predictor
                .predict_with(prompt, tag, vector, &mut scratch, scores)
                .ok()?,
            None => predictor.predict(prompt, tag, &mut scratch, scores),
        }
        let costs = 0..self.predictor.models().len();
        let expected: Option<Vec<Pico>> = costs
            .map(|model| Some(self.predictor.expected_cost(model, tag)?.cost))
            .collect();
        let expected = expected?;
        Some(View {
            predicted,
            // Weights to compare models by, as a certification has them; nothing is booked by them.
            expected_costs: expected.iter().map(|cost| cost.get() as f64).collect(),
            expected,
        })
    }

    /// The number of a model of the predictor.
    pub(crate) fn number(&self, model: &str) -> Option<usize> {
        self.predictor.models().iter().position(|known| known == model)
    }
}

/// Of what an error is.
fn of(entry: &LearnedSettings) -> String {
    format!("the [[learned]] '{}'", entry.name)
}

/// The tag of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tag<'a> {
    /// One that something is known of.
    Known(&'a str),
    /// It has none.
    None,
    /// It has others alone.
    Unknown,
}

impl<'a> Tag<'a> {
    /// The tag, if something is known of it.
    pub(crate) const fn known(self) -> Option<&'a str> {
        match self {
            Self::Known(tag) => Some(tag),
            Self::None | Self::Unknown => None,
        }
    }
}

/// How an answer is wanted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asks {
    /// In one piece, so that it can be looked at before it is given.
    pub(crate) whole: bool,
    /// With the reasons of the choice.
    pub(crate) explain: bool,
}

/// What is predicted of a request, by model.
#[derive(Debug, Clone)]
pub(crate) struct View {
    pub(crate) predicted: Vec<f32>,
    pub(crate) expected_costs: Vec<f64>,
    expected: Vec<Pico>,
}

/// Whether a label of a request is asked for. By its name alone, which the gateway mints: nobody can choose what is drawn.
fn is_drawn(request: &str, share: f64) -> bool {
    chance(&[b"label", request.as_bytes()]) < share
}

/// A number from 0 up to 1 that is the same for the same parts, and else by chance.
pub(crate) fn chance(parts: &[&[u8]]) -> f64 {
    let mut digest = Sha256::new();
    for part in parts {
        digest.update(part);
    }
    let digest: [u8; 32] = digest.finalize().into();
    let mut number = 0_u64;
    for byte in digest.iter().take(8) {
        number = number << 8 | u64::from(*byte);
    }
    // 53 bits are exact.
    (number >> 11) as f64 / (1_u64 << 53) as f64
}

/// What a policy does, with the names of its models.
pub(crate) fn policy_json(policy: Policy, models: &[String]) -> Value {
    let name = |model: usize| models.get(model);
    match policy {
        Policy::Single(model) => json!({ "always": name(model) }),
        Policy::Mixed { cheap, dear, share } => {
            json!({ "by_chance": { "cheap": name(cheap), "dear": name(dear), "share_of_cheap": share } })
        }
        Policy::Routed(Rule::AtLeast(score)) => json!({ "by_prompt": { "at_least": score } }),
        Policy::Routed(Rule::Price(price)) => json!({ "by_prompt": { "score_per_pico_dollar": price } }),
    }
}
