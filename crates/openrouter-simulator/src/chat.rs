//! One request for an answer: who may serve it, what fails on the way, and who serves it in the end.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use model_catalogue::ModelRecord;

use crate::account::{self, Weight};
use crate::cache::{Hit, Wish};
use crate::dice::{Dice, fingerprint};
use crate::endpoint::{Endpoint, NORMAL};
use crate::fault::{Fault, FaultPlan, RetryForm};
use crate::metadata::{self, Considered, Routing, Tried};
use crate::models::Target;
use crate::moment::Moment;
use crate::preferences::Preferences;
use crate::presets::fill_in;
use crate::problem::{About, Problem, moves_on, staged};
use crate::refusals::{Wanted, exhausted, no_route, unsuitable};
use crate::request::{Asked, parse, read};
use crate::routes::text_route;
use crate::routing::{Candidate, Need, filter, order};
use crate::scenario::Route;
use crate::serve::{Served, Serving, served_name, tier_of};
use crate::sessions::counts_against;
use crate::simulation::{Outcome, Ruling, SimulatedReply, SimulatedRequest, Simulation, edge, health_name};
use crate::staged::on_demand;
use crate::whole::BLANK;
use crate::wire::{COMMENT, Step};

/// What a request comes to.
#[derive(Debug)]
pub(crate) enum Inference {
    Served(Box<Served>),
    Failed(Box<Problem>),
    /// The service has no say in it.
    Edge(Outcome),
    /// It was accepted, and before the first word the connection broke or (if so) fell silent.
    Broken(Box<Served>, bool),
}

/// The circumstances of one request.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    pub(crate) key: u64,
    /// The route it came by: chat itself, or one of its other skins.
    route: Route,
    plan: &'a FaultPlan,
    /// Counts the requests, from 0.
    pub(crate) number: u64,
    pub(crate) now: Moment,
    pub(crate) wants_routing: bool,
    /// The header `x-session-id`.
    session: Option<&'a str>,
    /// Whether a model's name asks for a search of the web.
    online: bool,
}

/// How often the web is searched for one request, and by whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Searches {
    /// By the plugin, before the model is asked.
    pub(crate) plugin: u64,
    /// By the service's own tool.
    pub(crate) tool: u64,
    /// By the upstream.
    pub(crate) native: u64,
    /// Other tools of the service that ran.
    pub(crate) other_tools: u64,
}

impl Searches {
    pub(crate) fn count(&self) -> u64 {
        self.plugin + self.tool + self.native
    }
}

impl Call<'_> {
    /// A name for the conversation at a model.
    pub(crate) fn session(&self, asked: &Asked, model: &str) -> u64 {
        // Of the account, whichever of its keys is used.
        match self.said_session(asked) {
            Some(session) => fingerprint(&[model.as_bytes(), b"said", session.as_bytes()]),
            None => fingerprint(&[model.as_bytes(), b"seen", &asked.conversation.to_le_bytes()]),
        }
    }

    /// What the request calls its conversation; the body comes before the header.
    pub(crate) fn said_session<'s>(&'s self, asked: &'s Asked) -> Option<&'s str> {
        asked.session.as_deref().or(self.session)
    }

    /// The names by which a scenario may mean an endpoint.
    pub(crate) fn names_of<'e>(&self, endpoint: &'e Endpoint) -> [&'e str; 3] {
        [endpoint.upstream.name, endpoint.upstream.slug, &endpoint.tag]
    }

    pub(crate) fn searches(&self, asked: &Asked) -> Searches {
        let mut searches = Searches::default();
        let plugin = asked.plugins.iter().find(|plugin| plugin.id == "web");
        if plugin.is_some_and(|plugin| plugin.engine.as_deref() == Some("native")) {
            searches.native = 1;
        } else if plugin.is_some() || self.online {
            searches.plugin = 1;
        }
        for tool in &asked.server_tools {
            if tool == "openrouter:web_search" || tool.starts_with("web_search") {
                searches.tool += 1;
            } else {
                searches.other_tools += 1;
            }
        }
        searches
    }
}

