//! What can go wrong on purpose, and how a request asks for it.

use std::fmt;
use std::str::FromStr;

use crate::moment::Moment;

/// A failure that the simulator stages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Fault {
    /// An error answer with this HTTP status (400 to 599) and the envelope that belongs to it.
    Status(u16),
    /// The request is taken and never answered.
    Hang,
    /// The connection is reset before any byte of an answer.
    Reset,
    /// The connection breaks in the middle of the body.
    Cut,
    /// The stream ends in the middle as if it were complete, without a finish reason and without `[DONE]`.
    Truncate,
    /// Status 200, and a body that holds only an error.
    Error200,
    /// The first event of the stream is an error. Without a stream: an error in the choice, and no content.
    ErrorFirst,
    /// An error event after half of the answer. Without a stream: an error in the choice, next to half of the content.
    ErrorMid,
    /// The finish reason is `error`, and nowhere stands what the error is.
    FinishError,
    /// A page of HTML with status 502, as a proxy on the way sends it.
    Html,
    /// Status 200 and no answer: an empty body, or a stream of comments only.
    Empty,
    /// A complete answer without `usage`.
    NoUsage,
    /// A complete stream whose usage comes in a last chunk without choices.
    UsageAlone,
    /// A complete stream without `[DONE]`.
    NoDone,
    /// A page of HTML with this status (400 to 599): `html-403`, `html-429`, `html-520` as the edge sends them.
    HtmlPage(u16),
    /// Status 400 and an error of the route's own validation, which has neither the usual envelope nor a code.
    Zod,
    /// A provider's error whose own words stand in the metadata as an object instead of a text.
    RawObject,
    /// A provider's error whose own words are plain text.
    RawText,
    /// As `error-mid`, with a text as the code of the error. Without a stream: status 500 and such a code.
    StringCode,
    /// As `error-mid`, in an event without choices, and nothing after it.
    NoChoices,
    /// Chunks that finish by length, then an error event with usage and no finish reason, then `[DONE]`.
    AfterLength,
    /// A complete stream with the usage in both of its last chunks.
    UsageTwice,
    /// A complete answer with `"usage": null`.
    UsageNull,
    /// A complete answer with `"usage": {}`.
    UsageEmpty,
    /// A complete answer with counts and no cost, as of 2025.
    UsageWithoutCost,
    /// A complete answer whose usage has null in place of every detail.
    UsageNullDetails,
    /// A complete answer that counts more tokens of reasoning than of completion.
    ReasoningOver,
    /// An answer of no tokens and no finish reason. Nothing is charged for it.
    Blank,
    /// Half of an answer, and then silence on an open connection.
    Stall,
    /// An hour of comments (or white space) and nothing else, then the end.
    KeepAlive,
    /// A comment between all events; white space before a JSON body.
    Comments,
    /// The body carries the upstream's id; only the header has the service's own.
    ForeignId,
    /// The model refuses: `refusal` says so, and there is no content.
    Refusal,
    /// Half of an answer, and the finish reason `content_filter`.
    ContentFilter,
    /// Encrypted reasoning is shown as `[REDACTED]`.
    Redacted,
    /// The reasoning is not shown and its signature is.
    SignatureOnly,
    /// Tool calls without `type`.
    ToolNoType,
    /// Tool calls without arguments, and without the field for them.
    ToolNoArguments,
    /// Tool calls whose arguments are an empty text.
    ToolEmptyArguments,
    /// A tool call cut by the limit of tokens, which only the native finish reason tells.
    ToolTruncated,
    /// Two tool calls with the same index and different ids.
    ToolSameIndex,
    /// Tool calls without an index.
    ToolNoIndex,
    /// The id comes with every delta of a tool call.
    ToolRepeatedId,
    /// Every later delta of a tool call has an empty id.
    ToolEmptyId,
    /// Tool calls under the finish reason `stop`.
    ToolStop,
    /// Status 400: the prompt is too long.
    ContextLength,
    /// Status 403: the input matches a pattern of a guardrail.
    Guardrail,
    /// Status 402: this request alone is too much for the balance.
    TooExpensive,
    /// Status 402 with `Retry-After`: the requests on their way hold all they may.
    InFlight,
    /// Status 402: the limit of the key.
    KeyLimit,
    /// Status 403: the limit of the key, with the time when it starts anew.
    KeyLimitForbidden,
    /// Status 403: a budget of the workspace, with the time when it starts anew.
    Budget,
    /// Status 429 of the service itself: the free requests of a minute are used up.
    FreePerMinute,
    /// Status 429 of the service itself: the free requests of a day are used up.
    FreePerDay,
}

