//! Makes the answer of the endpoint that serves, prices it, and remembers it.

use std::time::Duration;

use bytes::Bytes;
use costing::PriceKey;
use model_catalogue::ModelRecord;
use rust_decimal::Decimal;
use serde_json::{Map, Value, json};

use crate::answer::{Answer, compose};
use crate::bill::{Bill, Charge, Counts, SEARCH_FEE, Terms, found_in_a_cache, number};
use crate::chat::{Call, Searches};
use crate::dice::{Dice, fingerprint};
use crate::endpoint::{Endpoint, Tier};
use crate::fault::Fault;
use crate::generations::Generation;
use crate::metadata::{Routing, Stage, Tried};
use crate::moment::Moment;
use crate::pace::Pace;
use crate::problem::Problem;
use crate::request::{Asked, TierAsked, ToolChoice};
use crate::sessions::CacheUse;
use crate::simulation::{SimulatedAnswer, SimulatedReply, Simulation};
use crate::underway::{Underway, stops};
use crate::whole::whole;
use crate::wire::{Step, stream};

/// An answer that is ready to be written.
#[derive(Debug, Clone)]
pub(crate) struct Served {
    pub(crate) id: String,
    /// What the body shows in place of the id.
    foreign_id: Option<String>,
    pub(crate) created: u64,
    /// The dated name of the model.
    pub(crate) model: String,
    pub(crate) provider: &'static str,
    pub(crate) answer: Answer,
    pub(crate) bill: Bill,
    pub(crate) fault: Option<Fault>,
    /// What an answer that fails on the way reports.
    pub(crate) problem: Problem,
    pub(crate) dice: Dice,
    pub(crate) pace: Pace,
    pub(crate) service_tier: Option<&'static str>,
    pub(crate) routing: Option<Routing>,
    /// Who was asked, and how that ended.
    tried: Vec<Tried>,
    /// What the request calls its conversation.
    session: Option<String>,
    /// The id of the answer that this one repeats.
    source: Option<String>,
    /// What the upstream was asked, for a stream that begins with it.
    pub(crate) echo: Option<Value>,
    stream: bool,
    headers: Vec<(&'static str, String)>,
    /// The number of the call.
    call: u64,
}

impl Served {
    /// The id in the body.
    pub(crate) fn shown_id(&self) -> &str {
        self.foreign_id.as_deref().unwrap_or(&self.id)
    }

    pub(crate) fn push_header(&mut self, name: &'static str, value: String) {
        self.headers.push((name, value));
    }

    /// Whether it is an answer that the response cache may keep.
    pub(crate) fn is_good(&self) -> bool {
        self.fault.is_none()
    }

    /// The same answer again, out of the cache: with an id of its own and without a cost.
    pub(crate) fn again(self, id: String, created: u64, (number, call): (u64, Dice)) -> Self {
        Self {
            call: number,
            headers: vec![("x-generation-id", id.clone())],
            source: Some(self.id),
            tried: Vec::new(),
            id,
            created,
            foreign_id: None,
            bill: Bill::cached_answer(),
            fault: None,
            pace: Pace::instant(call.clone()),
            dice: call,
            routing: None,
            echo: None,
            ..self
        }
    }

