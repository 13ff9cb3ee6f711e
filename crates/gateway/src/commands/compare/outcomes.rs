//! A comparison as rows of outcomes, for whatever reads a file of them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use integration_core::chat::{Content, Role};
use routing::{ModelOutcome, OutcomeRow};

use super::super::outcomes::milliseconds;
use super::prompts::Prompt;
use super::{Answered, Results};
use crate::cli::WrongUsage;
use crate::out_file::OutFile;
use crate::profile::last_text;

/// Where rows go.
#[derive(Debug)]
pub(super) struct OutcomesFile {
    path: PathBuf,
    file: OutFile,
}

/// Looks whether there can be any outcome of these prompts, and whether the file can be written, before anything is asked.
///
/// # Errors
/// [`WrongUsage`] if no answer is checked; what is wrong with the file.
pub(super) fn file(path: &Path, prompts: &[Prompt]) -> anyhow::Result<OutcomesFile> {
    if !prompts.iter().any(|prompt| prompt.checks.may_check()) {
        let message = "--outcomes needs prompts whose answers are checked, as by `expect` or `response_format`: a judge says which of \
                       two answers is better, and that is no score of either";
        return Err(WrongUsage(message.to_owned()).into());
    }
    Ok(OutcomesFile {
        path: path.to_owned(),
        file: OutFile::new(path)?,
    })
}

impl OutcomesFile {
    /// Writes what came of each prompt, unless nothing did, and says so on standard error.
    ///
    /// # Errors
    /// Why it cannot be written.
    pub(super) fn write(&self, results: &Results<'_>) -> anyhow::Result<()> {
        let mut lines = String::new();
        let mut written = 0;
        for (prompt, answers) in results.prompts.iter().zip(&results.answers) {
            let (mut outcomes, mut texts) = (BTreeMap::new(), BTreeMap::new());
            for (model, answered) in results.models.iter().zip(answers) {
                let Some(answered) = answered else { continue };
                if let Some(outcome) = outcome(answered) {
                    let name = model.target.model.as_str();
                    outcomes.insert(name.to_owned(), outcome);
                    texts.extend(text(answered).map(|text| (name.to_owned(), text)));
                }
            }
            if outcomes.is_empty() {
                continue;
            }
            lines += &serde_json::to_string(&row(prompt, outcomes, texts))?;
            lines.push('\n');
            written += 1;
        }
        let without = results.prompts.len() - written;
        if written == 0 {
            eprintln!("waypost: no answer was checked, so there are no outcomes and no file of them");
            return Ok(());
        }
        self.file.write(&lines)?;
        let left_out = if without > 0 {
            format!("; left out: {without} without an answer that is checked")
        } else {
            String::new()
        };
        eprintln!(
            "waypost: the outcomes of {written} prompts are in {}{left_out}",
            self.path.display()
        );
        Ok(())
    }
}

/// The score is the measure that models are ranked by: whether an answer passed all its checks. A call that brought no answer says
/// nothing of how good the answers of the model are.
fn outcome(answered: &Answered) -> Option<ModelOutcome> {
    let trial = answered.asked.trial(&answered.checks);
    let mut outcome = ModelOutcome::new(f64::from(u8::from(trial.passed_all()?)));
    outcome.cost = trial.cost;
    outcome.latency_ms = trial.latency.map(milliseconds);
    outcome.prompt_tokens = trial.prompt_tokens;
    outcome.completion_tokens = trial.completion_tokens;
    Some(outcome)
}

/// The answer itself, for what looks at answers.
fn text(answered: &Answered) -> Option<String> {
    let response = answered.asked.result.as_ref().ok()?;
    let message = &response.choices.first()?.message;
    // What calls a tool is no text to be looked at.
    if !message.tool_calls.is_empty() {
        return None;
    }
    let content = message.content.as_ref();
    Some(content.map_or_else(String::new, Content::text))
}

/// A name that is only the number of a line is left out: in another file it is another prompt's.
fn row(
    prompt: &Prompt,
    outcomes: BTreeMap<String, ModelOutcome>,
    answers: BTreeMap<String, String>,
) -> OutcomeRow {
    let text = last_text(&prompt.messages, Role::User).unwrap_or_default();
    let mut row = OutcomeRow::new(text, outcomes);
    row.answers = answers;
    row.id = prompt.is_named.then(|| prompt.id.clone());
    row.task.clone_from(&prompt.task);
    row
}