/// A fault whose answers break the schemas of the service's own OpenAPI document, because the service, or an upstream through
/// it, has been seen to send such answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Malformed {
    /// The name of the fault.
    pub fault: &'static str,
    /// The line of the contract that shows such an answer.
    pub line: &'static str,
    /// Where the answer, or the data of an event of it, may differ from the document, and nowhere else: JSON pointers in which
    /// `*` stands for any place of a list.
    pub places: &'static [&'static str],
}

/// The code of an error is a text.
pub const MALFORMED_STRING_CODE: Malformed = Malformed {
    fault: "error-string-code",
    line: "§5.4: the code of an error can be a text, `\"server_error\"`",
    places: &["/error/code"],
};

/// A call of a tool has no arguments, and no field for them.
pub const MALFORMED_NO_ARGUMENTS: Malformed = Malformed {
    fault: "tool-no-arguments",
    line: "§4.2: the arguments of a call without any are missing, on Vertex for instance",
    places: &["/choices/*/message/tool_calls/*/function/arguments"],
};

/// A part of a call of a tool has no index.
pub const MALFORMED_NO_INDEX: Malformed = Malformed {
    fault: "tool-no-index",
    line: "§5.2: some providers leave the index out; a new id then starts a new call",
    places: &["/choices/*/delta/tool_calls/*/index"],
};

/// A call of a tool has no type.
pub const MALFORMED_NO_TYPE: Malformed = Malformed {
    fault: "tool-no-type",
    line: "§4.2: the type of a call may be missing",
    places: &["/choices/*/message/tool_calls/*/type"],
};

/// The usage is `{}`.
pub const MALFORMED_USAGE_EMPTY: Malformed = Malformed {
    fault: "usage-empty",
    line: "§4.5: usage can be `{}` where a provider is odd",
    places: &["/usage"],
};

/// The usage is null.
pub const MALFORMED_USAGE_NULL: Malformed = Malformed {
    fault: "usage-null",
    line: "§4.5: usage can be null where a provider is odd",
    places: &["/usage"],
};

/// The parts of the cost are null.
pub const MALFORMED_USAGE_NULL_DETAILS: Malformed = Malformed {
    fault: "usage-null-details",
    line: "§4.5: the parts of the cost can be null",
    places: &[
        "/usage/cost_details/upstream_inference_prompt_cost",
        "/usage/cost_details/upstream_inference_completions_cost",
        "/usage/cost_details/upstream_inference_input_cost",
        "/usage/cost_details/upstream_inference_output_cost",
        "/response/usage/cost_details/upstream_inference_input_cost",
        "/response/usage/cost_details/upstream_inference_output_cost",
    ],
};

/// Every fault whose answers break the document. Every other answer of the simulator fits it.
pub const MALFORMED: &[Malformed] = &[
    MALFORMED_STRING_CODE,
    MALFORMED_NO_ARGUMENTS,
    MALFORMED_NO_INDEX,
    MALFORMED_NO_TYPE,
    MALFORMED_USAGE_EMPTY,
    MALFORMED_USAGE_NULL,
    MALFORMED_USAGE_NULL_DETAILS,
];

