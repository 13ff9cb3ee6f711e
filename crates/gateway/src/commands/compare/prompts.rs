//! The prompts of a comparison, from the command line or a file of JSON lines.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::Path;

use integration_core::chat::{Message, ResponseFormat, Tool};
use serde::Deserialize;
use serde_json::Value;

use crate::checks::{Checks, Expect};
use crate::cli::WrongUsage;

/// The largest file of prompts, in bytes.
const MOST_FILE: u64 = 16 << 20;

/// One prompt, and what its answers are held against.
#[derive(Debug)]
pub(super) struct Prompt {
    /// Its name: its own, or the number of its line.
    pub(super) id: String,
    /// Whether that is a name of its own.
    pub(super) is_named: bool,
    /// What kind of prompt it is, in its author's words.
    pub(super) task: Option<String>,
    /// The conversation to be answered.
    pub(super) messages: Vec<Message>,
    /// The form asked for.
    pub(super) response_format: Option<ResponseFormat>,
    /// Tools that may be called.
    pub(super) tools: Vec<Tool>,
    /// Which of them must be.
    pub(super) tool_choice: Option<Value>,
    /// What answers are held against.
    pub(super) checks: Checks,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    id: Option<String>,
    task: Option<String>,
    prompt: Option<String>,
    messages: Option<Vec<Message>>,
    response_format: Option<ResponseFormat>,
    #[serde(default)]
    tools: Vec<Tool>,
    tool_choice: Option<Value>,
    #[serde(default)]
    expect: Expect,
}

impl Prompt {
    /// A text, and nothing to hold its answers against.
    pub(super) fn text(prompt: &str) -> Self {
        Self {
            id: "1".to_owned(),
            is_named: false,
            task: None,
            messages: vec![Message::user(prompt)],
            response_format: None,
            tools: Vec::new(),
            tool_choice: None,
            checks: Checks::default(),
        }
    }

    fn of(line: Line, number: usize) -> Result<Self, String> {
        let messages = match (line.prompt, line.messages) {
            (Some(prompt), None) => vec![Message::user(prompt)],
            (None, Some(messages)) if !messages.is_empty() => messages,
            (None, Some(_)) => return Err("`messages` is empty".to_owned()),
            _ => return Err("one of `prompt` and `messages` is needed".to_owned()),
        };
        let checks = Checks::new(
            line.response_format.as_ref(),
            &line.tools,
            line.tool_choice.as_ref(),
            line.expect,
        )
        .map_err(|wrong| wrong.why)?;
        Ok(Self {
            is_named: line.id.is_some(),
            id: line.id.unwrap_or_else(|| number.to_string()),
            task: line.task,
            messages,
            response_format: line.response_format,
            tools: line.tools,
            tool_choice: line.tool_choice,
            checks,
        })
    }
}

/// Reads a file of prompts.
///
/// # Errors
/// [`WrongUsage`] that names the line at fault.
pub(super) fn read(path: &Path) -> Result<Vec<Prompt>, WrongUsage> {
    let name = path.display();
    let cannot = |error| WrongUsage(format!("{name} cannot be read: {error}"));
    let file = std::fs::File::open(path).map_err(cannot)?;
    let mut text = String::new();
    file.take(MOST_FILE + 1)
        .read_to_string(&mut text)
        .map_err(cannot)?;
    if text.len() as u64 > MOST_FILE {
        return Err(WrongUsage(format!("{name} is larger than {MOST_FILE} bytes")));
    }
    parse(&text).map_err(|problem| WrongUsage(format!("{name}: {problem}")))
}

fn parse(text: &str) -> Result<Vec<Prompt>, String> {
    let mut prompts = Vec::new();
    let mut ids = BTreeSet::new();
    let lines = text.lines().zip(1..);
    for (line, number) in lines.filter(|(line, _)| !line.trim().is_empty()) {
        let at = |problem: String| format!("line {number}: {problem}");
        let line: Line = serde_json::from_str(line).map_err(|error| {
            // It is always the first line of what serde was given.
            at(error.to_string().replace(" at line 1 column ", " at column "))
        })?;
        let prompt = Prompt::of(line, number).map_err(at)?;
        if !ids.insert(prompt.id.clone()) {
            return Err(at(format!("there is a prompt '{}' already", prompt.id)));
        }
        prompts.push(prompt);
    }
    if prompts.is_empty() {
        return Err("there is no prompt in it".to_owned());
    }
    Ok(prompts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn lines_are_prompts() {
        let text = "{\"prompt\":\"Hello\"}\n\n{\"id\":\"b\",\"messages\":[{\"role\":\"system\",\"content\":\"Be short.\"},\
                    {\"role\":\"user\",\"content\":\"Hi\"}],\"expect\":{\"contains\":\"x\"}}\r\n";
        let prompts = parse(text).unwrap();
        let seen: Vec<_> = prompts
            .iter()
            .map(|p| (p.id.as_str(), p.messages.len()))
            .collect();
        assert_eq!(seen, [("1", 1), ("b", 2)]);
    }

    #[test]
    fn a_bad_line_is_named() {
        for (text, says) in [
            ("", "no prompt"),
            ("\n \n", "no prompt"),
            ("{\"prompt\":\"x\"}\nnot JSON", "line 2: "),
            ("{\"prompt\":\"x\"", "line 1: "),
            ("[]", "line 1: "),
            ("{\"question\":\"x\"}", "line 1: unknown field `question`"),
            ("{}", "line 1: one of `prompt` and `messages`"),
            (
                "{\"prompt\":\"x\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}",
                "one of `prompt` and",
            ),
            ("{\"messages\":[]}", "`messages` is empty"),
            (
                "{\"prompt\":\"x\",\"id\":\"2\"}\n{\"prompt\":\"y\"}",
                "line 2: there is a prompt '2' already",
            ),
            (
                "{\"prompt\":\"x\",\"expect\":{\"regex\":\"x\"}}",
                "unknown field `regex`",
            ),
            (
                "{\"prompt\":\"x\",\"response_format\":{\"type\":\"json_schema\"}}",
                "line 1: `response_format`",
            ),
            (
                "{\"prompt\":\"x\",\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"n\",\
                 \"schema\":{\"type\":\"colour\"}}}}",
                "line 1: `response_format`",
            ),
            (
                "{\"prompt\":\"x\",\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"parameters\":{\"type\":7}}}]}",
                "line 1: `tools`",
            ),
        ] {
            let problem = parse(text).unwrap_err();
            assert!(problem.contains(says), "{text}: {problem}");
        }
    }

    #[test]
    fn the_file_has_a_bound() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&vec![b' '; usize::try_from(MOST_FILE).unwrap() + 1])
            .unwrap();
        assert!(read(file.path()).unwrap_err().0.contains("is larger than"));
        file.as_file().set_len(MOST_FILE).unwrap();
        assert!(read(file.path()).unwrap_err().0.contains("no prompt"));
        assert!(
            read(Path::new("/none.jsonl"))
                .unwrap_err()
                .0
                .contains("cannot be read")
        );
    }
}
