//! One service in four skins: requests are translated into chat requests, and chat answers into the shape of the route.

use bytes::Bytes;
use serde_json::{Map, Value};

use crate::dice::fingerprint;
use crate::fault::FaultPlan;
use crate::problem::Problem;
use crate::routes::access::Caller;
use crate::routes::answers::{Event, Events, Piece};
use crate::routes::completions::Completions;
use crate::routes::messages_stream::MessageWriter;
use crate::routes::responses_stream::ResponseWriter;
use crate::routes::{messages, responses};
use crate::scenario::Route;
use crate::simulation::{Outcome, SimulatedAnswer, SimulatedReply, SimulatedRequest, Simulation};
use crate::wire::Step;

pub(crate) type Fields = Map<String, Value>;

/// The shape in which a route takes requests and gives answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Skin {
    /// That of the chat route; errors of every page have it, too.
    Chat,
    Completions,
    Responses,
    Messages,
}

/// What a translation needs to know besides the answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct About<'a> {
    /// The request, as it came.
    pub(crate) asked: &'a Fields,
    pub(crate) seed: u64,
    /// Seconds since 1970.
    pub(crate) now: u64,
}

/// Writes an answer in its shape, piece by piece.
pub(crate) trait Writer {
    /// The model is still at work.
    fn comment(&mut self) -> Vec<u8>;

    /// A piece of the chat answer: a chunk, or all of it.
    fn piece(&mut self, piece: Piece) -> Vec<u8>;

    /// The chat stream said that it is complete.
    fn done(&mut self) -> Vec<u8>;

    /// The chat stream is over. Something is written only if it had all but said so.
    fn end(&mut self) -> Vec<u8>;

    /// The answer in one piece, after all pieces have come.
    fn whole(&mut self) -> Vec<u8>;
}

/// A JSON event of a stream whose events have no names.
pub(crate) fn data_line(event: &impl serde::Serialize) -> Vec<u8> {
    let mut line = b"data: ".to_vec();
    // Structures with string keys cannot fail to serialise into memory.
    if serde_json::to_writer(&mut line, event).is_ok() {
        line.extend_from_slice(b"\n\n");
    }
    line
}

/// Reads the body of a request.
pub(crate) fn read_object(body: &[u8]) -> Result<Fields, Problem> {
    match serde_json::from_slice(body) {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(_) => Err(Problem::invalid("The request body must be a JSON object")),
        Err(error) => Err(Problem::invalid(format!(
            "The request body is not valid JSON: {error}"
        ))),
    }
}

/// Moves the fields that mean the same in both shapes.
pub(crate) fn carry(from: &Fields, to: &mut Fields, names: &[&str]) {
    for name in names {
        if let Some(value) = from.get(*name) {
            to.insert((*name).to_owned(), value.clone());
        }
    }
}

/// The kind of an error, by its own word or else by its code.
pub(crate) fn error_type(error: &Value, status: u16) -> String {
    if let Some(kind) = error.pointer("/metadata/error_type").and_then(Value::as_str) {
        return kind.to_owned();
    }
    let code = error["code"].as_u64().unwrap_or(status.into());
    let kind = match code {
        400 => "invalid_request",
        401 => "authentication",
        402 => "payment_required",
        403 => "permission_denied",
        404 => "not_found",
        408 | 504 | 524 => "timeout",
        412 => "precondition_failed",
        413 => "payload_too_large",
        422 => "unprocessable",
        429 => "rate_limit_exceeded",
        502 => "provider_unavailable",
        503 | 529 => "provider_overloaded",
        500 => "server",
        _ => "unmapped",
    };
    kind.to_owned()
}

/// The words of an error.
pub(crate) fn message(error: &Value) -> String {
    let text = error.get("message").and_then(Value::as_str);
    text.unwrap_or("The provider ended in an error").to_owned()
}

