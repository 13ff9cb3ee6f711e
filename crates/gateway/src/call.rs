//! From a request body to what is to be done: which models, in which order, under which name in the ledger.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use costing::{Caller, expected_cost};
use integration_core::chat::{ChatResponse, Role};
use integration_core::{ChatRequest, ModelId, RequestId};
use model_catalogue::is_routing_variant;
use rate_limits::TokenEstimate;
use routing::{
    Call, Cascade, FallbackClass, Named, NamedPlan, Plan, Reading, RouteRequest, Scratch, Signals, Strategy,
    Target, Task, Verdict, Verifier,
};
use rust_decimal::Decimal;
use serde::Deserialize;
use serde_json::Value;

use crate::app::App;
use crate::checks::{Checks, Expect};
use crate::config::{ANY, AUTO};
use crate::learned::{Asks, Chosen, LearnedCheck, LearnedPolicy, VECTOR_TIME, View, chance};
use crate::profile::{Chance, estimate_prompt_tokens, last_text, route_request};
use crate::upstream::demand;
use crate::warm::conversation;

/// Why a request cannot be served, before anything is sent.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Refused {
    /// The HTTP status that says so.
    pub status: u16,
    /// A stable word.
    pub code: &'static str,
    /// One sentence that says what to do.
    pub message: String,
    /// The field at fault.
    pub param: Option<String>,
    /// Where no model qualifies, and where the caller wants to know: the models and why not.
    pub plan: Option<Box<Value>>,
}

impl Refused {
    /// A mistake in the request.
    pub fn invalid(param: impl Into<String>, message: impl Into<String>) -> Self {
        let param = Some(param.into()).filter(|param| !param.is_empty());
        Self {
            status: 400,
            code: "invalid_request",
            message: message.into(),
            param,
            plan: None,
        }
    }

    /// A model that does not exist.
    pub fn unknown_model(message: impl Into<String>) -> Self {
        let param = Some("model".to_owned());
        Self {
            status: 404,
            code: "model_not_found",
            message: message.into(),
            param,
            plan: None,
        }
    }
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Refused {}

/// The object `waypost` of a request, or the same from a command line. Every field may be left out.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct RouteOptions {
    /// `reasoning`, `coding`, `agentic` and so on: which quality index counts.
    pub task: Option<String>,
    /// The least quality on that index.
    pub min_quality: Option<f64>,
    /// How sure that quality must be, from 0.5 to less than 1; absent: the expected quality counts.
    pub confidence: Option<f64>,
    /// The most the call may be expected to cost, in US dollars.
    #[serde(deserialize_with = "decimal")]
    pub max_cost_usd: Option<Decimal>,
    /// How long the call may take in all, in milliseconds.
    pub max_latency_ms: Option<u64>,
    /// How to order what qualifies.
    pub strategy: Option<String>,
    /// Models to try after the first, in order.
    pub fallbacks: Vec<String>,
    /// Whether fallbacks that cannot serve the request are passed over: an experiment named them and not the caller.
    #[serde(skip)]
    pub(crate) fallbacks_may_fail: bool,
    /// The only models that may be chosen: ids, `author/*`, `*:variant`.
    pub only: Vec<String>,
    /// Models that must not be chosen, written the same way.
    pub never: Vec<String>,
    /// What must be promised of the caller's data: `no-training` or `no-retention`.
    pub data_policy: Option<String>,
    /// Where the call must be served, in the words of the configuration.
    pub region: Option<String>,
    /// Abilities the model must have beside those the request shows.
    pub needs: Vec<String>,
    /// Labels for reports.
    pub tags: Vec<String>,
    /// Whose call it is.
    pub user: Option<String>,
    /// Whether the answer shall tell how the model was chosen.
    pub explain: bool,
    /// Whether free variants may be chosen. They are rate-limited and may train on the prompt.
    pub allow_free: bool,
    /// The prompt's size in tokens, instead of an estimate from its length.
    pub prompt_tokens: Option<u64>,
    /// The answer's expected size in tokens.
    pub completion_tokens: Option<u64>,
}

