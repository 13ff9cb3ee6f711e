//! Logged traffic with what came of it, and the reader of files of it.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{BufRead, Read};

use costing::Pico;
use integration_core::printable;
use rust_decimal::Decimal;
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

/// What came of one model's answer. Serialised, it is what is read.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ModelOutcome {
    /// How good it was, on a scale of the file's own: the higher, the better. A finite number.
    pub score: f64,
    /// What it cost in US dollars, 0 or more, rounded to the pico-dollar; `None` if that is not known.
    #[serde(rename = "cost_usd", skip_serializing_if = "Option::is_none")]
    pub cost: Option<Pico>,
    /// How long it took in milliseconds, 0 or more; `None` if that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<f64>,
    /// How many tokens the model read; `None` if that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt_tokens: Option<u64>,
    /// How many tokens it wrote; `None` if that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completion_tokens: Option<u64>,
}

impl ModelOutcome {
    /// A score of which nothing else is known.
    pub const fn new(score: f64) -> Self {
        Self {
            score,
            cost: None,
            latency_ms: None,
            prompt_tokens: None,
            completion_tokens: None,
        }
    }
}

/// What a row says of the models that it does not choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutcomeKind {
    /// What would have come of each of its models: any choice among them can be looked up.
    Full,
    /// What came of the model that was chosen, with which probability it was chosen, and nothing else.
    Logged,
}

/// A request, and what came of it at the models that were asked. Serialised to one line, it is what [`OutcomeRows`] reads.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct OutcomeRow {
    /// What the request is called, if it has a name.
    pub id: Option<String>,
    /// What was asked.
    pub prompt: String,
    /// What kind of request it was, in the file's own words.
    pub task: Option<String>,
    /// What came of it, by the file's own names of models. At least one.
    pub outcomes: BTreeMap<String, ModelOutcome>,
    /// The answers themselves, of the models whose answer was kept.
    pub answers: BTreeMap<String, String>,
    /// The model that was chosen, which is among the outcomes.
    pub chosen: Option<String>,
    /// How probable that choice was when it was made: above 0, at most 1. Never without `chosen`.
    pub propensity: Option<f64>,
    /// The prompt's vector, as an embedding model has made it: from 1 to [`MOST_OUTCOME_VECTOR`] finite numbers, not all of them 0. Which
    /// model that was, the file does not say.
    pub embedding: Option<Vec<f32>>,
}

impl OutcomeRow {
    /// What came of a prompt that has no name and is of no kind, at models that nobody chose between. At least one outcome makes a row
    /// that can be read.
    pub const fn new(prompt: String, outcomes: BTreeMap<String, ModelOutcome>) -> Self {
        Self {
            id: None,
            prompt,
            task: None,
            outcomes,
            answers: BTreeMap::new(),
            chosen: None,
            propensity: None,
            embedding: None,
        }
    }

    /// What the row says of models it does not choose.
    pub fn kind(&self) -> OutcomeKind {
        if self.propensity.is_some() && self.outcomes.len() == 1 {
            OutcomeKind::Logged
        } else {
            OutcomeKind::Full
        }
    }
}

impl Serialize for OutcomeRow {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Row<'a> {
            #[serde(skip_serializing_if = "Option::is_none")]
            id: &'a Option<String>,
            prompt: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            task: &'a Option<String>,
            outcomes: BTreeMap<&'a str, Answered<'a>>,
            #[serde(skip_serializing_if = "Option::is_none")]
            chosen: &'a Option<String>,
            #[serde(skip_serializing_if = "Option::is_none")]
            propensity: Option<f64>,
            #[serde(skip_serializing_if = "Option::is_none")]
            embedding: &'a Option<Vec<f32>>,
        }
        #[derive(Serialize)]
        struct Answered<'a> {
            #[serde(flatten)]
            outcome: &'a ModelOutcome,
            #[serde(skip_serializing_if = "Option::is_none")]
            answer: Option<&'a String>,
        }
        let outcomes = self.outcomes.iter().map(|(model, outcome)| {
            let answer = self.answers.get(model);
            (model.as_str(), Answered { outcome, answer })
        });
        let row = Row {
            id: &self.id,
            prompt: &self.prompt,
            task: &self.task,
            outcomes: outcomes.collect(),
            chosen: &self.chosen,
            propensity: self.propensity,
            embedding: &self.embedding,
        };
        row.serialize(serializer)
    }
}