    /// Writes the answer.
    pub(crate) fn reply(&self) -> SimulatedReply {
        let mut answer = if self.fault == Some(Fault::Error200) {
            let mut body = json!({ "id": self.id });
            let problem = match &self.routing {
                Some(routing) => self.problem.clone().with_routing(routing.value(None)),
                None => self.problem.clone(),
            };
            if let (Some(fields), Value::Object(error)) = (body.as_object_mut(), problem.body()) {
                fields.extend(error);
            }
            let steps = vec![
                Step::Send(Bytes::from_static(b"\n         \n")),
                Step::Send(Bytes::from(body.to_string())),
            ];
            SimulatedAnswer::new(200, "application/json", steps)
        } else if self.stream {
            let mut answer = SimulatedAnswer::new(200, "text/event-stream", stream(self));
            answer.headers.push(("cache-control", "no-cache".to_owned()));
            answer
        } else {
            SimulatedAnswer::new(200, "application/json", whole(self))
        };
        answer.headers.extend(self.headers.iter().cloned());
        SimulatedReply {
            call: Some(self.call),
            ..answer.into()
        }
    }
}

/// What is made of a request by whoever serves it.
pub(crate) struct Serving<'a> {
    pub(crate) model: &'a ModelRecord,
    pub(crate) endpoint: Endpoint,
    pub(crate) fault: Option<Fault>,
    /// What an answer that fails on the way reports.
    pub(crate) problem: Problem,
    /// What is held of the balance.
    pub(crate) hold: Option<u64>,
    pub(crate) own_key: bool,
    pub(crate) routing: Routing,
}

impl Simulation {
    /// The dice of one call, and the id it gives its answer.
    pub(crate) fn new_id(&self, call: &Call<'_>) -> (Dice, String, u64) {
        let mut dice = Dice::new(self.config.seed, "call", &[&call.number.to_le_bytes()]);
        let created = u64::try_from(call.now.utc().unix()).unwrap_or_default();
        let id = format!("gen-{created}-{}", dice.alphanumeric(20));
        (dice, id, created)
    }

    /// Makes the answer and remembers it.
    pub(crate) fn serve(&self, asked: &Asked, call: &Call<'_>, serving: Serving<'_>) -> Served {
        let Serving {
            model,
            endpoint,
            fault,
            problem,
            hold,
            own_key,
            mut routing,
        } = serving;
        let endpoint = &endpoint;
        let (mut dice, id, created) = self.new_id(call);
        let named = dice.chance(0.5);
        let mut headers = vec![("x-generation-id", id.clone())];
        if named {
            headers.push(("x-provider-name", endpoint.upstream.name.to_owned()));
        }
        let searches = call.searches(asked);
        let answer = self.answer(asked, model, fault, &searches);
        let fails = fault.is_some_and(Fault::fails);
        let (counts, found) = self.counts(asked, call, model, endpoint, &answer, &searches);
        let (charge, bill) = self.charge(call.now, endpoint, counts, own_key, fails);
        let session = call.session(asked, model.id.as_str());
        let sticks = (call.said_session(asked).is_some() || found.read > 0)
            && fault.is_none()
            && asked.provider.order.is_empty()
            && endpoint.has_cheap_cache(asked.prompt_tokens, call.now.utc());
        routing.is_byok = own_key;
        routing.pipeline = pipeline(asked, &searches);
        let names = [model.id.as_str(), model.canonical_slug.as_str()];
        let rules: Vec<_> = self
            .config
            .scenario
            .latencies
            .iter()
            .filter(|rule| rule.is_about(&names, &call.names_of(endpoint), call.now.since))
            .collect();
        let service_tier = match (endpoint.tier, asked.tier) {
            (Some(tier), _) => Some(tier.name()),
            (None, TierAsked::Unsaid) => None,
            (None, _) => Some("default"),
        };
        let served = Served {
            foreign_id: (fault == Some(Fault::ForeignId))
                .then(|| format!("chatcmpl-{}", dice.alphanumeric(29))),
            id,
            created,
            model: served_name(model),
            provider: endpoint.upstream.name,
            answer,
            bill,
            fault,
            problem,
            pace: Pace::new(self.config.timing, endpoint, &rules, dice.clone()),
            dice,
            service_tier,
            tried: routing.attempts.clone(),
            routing: call.wants_routing.then_some(routing),
            session: call.said_session(asked).map(str::to_owned),
            source: None,
            echo: (asked.echo && asked.stream).then(|| echo(asked, model)),
            stream: asked.stream,
            headers,
            call: call.number,
        };
        let own_key = own_key.then(|| if fails { Decimal::ZERO } else { bill.list_price() });
        self.underway(call, &served, Some(charge), |underway| Underway {
            stops: stops(endpoint.upstream.slug),
            hold,
            own_key,
            ..underway
        });
        if sticks {
            self.state()
                .sessions
                .remember(session, &endpoint.tag, call.now.since);
        }
        served
    }

