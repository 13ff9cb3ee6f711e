//! What can go wrong on purpose, and how a request asks for it.

use std::fmt;
use std::str::FromStr;

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
}

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
                | Fault::Empty
        )
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Fault::Status(status) = self {
            return status.fmt(f);
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
    "`{name}` is no fault; faults are an HTTP status from 400 to 599, {}",
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
        match text.parse::<u16>() {
            Ok(status @ 400..=599) => Ok(Self::Status(status)),
            _ => Err(UnknownFault {
                name: text.chars().take(40).collect(),
            }),
        }
    }
}

/// The value of the request header `x-simulator-fault`: a fault for every model, or `MODEL=FAULT` pairs, with commas
/// between them. A model may hold `*`, which stands for any text.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FaultPlan(Vec<(Option<String>, Fault)>);

impl FaultPlan {
    /// The fault for a model, by any of the names it goes by; the first part that matches.
    pub fn fault_for(&self, names: &[&str]) -> Option<Fault> {
        self.0
            .iter()
            .find(|(model, _)| {
                model
                    .as_deref()
                    .is_none_or(|glob| names.iter().any(|name| matches(glob, name)))
            })
            .map(|(_, fault)| *fault)
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
            let (model, fault) = match part.rsplit_once('=') {
                Some((model, fault)) => (Some(model.trim().to_owned()), fault),
                None => (None, part),
            };
            Ok((model, fault.trim().parse()?))
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