/// What is wrong with a row of outcomes.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum OutcomeProblem {
    /// It is no text, not JSON, a field is missing or of another type, or a number is out of its range.
    #[error("{0}")]
    Unreadable(String),
    /// The line is longer than [`MOST_OUTCOME_LINE`].
    #[error("the line is longer than {MOST_OUTCOME_LINE} bytes")]
    TooLong,
    /// There is no outcome in it.
    #[error("`outcomes` is empty")]
    NoOutcome,
    /// The chosen model has no outcome.
    #[error("`chosen` is '{0}', and `outcomes` has nothing of it")]
    NothingOfChosen(String),
    /// A probability that none can be.
    #[error("`propensity` must be above 0 and at most 1, not {0}")]
    Propensity(f64),
    /// A probability of a choice that is not there.
    #[error("`propensity` is how probable the choice of `chosen` was, and there is no `chosen`")]
    NothingChosen,
    /// Numbers that are no vector.
    #[error("`embedding` must be a list of 1 to {MOST_OUTCOME_VECTOR} numbers that are not all 0")]
    Embedding,
    /// The outcome of a choice alone, without its probability.
    #[error(
        "this is the outcome of the chosen model alone, without `propensity`: how probable that choice was when it was made. What \
         another policy would have given cannot be told from it"
    )]
    NoPropensity,
}

/// A line that cannot be taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OutcomeError {
    /// A line is no row of outcomes.
    #[error("line {line}: {problem}")]
    Line {
        /// Which line, counted from 1.
        line: u64,
        /// What is wrong with it.
        #[source]
        problem: OutcomeProblem,
    },
    /// The bytes could not be read.
    #[error("after line {after}: {error}")]
    Read {
        /// The last line that was read; 0 if none was.
        after: u64,
        /// Why not.
        #[source]
        error: std::io::Error,
    },
}

/// The longest line, in bytes.
pub const MOST_OUTCOME_LINE: u64 = 4 << 20;

/// The most numbers that a prompt's vector may have.
pub const MOST_OUTCOME_VECTOR: usize = 8_192;

/// The longest name of a model, in bytes.
const LONGEST_NAME: usize = 256;

/// So many bytes of what is wrong with a line are told.
const LONGEST_REASON: usize = 256;

/// Reads rows of outcomes, one JSON object a line, as
/// `{"id":"…","prompt":"…","task":"…","outcomes":{"MODEL":{"score":1,"cost_usd":0.001,"latency_ms":250,"prompt_tokens":90,
/// "completion_tokens":12,"answer":"…"}},"chosen":"MODEL","propensity":0.5,"embedding":[0.1,…]}`, one after the other, so that a file may be of
/// any length. `prompt`,
/// `outcomes` and their `score` must be there; fields that are not known are passed over, and so are lines without anything in them. After an error there is nothing more.
#[derive(Debug)]
pub struct OutcomeRows<R> {
    source: R,
    line: u64,
    buffer: Vec<u8>,
    is_over: bool,
}

impl<R: BufRead> OutcomeRows<R> {
    /// Reads from the beginning of a file.
    pub const fn new(source: R) -> Self {
        Self {
            source,
            line: 0,
            buffer: Vec::new(),
            is_over: false,
        }
    }

