//! A guide that is followed to the letter: its marked blocks are run, so that it cannot go stale.
//!
//! A fenced block is a step by the first words behind its fence:
//!
//! - `console`: each line that begins with `$ ` is a command; `cargo …` and `cd FOLDER` are understood.
//! - `LANGUAGE PATH` (a path holds a slash): the block is a new file.
//! - `diff PATH`: the lines with `-` are in the file, once and together, and become the lines with `+`; lines with neither are
//!   there to find the place.
//!
//! Words in capitals stand for what a reader chooses; whoever follows the guide replaces them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

use crate::process;

/// One thing the guide tells its reader to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Run(Vec<String>),
    Write { path: String, text: String },
    Replace { path: String, old: String, new: String },
}

/// The steps under one heading (of level 2), in order, with the reader's choices put in.
///
/// # Errors
/// If there is no such heading, or a block cannot be understood.
pub(crate) fn steps(guide: &str, heading: &str, choices: &[(&str, &str)]) -> anyhow::Result<Vec<Step>> {
    let marked = format!("## {heading}");
    let mut lines = guide
        .lines()
        .skip_while(|line| *line != marked)
        .skip(1)
        .take_while(|line| !line.starts_with("## "));
    let mut steps = Vec::new();
    while let Some(line) = lines.next() {
        let Some(fence) = line.strip_prefix("```") else {
            continue;
        };
        let body: Vec<&str> = lines
            .by_ref()
            .take_while(|line| !line.starts_with("```"))
            .collect();
        let mut words = fence.split_whitespace();
        match (words.next(), words.next()) {
            (Some("console"), None) => {
                for line in body {
                    let command = line
                        .strip_prefix("$ ")
                        .with_context(|| format!("no command of the guide begins like this: {line}"))?;
                    let command = chosen(command, choices);
                    steps.push(Step::Run(command.split_whitespace().map(str::to_owned).collect()));
                }
            }
            (Some("diff"), Some(path)) => steps.push(replacement(&chosen(path, choices), &body, choices)),
            (Some(_), Some(path)) if path.contains('/') => steps.push(Step::Write {
                path: chosen(path, choices),
                text: chosen(&body.join("\n"), choices) + "\n",
            }),
            _ => {}
        }
    }
    if steps.is_empty() {
        bail!("the guide has no steps under '{heading}'");
    }
    Ok(steps)
}

fn chosen(text: &str, choices: &[(&str, &str)]) -> String {
    choices
        .iter()
        .fold(text.to_owned(), |text, (word, choice)| text.replace(word, choice))
}

fn replacement(path: &str, body: &[&str], choices: &[(&str, &str)]) -> Step {
    let side = |mark: char, other: char| {
        let kept = body.iter().filter(|line| !line.starts_with(other));
        let lines = kept.map(|line| line.strip_prefix([mark, ' ']).unwrap_or(line));
        chosen(&lines.collect::<Vec<_>>().join("\n"), choices) + "\n"
    };
    Step::Replace {
        path: path.to_owned(),
        old: side('-', '+'),
        new: side('+', '-'),
    }
}

/// Follows the steps from a folder on. `prepare` sets the environment of each command.
///
/// # Errors
/// If a step cannot be followed or a command fails; the message names it.
pub(crate) fn follow(steps: &[Step], from: &Path, prepare: impl Fn(&mut Command)) -> anyhow::Result<()> {
    let mut here = from.to_path_buf();
    for step in steps {
        match step {
            Step::Run(words) => run(words, &mut here, &prepare)?,
            Step::Write { path, text } => {
                let path = here.join(path);
                println!("  writing {}", path.display());
                fs::create_dir_all(path.parent().unwrap_or(&here))?;
                fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
            }
            Step::Replace { path, old, new } => {
                println!("  changing {path}");
                let path = here.join(path);
                let text = fs::read_to_string(&path)
                    .with_context(|| format!("the guide changes {}, which cannot be read", path.display()))?;
                if text.matches(old.as_str()).count() != 1 {
                    bail!(
                        "the guide is out of date: {} does not hold, once, these lines:\n{old}",
                        path.display()
                    );
                }
                fs::write(&path, text.replacen(old.as_str(), new, 1))?;
            }
        }
    }
    Ok(())
}

fn run(words: &[String], here: &mut PathBuf, prepare: impl Fn(&mut Command)) -> anyhow::Result<()> {
    match words {
        [cd, folder] if cd == "cd" => {
            *here = here.join(folder);
            if !here.is_dir() {
                bail!("the guide goes to {}, which is no folder", here.display());
            }
            Ok(())
        }
        [cargo, arguments @ ..] if cargo == "cargo" => {
            let mut command = process::cargo(here);
            command.args(arguments);
            prepare(&mut command);
            process::run(&mut command)
        }
        _ => bail!(
            "the guide has a command that is not understood: {}",
            words.join(" ")
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GUIDE: &str = "# Guide\n\n```console\n$ cargo before\n```\n\n## One\n\nText.\n\n```console\n$ cargo xtask new NAME\n$ cd NAME\n```\n\n\
        ```rust\nshown only\n```\n\n```rust NAME/tests/a.rs\nfn NAME() {}\n```\n\n```diff src/lib.rs\n keep\n-old NAME\n+new NAME\n```\n\n## Two\n\n\
        ```console\n$ rm -rf /\n```\n";

    #[test]
    fn the_steps_of_a_heading_are_read() {
        let steps = steps(GUIDE, "One", &[("NAME", "quirk")]).unwrap();
        let run = |command: &str| Step::Run(command.split(' ').map(str::to_owned).collect());
        assert_eq!(
            steps,
            [
                run("cargo xtask new quirk"),
                run("cd quirk"),
                Step::Write {
                    path: "quirk/tests/a.rs".to_owned(),
                    text: "fn quirk() {}\n".to_owned()
                },
                Step::Replace {
                    path: "src/lib.rs".to_owned(),
                    old: "keep\nold quirk\n".to_owned(),
                    new: "keep\nnew quirk\n".to_owned()
                },
            ]
        );
        assert!(super::steps(GUIDE, "Three", &[]).is_err());
        assert!(super::steps("## A\n```console\ncargo test\n```\n", "A", &[]).is_err());
    }

    #[test]
    fn only_what_a_guide_may_do_is_done() {
        let folder = std::env::temp_dir().join(format!("waypost-guide-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let follow = |steps: &[Step]| follow(steps, &folder, |_| {});
        let steps = super::steps(GUIDE, "Two", &[]).unwrap();
        assert!(follow(&steps).unwrap_err().to_string().contains("rm -rf"));

        let write = Step::Write {
            path: "a/b.txt".to_owned(),
            text: "one\ntwo\n".to_owned(),
        };
        let replace = |old: &str| Step::Replace {
            path: "b.txt".to_owned(),
            old: old.to_owned(),
            new: "three\n".to_owned(),
        };
        let cd = Step::Run(vec!["cd".to_owned(), "a".to_owned()]);
        follow(&[write, cd.clone(), replace("two\n")]).unwrap();
        assert_eq!(
            fs::read_to_string(folder.join("a/b.txt")).unwrap(),
            "one\nthree\n"
        );
        let error = follow(&[cd, replace("four\n")]).unwrap_err().to_string();
        assert!(error.contains("out of date") && error.contains("four"), "{error}");
        fs::remove_dir_all(&folder).unwrap();
    }
}