    fn answer(
        &self,
        asked: &Asked,
        model: &ModelRecord,
        fault: Option<Fault>,
        searches: &Searches,
    ) -> Answer {
        let seed = self.config.seed;
        let content: [&[u8]; 2] = [model.id.as_str().as_bytes(), &asked.about.to_le_bytes()];
        let shape = self.config.scenario.answer;
        let forced = fault.is_some_and(Fault::needs_calls) && asked.tool_choice != ToolChoice::None;
        let mut answer = if forced && !matches!(asked.tool_choice, ToolChoice::Function(_)) {
            let forced = Asked {
                tool_choice: ToolChoice::Required,
                ..asked.clone()
            };
            compose(seed, &forced, model, shape)
        } else {
            compose(seed, asked, model, shape)
        };
        if searches.count() > 0 && answer.calls.is_empty() {
            answer.cite(&mut Dice::new(seed, "citation", &content));
        }
        if let Some(fault) = fault {
            answer.twist(fault, model.id.as_str(), &mut Dice::new(seed, "twist", &content));
        }
        answer
    }

    /// What the upstream counts for a call.
    fn counts(
        &self,
        asked: &Asked,
        call: &Call<'_>,
        model: &ModelRecord,
        endpoint: &Endpoint,
        answer: &Answer,
        searches: &Searches,
    ) -> (Counts, CacheUse) {
        let at = call.now.utc();
        let sheet = endpoint.sheet.as_ref();
        let name = model.id.as_str();
        let mut found = CacheUse::default();
        if asked.breakpoints.is_empty() {
            let about = asked.about.to_le_bytes();
            let mut dice = Dice::new(self.config.seed, "bill", &[name.as_bytes(), &about]);
            found.read = found_in_a_cache(asked.prompt_tokens, sheet, at, &mut dice);
        } else if sheet.is_some_and(|sheet| {
            sheet
                .rate(PriceKey::InputCacheRead, asked.prompt_tokens, at)
                .is_some()
        }) {
            let place = fingerprint(&[name.as_bytes(), endpoint.tag.as_bytes()]);
            found = self
                .state()
                .prompts
                .take(place, &asked.breakpoints, call.now.since);
        }
        let counts = Counts {
            prompt: asked.prompt_tokens,
            completion: answer.completion_tokens,
            reasoning: answer.reasoning_tokens,
            cached: found.read,
            written: found.written,
            written_for_an_hour: found.for_an_hour,
            searches: searches.plugin + searches.tool,
            native_searches: searches.native,
            tool_calls: searches.tool + searches.other_tools,
        };
        (counts, found)
    }

    /// How a call is charged, and its price. What an own key buys is counted at once, so that no two calls have the same part
    /// of the allowance.
    pub(crate) fn charge(
        &self,
        now: Moment,
        endpoint: &Endpoint,
        counts: Counts,
        own_key: bool,
        fails: bool,
    ) -> (Charge, Bill) {
        let mut state = self.state();
        let terms = if own_key {
            state.account.own_key_terms(&self.config.scenario.account, now)
        } else {
            Terms::Credits
        };
        let charge = Charge {
            counts,
            sheet: endpoint.sheet.clone(),
            at: now.utc(),
            terms,
        };
        let bill = charge.bill();
        if own_key && !fails {
            state.account.own_key_bought(bill.list_price(), now);
        }
        (charge, bill)
    }