    /// The next row, and the number of its line.
    fn row(&mut self) -> Result<Option<(u64, OutcomeRow)>, OutcomeError> {
        loop {
            self.buffer.clear();
            // One more than may be there, and its end.
            let mut bounded = (&mut self.source).take(MOST_OUTCOME_LINE + 2);
            let read = bounded
                .read_until(b'\n', &mut self.buffer)
                .map_err(|error| OutcomeError::Read {
                    after: self.line,
                    error,
                })?;
            if read == 0 {
                return Ok(None);
            }
            self.line += 1;
            let line = self.line;
            let at = |problem| OutcomeError::Line { line, problem };
            let bytes = self.buffer.strip_suffix(b"\n").unwrap_or(&self.buffer);
            if bytes.len() as u64 > MOST_OUTCOME_LINE {
                return Err(at(OutcomeProblem::TooLong));
            }
            let text = std::str::from_utf8(bytes)
                .map_err(|_| at(OutcomeProblem::Unreadable("this is not text in UTF-8".to_owned())))?;
            let text = text
                .strip_prefix('\u{feff}')
                .filter(|_| line == 1)
                .unwrap_or(text);
            if !text.trim().is_empty() {
                return Ok(Some((line, read_outcome_row(text).map_err(at)?)));
            }
        }
    }
}

impl<R: BufRead> Iterator for OutcomeRows<R> {
    type Item = Result<(u64, OutcomeRow), OutcomeError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_over {
            return None;
        }
        let next = self.row().transpose();
        self.is_over = !matches!(next, Some(Ok(_)));
        next
    }
}

#[derive(Deserialize)]
struct Written {
    id: Option<String>,
    prompt: String,
    task: Option<String>,
    outcomes: Outcomes,
    chosen: Option<String>,
    propensity: Option<f64>,
    embedding: Option<Vec<f32>>,
}

#[derive(Default)]
struct Outcomes {
    scores: BTreeMap<String, ModelOutcome>,
    answers: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct WrittenOutcome<'a> {
    score: f64,
    #[serde(borrow)]
    cost_usd: Option<&'a RawValue>,
    latency_ms: Option<f64>,
    prompt_tokens: Option<u64>,
    completion_tokens: Option<u64>,
    answer: Option<String>,
}

impl<'de> Deserialize<'de> for Outcomes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Models)
    }
}

/// A map in which no model may come twice.
struct Models;

impl<'de> Visitor<'de> for Models {
    type Value = Outcomes;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of outcomes by model")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Outcomes, A::Error> {
        let mut outcomes = Outcomes::default();
        while let Some(name) = map.next_key::<String>()? {
            if name.trim().is_empty()
                || name.len() > LONGEST_NAME
                || printable(name.clone(), LONGEST_NAME) != name
            {
                return Err(A::Error::custom(
                    "a model's name must be printable, not blank, and of 256 bytes at the most",
                ));
            }
            let read = read_outcome(map.next_value::<&RawValue>()?.get());
            let (outcome, answer) = read.map_err(A::Error::custom)?;
            if outcomes.scores.contains_key(&name) {
                return Err(A::Error::custom(format_args!(
                    "there are two outcomes of '{name}'"
                )));
            }
            if let Some(answer) = answer {
                outcomes.answers.insert(name.clone(), answer);
            }
            outcomes.scores.insert(name, outcome);
        }
        Ok(outcomes)
    }
}

/// Reads an outcome, and the answer if it is there, out of its place: a structure would be taken from an array too.
fn read_outcome(raw: &str) -> Result<(ModelOutcome, Option<String>), String> {
    if !raw.starts_with('{') {
        return Err("an outcome must be an object with `score`".to_owned());
    }
    let written: WrittenOutcome<'_> = serde_json::from_str(raw).map_err(|error| {
        // The place within the outcome is none within the line, and that follows.
        let text = error.to_string();
        text.split(" at line 1 column ")
            .next()
            .unwrap_or_default()
            .to_owned()
    })?;
    Ok((outcome_of(&written)?, written.answer))
}