impl Skin {
    pub(crate) fn of(route: Route) -> Self {
        match route {
            Route::Completions => Self::Completions,
            Route::Responses => Self::Responses,
            Route::Messages => Self::Messages,
            _ => Self::Chat,
        }
    }

    /// An error of the service itself.
    pub(crate) fn reply(self, problem: &Problem) -> SimulatedReply {
        let nothing = Fields::new();
        let about = About {
            asked: &nothing,
            seed: 0,
            now: 0,
        };
        self.translate(problem.into(), about)
    }

    /// The chat request that a request means.
    fn request(self, fields: &Fields) -> Result<Fields, Problem> {
        match self {
            Self::Chat => Ok(fields.clone()),
            Self::Completions => crate::routes::completions::request(fields),
            Self::Responses => responses::request(fields),
            Self::Messages => messages::request(fields),
        }
    }

    fn writer(self, about: About<'_>) -> Box<dyn Writer> {
        match self {
            Self::Responses => Box::new(ResponseWriter::new(about)),
            Self::Messages => Box::new(MessageWriter::default()),
            Self::Chat | Self::Completions => Box::new(Completions::default()),
        }
    }

    /// The body of an error answer; the status may become another one.
    fn error_body(self, status: u16, body: Value, id: Option<&str>, about: About<'_>) -> (u16, Vec<u8>) {
        match self {
            Self::Chat | Self::Completions => (status, body.to_string().into_bytes()),
            Self::Responses => responses::error_body(status, body, id, about),
            Self::Messages => (
                status,
                messages::error_body(status, &body, id).to_string().into_bytes(),
            ),
        }
    }

    /// A chat answer in this shape.
    fn translate(self, reply: SimulatedReply, about: About<'_>) -> SimulatedReply {
        let SimulatedReply { delay, outcome, call } = reply;
        let outcome = match outcome {
            Outcome::Answer(answer) if self != Self::Chat => {
                Outcome::Answer(self.translate_answer(answer, about))
            }
            other => other,
        };
        SimulatedReply { delay, outcome, call }
    }

    fn translate_answer(self, answer: SimulatedAnswer, about: About<'_>) -> SimulatedAnswer {
        let header = |wanted: &str| {
            let found = answer.headers.iter().find(|(name, _)| *name == wanted);
            found.map(|(_, value)| value.clone())
        };
        let kind = header("content-type").unwrap_or_default();
        if kind.starts_with("text/event-stream") {
            let steps = self.stream(answer.steps, self.writer(about));
            return SimulatedAnswer { steps, ..answer };
        }
        if !kind.starts_with("application/json") || answer.steps.is_empty() {
            // A page from somewhere on the way, or nothing at all.
            return answer;
        }
        let id = header("x-generation-id");
        let (status, steps) = self.whole(answer.status, answer.steps, id.as_deref(), about);
        let headers = answer.headers;
        if status == 200 && wants_stream(about.asked) && status != answer.status {
            // An error that became an answer comes as the answer would have come.
            let headers = headers
                .into_iter()
                .map(|(name, value)| match name {
                    "content-type" => (name, "text/event-stream".to_owned()),
                    _ => (name, value),
                })
                .collect();
            return SimulatedAnswer {
                status,
                headers,
                steps,
            };
        }
        SimulatedAnswer {
            status,
            headers,
            steps,
        }
    }