/// What is wrong with a field, in words that need no knowledge of the program.
fn of_field(path: &str, error: &serde_json::Error) -> Refused {
    let text = error
        .to_string()
        .replace("u64", "a whole number from 0 up")
        .replace("f64", "a number");
    let missing = text
        .strip_prefix("missing field `")
        .and_then(|rest| rest.split('`').next());
    let param = missing.filter(|_| path.is_empty()).unwrap_or(path).to_owned();
    let at = if path.is_empty() {
        String::new()
    } else {
        format!("`{path}`: ")
    };
    Refused::invalid(param, format!("{at}{text}"))
}

/// The longest name of a user, of a model, or pattern for models, in bytes.
const MOST_NAME: usize = 256;
/// The most models that a request may name to fall back to: more than are ever asked for one call.
pub(crate) const MOST_FALLBACKS: usize = 16;
/// The most patterns for models: each is held against every model.
pub(crate) const MOST_PATTERNS: usize = 64;

impl RouteOptions {
    /// Holds the options against their ranges.
    fn check(&self) -> Result<(), Refused> {
        if self.max_latency_ms == Some(0) {
            return Err(Refused::invalid(
                "waypost.max_latency_ms",
                "`max_latency_ms` must be at least 1",
            ));
        }
        if self.user.as_ref().is_some_and(|user| user.len() > MOST_NAME) {
            return Err(Refused::invalid(
                "waypost.user",
                "`user` may have 256 bytes at the most",
            ));
        }
        for (field, list, most, bytes) in [
            ("tags", &self.tags, 16, 64),
            ("fallbacks", &self.fallbacks, MOST_FALLBACKS, MOST_NAME),
            ("only", &self.only, MOST_PATTERNS, MOST_NAME),
            ("never", &self.never, MOST_PATTERNS, MOST_NAME),
            ("needs", &self.needs, 64, 64),
        ] {
            if list.len() > most || list.iter().any(|word| word.len() > bytes) {
                return Err(Refused::invalid(
                    format!("waypost.{field}"),
                    format!("`{field}` may be {most} at the most, of {bytes} bytes each"),
                ));
            }
        }
        Ok(())
    }
}

/// An amount as a JSON string or number. A number is read from its shortest text, so that `0.1` is a tenth.
fn decimal<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Decimal>, D::Error> {
    let value: Option<Value> = Option::deserialize(deserializer)?;
    let text = match &value {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        Some(_) => {
            return Err(serde::de::Error::custom(
                "an amount in US dollars, such as \"0.01\", is expected",
            ));
        }
    };
    // Decimals take more than numbers do: `1_000`, `+1`.
    let plain = text
        .bytes()
        .all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'-'));
    let amount = Decimal::from_str_exact(&text)
        .or_else(|_| Decimal::from_scientific(&text))
        .ok();
    amount
        .filter(|_| plain)
        .filter(|amount| !amount.is_sign_negative())
        .map(Some)
        .ok_or_else(|| serde::de::Error::custom("an amount in US dollars, such as \"0.01\", is expected"))
}

/// A request body, read.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Body {
    /// What is asked.
    pub request: ChatRequest,
    /// Whether the answer is wanted piece by piece.
    pub stream: bool,
    /// What the caller wants of the gateway.
    pub options: RouteOptions,
    /// What a learned policy predicts with the vector of the prompt, where it wants one.
    pub(crate) view: Option<View>,
}

impl Body {
    /// A body put together by hand.
    pub fn new(request: ChatRequest, stream: bool, options: RouteOptions) -> Self {
        Self {
            request,
            stream,
            options,
            view: None,
        }
    }

