//! What can be wrong with outcomes, options and files.

/// Why outcomes cannot be taken, a predictor cannot be trained or a policy cannot be made. Not exhaustive.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum LearnedError {
    /// A score is not a number from 0 to 1.
    #[error("{id}: the score of '{model}' must be from 0 to 1, not {score}")]
    Score {
        /// The prompt's name.
        id: String,
        /// The model.
        model: String,
        /// What it is.
        score: f64,
    },
    /// One prompt has two outcomes of one model.
    #[error("{id}: there are two outcomes of '{model}'")]
    Twice {
        /// The prompt's name.
        id: String,
        /// The model.
        model: String,
    },
    /// Two prompts, or one prompt under two tags, have one name.
    #[error("{id}: two different prompts have this name")]
    OtherPrompt {
        /// The name.
        id: String,
    },
    /// The vector of a prompt cannot be taken.
    #[error("{id}: the vector {problem}")]
    Vector {
        /// The prompt's name.
        id: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Prompts have vectors of another model than a predictor was trained with.
    #[error("the predictor was trained with vectors of '{wanted}', and the prompts have those of '{known}'")]
    OtherEmbedding {
        /// The predictor's.
        wanted: String,
        /// The prompts'.
        known: String,
    },
    /// There are too few outcomes for what is asked.
    #[error("{what} takes {needed} at the least; there are {have}")]
    TooFew {
        /// What is asked, and of what it takes more.
        what: &'static str,
        /// How many it takes.
        needed: usize,
        /// How many there are.
        have: usize,
    },
    /// There are too many of something.
    #[error("there are {have} {what}; {most} is the most")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many there may be.
        most: usize,
        /// How many there are.
        have: usize,
    },
    /// A model is not among those that were learnt, or has no outcome.
    #[error("nothing is known of the model '{0}'")]
    UnknownModel(String),
    /// A model's cost is not known for every prompt that it takes.
    #[error("the cost of '{0}' is not known")]
    UnknownCost(String),
    /// A number is out of its range.
    #[error("{what} must be {range}, not {value}")]
    OutOfRange {
        /// Which number.
        what: &'static str,
        /// What it may be.
        range: &'static str,
        /// What it is.
        value: f64,
    },
    /// The bytes are no file of a predictor, or of a version that this library does not read.
    #[error("this is no file of a predictor: {0}")]
    File(String),
    /// A statistic could not be computed.
    #[error(transparent)]
    Statistics(#[from] experiments::statistics::StatisticsError),
}
