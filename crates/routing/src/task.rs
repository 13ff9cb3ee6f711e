//! What a call is for: the measure by which a model's quality counts.

use std::fmt;
use std::str::FromStr;

use model_catalogue::Benchmarks;

/// A task with a source of quality. Each is measured by one index of the catalogue's benchmarks, on a scale where higher is
/// better. Not exhaustive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Task {
    /// Thinking a question through: `intelligence_index`.
    Reasoning,
    /// Writing and mending programs: `coding_index`.
    Coding,
    /// Reaching a goal with tools, in many steps: `agentic_index`.
    Agentic,
}

impl Task {
    /// Every task.
    pub const ALL: [Self; 3] = [Self::Reasoning, Self::Coding, Self::Agentic];

    /// The word for it on command lines and in requests.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reasoning => "reasoning",
            Self::Coding => "coding",
            Self::Agentic => "agentic",
        }
    }

    /// The index that counts for it; `None` where the model was not measured.
    pub const fn quality(self, benchmarks: &Benchmarks) -> Option<f64> {
        match self {
            Self::Reasoning => benchmarks.intelligence_index,
            Self::Coding => benchmarks.coding_index,
            Self::Agentic => benchmarks.agentic_index,
        }
    }
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

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
            .ok_or_else(|| UnknownTask(word.to_owned()))
    }
}