    /// Reads a request body.
    ///
    /// # Errors
    /// One sentence that names the field at fault.
    pub fn parse(bytes: &[u8]) -> Result<Self, Refused> {
        if bytes
            .iter()
            .find(|byte| !byte.is_ascii_whitespace())
            .is_some_and(|byte| *byte != b'{')
        {
            return Err(Refused::invalid(
                "",
                "the body must be a JSON object, such as {\"model\": …, \"messages\": […]}",
            ));
        }
        let mut json = serde_json::Deserializer::from_slice(bytes);
        let mut request: ChatRequest = serde_path_to_error::deserialize(&mut json).map_err(|error| {
            let path = error.path().to_string();
            let inner = error.into_inner();
            if inner.is_syntax() || inner.is_eof() {
                return Refused::invalid("", format!("the body is not JSON: {inner}"));
            }
            of_field(path.trim_matches('.'), &inner)
        })?;
        json.end()
            .map_err(|error| Refused::invalid("", format!("the body is not JSON: {error}")))?;
        if request.messages.is_empty() {
            return Err(Refused::invalid(
                "messages",
                "`messages` is empty; send at least one message",
            ));
        }
        let stream = match request.extra.remove("stream") {
            None | Some(Value::Null) => false,
            Some(Value::Bool(stream)) => stream,
            Some(_) => return Err(Refused::invalid("stream", "`stream` must be true or false")),
        };
        // Usage is always reported; there is nothing to pass on.
        request.extra.remove("stream_options");
        let options = match request.extra.remove("waypost") {
            None | Some(Value::Null) => RouteOptions::default(),
            Some(value) => serde_path_to_error::deserialize(value).map_err(|error| {
                let path = format!("waypost.{}", error.path());
                of_field(path.trim_end_matches('.'), error.inner())
            })?,
        };
        options.check()?;
        if request.user.as_ref().is_some_and(|user| user.len() > MOST_NAME) {
            return Err(Refused::invalid("user", "`user` may have 256 bytes at the most"));
        }
        for (field, instead) in [
            ("base_url", "it is the gateway's to set"),
            ("api_base", "it is the gateway's to set"),
            ("api_key", "it is the gateway's to set"),
            (
                "models",
                "name further models in `waypost.fallbacks`, where each is held against the request and priced",
            ),
            (
                "route",
                "name further models in `waypost.fallbacks`, where each is held against the request and priced",
            ),
        ] {
            if request.extra.contains_key(field) {
                return Err(Refused::invalid(
                    field,
                    format!("`{field}` is not taken here: {instead}"),
                ));
            }
        }
        Ok(Self::new(request, stream, options))
    }
}

/// How the targets of a request were found. Exhaustive: either somebody chose, or nobody did.
#[derive(Debug, Clone)]
pub enum Explained {
    /// The gateway chose the first of them.
    Chosen(Box<Plan>),
    /// The caller named it.
    Named(NamedPlan),
}

/// Of the targets of a request, the first few are better and better, and an answer that does not pass its checks is asked for
/// again from the next of them.
#[derive(Debug)]
pub struct Escalation {
    pub(crate) steps: usize,
    checks: Checks,
    /// Who gives the answers that are looked at more closely if they have their form, and how.
    learned: Option<(Target, LearnedCheck)>,
}

#[async_trait]
impl Verifier for Escalation {
    async fn verify(&self, target: &Target, request: &ChatRequest, response: &ChatResponse) -> Verdict {
        match (self.checks.verdict(response), &self.learned) {
            (Verdict::Accepted, Some((of, check))) if of == target => check.verdict(request, response),
            (verdict, _) => verdict,
        }
    }
}

/// What is to be done with a request.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Prepared {
    /// Which models to try, in order. Never empty.
    pub targets: Vec<Target>,
    /// Which to try instead of those that are left, after a failure of a class.
    pub by_class: BTreeMap<FallbackClass, Vec<Target>>,
    /// How to go on where an answer is not good enough; `None` where the first answer is taken.
    pub escalation: Option<Arc<Escalation>>,
    /// The task, where the gateway chose by one.
    pub task: Option<Task>,
    /// How the targets were found, where the caller wants to know.
    pub explained: Option<Explained>,
    /// What a learned policy chose, where the caller asked for one.
    pub(crate) learned: Option<Chosen>,
    /// How many tokens the call is taken to need, by the request itself: limits and budgets go by it, and not by what the caller says
    /// of its size.
    pub tokens: TokenEstimate,
    /// A name for the conversation that the request goes on with.
    pub(crate) conversation: u64,
}

impl Prepared {
    /// A call to one model, which nothing stands in for.
    pub(crate) fn of_target(target: Target, tokens: TokenEstimate) -> Self {
        Self {
            targets: vec![target],
            by_class: BTreeMap::new(),
            escalation: None,
            task: None,
            explained: None,
            learned: None,
            tokens,
            conversation: 0,
        }
    }