impl Simulation {
    /// Answers a chat request.
    pub(crate) fn chat(&self, request: &SimulatedRequest<'_>, plan: &FaultPlan, key: u64) -> SimulatedReply {
        let (number, now) = self.next_call();
        let session = request.header("x-session-id");
        let mut call = Call {
            key,
            route: text_route(request),
            plan,
            number,
            now,
            wants_routing: metadata::is_wanted(request),
            session,
            online: false,
        };
        let wish = match Wish::read(request) {
            Ok(wish) => wish,
            Err(problem) => return (&problem).into(),
        };
        let asked = parse(request.body()).and_then(|mut fields| {
            fill_in(&mut fields, &self.config.scenario)?;
            read(&fields)
        });
        let asked = match asked {
            Ok(asked) => asked,
            Err(problem) => return (&problem).into(),
        };
        if session.is_some_and(|session| session.chars().count() > 256) {
            return (&Problem::invalid("x-session-id: Too big: expected string to have <=256 characters"))
                .into();
        }
        // The order of the properties counts, and so do spaces: it is the text that has a name, not its meaning.
        let name = fingerprint(&[
            &key.to_le_bytes(),
            request.path().as_bytes(),
            &[u8::from(asked.stream)],
            request.body(),
        ]);
        // Whoever asks for a failure wants it, not an answer from before.
        let mut drawn = None;
        if let Some(wish) = wish.filter(|wish| !wish.clear && plan.is_empty()) {
            let found = self.state().cache.find(name, now.since);
            if let Some(hit) = found {
                // What a rule stages for the model as a whole happens to a hit, too, and is drawn once for the request.
                // A rule about an upstream does not: nobody asks one.
                let ruling = self.ruling_of_the_first(&asked, &call);
                if ruling.fault.is_none() {
                    let mut reply = self.again(hit, &call, wish);
                    reply.delay += ruling.delay;
                    return reply;
                }
                drawn = Some(ruling);
            }
        }
        let mut delay = drawn.map_or(Duration::ZERO, |ruling| ruling.delay);
        let mut reply = match self.infer(&asked, &mut call, drawn, &mut delay) {
            Inference::Served(mut served) => {
                if let Some(wish) = wish {
                    served.push_header("x-openrouter-cache-status", "MISS".to_owned());
                    if served.is_good() {
                        let kept = (*served).clone();
                        self.state().cache.keep(name, kept, wish.lifetime, now.since);
                    }
                }
                served.reply()
            }
            Inference::Failed(problem) => problem.as_ref().into(),
            Inference::Edge(outcome) => outcome.into(),
            Inference::Broken(served, hangs) => self.broken(&served, asked.stream, hangs),
        };
        reply.delay += delay;
        self.expect(&reply, now);
        reply
    }

    /// Says when what is held for a call is likely to be let go.
    fn expect(&self, reply: &SimulatedReply, now: Moment) {
        let Some(number) = reply.call else {
            return;
        };
        let mut state = self.state();
        let state = &mut *state;
        if let Some(hold) = state.underway.get(&number).and_then(|call| call.hold) {
            let until = now.since.saturating_add(reply.lasts());
            state.account.expect(hold, until);
        }
    }

    /// An answer of which nothing comes but its head and a sign of life. It is booked at once, as the failure that it is: its
    /// reader did not go.
    fn broken(&self, served: &Served, stream: bool, hangs: bool) -> SimulatedReply {
        let mut reply = served.reply();
        self.read_at_once(&reply);
        reply.call = None;
        if let Outcome::Answer(answer) = &mut reply.outcome {
            let alive = if stream { COMMENT } else { BLANK };
            let end = if hangs { Step::Stall } else { Step::Break };
            answer.steps = vec![Step::Send(Bytes::from_static(alive)), end];
        }
        reply
    }

    /// What the scenario says to the first model of a request as a whole.
    fn ruling_of_the_first(&self, asked: &Asked, call: &Call<'_>) -> Ruling {
        let Some(Ok(target)) = asked.models.first().map(|name| self.target(name, asked)) else {
            return Ruling::default();
        };
        self.rule_at(call.now, call.route, &target.names(), None)
    }

