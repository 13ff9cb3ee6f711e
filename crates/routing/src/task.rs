//! What a call is for: the measure by which a model's quality counts.

use std::fmt;
use std::str::FromStr;

use integration_core::{Capability, CapabilitySet, printable};
use model_catalogue::Benchmarks;

/// A task with a source of quality: an index of the catalogue's benchmarks, on a scale from 0 to 100 where higher is better. Not
/// exhaustive.
///
/// The first three are measured by an index of their own. The others borrow the nearest one, [`is_proxy`](Self::is_proxy), and
/// what is believed of a model is less certain by it, until evaluations or feedback of one's own say more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Task {
    /// Thinking a question through: `intelligence_index`.
    Reasoning,
    /// Writing and mending programs: `coding_index`.
    Coding,
    /// Reaching a goal with tools, in many steps: `agentic_index`.
    Agentic,
    /// Conversation, advice, writing: borrows `intelligence_index`.
    Chat,
    /// Making a long text short: borrows `intelligence_index`.
    Summarise,
    /// Taking facts out of a text into a form: borrows `intelligence_index`.
    Extract,
    /// From one language into another: borrows `intelligence_index`.
    Translate,
    /// Questions about pictures: borrows `intelligence_index`, and needs sight.
    Vision,
}

impl Task {
    /// Every task, in the order of [`index`](Self::index).
    pub const ALL: [Self; 8] = [
        Self::Reasoning,
        Self::Coding,
        Self::Agentic,
        Self::Chat,
        Self::Summarise,
        Self::Extract,
        Self::Translate,
        Self::Vision,
    ];

    /// Its place in [`ALL`](Self::ALL).
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The word for it on command lines and in requests.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reasoning => "reasoning",
            Self::Coding => "coding",
            Self::Agentic => "agentic",
            Self::Chat => "chat",
            Self::Summarise => "summarise",
            Self::Extract => "extract",
            Self::Translate => "translate",
            Self::Vision => "vision",
        }
    }

    /// Whether its index was made for another task.
    pub const fn is_proxy(self) -> bool {
        !matches!(self, Self::Reasoning | Self::Coding | Self::Agentic)
    }

    /// What a model must be able to do for it, whatever the request says.
    pub const fn needs(self) -> CapabilitySet {
        match self {
            Self::Vision => CapabilitySet::of(Capability::Vision),
            _ => CapabilitySet::EMPTY,
        }
    }

    /// The index that counts for it; `None` where the model was not measured.
    pub const fn quality(self, benchmarks: &Benchmarks) -> Option<f64> {
        match self {
            Self::Coding => benchmarks.coding_index,
            Self::Agentic => benchmarks.agentic_index,
            Self::Reasoning
            | Self::Chat
            | Self::Summarise
            | Self::Extract
            | Self::Translate
            | Self::Vision => benchmarks.intelligence_index,
        }
    }
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// So many bytes of a word that names no task are repeated.
const LONGEST_WORD: usize = 64;

/// A word that names no task. The message lists those there are.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a task with a known quality; the tasks are {names}", names = Task::ALL.map(Task::as_str).join(", "))]
pub struct UnknownTask(String);

impl FromStr for Task {
    type Err = UnknownTask;

    fn from_str(word: &str) -> Result<Self, UnknownTask> {
        Self::ALL
            .into_iter()
            .find(|task| task.as_str() == word)
            .ok_or_else(|| UnknownTask(printable(word.to_owned(), LONGEST_WORD)))
    }
}
