//! Reading answers: whole ones, streams, errors.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, SystemTime};

use integration_core::chat::{FinishReason, StreamStart, ToolCallSlots};
use integration_core::{Delivery, Error, ErrorKind, GenerationId, Result, StreamEvent, Usage};
use serde_json::Value;
use serde_json::value::RawValue;

use super::Flaw;

fn protocol(why: &str) -> Error {
    Error::new(ErrorKind::Protocol, why).with_delivery(Delivery::Partial)
}

/// Turns wire objects into pieces: a whole answer is read as a stream of one.
pub struct Reader {
    pub flaw: Option<Flaw>,
    pub key: String,
    pub out: VecDeque<StreamEvent>,
    slots: ToolCallSlots,
    named: Vec<u32>,
    id: Option<GenerationId>,
    pub started: bool,
    pub finished: bool,
    pub over: bool,
    usage: Option<Usage>,
}

impl Reader {
    pub fn new(flaw: Option<Flaw>, key: &str) -> Self {
        Self {
            flaw,
            key: key.to_owned(),
            out: VecDeque::new(),
            slots: ToolCallSlots::default(),
            named: Vec::new(),
            id: None,
            started: false,
            finished: false,
            over: false,
            usage: None,
        }
    }

    fn has(&self, flaw: Flaw) -> bool {
        self.flaw == Some(flaw)
    }

    /// An error of an answer of which something may have come.
    pub fn fail(&mut self, error: Error) -> Error {
        self.over = true;
        let error = match self.started {
            true if !self.has(Flaw::NothingSent) => error.with_delivery(Delivery::Partial),
            _ => error,
        };
        match &self.id {
            Some(id) => error.with_generation(id.clone()),
            None => error,
        }
    }

    pub fn end(&mut self) -> Result<()> {
        if self.finished && !self.has(Flaw::NeedsDone) || (self.has(Flaw::EndIsComplete) && !self.over) {
            if !self.started {
                self.out.push_back(StreamEvent::Start(StreamStart::default()));
            }
            self.complete();
            return Ok(());
        }
        let error = Error::new(ErrorKind::Truncated, "the answer ended before it was complete");
        Err(self.fail(error.with_delivery(Delivery::MaybeSent)))
    }

    pub fn complete(&mut self) {
        self.over = true;
        let zero = self.has(Flaw::UnknownIsZero).then(|| Usage::of_tokens(0, 0));
        if let Some(usage) = self.usage.take().or(zero) {
            self.out.push_back(StreamEvent::Usage(Box::new(usage)));
        }
        if !self.has(Flaw::NoEnd) {
            self.out.push_back(StreamEvent::End);
        }
    }

    /// Reads one object; `part` is `message` or `delta`.
    pub fn read(&mut self, text: &str, part: &str) -> Result<()> {
        let value: Value = match serde_json::from_str(text) {
            Ok(value) => value,
            Err(_) if self.has(Flaw::SkipsBadFrames) && part == "delta" => return Ok(()),
            Err(_) if self.has(Flaw::AnyBodyAnswers) => Value::String(text.to_owned()),
            Err(error) if error.is_eof() => {
                let error = Error::new(ErrorKind::Truncated, "cut").with_delivery(Delivery::Partial);
                return Err(self.fail(error));
            }
            Err(_) => return Err(self.fail(protocol("no JSON"))),
        };
        if let Some(error) = value.get("error").filter(|error| !error.is_null()) {
            if part == "delta" && self.has(Flaw::NoErrorFrames) {
                return Ok(());
            }
            if part == "message" && self.has(Flaw::NoErrorUnder200) {
                return Err(protocol("no choices"));
            }
            let status = error["code"].as_u64().and_then(|code| u16::try_from(code).ok());
            let error = told(status.unwrap_or(500), error, self.flaw, &self.key);
            return Err(self.fail(error));
        }
        if self.has(Flaw::AnyBodyAnswers) && value.get("choices").is_none() {
            self.out.push_back(StreamEvent::Start(StreamStart::default()));
            self.out.push_back(StreamEvent::Content {
                choice: 0,
                text: text.to_owned(),
            });
            (self.started, self.finished) = (true, true);
            return Ok(());
        }
        let Some(choices) = value["choices"].as_array() else {
            return Err(self.fail(protocol("no choices")));
        };
        if !self.started {
            self.started = true;
            let mut start = StreamStart::default();
            if !self.has(Flaw::NoId) {
                self.id = value["id"].as_str().and_then(|id| GenerationId::new(id).ok());
            }
            start.id = self.id.clone();
            start.created = value["created"].as_i64();
            if !(self.has(Flaw::WholeLosesModel) && part == "message") {
                start.model = value["model"].as_str().map(str::to_owned);
            }
            self.out.push_back(StreamEvent::Start(start));
        }
        for choice in choices {
            self.choice(&choice[part]);
            if let Some(reason) = choice["finish_reason"].as_str().filter(|_| !self.finished) {
                self.finished = true;
                let reason = match FinishReason::from(reason) {
                    _ if self.has(Flaw::AlwaysStops) => FinishReason::Stop,
                    FinishReason::Other(_) if self.has(Flaw::UnknownStops) => FinishReason::Stop,
                    reason => reason,
                };
                self.out.push_back(StreamEvent::Finish {
                    choice: 0,
                    reason,
                    native: None,
                });
            }
        }
        self.read_usage(text);
        Ok(())
    }