impl Fault {
    const NAMED: &'static [(&'static str, Fault)] = &[
        ("hang", Fault::Hang),
        ("reset", Fault::Reset),
        ("cut", Fault::Cut),
        ("truncate", Fault::Truncate),
        ("error-200", Fault::Error200),
        ("error-first", Fault::ErrorFirst),
        ("error-mid", Fault::ErrorMid),
        ("finish-error", Fault::FinishError),
        ("html", Fault::Html),
        ("empty", Fault::Empty),
        ("no-usage", Fault::NoUsage),
        ("usage-alone", Fault::UsageAlone),
        ("no-done", Fault::NoDone),
        ("zod", Fault::Zod),
        ("raw-object", Fault::RawObject),
        ("raw-text", Fault::RawText),
        ("error-string-code", Fault::StringCode),
        ("error-no-choices", Fault::NoChoices),
        ("error-after-length", Fault::AfterLength),
        ("usage-twice", Fault::UsageTwice),
        ("usage-null", Fault::UsageNull),
        ("usage-empty", Fault::UsageEmpty),
        ("usage-without-cost", Fault::UsageWithoutCost),
        ("usage-null-details", Fault::UsageNullDetails),
        ("reasoning-over", Fault::ReasoningOver),
        ("blank", Fault::Blank),
        ("stall", Fault::Stall),
        ("keep-alive", Fault::KeepAlive),
        ("comments", Fault::Comments),
        ("foreign-id", Fault::ForeignId),
        ("refusal", Fault::Refusal),
        ("content-filter", Fault::ContentFilter),
        ("reasoning-redacted", Fault::Redacted),
        ("reasoning-signature", Fault::SignatureOnly),
        ("tool-no-type", Fault::ToolNoType),
        ("tool-no-arguments", Fault::ToolNoArguments),
        ("tool-empty-arguments", Fault::ToolEmptyArguments),
        ("tool-truncated", Fault::ToolTruncated),
        ("tool-same-index", Fault::ToolSameIndex),
        ("tool-no-index", Fault::ToolNoIndex),
        ("tool-repeated-id", Fault::ToolRepeatedId),
        ("tool-empty-id", Fault::ToolEmptyId),
        ("tool-stop", Fault::ToolStop),
        ("context-length", Fault::ContextLength),
        ("guardrail", Fault::Guardrail),
        ("too-expensive", Fault::TooExpensive),
        ("in-flight", Fault::InFlight),
        ("key-limit", Fault::KeyLimit),
        ("key-limit-403", Fault::KeyLimitForbidden),
        ("budget", Fault::Budget),
        ("free-per-minute", Fault::FreePerMinute),
        ("free-per-day", Fault::FreePerDay),
    ];

    /// Whether a route that only hands out a page can show it.
    pub(crate) fn fits_pages(self) -> bool {
        matches!(
            self,
            Fault::Status(_)
                | Fault::Hang
                | Fault::Reset
                | Fault::Cut
                | Fault::Error200
                | Fault::Html
                | Fault::HtmlPage(_)
                | Fault::Empty
        )
    }

    /// Every fault with a name of its own, and the statuses of the pages that the edge is known to send.
    pub fn all() -> impl Iterator<Item = Self> {
        let pages = [403, 429, 520, 522, 524].map(Self::HtmlPage);
        Self::NAMED.iter().map(|(_, fault)| *fault).chain(pages)
    }

    /// Whether it is about tool calls, so that there have to be some.
    pub(crate) fn needs_calls(self) -> bool {
        matches!(
            self,
            Fault::ToolNoType
                | Fault::ToolNoArguments
                | Fault::ToolEmptyArguments
                | Fault::ToolTruncated
                | Fault::ToolSameIndex
                | Fault::ToolNoIndex
                | Fault::ToolRepeatedId
                | Fault::ToolEmptyId
                | Fault::ToolStop
        )
    }

    /// Whether the answer counts as failed, so that nothing is charged for it.
    pub(crate) fn fails(self) -> bool {
        matches!(
            self,
            Fault::Error200
                | Fault::ErrorFirst
                | Fault::ErrorMid
                | Fault::FinishError
                | Fault::Empty
                | Fault::StringCode
                | Fault::NoChoices
                | Fault::AfterLength
                | Fault::Blank
        )
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Status(status) => return status.fmt(f),
            Fault::HtmlPage(status) => return write!(f, "html-{status}"),
            _ => {}
        }
        let name = Self::NAMED
            .iter()
            .find(|(_, fault)| fault == self)
            .map_or("", |(name, _)| *name);
        f.pad(name)
    }
}