    /// An answer out of the response cache.
    fn again(&self, hit: Hit, call: &Call<'_>, wish: Wish) -> SimulatedReply {
        let (dice, id, created) = self.new_id(call);
        let source = hit.served.id.clone();
        let mut served = hit.served.again(id.clone(), created, (call.number, dice));
        for (name, value) in [
            ("x-openrouter-cache-status", "HIT".to_owned()),
            ("x-openrouter-cache-age", hit.age.as_secs().to_string()),
            (
                "x-openrouter-cache-ttl",
                hit.left.min(wish.lifetime).as_secs().to_string(),
            ),
            ("x-openrouter-cache-source-id", source),
        ] {
            served.push_header(name, value);
        }
        self.underway(call, &served, None, |underway| underway);
        served.reply()
    }

    /// Finds somebody who serves a request. What the scenario says to the first model may have been drawn before.
    fn infer(
        &self,
        asked: &Asked,
        call: &mut Call<'_>,
        drawn: Option<Ruling>,
        delay: &mut Duration,
    ) -> Inference {
        let mut targets: Vec<Target<'_>> = Vec::new();
        let mut failed = Vec::new();
        for (at, name) in asked.models.iter().enumerate() {
            match self.target(name, asked) {
                Ok(target) => targets.push(target),
                // A later model that nobody serves is no reason to refuse the first.
                Err(problem) if at > 0 && problem.status == 404 => failed.push((problem, None)),
                Err(problem) => return Inference::Failed(Box::new(problem)),
            }
        }
        call.online = targets.iter().any(|target| target.suffixes.online);
        let attempt = Attempt {
            simulation: self,
            asked,
            call,
            routing: Routing {
                requested: asked.models.first().cloned().unwrap_or_default(),
                strategy: match targets.as_slice() {
                    [one] if failed.is_empty() => one.strategy,
                    _ => "fallback",
                },
                ..Routing::default()
            },
            failed,
            committed: None,
        };
        if let Err(problem) = attempt.let_in() {
            return attempt.fail(problem);
        }
        attempt.run(&targets, drawn, delay)
    }
}

/// Whoever accepted first: from then on the status is 200, whatever comes.
#[derive(Debug)]
struct Committed<'a> {
    target: &'a Target<'a>,
    endpoint: Endpoint,
    own_key: bool,
}

/// One request on its way from endpoint to endpoint.
struct Attempt<'a> {
    simulation: &'a Simulation,
    asked: &'a Asked,
    call: &'a Call<'a>,
    routing: Routing,
    /// What failed, and at whom.
    failed: Vec<(Problem, Option<&'static str>)>,
    committed: Option<Committed<'a>>,
}

/// What has been found out about a model.
#[derive(Debug, Clone, Copy, Default)]
struct Standing {
    /// What the scenario or the request stages for the model as a whole.
    ruling: Option<Ruling>,
    /// Whether no more of its endpoints are tried.
    over: bool,
    /// Whether the request has been counted as one for a free model.
    counted: bool,
}

impl<'a> Attempt<'a> {
    /// Whether the account may ask for anything at all.
    fn let_in(&self) -> Result<(), Problem> {
        let shape = &self.simulation.config.scenario.account;
        self.simulation.may_ask(self.call.key, self.call.now)?;
        let question = self.asked.question.to_lowercase();
        let found = shape
            .blocked
            .iter()
            .find(|pattern| question.contains(&pattern.to_lowercase()));
        found.map_or(Ok(()), |pattern| Err(account::blocked(pattern)))
    }

    /// An error answer; it says how the request was routed where that was asked for and anything is known of it.
    fn fail(self, problem: Problem) -> Inference {
        let told = self.call.wants_routing && !matches!(problem.status, 401 | 500) && problem.is_usual();
        Inference::Failed(Box::new(if told {
            problem.with_routing(self.routing.value(None))
        } else {
            problem
        }))
    }