fn outcome_of(written: &WrittenOutcome<'_>) -> Result<ModelOutcome, &'static str> {
    if written.latency_ms.is_some_and(|time| time < 0.0) {
        return Err("`latency_ms` must be 0 or more");
    }
    Ok(ModelOutcome {
        score: written.score,
        cost: written.cost_usd.map(|raw| amount(raw.get())).transpose()?,
        latency_ms: written.latency_ms,
        prompt_tokens: written.prompt_tokens,
        completion_tokens: written.completion_tokens,
    })
}

/// An amount as it is written, a JSON number or a string of one, so that no digit passes through a float.
fn amount(raw: &str) -> Result<Pico, &'static str> {
    const WRONG: &str = "`cost_usd` must be an amount in US dollars, 0 or more, such as 0.0012";
    let text = raw
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
        .unwrap_or(raw);
    // Decimals take more than JSON's numbers do: `1_000`, `+1`.
    let is_plain = text
        .bytes()
        .all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'-' | b'+'))
        && !text.starts_with('+');
    let amount = Decimal::from_str_exact(text).or_else(|_| Decimal::from_scientific(text));
    let amount = amount
        .ok()
        .filter(|amount| is_plain && !amount.is_sign_negative());
    Pico::from_decimal(amount.ok_or(WRONG)?).map_err(|_| WRONG)
}

/// Reads one row.
///
/// # Errors
/// The first thing that is wrong with it, in one line.
pub fn read_outcome_row(line: &str) -> Result<OutcomeRow, OutcomeProblem> {
    if !line.trim_start().starts_with('{') {
        return Err(OutcomeProblem::Unreadable("this is not a JSON object".to_owned()));
    }
    let written: Written = serde_json::from_str(line).map_err(|error| {
        // The line that is counted within one line is always the first.
        let text = error.to_string().replace(" at line 1 column ", " at column ");
        OutcomeProblem::Unreadable(if error.is_data() {
            // It repeats names and words of the line, whatever they are.
            printable(text, LONGEST_REASON)
        } else {
            format!("this is not a JSON object: {text}")
        })
    })?;
    let row = OutcomeRow {
        id: written.id,
        prompt: written.prompt,
        task: written.task,
        outcomes: written.outcomes.scores,
        answers: written.outcomes.answers,
        chosen: written.chosen,
        propensity: written.propensity,
        embedding: written.embedding,
    };
    if row.embedding.as_ref().is_some_and(|vector| !is_vector(vector)) {
        return Err(OutcomeProblem::Embedding);
    }
    if row.outcomes.is_empty() {
        return Err(OutcomeProblem::NoOutcome);
    }
    if let Some(chosen) = row
        .chosen
        .as_ref()
        .filter(|chosen| !row.outcomes.contains_key(*chosen))
    {
        let chosen = printable(chosen.clone(), LONGEST_NAME);
        return Err(OutcomeProblem::NothingOfChosen(chosen));
    }
    match row.propensity {
        Some(_) if row.chosen.is_none() => return Err(OutcomeProblem::NothingChosen),
        Some(propensity) if !(propensity > 0.0 && propensity <= 1.0) => {
            return Err(OutcomeProblem::Propensity(propensity));
        }
        None if row.chosen.is_some() && row.outcomes.len() == 1 => return Err(OutcomeProblem::NoPropensity),
        _ => {}
    }
    Ok(row)
}

