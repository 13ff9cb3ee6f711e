//! From what a caller says to the profile that a decision is made for: one way for every caller, the command line included.

use std::sync::Arc;
use std::time::Duration;

use costing::{MarkupSubject, UtcTime};
use integration_core::chat::{Content, Message, Role};
use integration_core::{Capability, CapabilitySet, ChatRequest, InvalidModelPattern, ModelPattern};
use routing::{RouteRequest, Task, TaskHints, UnknownStrategy, classify, strategy};
use rust_decimal::Decimal;

use crate::app::App;
use crate::call::{Refused, RouteOptions};
use crate::config::Settings;

/// What random strategies and those that take turns go by.
#[derive(Debug, Clone, Copy, Default)]
pub struct Chance {
    /// Where random choices begin.
    pub seed: u64,
    /// How many decisions there were before.
    pub turn: u64,
}

impl Chance {
    /// The next one of a running gateway.
    pub(crate) fn of(app: &App) -> Self {
        Self {
            seed: app.seed,
            turn: app.router.next_turn(),
        }
    }
}

/// The question which model is the best one for a task, without a request that it is for.
#[derive(Debug, Clone, Default)]
pub struct Question {
    /// What the model must be, as in a request. The task is named in it.
    pub options: RouteOptions,
    /// The least context length, in tokens.
    pub context: Option<u64>,
    /// The most a million tokens may cost in US dollars, of the prompt and of the answer each.
    pub max_price: Option<Decimal>,
}

impl Question {
    /// The profile that is decided on. What the question leaves open is as `[routing]` of the configuration says; where that names no
    /// least quality either, any known quality will do.
    ///
    /// # Errors
    /// Those of [`route_request`].
    pub fn request(&self, settings: &Settings, at: UtcTime, chance: Chance) -> Result<RouteRequest, Refused> {
        let mut route = route_request(settings, at, chance, &self.options, None, settings.asked_quality)?;
        route.context = self.context;
        route.max_price = self.max_price;
        Ok(route)
    }
}

/// Builds the routing request from the options and, where there is one, the chat request.
///
/// # Errors
/// [`Refused`] for an unknown task, capability or strategy, or a number out of range.
pub fn route_request(
    settings: &Settings,
    at: UtcTime,
    chance: Chance,
    options: &RouteOptions,
    chat: Option<&ChatRequest>,
    default_quality: Option<f64>,
) -> Result<RouteRequest, Refused> {
    let task = match &options.task {
        Some(task) => task
            .parse()
            .map_err(|e: routing::UnknownTask| Refused::invalid("waypost.task", e.to_string()))?,
        None => chat
            .filter(|_| settings.guess_task)
            .and_then(guess_task)
            .unwrap_or(settings.task),
    };
    let mut route = RouteRequest::new(task, at);
    route.markup = settings.markups.rule_for(MarkupSubject::default()).share();
    route.min_quality = options.min_quality.or(default_quality);
    if route.min_quality.is_some_and(|quality| !quality.is_finite()) {
        return Err(Refused::invalid(
            "waypost.min_quality",
            "`min_quality` must be a number",
        ));
    }
    route.needs = needs(&options.needs)?;
    if let Some(word) = &options.strategy {
        route.strategy = strategy(word)
            .map_err(|e: UnknownStrategy| Refused::invalid("waypost.strategy", e.to_string()))?;
    }
    route.data_policy = options
        .data_policy
        .as_ref()
        .map(|word| word.parse())
        .transpose()
        .map_err(|e: routing::UnknownDataPolicy| Refused::invalid("waypost.data_policy", e.to_string()))?;
    route.region.clone_from(&options.region);
    route.only = patterns("waypost.only", &options.only)?;
    route.never = patterns("waypost.never", &options.never)?;
    route.max_latency = options.max_latency_ms.map(Duration::from_millis);
    if options.strategy.is_none() {
        route.strategy = Arc::clone(&settings.strategy);
    }
    route.confidence = options.confidence.or(settings.confidence);
    if route.confidence.is_some_and(|sure| !(0.5..1.0).contains(&sure)) {
        return Err(Refused::invalid(
            "waypost.confidence",
            "`confidence` must be at least 0.5 and less than 1",
        ));
    }
    route.turn = chance.turn;
    route.seed = chance.seed.wrapping_add(chance.turn);
    route.max_cost = options.max_cost_usd;
    route.allow_free = options.allow_free;
    if let Some(chat) = chat {
        route.needs = route.needs.union(chat.needs());
        route.prompt_tokens = estimate_prompt_tokens(chat);
        if let Some(limit) = chat.completion_limit() {
            route.completion_tokens = route.completion_tokens.min(limit);
        }
        route.context = Some(
            route
                .prompt_tokens
                .saturating_add(chat.completion_limit().unwrap_or(0)),
        );
    }
    if let Some(tokens) = options.prompt_tokens {
        route.prompt_tokens = tokens;
    }
    if let Some(tokens) = options.completion_tokens {
        route.completion_tokens = tokens;
    }
    Ok(route)
}

/// Patterns for models; one that means nothing is a mistake, and not a prohibition of nothing.
fn patterns(field: &str, words: &[String]) -> Result<Vec<ModelPattern>, Refused> {
    let read = |word: &String| {
        word.parse()
            .map_err(|e: InvalidModelPattern| Refused::invalid(field, e.to_string()))
    };
    words.iter().map(read).collect()
}

/// The text of the last message of a role. That of the user is what learned policies take for the prompt.
pub(crate) fn last_text(messages: &[Message], role: Role) -> Option<String> {
    let message = messages.iter().rev().find(|message| message.role == role)?;
    message.content.as_ref().map(Content::text)
}

/// The task of a request that names none, where the classifier is sure enough.
fn guess_task(chat: &ChatRequest) -> Option<Task> {
    let needs = chat.needs();
    let messages = &chat.messages;
    let (user, system) = (last_text(messages, Role::User), last_text(messages, Role::System));
    let hints = TaskHints {
        text: user.as_deref().unwrap_or_default(),
        system: system.as_deref().unwrap_or_default(),
        has_tools: needs.contains(Capability::Tools),
        has_images: needs.contains(Capability::Vision),
        wants_json_schema: needs.contains(Capability::JsonSchema),
    };
    classify(&hints).task
}

/// The set of capabilities with these names.
///
/// # Errors
/// [`Refused`] lists the names there are.
pub fn needs(names: &[String]) -> Result<CapabilitySet, Refused> {
    names
        .iter()
        .map(|name| {
            name.trim()
                .parse::<Capability>()
                .map_err(|e| Refused::invalid("waypost.needs", e.to_string()))
        })
        .collect()
}

/// Bytes of text taken for a token where nobody has counted. Common tokenizers make fewer tokens of it.
pub const BYTES_PER_TOKEN: u64 = 3;

/// A prompt's size in tokens before any tokenizer has seen it: a token for every three bytes of text, rounded up, which
/// is more than common tokenizers make of it, and four a message.
pub fn estimate_prompt_tokens(request: &ChatRequest) -> u64 {
    let text = u64::try_from(request.text_bytes())
        .unwrap_or(u64::MAX)
        .div_ceil(BYTES_PER_TOKEN);
    let messages = u64::try_from(request.messages.len()).unwrap_or(u64::MAX);
    text.saturating_add(messages.saturating_mul(4))
}