    /// The steps of a body in one piece: white space and waits stay, the JSON becomes another.
    fn whole(self, status: u16, steps: Vec<Step>, id: Option<&str>, about: About<'_>) -> (u16, Vec<Step>) {
        let mut body = Vec::new();
        let mut kept = Vec::new();
        // What comes after the last byte, if it is not the end.
        let mut last = None;
        for step in steps {
            match step {
                Step::Send(bytes) if body.is_empty() && bytes.trim_ascii().is_empty() => {
                    kept.push(Step::Send(bytes));
                }
                Step::Send(bytes) => body.extend_from_slice(&bytes),
                Step::Break | Step::Stall => last = Some(step),
                other => kept.push(other),
            }
        }
        if body.is_empty() {
            // Nothing came of it, and nothing is made of it.
            kept.extend(last);
            return (status, kept);
        }
        let (status, text) = match serde_json::from_slice::<Value>(&body) {
            Ok(value)
                if value.get("error").is_some_and(Value::is_object) && value.get("choices").is_none() =>
            {
                self.error_body(status, value, id, about)
            }
            Ok(_) => {
                let mut writer = self.writer(about);
                if let Some(piece) = Piece::read(&body) {
                    writer.piece(piece);
                }
                (status, writer.whole())
            }
            Err(_) => {
                // What was cut off is cut off in this shape as well: the first half of an answer that says nothing yet.
                let mut writer = self.writer(about);
                writer.piece(Piece {
                    id: id.map(str::to_owned),
                    ..Piece::default()
                });
                let mut text = writer.whole();
                text.truncate(text.len() / 2);
                (status, text)
            }
        };
        kept.push(Step::Send(text.into()));
        kept.extend(last);
        (status, kept)
    }

    /// The steps of a stream: waits and breaks stay where they are between the events.
    fn stream(self, steps: Vec<Step>, mut writer: Box<dyn Writer>) -> Vec<Step> {
        let mut events = Events::default();
        let mut out = Vec::with_capacity(steps.len());
        let mut broken = false;
        for step in steps {
            match step {
                Step::Send(bytes) => {
                    let mut text = Vec::new();
                    for event in events.push(&bytes) {
                        text.extend(match event {
                            Event::Comment => writer.comment(),
                            Event::Piece(piece) => writer.piece(*piece),
                            Event::Done => writer.done(),
                        });
                    }
                    if !text.is_empty() {
                        out.push(Step::Send(Bytes::from(text)));
                    }
                }
                other => {
                    broken |= other == Step::Break;
                    out.push(other);
                }
            }
        }
        if !broken {
            let text = writer.end();
            out.extend((!text.is_empty()).then(|| Step::Send(text.into())));
        }
        out
    }
}

/// Whether a request wants its answer as a stream.
pub(crate) fn wants_stream(asked: &Fields) -> bool {
    asked.get("stream") == Some(&Value::Bool(true))
}

impl Simulation {
    /// Answers a request for text in any of the four shapes.
    pub(crate) fn generate(
        &self,
        request: &SimulatedRequest<'_>,
        route: Route,
        skin: Skin,
        plan: &FaultPlan,
        caller: Caller,
    ) -> SimulatedReply {
        let keeps = self.config.scenario.generation.content;
        if route == Route::Chat {
            let reply = self.chat(request, plan, caller.key);
            if keeps {
                self.state().accounts.contents.keep(request.body(), &reply);
            }
            return reply;
        }
        let asked = match read_object(request.body()) {
            Ok(asked) => asked,
            Err(problem) => return skin.reply(&problem),
        };
        let chat = match skin.request(&asked) {
            Ok(mut chat) => {
                // The response cache goes by the text of a request, of which the translation has kept the meaning only.
                let text = fingerprint(&[request.body()]);
                chat.insert("simulator_source".to_owned(), Value::from(text));
                Value::Object(chat).to_string().into_bytes()
            }
            Err(problem) => return skin.reply(&problem),
        };
        let reply = self.chat(&request.clone().with_body(&chat), plan, caller.key);
        if keeps {
            self.state().accounts.contents.keep(&chat, &reply);
        }
        let about = About {
            asked: &asked,
            seed: self.config.seed,
            now: u64::try_from(self.time().unix()).unwrap_or_default(),
        };
        skin.translate(reply, about)
    }
}

impl SimulatedReply {
    /// Adds a header, if there is an answer to add it to.
    pub(crate) fn push_header(&mut self, name: &'static str, value: String) {
        if let Outcome::Answer(answer) = &mut self.outcome {
            answer.headers.push((name, value));
        }
    }
}
