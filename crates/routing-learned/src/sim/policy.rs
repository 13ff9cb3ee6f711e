//! What is compared: whatever says which models a request goes to.

use std::fmt::Debug;
use std::time::Instant;

use costing::UtcTime;
use integration_core::ModelId;
use routing::{RouteRequest, Scratch, Task, UnknownStrategy, View, strategy};

use super::World;

/// What a policy is asked for one request, at the moment it comes.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Asked<'a> {
    /// Which request it is, from 0.
    pub number: u64,
    /// What it is for.
    pub task: Task,
    /// What its kind is called in the scenario.
    pub tag: Option<&'a str>,
    /// Its text; empty where the scenario has none.
    pub prompt: &'a str,
    /// The size of the prompt in tokens.
    pub prompt_tokens: u64,
    /// The size in tokens that an answer is expected to have. How long it really gets nobody knows before.
    pub completion_tokens: u64,
    /// The time of day of the world.
    pub at: UtcTime,
    /// The same for readings of `view`: no clock of this machine.
    pub now: Instant,
    /// The models with the prices of the moment, and how each is doing for this policy.
    pub view: &'a View,
    /// Where the policy's random choices begin: different for each request, the same for each policy.
    pub seed: u64,
}

/// A routing policy under test: the strategies of `routing` and one model for all, both here, and policies learnt from outcomes.
pub trait Policy: Debug {
    /// What it is called in the report.
    fn name(&self) -> String;

    /// Which models to ask, one after the other until one answers; none if no model will do. A model may come twice.
    fn choose(&mut self, asked: &Asked<'_>) -> Vec<ModelId>;
}

/// A word that is no policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// It is no strategy either.
    #[error("{0}; or model:ID for one model")]
    Strategy(UnknownStrategy),
    /// What stands behind the `@` is no number.
    #[error("'{0}': behind the @ stands the least quality, a number")]
    Quality(String),
    /// The catalogue does not have the model.
    #[error("'{0}': the catalogue has no such model")]
    NoModel(String),
}

/// The policy of a word: a strategy of `routing` with its parameters, such as `cheapest` or `weighted-utility:cost=1,quality=2`, with
/// `@` and a least quality of its own if it is to have one, `cheapest@60`; or `model:ID`, also `always:ID`, for one model.
///
/// # Errors
/// [`PolicyError`] says what is wrong with the word.
pub fn policy(word: &str, world: &World) -> Result<Box<dyn Policy>, PolicyError> {
    if let Some(model) = word
        .strip_prefix("model:")
        .or_else(|| word.strip_prefix("always:"))
    {
        let known = || {
            world
                .models
                .iter()
                .find(|known| known.target.model.as_str() == model)
        };
        let known =
            known().ok_or_else(|| PolicyError::NoModel(integration_core::printable(word.to_owned(), 128)))?;
        return Ok(Box::new(One(known.target.model.clone())));
    }
    let (name, least) = match word.rsplit_once('@') {
        None => (word, world.min_quality),
        Some((name, least)) => {
            let least = least.parse().ok().filter(|least: &f64| least.is_finite());
            let wrong = || PolicyError::Quality(integration_core::printable(word.to_owned(), 128));
            (name, Some(least.ok_or_else(wrong)?))
        }
    };
    let mut request = RouteRequest::new(Task::Reasoning, world.start);
    request.strategy = strategy(name).map_err(PolicyError::Strategy)?;
    request.min_quality = least;
    Ok(Box::new(Routed::new(word, request)))
}

/// One model for all requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct One(pub ModelId);

impl Policy for One {
    fn name(&self) -> String {
        format!("model:{}", self.0)
    }

    fn choose(&mut self, _asked: &Asked<'_>) -> Vec<ModelId> {
        vec![self.0.clone()]
    }
}

/// A strategy of `routing` with its rules, as the gateway has them.
#[derive(Debug)]
pub struct Routed {
    name: String,
    request: RouteRequest,
    scratch: Scratch,
}

impl Routed {
    /// Decides by the strategy and the rules of a request. Its task, sizes, time, seed and turn are those of each request that comes.
    pub fn new(name: impl Into<String>, request: RouteRequest) -> Self {
        Self {
            name: name.into(),
            request,
            scratch: Scratch::new(),
        }
    }
}

impl Policy for Routed {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn choose(&mut self, asked: &Asked<'_>) -> Vec<ModelId> {
        let request = &mut self.request;
        request.task = asked.task;
        request.prompt_tokens = asked.prompt_tokens;
        request.completion_tokens = asked.completion_tokens;
        request.at = asked.at;
        request.seed = asked.seed;
        request.turn = asked.number;
        let decision = asked.view.decide(request, asked.now, &mut self.scratch);
        decision.targets().map(|target| target.model.clone()).collect()
    }
}
