//! Answers that come in one piece: what they are made of, and how a fault spoils them.

use bytes::Bytes;
use serde_json::{Map, Value};

use crate::fault::{Fault, FaultPlan, RetryForm};
use crate::problem::{About, Problem, staged};
use crate::routes::access::Caller;
use crate::routes::query::{Issues, Query};
use crate::routes::{ServedRoute, account, endpoints, generation, keys, models, pkce, vectors};
use crate::scenario::Route;
use crate::simulation::{Outcome, Ruling, SimulatedAnswer, SimulatedReply, Simulation, edge};
use crate::staged::on_demand;
use crate::wire::Step;

/// A request for a page, taken apart.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    pub(crate) entry: ServedRoute,
    /// The values of the placeholders in the path.
    pub(crate) values: Vec<String>,
    pub(crate) query: Query,
    pub(crate) body: &'a [u8],
    pub(crate) caller: Option<Caller>,
}

impl Call<'_> {
    /// A part of the path.
    pub(crate) fn value(&self, at: usize) -> &str {
        self.values.get(at).map_or("", String::as_str)
    }

    pub(crate) fn key(&self) -> u64 {
        self.caller.unwrap_or_default().key
    }

    /// The body as a JSON object.
    pub(crate) fn object(&self) -> Result<Map<String, Value>, Problem> {
        match serde_json::from_slice(self.body) {
            Ok(Value::Object(fields)) => Ok(fields),
            Ok(_) => Err(Problem::invalid("The request body must be a JSON object")),
            Err(error) => Err(Problem::invalid(format!(
                "The request body is not valid JSON: {error}"
            ))),
        }
    }
}

/// An answer in one piece.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Page {
    pub(crate) status: u16,
    pub(crate) body: String,
    pub(crate) headers: Vec<(&'static str, String)>,
    /// How many times white space comes before the body.
    pub(crate) blanks: u32,
    /// The number of the call that is entered into the books when the page has been read.
    pub(crate) call: Option<u64>,
}

impl Page {
    pub(crate) fn new(body: impl Into<String>) -> Self {
        Self {
            status: 200,
            body: body.into(),
            headers: Vec::new(),
            blanks: 0,
            call: None,
        }
    }

    pub(crate) fn json(body: &impl serde::Serialize) -> Self {
        // What is serialised here has string keys only, which cannot fail.
        Self::new(serde_json::to_string(body).unwrap_or_default())
    }

    pub(crate) fn with_status(self, status: u16) -> Self {
        Self { status, ..self }
    }

    pub(crate) fn with_header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// Why there is no page.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Refusal {
    Problem(Box<Problem>),
    /// Wrong parameters, in the shape that only some routes use.
    Issues(Issues),
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self::Problem(Box::new(problem))
    }
}

impl From<Issues> for Refusal {
    fn from(issues: Issues) -> Self {
        Self::Issues(issues)
    }
}

impl From<Refusal> for SimulatedReply {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Problem(problem) => (&*problem).into(),
            Refusal::Issues(issues) => SimulatedAnswer::json(400, issues.body().to_string()).into(),
        }
    }
}

/// What a page is about, for faults that name a model or an upstream.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Subject {
    /// Every name the model goes by.
    pub(crate) models: Vec<String>,
    /// The name and the slug of who serves it.
    pub(crate) upstream: Option<[&'static str; 2]>,
}

impl Simulation {
    /// A page, or what a fault makes of it.
    pub(crate) fn page(&self, call: &Call<'_>, plan: &FaultPlan) -> SimulatedReply {
        let route = call.entry.route;
        let subject = match route {
            Route::Embeddings | Route::Rerank => self.subject(call),
            _ => Subject::default(),
        };
        let names: Vec<&str> = subject.models.iter().map(String::as_str).collect();
        let asked = plan.part_for(&names).filter(|(fault, _)| fault.fits_pages());
        let mut ruling = match asked {
            Some((fault, retry_form)) => Ruling {
                fault: Some(fault),
                retry_after: retry_form.and_then(RetryForm::seconds),
                retry_form,
                ..Ruling::default()
            },
            None => self.rule(route, &names, None),
        };
        if let (None, Some(upstream)) = (ruling.fault, subject.upstream) {
            // There is nobody else to move on to.
            let own = self.rule(route, &names, Some(upstream));
            ruling.delay += own.delay;
            let delay = ruling.delay;
            ruling = Ruling { delay, ..own };
        }
        let mut reply = self.spoiled(call, &subject, ruling);
        reply.delay += ruling.delay;
        reply
    }

    fn spoiled(&self, call: &Call<'_>, subject: &Subject, ruling: Ruling) -> SimulatedReply {
        let about = About {
            model: subject.models.first().map_or("the request", String::as_str),
            upstream: subject.upstream.map_or("OpenRouter", |[name, _]| name),
            flagged: "",
            max_tokens: 0,
        };
        let page = match ruling.fault {
            Some(fault @ Fault::Status(_)) => {
                let problem = on_demand(fault, about, self.moment(), ruling, false);
                return (&problem.unwrap_or_else(|| staged(500, about, None))).into();
            }
            Some(fault) if edge(fault).is_some() => return edge(fault).unwrap_or(Outcome::Hang).into(),
            Some(Fault::Error200) => Page::new(staged(502, about, None).body().to_string()),
            Some(Fault::Empty) => {
                return SimulatedAnswer::new(200, "application/json", Vec::new()).into();
            }
            _ => match self.made(call) {
                Ok(page) => page,
                Err(refusal) => return refusal.into(),
            },
        };
        let mut answer = SimulatedAnswer::json(page.status, page.body);
        answer.headers.extend(page.headers);
        if let (Some(Fault::Cut), Some(Step::Send(body))) = (ruling.fault, answer.steps.first_mut()) {
            body.truncate(body.len() / 2);
            answer.steps.push(Step::Break);
        }
        for _ in 0..page.blanks {
            answer
                .steps
                .insert(0, Step::Send(Bytes::from_static(b"\n         \n")));
        }
        SimulatedReply {
            call: page.call,
            ..answer.into()
        }
    }

    fn made(&self, call: &Call<'_>) -> Result<Page, Refusal> {
        match call.entry.route {
            Route::Models => models::list(self, call),
            Route::ModelsCount => models::count(self, call),
            Route::ModelsUser => models::of_user(self, call),
            Route::Model => models::one(self, call),
            Route::Endpoints => endpoints::of_model(self, call),
            Route::EndpointsZdr => Ok(endpoints::zdr(self, call)),
            Route::Providers => Ok(endpoints::providers()),
            Route::Generation => generation::record(self, call),
            Route::GenerationContent => generation::content(self, call),
            Route::GenerationFeedback => generation::feedback(self, call),
            Route::Key => Ok(account::key(self, call)),
            Route::Credits => Ok(account::credits(self)),
            Route::Activity => account::activity(self, call),
            Route::Keys => keys::answer(self, call),
            Route::AuthKeys => pkce::exchange(self, call),
            Route::AuthKeysCode => pkce::code(self, call),
            Route::CreditsCoinbase => Err(Problem::new(
                410,
                "The Coinbase APIs used by this endpoint have been deprecated, so the Coinbase Commerce credits API has \
                 been removed. Use the web credits purchase flow instead.",
            )
            .into()),
            Route::Embeddings => vectors::embeddings(self, call),
            Route::Rerank => vectors::rerank(self, call),
            Route::Chat | Route::Completions | Route::Responses | Route::Messages => {
                Err(Problem::new(500, "Internal Server Error").into())
            }
        }
    }
}