    /// Everybody has failed. Who has been told that it works hears of it in the body.
    fn give_up(mut self) -> Inference {
        let alone = self.failed.len() == 1;
        let problem = exhausted(std::mem::take(&mut self.failed));
        let Some(committed) = self.committed.take() else {
            return self.fail(problem);
        };
        let fault = if alone || self.asked.stream {
            Fault::ErrorFirst
        } else {
            Fault::Error200
        };
        let serving = Serving {
            model: committed.target.record,
            endpoint: committed.endpoint,
            fault: Some(fault),
            problem,
            hold: None,
            own_key: committed.own_key,
            routing: self.routing,
        };
        let served = self.simulation.serve(self.asked, self.call, serving);
        Inference::Served(Box::new(served))
    }

    /// The edge has the last word. Nobody has accepted, so that there is nothing to book; or somebody has, and then that is
    /// booked as an answer that failed, and the client, who has been sent the status, sees its body break off.
    fn break_off(self, outcome: Outcome) -> Inference {
        if self.committed.is_none() {
            return Inference::Edge(outcome);
        }
        let hangs = matches!(outcome, Outcome::Hang);
        match self.give_up() {
            Inference::Served(served) => Inference::Broken(served, hangs),
            other => other,
        }
    }

    fn preferences(&self) -> Preferences {
        self.simulation
            .config
            .scenario
            .account
            .narrowed(&self.asked.provider)
    }