    /// Remembers a call until its answer has been read.
    pub(crate) fn underway(
        &self,
        call: &Call<'_>,
        served: &Served,
        charge: Option<Charge>,
        more: impl FnOnce(Underway) -> Underway,
    ) {
        let fails = served.fault.is_some_and(Fault::fails);
        let (finish, native_finish) = match served.fault {
            Some(Fault::AfterLength) => ("length", "length"),
            _ if fails => ("error", "error"),
            _ => (served.answer.finish, served.answer.native_finish),
        };
        let generation = Generation {
            created: served.created,
            model: served.model.clone(),
            provider: served.provider,
            streamed: served.stream,
            finish: Some(finish),
            native_finish: Some(native_finish),
            cancelled: false,
            bill: served.bill,
            more: record(served),
            visible: Duration::MAX,
        };
        let underway = more(Underway {
            id: served.id.clone(),
            key: call.key,
            started: call.now,
            generation,
            charge,
            fails,
            stops: true,
            all: match served.fault {
                // It would have gone on like that.
                Some(Fault::KeepAlive) => 0,
                _ => served.answer.completion_tokens,
            },
            hold: None,
            own_key: None,
        });
        self.state().underway.insert(call.number, underway);
    }
}

/// The dated name of a model, with its variant: a free variant must not be taken for the one that is paid for.
pub(crate) fn served_name(model: &ModelRecord) -> String {
    match model.id.variant() {
        Some(variant) => format!("{}:{variant}", model.canonical_slug),
        None => model.canonical_slug.clone(),
    }
}

/// What the record of an answer says besides the usual.
fn record(served: &Served) -> Map<String, Value> {
    let mut more = Map::new();
    let mut put = |name: &str, value: Value| {
        more.insert(name.to_owned(), value);
    };
    if let Some(tier) = served.service_tier {
        put("service_tier", json!(tier));
    }
    if let Some(session) = &served.session {
        put("session_id", json!(session));
    }
    if let Some(source) = &served.source {
        put("response_cache_source_id", json!(source));
    }
    if served.bill.searches > 0 {
        put("num_search_results", json!(5 * served.bill.searches));
        put("web_search_engine", json!("exa"));
    }
    if !served.tried.is_empty() {
        let attempt = |one: &Tried| {
            json!({
                "status": one.status, "provider_name": one.provider, "model_permaslug": one.permaslug,
                "is_byok": one.own_key,
            })
        };
        put("provider_responses", served.tried.iter().map(attempt).collect());
    }
    more
}

fn echo(asked: &Asked, model: &ModelRecord) -> Value {
    let bare = model.id.as_str().split_once('/').map_or("", |(_, name)| name);
    json!({ "model": bare, "stream": asked.stream, "max_tokens": asked.max_tokens })
}

fn pipeline(asked: &Asked, searches: &Searches) -> Vec<Stage> {
    let mut stages = Vec::new();
    for plugin in &asked.plugins {
        let (kind, cost) = match plugin.id.as_str() {
            "web" => ("plugin", number(fee(searches.plugin))),
            "response-healing" => ("response_healing", None),
            "context-compression" => ("context_compression", None),
            "moderation" | "armor" => ("guardrail", None),
            _ => ("plugin", None),
        };
        let cost = cost.and_then(|cost| serde_json::from_str(cost.get()).ok());
        stages.push(Stage {
            kind,
            name: plugin.id.clone(),
            data: None,
            cost,
        });
    }
    if searches.tool + searches.other_tools > 0 {
        stages.push(Stage {
            kind: "server_tools",
            name: "server-tools".to_owned(),
            data: Some(json!({ "tool_calls_executed": searches.tool + searches.other_tools })),
            cost: None,
        });
    }
    stages
}

fn fee(searches: u64) -> Decimal {
    SEARCH_FEE.saturating_mul(Decimal::from(searches))
}

/// The tier that a request asks for, as far as it decides who serves.
pub(crate) fn tier_of(asked: &Asked) -> Option<Tier> {
    match asked.tier {
        TierAsked::Of(tier) => Some(tier),
        _ => None,
    }
}