    /// From the text, so that amounts keep their digits.
    fn read_usage(&mut self, text: &str) {
        let top: BTreeMap<String, Box<RawValue>> = serde_json::from_str(text).unwrap_or_default();
        let Some(raw) = top.get("usage").filter(|_| !self.has(Flaw::NoUsage)) else {
            return;
        };
        let mut raw = raw.get().to_owned();
        if self.has(Flaw::Floats) {
            let value: Value = serde_json::from_str(&raw).unwrap();
            raw = value.to_string();
        }
        if self.has(Flaw::NoCostIsZero) && !raw.contains("cost") {
            raw = raw.replace('}', ",\"cost\":0}");
        }
        if let Ok(usage) = Usage::from_json(&raw) {
            self.usage = Some(usage);
        }
    }

    fn choice(&mut self, message: &Value) {
        let choice = 0;
        let text = |name: &str| {
            message[name]
                .as_str()
                .filter(|text| !text.is_empty())
                .map(str::to_owned)
        };
        if let Some(text) = text("reasoning") {
            self.out.push_back(match self.has(Flaw::ReasoningIsText) {
                true => StreamEvent::Content { choice, text },
                false => StreamEvent::Reasoning { choice, text },
            });
        }
        let null = self.has(Flaw::NullIsEmpty) && message.get("content").is_some_and(Value::is_null);
        if let Some(text) = text("content").or(null.then(String::new)) {
            self.out.push_back(StreamEvent::Content { choice, text });
        }
        if let Some(text) = text("refusal") {
            self.out.push_back(match self.has(Flaw::RefusalIsText) {
                true => StreamEvent::Content { choice, text },
                false => StreamEvent::Refusal { choice, text },
            });
        }
        let calls = message["tool_calls"]
            .as_array()
            .filter(|_| !self.has(Flaw::NoTools));
        for call in calls.into_iter().flatten() {
            let index = call["index"].as_u64().and_then(|index| u32::try_from(index).ok());
            let id = call["id"].as_str();
            let (slot, first) = match self.has(Flaw::PiecesAreCalls) {
                true => {
                    self.named.push(0);
                    (u32::try_from(self.named.len() - 1).unwrap(), true)
                }
                false => self.slots.slot(choice, index, id),
            };
            let arguments = call["function"]["arguments"].as_str().unwrap_or_default();
            let arguments = match self.has(Flaw::NoArgumentsIsNull) && arguments.is_empty() {
                true => "null",
                false => arguments,
            };
            self.out.push_back(StreamEvent::ToolCall {
                choice,
                slot,
                id: id.filter(|_| first).map(str::to_owned),
                name: call["function"]["name"]
                    .as_str()
                    .filter(|_| first)
                    .map(str::to_owned),
                arguments: arguments.to_owned(),
            });
        }
    }
}

/// The error that a server tells of.
pub fn told(status: u16, error: &Value, flaw: Option<Flaw>, key: &str) -> Error {
    let message = error["message"].as_str().unwrap_or("no message");
    let message = match flaw {
        Some(Flaw::ShowsKey) => message.to_owned(),
        _ => message.replace(key, "[redacted]"),
    };
    Error::new(kind(status, flaw), message).with_delivery(Delivery::Answered)
}

pub fn kind(status: u16, flaw: Option<Flaw>) -> ErrorKind {
    use ErrorKind as K;
    match (status, flaw) {
        (_, Some(Flaw::AllUpstream)) => K::Upstream,
        (_, Some(Flaw::AllInvalid)) => K::InvalidRequest,
        (300..=399, _) => K::Protocol,
        (401, _) => K::Auth,
        (402, _) => K::Billing,
        (403, _) => K::PermissionDenied,
        (404, _) => K::ModelNotFound,
        (408 | 504, _) => K::Timeout,
        (413, _) => K::PayloadTooLarge,
        (429, _) => K::RateLimited,
        (503 | 529, _) => K::Overloaded,
        (400..=499, _) => K::InvalidRequest,
        _ => K::Upstream,
    }
}

const DAY: u64 = 24 * 3600;

/// Seconds or a date; no more than a day.
pub fn retry_after(value: &str, now: SystemTime, flaw: Option<Flaw>) -> Option<Duration> {
    match flaw {
        Some(Flaw::NoRetryAfter) => return None,
        Some(Flaw::BelievesRetryAfter) => {
            let seconds: f64 = value.parse().unwrap_or(1.0);
            return Some(Duration::from_secs_f64(seconds.abs().min(1e15)));
        }
        _ => {}
    }
    let seconds = if !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()) {
        value.parse().unwrap_or(DAY)
    } else {
        let date = date(value)?;
        date.saturating_sub(now.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs())
    };
    Some(Duration::from_secs(seconds.min(DAY)))
}

/// `Sun, 06 Nov 1994 08:49:37 GMT` in seconds since the epoch.
fn date(text: &str) -> Option<u64> {
    let parts: Vec<&str> = text.split([' ', ':']).collect();
    let [_, day, month, year, hour, minute, second, "GMT"] = parts.as_slice() else {
        return None;
    };
    let month = "JanFebMarAprMayJunJulAugSepOctNovDec".find(month)? as u64 / 3;
    let number = |text: &str| text.parse::<u64>().ok();
    let year = number(year)?;
    let leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let days: u64 = (1970..year).map(|year| if leap(year) { 366 } else { 365 }).sum();
    let months = [
        31,
        28 + u64::from(leap(year)),
        31,
        30,
        31,
        30,
        31,
        31,
        30,
        31,
        30,
        31,
    ];
    let days = days + months.iter().take(month as usize).sum::<u64>() + number(day)? - 1;
    Some(days * DAY + number(hour)? * 3600 + number(minute)? * 60 + number(second)?)
}