fn is_vector(numbers: &[f32]) -> bool {
    (1..=MOST_OUTCOME_VECTOR).contains(&numbers.len())
        && numbers.iter().all(|number| number.is_finite())
        && numbers.iter().any(|number| *number != 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(line: &str) -> String {
        read_outcome_row(line).unwrap_err().to_string()
    }

    #[test]
    fn a_row_of_full_information_is_read_with_every_digit() {
        let row = read_outcome_row(
            r#"{"id":"x","prompt":"Hi","task":"gsm8k","outcomes":{"b/c":{"score":0.5,"cost_usd":3.29e-05,"prompt_tokens":3},
                "a":{"score":1,"cost_usd":"0.100000000001","latency_ms":250.5},"d":{"score":-1,"cost_usd":null}}}"#
                .replace('\n', " ")
                .as_str(),
        )
        .unwrap();
        assert_eq!((row.prompt.as_str(), row.task.as_deref()), ("Hi", Some("gsm8k")));
        assert_eq!((row.kind(), row.chosen.as_deref()), (OutcomeKind::Full, None));
        let costs: Vec<_> = row.outcomes.values().map(|one| one.cost.map(Pico::get)).collect();
        assert_eq!(costs, [Some(100_000_000_001), Some(32_900_000), None]);
        assert_eq!(row.outcomes["a"].latency_ms, Some(250.5));
    }

    #[test]
    fn what_is_written_is_read() {
        let known = ModelOutcome {
            cost: Some(Pico::new(100_000_000_001)),
            latency_ms: Some(250.5),
            prompt_tokens: Some(u64::MAX),
            completion_tokens: Some(0),
            ..ModelOutcome::new(1.0 / 3.0)
        };
        let outcomes = BTreeMap::from([
            ("a/b".to_owned(), known),
            ("c".to_owned(), ModelOutcome::new(1.0)),
        ]);
        let bare = OutcomeRow::new("Two\nlines of \"text\"".to_owned(), outcomes);
        let full = OutcomeRow {
            id: Some("x".to_owned()),
            task: Some("billing".to_owned()),
            chosen: Some("c".to_owned()),
            propensity: Some(0.25),
            answers: BTreeMap::from([("c".to_owned(), "It \"is\"\nso".to_owned())]),
            embedding: Some(vec![0.1, -2.5e-9]),
            ..bare.clone()
        };
        for row in [bare, full] {
            let line = serde_json::to_string(&row).unwrap();
            assert!(!line.contains("null") && !line.contains('\n'), "{line}");
            assert_eq!(read_outcome_row(&line).unwrap(), row);
        }
    }

    #[test]
    fn a_choice_with_its_probability_is_logged() {
        let row =
            read_outcome_row(r#"{"prompt":"","outcomes":{"a":{"score":1}},"chosen":"a","propensity":0.25}"#)
                .unwrap();
        assert_eq!((row.kind(), row.propensity), (OutcomeKind::Logged, Some(0.25)));
        let two =
            r#"{"prompt":"","outcomes":{"a":{"score":1},"b":{"score":1}},"chosen":"a","propensity":0.25}"#;
        assert_eq!(read_outcome_row(two).unwrap().kind(), OutcomeKind::Full);
    }

    #[test]
    fn what_is_wrong_is_said() {
        let vector = |numbers: &str| {
            format!(r#"{{"prompt":"","outcomes":{{"a":{{"score":1}}}},"embedding":{numbers}}}"#)
        };
        assert_eq!(
            read_outcome_row(&vector("[0,-2.5]")).unwrap().embedding,
            Some(vec![0.0, -2.5])
        );
        let many = format!("[{}1]", "1,".repeat(MOST_OUTCOME_VECTOR));
        for numbers in ["[]", "[0,0]", many.as_str()] {
            assert!(
                problem(&vector(numbers)).contains("`embedding` must be a list of 1 to 8192"),
                "{numbers}"
            );
        }
        assert!(problem(&vector("\"x\"")).contains("sequence"));
        assert!(problem(&vector("[1e39]")).contains("out of range"));
        for (line, says) in [
            (
                "[\"x\",null,{\"a\":{\"score\":1}},null,null]",
                "this is not a JSON object",
            ),
            (
                r#"{"prompt":"x","outcomes":{"a":[1,null,null]}}"#,
                "must be an object",
            ),
            (
                r#"{"prompt":"x","outcomes":[]}"#,
                "an object of outcomes by model",
            ),
            ("{\"prompt\":\"x\"", "this is not a JSON object"),
            (r#"{"outcomes":{"a":{"score":1}}}"#, "missing field `prompt`"),
            (r#"{"prompt":"x"}"#, "missing field `outcomes`"),
            (r#"{"prompt":"x","outcomes":{}}"#, "`outcomes` is empty"),
            (r#"{"prompt":"x","outcomes":{"a":{}}}"#, "missing field `score`"),
            (
                r#"{"prompt":"x","outcomes":{"a":{"score":1e999}}}"#,
                "out of range",
            ),
            (
                r#"{"prompt":"x","outcomes":{"a":{"score":null}}}"#,
                "invalid type: null",
            ),
            (
                r#"{"prompt":"x","outcomes":{"a":{"score":1},"a":{"score":0}}}"#,
                "two outcomes of 'a'",
            ),
            (
                r#"{"prompt":"x","outcomes":{" ":{"score":1}}}"#,
                "must be printable",
            ),
            (
                r#"{"prompt":"x","outcomes":{"a\nb":{"score":1}}}"#,
                "must be printable",
            ),
            (
                r#"{"prompt":"x","outcomes":{"a":{"score":1,"cost_usd":-1}}}"#,
                "`cost_usd` must be",
            ),
            (
                r#"{"prompt":"x","outcomes":{"a":{"score":1,"cost_usd":"1_0"}}}"#,
                "`cost_usd` must be",
            ),
            (
                r#"{"prompt":"x","outcomes":{"a":{"score":1,"cost_usd":1e9}}}"#,
                "`cost_usd` must be",
            ),
            (
                r#"{"prompt":"x","outcomes":{"a":{"score":1,"cost_usd":[]}}}"#,
                "`cost_usd` must be",
            ),
            (
                r#"{"prompt":"x","outcomes":{"a":{"score":1,"latency_ms":-1}}}"#,
                "`latency_ms` must be",
            ),
            (
                r#"{"prompt":"x","outcomes":{"a":{"score":1}},"chosen":"b","propensity":1}"#,
                "nothing of it",
            ),
            (
                r#"{"prompt":"x","outcomes":{"a":{"score":1}},"chosen":"a","propensity":0}"#,
                "above 0 and at most 1, not 0",
            ),
            (
                r#"{"prompt":"x","outcomes":{"a":{"score":1}},"chosen":"a","propensity":1.01}"#,
                "above 0 and at most 1, not 1.01",
            ),
            (
                r#"{"prompt":"x","outcomes":{"a":{"score":1}},"propensity":1}"#,
                "there is no `chosen`",
            ),
            (
                r#"{"prompt":"x","outcomes":{"a":{"score":1}},"chosen":"a"}"#,
                "without `propensity`",
            ),
        ] {
            let said = problem(line);
            assert!(said.contains(says), "{line}: {said}");
        }
    }

    #[test]
    fn lines_are_counted_and_bounded() {
        let good = r#"{"prompt":"x","outcomes":{"a":{"score":1}}}"#;
        let text = format!("\u{feff}{good}\r\n\n  \n{good}");
        let lines: Vec<u64> = OutcomeRows::new(text.as_bytes())
            .map(|row| row.unwrap().0)
            .collect();
        assert_eq!(lines, [1, 4]);

        let text = format!("{good}\n{{}}\n{good}\n");
        let mut rows = OutcomeRows::new(text.as_bytes());
        assert!(rows.next().unwrap().is_ok());
        let error = rows.next().unwrap().unwrap_err().to_string();
        assert!(error.starts_with("line 2: missing field"), "{error}");
        assert!(rows.next().is_none());

        // Blanks are JSON's white space: a line of just the bound is read, and one byte more is not.
        let most = usize::try_from(MOST_OUTCOME_LINE).unwrap();
        let longest = format!("{good}{}\n{good}", " ".repeat(most - good.len()));
        assert_eq!(
            OutcomeRows::new(longest.as_bytes()).filter(Result::is_ok).count(),
            2
        );
        let error = OutcomeRows::new(format!(" {longest}").as_bytes())
            .next()
            .unwrap()
            .unwrap_err();
        assert!(
            error.to_string().starts_with("line 1: the line is longer"),
            "{error}"
        );
        let mut rows = OutcomeRows::new(&b"\xff\n"[..]);
        assert!(
            rows.next()
                .unwrap()
                .unwrap_err()
                .to_string()
                .contains("not text in UTF-8")
        );
    }
}