/// A fault that there is not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{name}` is no fault; faults are an HTTP status from 400 to 599, `html-` and such a status, {}",
    known()
)]
pub struct UnknownFault {
    name: String,
}

fn known() -> String {
    let names: Vec<&str> = Fault::NAMED.iter().map(|(name, _)| *name).collect();
    names.join(", ")
}

impl FromStr for Fault {
    type Err = UnknownFault;

    fn from_str(text: &str) -> Result<Self, UnknownFault> {
        if let Some((_, fault)) = Self::NAMED.iter().find(|(name, _)| *name == text) {
            return Ok(*fault);
        }
        let (number, kind): (&str, fn(u16) -> Fault) = match text.strip_prefix("html-") {
            Some(number) => (number, Self::HtmlPage),
            None => (text, Self::Status),
        };
        match number.parse::<u16>() {
            Ok(status @ 400..=599) => Ok(kind(status)),
            _ => Err(UnknownFault {
                name: text.chars().take(40).collect(),
            }),
        }
    }
}

/// How a `Retry-After` is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum RetryForm {
    /// As the service writes it.
    Seconds(u64),
    /// A number below zero.
    Below(i64),
    /// The date so many seconds from now.
    Date(i64),
    /// Words that are neither.
    Words,
}

impl RetryForm {
    /// The seconds, where they are written as the service does.
    pub(crate) fn seconds(self) -> Option<u64> {
        match self {
            Self::Seconds(seconds) => Some(seconds),
            _ => None,
        }
    }

    /// The text of the header at some time.
    pub(crate) fn text(self, now: Moment) -> String {
        match self {
            Self::Seconds(seconds) => seconds.to_string(),
            Self::Below(seconds) => seconds.to_string(),
            Self::Date(seconds) => now.http_date(seconds),
            Self::Words => "a little later".to_owned(),
        }
    }
}

impl FromStr for RetryForm {
    type Err = UnknownFault;

    fn from_str(text: &str) -> Result<Self, UnknownFault> {
        let unknown = || UnknownFault {
            name: text.chars().take(40).collect(),
        };
        if text == "words" {
            return Ok(Self::Words);
        }
        if let Some(seconds) = text.strip_prefix("date:") {
            return seconds.parse().map(Self::Date).map_err(|_| unknown());
        }
        match text.parse::<u64>() {
            Ok(seconds) => Ok(Self::Seconds(seconds)),
            Err(_) => text.parse().map(Self::Below).map_err(|_| unknown()),
        }
    }
}

/// A part of a plan: for which models, what happens, and when to come back.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Part {
    model: Option<String>,
    fault: Fault,
    retry_after: Option<RetryForm>,
}

/// The value of the request header `x-simulator-fault`: a fault for every model, or `MODEL=FAULT` pairs, with commas
/// between them. A model may hold `*`, which stands for any text. A fault may be followed by `;retry-after=` and seconds,
/// `date:` and seconds from now, or `words`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FaultPlan(Vec<Part>);

impl FaultPlan {
    /// The fault for a model, by any of the names it goes by; the first part that matches.
    pub fn fault_for(&self, names: &[&str]) -> Option<Fault> {
        self.part_for(names).map(|(fault, _)| fault)
    }

    /// The fault for a model, and when to come back.
    pub(crate) fn part_for(&self, names: &[&str]) -> Option<(Fault, Option<RetryForm>)> {
        self.0
            .iter()
            .find(|part| {
                let model = part.model.as_deref();
                model.is_none_or(|glob| names.iter().any(|name| matches(glob, name)))
            })
            .map(|part| (part.fault, part.retry_after))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The fault for a route that has no model.
    pub fn bare(&self) -> Option<Fault> {
        self.fault_for(&[])
    }
}

impl FromStr for FaultPlan {
    type Err = UnknownFault;

