//! `docs/reliability.md`: which trap, fault and bad input has which tests, read off the names of the tests.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;

use anyhow::{Context, bail};
use serde::Deserialize;

use crate::workspace::Workspace;

pub(crate) const PAGE: &str = "docs/reliability.md";

const DATA: &str = include_str!("../data/reliability.toml");

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Data {
    list: Vec<List>,
}

/// Things of one kind that can go wrong.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    /// What the tests' names begin with, before the number.
    prefix: String,
    title: String,
    about: String,
    /// The numbers that must have a test, as ranges with both ends.
    required: Vec<(u32, u32)>,
    lines: BTreeMap<String, String>,
    #[serde(default)]
    campaign: Vec<Campaign>,
}

/// A long run that was made by hand.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Campaign {
    /// What it is about, by its number in the list.
    number: u32,
    /// The day it ended, `YYYY-MM-DD`.
    date: String,
    /// How to run it again.
    command: String,
    /// What was seen, in figures.
    seen: String,
}

/// A test whose name carries a number.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Test {
    /// The member and the file it is in.
    place: String,
    name: String,
}

type Found = BTreeMap<(String, u32), BTreeSet<Test>>;

/// The page as it should be, and everything that is wrong with the tests: numbers nobody knows, required ones without a test.
///
/// # Errors
/// If a file cannot be read.
pub(crate) fn page(workspace: &Workspace) -> anyhow::Result<(String, Vec<String>)> {
    let data: Data = toml::from_str(DATA).context("xtask/data/reliability.toml cannot be read")?;
    let mut found = Found::new();
    for file in workspace.files()? {
        let name = workspace.relative(&file);
        // What a newcomer's crate is copied from carries no numbers: its copy would change the page.
        let Some(rest) = name.strip_prefix("crates/").filter(|name| name.ends_with(".rs")) else {
            continue;
        };
        let Some((member, path)) = rest.split_once('/') else {
            continue;
        };
        if !(path.starts_with("tests/") || path.starts_with("src/")) {
            continue;
        }
        let text = fs::read_to_string(&file).with_context(|| format!("cannot read {name}"))?;
        for test in numbered_tests(&text, &data) {
            found.entry((test.0, test.1)).or_default().insert(Test {
                place: format!("{member}, `{path}`"),
                name: test.2,
            });
        }
    }
    Ok((write(&data, &found), problems(&data, &found)))
}

/// Writes the page anew, or with `check` only says whether it is up to date and nothing required is missing.
///
/// # Errors
/// If the page is out of date, or with `check` if a required number has no test.
pub(crate) fn run(workspace: &Workspace, check: bool) -> anyhow::Result<()> {
    let (page, problems) = page(workspace)?;
    let path = workspace.root().join(PAGE);
    let present = fs::read_to_string(&path).unwrap_or_default();
    if present == page {
        println!("{PAGE} is up to date");
    } else if check {
        bail!("{PAGE} is out of date; run `cargo xtask docs`");
    } else {
        fs::write(&path, page).with_context(|| format!("{PAGE} cannot be written"))?;
        println!("{PAGE} is renewed");
    }
    for problem in &problems {
        println!("  {problem}");
    }
    match problems.len() {
        count if check && count > 0 => bail!("{count} problems with the numbers of tests"),
        _ => Ok(()),
    }
}

/// The tests of a source file that carry a number: prefix, number, whole name.
fn numbered_tests(source: &str, data: &Data) -> Vec<(String, u32, String)> {
    let mut tests = Vec::new();
    let mut is_test = false;
    for line in source.lines().map(str::trim) {
        if line.starts_with("#[") {
            is_test |= ["#[test]", "#[tokio::test", "#[case"]
                .iter()
                .any(|mark| line.starts_with(mark));
            continue;
        }
        // A comment or the rest of a long attribute may stand between the mark and the name.
        let declaration = ["pub(crate) ", "pub ", "async "]
            .iter()
            .fold(line, |line, word| line.strip_prefix(word).unwrap_or(line));
        if let Some(rest) = declaration.strip_prefix("fn ") {
            let name: String = rest
                .chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_')
                .collect();
            if let Some((prefix, number)) = number_of(&name, data).filter(|_| is_test) {
                tests.push((prefix, number, name));
            }
            is_test = false;
        }
    }
    tests
}