    /// The call of this request, for the executor.
    pub fn call<'a>(&'a self, id: RequestId, request: &'a ChatRequest) -> Call<'a> {
        let call = Call::new(id, &self.targets, request);
        self.by_class.iter().fold(call, |call, (class, targets)| {
            call.with_fallbacks(*class, targets.clone())
        })
    }

    /// Puts the models that the call may go to into the order of what they are expected to cost, the cheapest first; those without
    /// a price come last. None is added or left out: every one of them is good enough for the caller.
    pub fn cheapest_first(&mut self, app: &App) {
        let (at, tokens) = (app.utc_now(), self.tokens);
        let cost = |target: &Target| {
            let model = app.catalogue.resolve(target.model.as_str())?;
            let sheet = app.prices.sheet(&model.id)?;
            expected_cost(sheet, tokens.prompt, tokens.completion, at)
        };
        // What comes first now is no better than what comes after it.
        self.escalation = None;
        self.targets
            .sort_by_cached_key(|target| cost(target).map_or((true, Decimal::ZERO), |cost| (false, cost)));
        if let Some(Explained::Named(plan)) = &mut self.explained {
            let targets = &self.targets;
            plan.candidates
                .sort_by_key(|one| targets.iter().position(|target| *target == one.target));
            plan.order = "named, cheapest first";
        }
    }

    /// How the targets were found, and which they are in the end, if the caller wants to know.
    pub fn explanation(&self) -> Option<Value> {
        let mut plan = match self.explained.as_ref()? {
            Explained::Chosen(plan) => serde_json::to_value(plan),
            Explained::Named(plan) => serde_json::to_value(plan),
        }
        .ok()?;
        let models =
            |targets: &[Target]| -> Value { targets.iter().map(|target| target.model.as_str()).collect() };
        plan["targets"] = models(&self.targets);
        if !self.by_class.is_empty() {
            let by_class = self.by_class.iter();
            plan["targets_after"] = by_class
                .map(|(class, targets)| (class.as_str().to_owned(), models(targets)))
                .collect();
        }
        Some(plan)
    }
}