    fn from_str(text: &str) -> Result<Self, UnknownFault> {
        let part = |part: &str| {
            let (part, retry_after) = match part.split_once(";retry-after=") {
                Some((part, form)) => (part, Some(form.trim().parse()?)),
                None => (part, None),
            };
            let (model, fault) = match part.rsplit_once('=') {
                Some((model, fault)) => (Some(model.trim().to_owned()), fault),
                None => (None, part),
            };
            let fault = fault.trim().parse()?;
            Ok(Part {
                model,
                fault,
                retry_after,
            })
        };
        text.split(',').map(part).collect::<Result<_, _>>().map(Self)
    }
}

/// Whether a name matches a glob, in which `*` stands for any text.
pub(crate) fn matches(glob: &str, name: &str) -> bool {
    let mut parts = glob.split('*');
    let Some(mut rest) = parts.next().and_then(|start| name.strip_prefix(start)) else {
        return false;
    };
    let Some(end) = parts.next_back() else {
        return rest.is_empty();
    };
    for part in parts {
        // The leftmost place leaves the most for the parts that follow.
        let Some(at) = rest.find(part) else {
            return false;
        };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_fault_is_read_from_its_own_name() {
        for (name, fault) in Fault::NAMED {
            assert_eq!(name.parse(), Ok(*fault));
            assert_eq!(fault.to_string(), *name);
        }
        for fault in Fault::all() {
            assert_eq!(fault.to_string().parse(), Ok(fault));
        }
        for exception in MALFORMED {
            let named = exception.fault.parse::<Fault>().is_ok() && exception.line.starts_with('§');
            assert!(named && !exception.places.is_empty(), "{exception:?}");
        }
        assert_eq!("503".parse(), Ok(Fault::Status(503)));
        assert_eq!(Fault::Status(429).to_string(), "429");
        for bad in ["", "200", "600", "crash", "HANG", "-1"] {
            let error = bad.parse::<Fault>().unwrap_err().to_string();
            assert!(error.contains("error-first") && error.contains(bad), "{error}");
        }
    }

    #[test]
    fn the_header_names_models_or_all() {
        let plan: FaultPlan = "503".parse().unwrap();
        assert_eq!(plan.fault_for(&["a/b"]), Some(Fault::Status(503)));
        assert_eq!(plan.bare(), Some(Fault::Status(503)));
        let plan: FaultPlan = "a/b:free=429, c/*=hang".parse().unwrap();
        assert_eq!(plan.fault_for(&["a/b:free"]), Some(Fault::Status(429)));
        assert_eq!(plan.fault_for(&["a/b"]), None);
        assert_eq!(plan.fault_for(&["x", "c/d"]), Some(Fault::Hang));
        assert_eq!(plan.bare(), None);
        assert!("a/b=".parse::<FaultPlan>().is_err());
        assert!("503,,".parse::<FaultPlan>().is_err());
        let plan: FaultPlan = "a/*=429;retry-after=date:30, b/*=503;retry-after=-5,429;retry-after=7"
            .parse()
            .unwrap();
        assert_eq!(
            plan.part_for(&["a/b"]),
            Some((Fault::Status(429), Some(RetryForm::Date(30))))
        );
        assert_eq!(
            plan.part_for(&["b/b"]),
            Some((Fault::Status(503), Some(RetryForm::Below(-5))))
        );
        assert_eq!(
            plan.part_for(&["c"]),
            Some((Fault::Status(429), Some(RetryForm::Seconds(7))))
        );
        assert_eq!("words".parse(), Ok(RetryForm::Words));
        assert!("429;retry-after=soon".parse::<FaultPlan>().is_err());
    }

    /// Tries every way a `*` can stand for text.
    fn naive(glob: &[char], name: &[char]) -> bool {
        match glob.split_first() {
            None => name.is_empty(),
            Some(('*', rest)) => (0..=name.len()).any(|skip| naive(rest, &name[skip..])),
            Some((first, rest)) => name.first() == Some(first) && naive(rest, &name[1..]),
        }
    }

    proptest! {
        #[test]
        fn globs_match_as_the_naive_search_does(glob in "[ab*]{0,7}", name in "[ab]{0,8}") {
            let letters = |text: &str| text.chars().collect::<Vec<_>>();
            prop_assert_eq!(matches(&glob, &name), naive(&letters(&glob), &letters(&name)));
        }
    }
}