/// `trap_07_usage` is (trap, 7), `f13_html` is (f, 13): the prefix, two digits, and something after them.
fn number_of(name: &str, data: &Data) -> Option<(String, u32)> {
    data.list.iter().find_map(|list| {
        let rest = name.strip_prefix(list.prefix.as_str())?;
        // One letter stands right before its number, a word apart from it.
        let rest = if list.prefix.len() == 1 {
            rest
        } else {
            rest.strip_prefix('_')?
        };
        let (digits, slug) = rest.split_once('_')?;
        let two = digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_digit());
        (two && !slug.is_empty()).then(|| Some((list.prefix.clone(), digits.parse().ok()?)))?
    })
}

fn problems(data: &Data, found: &Found) -> Vec<String> {
    let mut problems = Vec::new();
    for list in &data.list {
        let has_test = |number: u32| found.contains_key(&(list.prefix.clone(), number));
        let missing: Vec<String> = list
            .required
            .iter()
            .flat_map(|(from, to)| *from..=*to)
            .filter(|number| !has_test(*number))
            .map(|number| shown(list, number))
            .collect();
        if !missing.is_empty() {
            problems.push(format!("{}: no test for {}", list.title, missing.join(", ")));
        }
        for campaign in &list.campaign {
            if !has_test(campaign.number) {
                let name = shown(list, campaign.number);
                problems.push(format!(
                    "{name} has a long run in xtask/data/reliability.toml and no test"
                ));
            }
        }
        for (prefix, number) in found.keys().filter(|(prefix, _)| *prefix == list.prefix) {
            if !list.lines.contains_key(&number.to_string()) {
                problems.push(format!(
                    "{prefix} {number} has a test and no line in xtask/data/reliability.toml"
                ));
            }
        }
    }
    problems
}

/// A number as its tests are named.
fn shown(list: &List, number: u32) -> String {
    if list.prefix.len() == 1 {
        format!("{}{number:02}", list.prefix)
    } else {
        format!("{}_{number:02}", list.prefix)
    }
}

fn write(data: &Data, found: &Found) -> String {
    let mut out = "# Reliability\n\n<!-- generated by `cargo xtask docs` from the names of the tests and \
                   xtask/data/reliability.toml -->\n\nWhat can go wrong, and the tests that hold us to our answer. A test \
                   carries the number of what it is about in its name, so any of them can be run alone: \
                   `cargo test -p CRATE NAME`. A required number without a test fails `cargo xtask check`.\n"
        .to_owned();
    for list in &data.list {
        // Writing to a string cannot fail.
        let _ = write!(
            out,
            "\n## {}\n\n{}\n\n| no. | what | tests |\n| --- | --- | --- |\n",
            list.title, list.about
        );
        let required = |number: u32| {
            list.required
                .iter()
                .any(|(from, to)| (*from..=*to).contains(&number))
        };
        let mut numbers: Vec<u32> = list
            .lines
            .keys()
            .filter_map(|number| number.parse().ok())
            .collect();
        numbers.sort_unstable();
        for number in numbers {
            let tests = found.get(&(list.prefix.clone(), number));
            if tests.is_none() && !required(number) {
                continue;
            }
            let what = list.lines.get(&number.to_string()).map_or("", String::as_str);
            let cell = tests.map_or_else(|| "**none**".to_owned(), cell);
            let _ = writeln!(out, "| {number} | {what} | {cell} |");
        }
        out.push_str(&campaigns(list));
    }
    out
}

/// The long runs of a list, the last one last; nothing where there are none.
fn campaigns(list: &List) -> String {
    let mut out = String::new();
    if !list.campaign.is_empty() {
        out.push_str(
            "\nLong runs, made by hand:\n\n| no. | date | command | seen |\n| --- | --- | --- | --- |\n",
        );
    }
    for Campaign {
        number,
        date,
        command,
        seen,
    } in &list.campaign
    {
        // Writing to a string cannot fail.
        let _ = writeln!(out, "| {number} | {date} | `{command}` | {seen} |");
    }
    out
}