/// Decides which models a request goes to, and makes it ask them for the data policy it is under.
///
/// # Errors
/// [`Refused`] where the model is unknown, cannot serve the request, or none qualifies.
pub fn prepare(app: &App, body: &mut Body, caller: &Caller) -> Result<Prepared, Refused> {
    let options = &body.options;
    let automatic = body.request.model.as_str() == AUTO;
    let default_quality = automatic.then_some(app.settings.min_quality);
    let mut route = route_request(
        &app.settings,
        app.utc_now(),
        Chance::of(app),
        options,
        Some(&body.request),
        default_quality,
    )?;
    if let Some(policy) = route.data_policy {
        demand(&mut body.request, policy)?;
    }
    let conversation = conversation(&caller.key, &body.request);
    if automatic && is_sticky(&*route.strategy) {
        route.warm = app.warm.of(conversation, app.clock.now());
    }
    let named = body.request.model.as_str();
    // One for all that is asked of it here: another may take its place meanwhile.
    let (view, now) = (app.router.view(), app.clock.now());
    let mut names = Names {
        app,
        route: &route,
        caller,
        view: &view,
        now,
        targets: Vec::new(),
        named: Vec::new(),
    };
    let (mut explained, mut escalation, mut by_class) = (None, None, BTreeMap::new());
    let mut learned = None;
    if automatic {
        let mut scratch = Scratch::new();
        // Reasons are worked out for those who ask for them, from what the decision was made by.
        let frozen = options.explain.then(|| Frozen::new(&view, &route, now));
        let decision = match &frozen {
            Some(frozen) => view.snapshot().decide_with(&route, frozen, &mut scratch),
            None => view.decide(&route, now, &mut scratch),
        };
        let plan = |frozen: &Frozen| view.snapshot().plan_with(&route, frozen);
        if decision.chosen().is_none() {
            let frozen = frozen.unwrap_or_else(|| Frozen::new(&view, &route, now));
            return Err(no_model_qualifies(&plan(&frozen), &route));
        }
        // Fallbacks that the caller names take the place of the next best ones.
        let most = if options.fallbacks.is_empty() {
            usize::MAX
        } else {
            1
        };
        names.targets.extend(decision.targets().take(most).cloned());
        if !body.stream && options.fallbacks.is_empty() && route.strategy.word() == Cascade.word() {
            escalation = Some(Arc::new(Escalation {
                steps: decision.steps(),
                checks: form(&body.request)?,
                learned: None,
            }));
        }
        explained = frozen.map(|frozen| Explained::Chosen(Box::new(app.charges(caller).of(plan(&frozen)))));
    } else if let Some(policy) = app.policy(named) {
        let chosen = choose(policy, body, &route);
        let found = names.add_chosen(named, chosen.as_ref());
        names.or_explain(found, options.explain)?;
        if let Some((first, check)) = chosen.as_ref().and_then(Chosen::check) {
            escalation = Some(Arc::new(Escalation {
                steps: names.targets.len(),
                checks: form(&body.request)?,
                learned: Some((resolve(app, first)?.1, check.clone())),
            }));
        }
        learned = chosen;
    } else {
        let found = names.add(named, "named by the request");
        names.or_explain(found, options.explain)?;
    }
    if options.fallbacks.is_empty() {
        // A member of the configured chain that cannot serve this request is passed over.
        for name in configured_chain(app, named) {
            let _passed_over = names.add(name, "a fallback of the configuration");
        }
        by_class = names.by_class(named);
    }
    for name in &options.fallbacks {
        let found = names.add(name, "a fallback of the request");
        if !options.fallbacks_may_fail {
            names.or_explain(found, options.explain)?;
        }
    }
    if options.explain && !automatic {
        let mut plan = names.explained();
        if learned.is_some() {
            plan.order = "learned";
        }
        explained = Some(Explained::Named(plan));
    }
    let targets = names.targets;
    let task = (automatic || learned.is_some() || options.task.is_some()).then_some(route.task);
    let completion = body.request.completion_limit().unwrap_or(route.completion_tokens);
    Ok(Prepared {
        targets,
        by_class,
        escalation,
        task,
        explained,
        learned,
        tokens: TokenEstimate::new(estimate_prompt_tokens(&body.request), completion),
        conversation,
    })
}

/// What a learned policy chooses for a request.
fn choose(policy: &Arc<LearnedPolicy>, body: &Body, route: &RouteRequest) -> Option<Chosen> {
    let prompt = last_text(&body.request.messages, Role::User).unwrap_or_default();
    let tag = policy.tag(&body.options.tags, Some(route.task.as_str()));
    let draw = chance(&[&route.seed.to_le_bytes()]);
    let asks = Asks {
        whole: !body.stream,
        explain: body.options.explain,
    };
    policy.choose(&prompt, tag, body.view.as_ref(), draw, asks)
}

/// As [`prepare`], with the vector of the prompt where a learned policy wants it. What cannot be served is not sent for one.
///
/// # Errors
/// Those of [`prepare`].
pub(crate) async fn prepare_closely(
    app: &Arc<App>,
    body: &mut Body,
    caller: &Caller,
) -> Result<Prepared, Refused> {
    let prepared = prepare(app, body, caller)?;
    if look_closer(app, body, caller, prepared.task).await {
        return prepare(app, body, caller);
    }
    Ok(prepared)
}