    fn run(mut self, targets: &'a [Target<'a>], drawn: Option<Ruling>, delay: &mut Duration) -> Inference {
        let simulation = self.simulation;
        let preferences = self.preferences();
        let endpoints: Vec<Arc<[Endpoint]>> = targets
            .iter()
            .map(|target| simulation.endpoints(target.record))
            .collect();
        let list = self.plan(targets, &endpoints, &preferences);
        if list.is_empty() {
            return self.give_up();
        }
        let mut standings = vec![Standing::default(); targets.len()];
        if let Some(first) = standings.first_mut() {
            first.ruling = drawn;
        }
        for candidate in list {
            let (Some(target), Some(standing)) =
                (targets.get(candidate.model), standings.get_mut(candidate.model))
            else {
                continue;
            };
            if standing.over {
                continue;
            }
            match self.try_one(target, candidate.endpoint, standing, delay) {
                Next::Go => {}
                Next::Over => standing.over = true,
                Next::End => break,
                Next::Done(outcome) => return self.break_off(outcome),
                // Whoever has been told that it works hears of this, too, in the body.
                Next::Fail(problem) if self.committed.is_some() => {
                    self.failed.push((*problem, None));
                    break;
                }
                Next::Fail(problem) => return self.fail(*problem),
                Next::Serve(serving) => {
                    let served = simulation.serve(self.asked, self.call, *serving);
                    return Inference::Served(Box::new(served));
                }
            }
        }
        self.give_up()
    }

    /// The endpoints to try, in order; why the rest is not, goes to what failed.
    fn plan<'e>(
        &mut self,
        targets: &[Target<'_>],
        endpoints: &'e [Arc<[Endpoint]>],
        preferences: &Preferences,
    ) -> Vec<Candidate<'e>> {
        let (simulation, asked, call) = (self.simulation, self.asked, self.call);
        let shape = &simulation.config.scenario.account;
        let mut groups: Vec<(usize, Vec<Candidate<'e>>)> = Vec::new();
        for (at, (target, endpoints)) in targets.iter().zip(endpoints).enumerate() {
            if let Err(problem) = unsuitable(asked, target) {
                self.failed.push((problem, None));
                continue;
            }
            let model = target.record.id.as_str();
            let session = call.session(asked, model);
            let sticky = simulation
                .state()
                .sessions
                .endpoint(session, call.now.since)
                .map(str::to_owned);
            let allowed = |endpoint: &&Endpoint| shape.allows(endpoint);
            let candidates: Vec<Candidate<'e>> = endpoints
                .iter()
                .filter(allowed)
                .map(|endpoint| Candidate {
                    model: at,
                    endpoint,
                    down: simulation.status_of(target.record, endpoint, call.now) != NORMAL,
                    sticky: sticky.as_deref() == Some(endpoint.tag.as_str()),
                })
                .collect();
            self.routing.total += endpoints.len();
            let need = self.need(target, preferences);
            let (left, funnel) = filter(candidates, &need);
            if left.is_empty() {
                let wanted = Wanted {
                    name: target.name,
                    prompt_tokens: asked.prompt_tokens,
                    max_tokens: asked.max_tokens,
                    inputs: &asked.inputs,
                    provider: &asked.provider,
                };
                let problem = no_route(&wanted, endpoints, &funnel);
                self.failed.push((problem, None));
                continue;
            }
            self.routing
                .available
                .extend(left.iter().map(|candidate| Considered {
                    provider: candidate.endpoint.upstream.name,
                    model: target.record.id.to_string(),
                    tag: candidate.endpoint.tag.clone(),
                }));
            groups.push((at, left));
        }
        let mut dice = Dice::new(simulation.config.seed, "route", &[&call.number.to_le_bytes()]);
        if preferences.across_models && groups.len() > 1 {
            let Some(target) = groups.first().and_then(|(at, _)| targets.get(*at)) else {
                return Vec::new();
            };
            let all = groups.into_iter().flat_map(|(_, left)| left).collect();
            return order(all, &self.need(target, preferences), &mut dice);
        }
        let mut list = Vec::new();
        for (at, left) in groups {
            if let Some(target) = targets.get(at) {
                list.extend(order(left, &self.need(target, preferences), &mut dice));
            }
        }
        list
    }

    fn need<'n>(&self, target: &Target<'_>, preferences: &'n Preferences) -> Need<'n>
    where
        'a: 'n,
    {
        Need {
            preferences,
            sort: preferences.sort.or(target.suffixes.sort),
            only_tier: tier_of(self.asked),
            with_tier: target.suffixes.tier,
            sent: &self.asked.sent,
            inputs: &self.asked.inputs,
            prompt_tokens: self.asked.prompt_tokens,
            max_tokens: self.asked.max_tokens,
            own_keys: &self.simulation.config.scenario.account.byok,
            at: self.call.now.utc(),
        }
    }

    /// Whether the account can pay for it. What is held for it, if anything, is held from here on.
    fn afford(&self, record: &ModelRecord, endpoint: &Endpoint) -> Result<Option<u64>, Problem> {
        let (asked, now) = (self.asked, self.call.now);
        let most = asked.max_tokens.or(endpoint.max_completion_tokens);
        let sheet = endpoint.sheet.as_ref().filter(|_| !record.is_free_variant());
        let weight = sheet.and_then(|sheet| Weight::new(sheet, asked.prompt_tokens, most, now.utc()));
        let Some(weight) = weight else {
            return Ok(None);
        };
        let mut state = self.simulation.state();
        let state = &mut *state;
        let shape = &self.simulation.config.scenario.account;
        state.account.afford(shape, &state.memory.spending, &weight, now)
    }

    fn try_one(
        &mut self,
        target: &'a Target<'a>,
        endpoint: &Endpoint,
        standing: &mut Standing,
        delay: &mut Duration,
    ) -> Next<'a> {
        let (simulation, call) = (self.simulation, self.call);
        let record = target.record;
        let shape = &simulation.config.scenario.account;
        let own_key = shape.byok.iter().any(|slug| slug == endpoint.upstream.slug);
        let names = target.names();
        let first = standing.ruling.is_none();
        // An own key is exempt, until the request goes on to somebody without one.
        if !own_key && record.is_free_variant() && !std::mem::replace(&mut standing.counted, true) {
            let counted = simulation.state().account.count_free(shape, call.now);
            if let Err(problem) = counted {
                self.failed.push((problem, None));
                return Next::Over;
            }
        }
        // What is staged for the model as a whole happens at whichever endpoint comes first.
        let ruling = *standing
            .ruling
            .get_or_insert_with(|| match call.plan.part_for(&names) {
                Some((fault, retry_form)) => Ruling {
                    fault: Some(fault),
                    retry_after: retry_form.and_then(RetryForm::seconds),
                    retry_form,
                    delay: Duration::ZERO,
                },
                None => simulation.rule_at(call.now, call.route, &names, None),
            });
        if first {
            *delay += ruling.delay;
        }
        let hold = if own_key {
            None
        } else {
            match self.afford(record, endpoint) {
                Ok(hold) => hold,
                Err(problem) => return Next::Fail(Box::new(problem)),
            }
        };
        match self.ask(target, endpoint, ruling, own_key, delay) {
            Next::Serve(serving) => Next::Serve(Box::new(Serving { hold, ..*serving })),
            other => {
                simulation.state().account.release(hold);
                other
            }
        }
    }

    /// Asks one endpoint, which nothing of the account speaks against any more.
    fn ask(
        &mut self,
        target: &'a Target<'a>,
        endpoint: &Endpoint,
        ruling: Ruling,
        own_key: bool,
        delay: &mut Duration,
    ) -> Next<'a> {
        let (simulation, asked, call) = (self.simulation, self.asked, self.call);
        let record = target.record;
        let names = target.names();
        let (ruling, whole_model) = match ruling.fault {
            Some(_) => (ruling, true),
            None => {
                let names_of = call.names_of(endpoint);
                let own = simulation.rule_at(call.now, call.route, &names, Some(&names_of));
                *delay += own.delay;
                (own, false)
            }
        };
        let about = About {
            model: target.name,
            upstream: endpoint.upstream.name,
            flagged: &asked.question,
            max_tokens: asked
                .max_tokens
                .or(record.max_completion_tokens)
                .unwrap_or(65_536),
        };
        let tried = |status| Tried {
            provider: endpoint.upstream.name,
            model: record.id.to_string(),
            tag: endpoint.tag.clone(),
            status,
            permaslug: served_name(record),
            own_key,
        };
        let health = health_name(record.id.as_str(), &endpoint.tag);
        let note = |good| {
            simulation.state().health.note(health, call.now.since, good);
        };
        let fault = ruling.fault;
        if let Some(outcome) = fault.and_then(edge) {
            return Next::Done(outcome);
        }
        if let Some(mut problem) =
            fault.and_then(|fault| on_demand(fault, about, call.now, ruling, asked.stream))
        {
            if own_key && problem.metadata.contains_key("is_byok") {
                problem = problem.with("is_byok", true);
            }
            self.routing.attempts.push(tried(problem.status));
            if counts_against(problem.status) {
                note(false);
            }
            let last = !moves_on(problem.status) || problem.is_of_the_account();
            self.failed.push((problem, Some(endpoint.upstream.name)));
            return match (last, whole_model) {
                (true, _) => Next::End,
                (false, true) => Next::Over,
                (false, false) => Next::Go,
            };
        }
        if fault == Some(Fault::ErrorFirst) {
            // It has accepted, and fails before it says a word: the next one may still serve, under the status given.
            let problem = staged(502, about, None);
            self.routing.attempts.push(tried(problem.status));
            note(false);
            self.failed.push((problem, Some(endpoint.upstream.name)));
            self.committed.get_or_insert_with(|| Committed {
                target,
                endpoint: endpoint.clone(),
                own_key,
            });
            return if whole_model { Next::Over } else { Next::Go };
        }
        note(!fault.is_some_and(Fault::fails));
        self.routing.attempts.push(tried(200));
        let problem = staged(
            502,
            About {
                model: record.id.as_str(),
                flagged: "",
                max_tokens: 0,
                ..about
            },
            None,
        );
        Next::Serve(Box::new(Serving {
            model: record,
            endpoint: endpoint.clone(),
            fault,
            problem,
            hold: None,
            own_key,
            routing: std::mem::take(&mut self.routing),
        }))
    }
}

/// What follows from one attempt.
enum Next<'a> {
    /// The next endpoint is tried.
    Go,
    /// The next model is tried.
    Over,
    /// Nobody else is tried.
    End,
    /// The account is the reason.
    Fail(Box<Problem>),
    /// Something other than the service answers, or nothing does.
    Done(Outcome),
    Serve(Box<Serving<'a>>),
}