/// The tests of one row, by the file they are in.
fn cell(tests: &BTreeSet<Test>) -> String {
    let mut places: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for test in tests {
        places
            .entry(&test.place)
            .or_default()
            .push(format!("`{}`", test.name));
    }
    let places: Vec<String> = places
        .into_iter()
        .map(|(place, names)| format!("{place}: {}", names.join(", ")))
        .collect();
    places.join("<br>")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data() -> Data {
        toml::from_str(DATA).unwrap()
    }

    #[test]
    fn the_data_has_a_line_for_every_number() {
        let counts: Vec<(String, usize)> = data()
            .list
            .iter()
            .map(|list| {
                for number in 1..=list.lines.len() {
                    let line = list.lines.get(&number.to_string());
                    assert!(
                        line.is_some_and(|line| line.ends_with('.')),
                        "{} {number}",
                        list.prefix
                    );
                }
                (list.prefix.clone(), list.lines.len())
            })
            .collect();
        assert_eq!(
            counts,
            [
                ("trap".to_owned(), 31),
                ("f".to_owned(), 65),
                ("input".to_owned(), 96),
                ("c".to_owned(), 22)
            ]
        );
    }

    #[test]
    fn a_long_run_is_shown_below_its_list() {
        let mut data = data();
        data.list.truncate(2);
        data.list.iter_mut().for_each(|list| list.campaign.clear());
        assert!(!write(&data, &Found::new()).contains("Long runs"));
        data.list[1].campaign = vec![Campaign {
            number: 34,
            date: "2026-08-22".to_owned(),
            command: "cargo test x".to_owned(),
            seen: "10 kills, none lost".to_owned(),
        }];
        let page = write(&data, &Found::new());
        let shown = "\nLong runs, made by hand:\n\n| no. | date | command | seen |\n| --- | --- | --- | --- |\n\
                     | 34 | 2026-08-22 | `cargo test x` | 10 kills, none lost |\n";
        assert!(page.ends_with(shown), "{page}");
        assert!(
            problems(&data, &Found::new())
                .iter()
                .any(|problem| problem.starts_with("f34 has a long run"))
        );
    }

    #[test]
    fn only_tests_with_a_number_count() {
        let source = "
            #[test]
            fn trap_07_usage_is_not_waited_for() {}
            #[tokio::test(flavor = \"multi_thread\")]
            // Why.
            async fn f01_refused() {}
            fn f02_is_a_helper() {}
            #[test]
            #[should_panic]
            fn input_62_invalid_letters(bytes: Vec<u8>) {}
            #[test]
            fn trap_7_one_digit() {}
            #[test]
            fn f101_three_digits() {}
            #[test]
            fn folding_works() {}
            #[test]
            fn calls_are_counted() {}
            #[test]
            fn c4_is_no_number() {}
            #[test]
            fn c04_a_price_is_missing() {}
            #[test]
            fn input_63() {}
        ";
        let names: Vec<(String, u32)> = numbered_tests(source, &data())
            .into_iter()
            .map(|(prefix, number, _)| (prefix, number))
            .collect();
        assert_eq!(
            names,
            [
                ("trap".to_owned(), 7),
                ("f".to_owned(), 1),
                ("input".to_owned(), 62),
                ("c".to_owned(), 4)
            ]
        );
    }

    #[test]
    fn what_is_copied_carries_no_number() {
        let template = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("..")
            .join(crate::new_provider::TEMPLATE);
        for file in crate::workspace::files_below(&template).unwrap() {
            let text = fs::read_to_string(&file).unwrap();
            let found = numbered_tests(&text, &data());
            assert_eq!(found, [], "{}: the copy would change {PAGE}", file.display());
        }
    }

    #[test]
    fn what_is_missing_is_listed_and_shown() {
        let mut data = data();
        data.list.truncate(2);
        data.list[0].required = vec![(1, 3)];
        data.list[1].required = vec![(5, 5)];
        data.list[1].campaign.clear();
        let test = |name: &str| {
            BTreeSet::from([Test {
                place: "a, `tests/b.rs`".to_owned(),
                name: name.to_owned(),
            }])
        };
        let found = Found::from([
            (("trap".to_owned(), 2), test("trap_02_x")),
            (("f".to_owned(), 5), test("f05_y")),
            (("f".to_owned(), 99), test("f99_z")),
        ]);
        assert_eq!(
            problems(&data, &found),
            [
                "Traps of OpenRouter's contract: no test for trap_01, trap_03",
                "f 99 has a test and no line in xtask/data/reliability.toml"
            ]
        );
        let page = write(&data, &found);
        assert!(page.contains("| 2 | An error under status 200 is an error, whatever else the body lacks. | a, `tests/b.rs`: `trap_02_x` |\n"), "{page}");
        assert!(page.contains("| 1 | Comment lines in a stream are signs of life, not data. | **none** |\n"));
        assert!(!page.contains("| 4 | "), "neither required nor tested");
    }
}