/// Has the vector of the prompt looked at, if a learned policy is asked for that wants it; whether it was. What the caller says of where the
/// request may go is said of models that answer, so with any such word the prompt is not sent for a vector. The time it takes is the call's.
async fn look_closer(app: &Arc<App>, body: &mut Body, caller: &Caller, task: Option<Task>) -> bool {
    let policy = app.policy(body.request.model.as_str());
    let Some(policy) = policy.filter(|policy| policy.wants_vector()) else {
        return false;
    };
    let options = &body.options;
    let is_bound = options.data_policy.is_some()
        || options.region.is_some()
        || !options.only.is_empty()
        || !options.never.is_empty()
        || body.request.extra.contains_key("provider");
    if is_bound {
        return false;
    }
    let prompt = last_text(&body.request.messages, Role::User).unwrap_or_default();
    let user = options.user.clone().or_else(|| body.request.user.clone());
    let most = options.max_latency_ms.map_or(VECTOR_TIME, Duration::from_millis);
    let (whose, began) = ((caller, user, &options.tags[..]), app.clock.now());
    let vector = policy.vector(app, &prompt, whose, most.min(VECTOR_TIME)).await;
    let tag = policy.tag(&options.tags, task.map(Task::as_str));
    if let Some(vector) = vector {
        let (policy, tag) = (Arc::clone(policy), tag.known().map(str::to_owned));
        let looked = move || policy.look(&prompt, tag.as_deref(), Some(&vector));
        body.view = tokio::task::spawn_blocking(looked).await.ok().flatten();
    }
    let took = app.clock.now().saturating_duration_since(began).as_millis();
    if let Some(left) = &mut body.options.max_latency_ms {
        *left = left
            .saturating_sub(u64::try_from(took).unwrap_or(u64::MAX))
            .max(1);
    }
    body.view.is_some()
}

/// The form that an answer of a cascade is held against.
fn form(request: &ChatRequest) -> Result<Checks, Refused> {
    let (format, tools) = (request.response_format.as_ref(), &request.tools);
    let checks = Checks::new(format, tools, request.tool_choice.as_ref(), Expect::default());
    let checks = checks.map_err(|wrong| Refused::invalid(wrong.param, wrong.why))?;
    Ok(checks.with_limit(request.completion_limit().is_some()))
}

/// Whether a strategy stays with the model that has the conversation in its cache. The others do not count on a cache that may be
/// gone.
fn is_sticky(strategy: &dyn Strategy) -> bool {
    strategy.word().split(':').next() == Some("sticky")
}

/// How the deployments were doing at one moment: a decision and its reasons are to be of the same.
#[derive(Debug)]
struct Frozen(Vec<Reading>);

impl Frozen {
    /// Like [`routing::View::decide`]: where all that qualify are left alone for now, it is as if none were.
    fn new(view: &routing::View, route: &RouteRequest, now: Instant) -> Self {
        let signals = view.live().at(now);
        let count = view.snapshot().deployments().len();
        let mut frozen = Self((0..count).map(|at| signals.reading(at)).collect());
        let mut scratch = Scratch::new();
        let decision = view.snapshot().decide_with(route, &frozen, &mut scratch);
        if decision.chosen().is_none() {
            for reading in &mut frozen.0 {
                reading.cooling = false;
            }
        }
        frozen
    }
}

impl Signals for Frozen {
    fn reading(&self, at: usize) -> Reading {
        self.0.get(at).copied().unwrap_or_default()
    }
}

/// The chain configured for a name, or else for the model that the name stands for.
fn configured_chain<'a>(app: &'a App, named: &str) -> &'a [String] {
    chain_of(app, &app.settings.fallbacks, named).map_or(&[], Vec::as_slice)
}

fn chain_of<'a>(
    app: &App,
    chains: &'a BTreeMap<String, Vec<String>>,
    named: &str,
) -> Option<&'a Vec<String>> {
    let of_model = || chains.get(resolve(app, named).ok()?.0.as_str());
    chains.get(named).or_else(of_model)
}

/// The names that a request leads to, each held against it.
struct Names<'a> {
    app: &'a App,
    route: &'a RouteRequest,
    caller: &'a Caller,
    view: &'a routing::View,
    now: Instant,
    /// What the call may go to, in order.
    targets: Vec<Target>,
    /// What was named, the models among it that cannot serve the request too.
    named: Vec<Named>,
}

impl Names<'_> {
    /// Adds a model, unless it is there already.
    fn add(&mut self, name: &str, why: &'static str) -> Result<(), Refused> {
        let (listed, target) = resolve(self.app, name)?;
        if self.targets.contains(&target) {
            return Ok(());
        }
        self.named.push(Named::new(listed.clone(), target.clone(), why));
        match self.view.snapshot().check_explicit(&listed, self.route) {
            None => self.targets.push(target),
            Some(refusal) => {
                let message = format!("'{name}' cannot serve this request: it {}", refusal.detail);
                return Err(Refused {
                    code: refusal.reason.as_str(),
                    ..Refused::invalid("model", message)
                });
            }
        }
        Ok(())
    }

    /// Adds the models of a learned policy that can serve the request, the chosen one first.
    fn add_chosen(&mut self, named: &str, chosen: Option<&Chosen>) -> Result<(), Refused> {
        let mut first = None;
        for (name, why) in chosen.into_iter().flat_map(Chosen::order) {
            if let Err(refused) = self.add(name, why) {
                first.get_or_insert(refused);
            }
        }
        if !self.targets.is_empty() {
            return Ok(());
        }
        Err(first.unwrap_or_else(|| Refused::invalid("model", format!("'{named}' chooses no model"))))
    }

    /// The configured chains for classes of failures, without members that cannot serve the request, and without those that have
    /// nobody left.
    fn by_class(&self, named: &str) -> BTreeMap<FallbackClass, Vec<Target>> {
        let fits = |name: &String| {
            let (listed, target) = resolve(self.app, name).ok()?;
            let refusal = self.view.snapshot().check_explicit(&listed, self.route);
            refusal.is_none().then_some(target)
        };
        let tables = self.app.settings.class_fallbacks.iter();
        let chains = tables.filter_map(|(class, chains)| {
            let chain = chain_of(self.app, chains, named).or_else(|| chains.get(ANY))?;
            let targets: Vec<_> = chain.iter().filter_map(fits).collect();
            (!targets.is_empty()).then_some((*class, targets))
        });
        chains.collect()
    }

    fn explained(&self) -> NamedPlan {
        let plan = self.view.named(&self.named, self.route, self.now);
        self.app.charges(self.caller).of_named(plan)
    }

    /// Puts what is known of the names beside the reason why one of them ends the call.
    fn or_explain(&self, found: Result<(), Refused>, explain: bool) -> Result<(), Refused> {
        found.map_err(|refused| {
            let plan = explain
                .then(|| serde_json::to_value(self.explained()).ok())
                .flatten();
            Refused {
                plan: plan.map(Box::new),
                ..refused
            }
        })
    }
}

/// Finds a model by its catalogue id, a dated name, or an alias of the configuration: the id it is listed under, and what to
/// ask for. The two differ by a routing suffix (`:nitro`, `:floor`), which is the provider's to read.
///
/// # Errors
/// [`Refused`] if there is none.
pub fn resolve(app: &App, name: &str) -> Result<(ModelId, Target), Refused> {
    let name = app.settings.aliases.get(name).map_or(name, String::as_str);
    let unknown = || {
        Refused::unknown_model(format!(
            "there is no model '{}'; `waypost models` or GET /v1/models lists those there are",
            name.chars().take(100).collect::<String>()
        ))
    };
    let listed = app.catalogue.resolve(name).ok_or_else(unknown)?.id.clone();
    // A suffix that is said again says nothing new, and every other target is another deployment to keep count of.
    let mut suffixes: Vec<&str> = Vec::new();
    for suffix in name.split(':').skip(1) {
        if is_routing_variant(suffix) && !suffixes.contains(&suffix) {
            suffixes.push(suffix);
        }
    }
    let asked = suffixes
        .iter()
        .fold(listed.as_str().to_owned(), |asked, suffix| asked + ":" + suffix);
    let asked = ModelId::new(asked).map_err(|_| unknown())?;
    Ok((listed, Target::new(app.catalogue.provider().clone(), asked)))
}

/// Says that no model qualifies, and how far the best one is.
pub fn no_model_qualifies(plan: &Plan, route: &RouteRequest) -> Refused {
    let best = match &plan.best_quality {
        Some((model, quality)) => format!("the best one, {model}, scores {quality}"),
        None => "no model with a known quality fits the other conditions".to_owned(),
    };
    let threshold = route
        .min_quality
        .map_or_else(String::new, |quality| format!(" with quality {quality} or more"));
    Refused {
        status: 404,
        code: "no_model_qualifies",
        message: format!("no model qualifies for {}{threshold}: {best}", plan.task.as_str()),
        param: Some("waypost".to_owned()),
        plan: serde_json::to_value(plan).ok().map(Box::new),
    }
}
