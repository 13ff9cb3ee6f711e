//! The environment variables of the project: the ones the code reads and the ones `.env.example` lists are the same.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::Context;

use crate::workspace::{self, Workspace};

/// Variables that only tests and `cargo xtask` know; they are no setting of the product.
pub(crate) const FOR_TESTS: &[&str] = &[
    "WAYPOST_SHARED",
    "WAYPOST_SKIPPED",
    "WAYPOST_REQUIRE_SHARED",
    "WAYPOST_SIMULATION_SEED",
];

/// Words above an entry of `.env.example` that say: promised, and read by nothing as yet.
const RESERVED: &str = "not used yet";

/// Whether a name is one of the project's variables.
pub(crate) fn is_ours(name: &str) -> bool {
    let prefixed = ["OPENROUTER_", "WAYPOST_", "OTEL_"].iter().any(|prefix| {
        name.strip_prefix(prefix)
            .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(is_name_byte))
    });
    prefixed || ["DATABASE_URL", "REDIS_URL", "RUST_LOG"].contains(&name)
}

/// Every variable that is in only one of the two, one sentence each.
///
/// # Errors
/// If a file cannot be read.
pub(crate) fn check(workspace: &Workspace) -> anyhow::Result<Vec<String>> {
    let path = workspace.root().join(".env.example");
    let listed = listed(&fs::read_to_string(&path).context("cannot read .env.example")?);
    let mut read = BTreeMap::new();
    let mut told = BTreeMap::new();
    let files = workspace.files()?;
    let mut problems = Vec::new();
    for package in workspace.crates_and_template() {
        let Some(prefix) = prefix_of_client(&package.name) else {
            continue;
        };
        let folder = workspace::folder(package);
        let readme = fs::read_to_string(folder.join("README.md")).unwrap_or_default();
        let read = read_by_client(&folder.join("src"), &prefix)?;
        problems.extend(compare_client(
            &package.name,
            &read,
            &words(&readme, |word| has_prefix(word, &prefix)),
        ));
    }
    for file in files {
        let name = workspace.relative(&file);
        let source = name.starts_with("crates/") && name.ends_with(".rs");
        if source || name.ends_with(".md") {
            let text = fs::read_to_string(&file).with_context(|| format!("cannot read {name}"))?;
            let found = if source {
                literals(&text, is_ours)
            } else {
                words(&text, is_ours)
            };
            let place = if source { &mut read } else { &mut told };
            for variable in found {
                place.entry(variable).or_insert_with(|| name.clone());
            }
        }
    }
    problems.extend(compare(&listed, &read, &told));
    Ok(problems)
}

/// What the variables of a provider's client begin with: `acme-cloud-client` has `ACME_CLOUD_`. `None` for other members, and for
/// a provider whose variables are the project's own and so in `.env.example`.
fn prefix_of_client(member: &str) -> Option<String> {
    let name = member.strip_suffix("-client")?;
    let prefix = format!("{}_", name.replace('-', "_").to_ascii_uppercase());
    (!is_ours(&format!("{prefix}API_KEY"))).then_some(prefix)
}

fn has_prefix(name: &str, prefix: &str) -> bool {
    name.strip_prefix(prefix)
        .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(is_name_byte))
}

/// The variables in the code of a client.
fn read_by_client(source: &Path, prefix: &str) -> anyhow::Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    for file in workspace::files_below(source)? {
        if file.extension().is_some_and(|ending| ending == "rs") {
            let text =
                fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
            found.extend(literals(&text, |word| has_prefix(word, prefix)));
        }
    }
    Ok(found)
}

/// The variables of every provider's client, so that tests can be kept from them. What cannot be read has none.
pub(crate) fn of_clients(root: &Path) -> BTreeSet<String> {
    let folders = fs::read_dir(root.join("crates")).into_iter().flatten().flatten();
    folders
        .filter_map(|folder| {
            let prefix = prefix_of_client(folder.file_name().to_str()?)?;
            read_by_client(&folder.path().join("src"), &prefix).ok()
        })
        .flatten()
        .collect()
}

/// A client's variables are told in its own README: a new provider changes no central file.
fn compare_client(member: &str, read: &BTreeSet<String>, told: &BTreeSet<String>) -> Vec<String> {
    let untold = read
        .difference(told)
        .map(|variable| format!("{member} reads {variable}, which its README.md does not tell"));
    let unread = told.difference(read).map(|variable| {
        format!("the README.md of {member} tells of {variable}, which its code does not read")
    });
    untold.chain(unread).collect()
}

/// The entries of an example file, with whether they are reserved.
fn listed(text: &str) -> BTreeMap<String, bool> {
    let mut entries = BTreeMap::new();
    let mut reserved = false;
    for line in text.lines().map(str::trim) {
        // An entry may be commented out: `# NAME=value`. Any other comment is about the entry below it.
        let entry = line.trim_start_matches('#').trim_start();
        match entry.split_once('=') {
            Some((name, _)) if is_ours(name.trim()) => {
                entries.insert(name.trim().to_owned(), reserved);
                reserved = false;
            }
            _ if line.is_empty() => reserved = false,
            _ => reserved |= line.starts_with('#') && line.contains(RESERVED),
        }
    }
    entries
}

fn compare(
    listed: &BTreeMap<String, bool>,
    read: &BTreeMap<String, String>,
    told: &BTreeMap<String, String>,
) -> Vec<String> {
    let mut problems = Vec::new();
    for (variable, file) in read.iter().chain(told) {
        if !listed.contains_key(variable) && !FOR_TESTS.contains(&variable.as_str()) {
            problems.push(format!("{variable} is in {file}, but not in .env.example"));
        }
    }
    for (variable, reserved) in listed {
        if !reserved && !read.contains_key(variable) {
            problems.push(format!(
                ".env.example lists {variable}, which no code reads; if it is promised for later, say \"{RESERVED}\" above it"
            ));
        }
    }
    problems
}

/// The variables that appear as a whole string literal.
fn literals(source: &str, wanted: impl Fn(&str) -> bool) -> BTreeSet<String> {
    source
        .split('"')
        .filter(|piece| wanted(piece))
        .map(str::to_owned)
        .collect()
}

/// The variables that appear as a word of a text.
fn words(text: &str, wanted: impl Fn(&str) -> bool) -> BTreeSet<String> {
    text.split(|c: char| !(c.is_ascii() && is_name_byte(c as u8)))
        .filter(|word| wanted(word))
        .map(str::to_owned)
        .collect()
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(names: &[&str]) -> BTreeMap<String, String> {
        names
            .iter()
            .map(|name| ((*name).to_owned(), "src/lib.rs".to_owned()))
            .collect()
    }

    #[test]
    fn names_of_the_project() {
        assert!(is_ours("OPENROUTER_API_KEY") && is_ours("WAYPOST_LISTEN") && is_ours("RUST_LOG"));
        assert!(is_ours("OTEL_EXPORTER_OTLP_ENDPOINT") && is_ours("REDIS_URL"));
        assert!(
            !is_ours("PATH")
                && !is_ours("WAYPOST_")
                && !is_ours("WAYPOST_listen")
                && !is_ours("MY_DATABASE_URL")
        );
    }

    #[test]
    fn literals_are_read_from_code_and_words_from_text() {
        let code =
            "let key = lookup(\"OPENROUTER_API_KEY\"); // OPENROUTER_OTHER\nconst A: &str = \"WAYPOST_\";";
        assert_eq!(
            literals(code, is_ours).into_iter().collect::<Vec<_>>(),
            ["OPENROUTER_API_KEY"]
        );
        assert_eq!(
            words("set `OPENROUTER_API_KEY`, or RUST_LOG=debug.", is_ours)
                .into_iter()
                .collect::<Vec<_>>(),
            ["OPENROUTER_API_KEY", "RUST_LOG"]
        );
    }

    #[test]
    fn entries_may_be_commented_out_and_reserved() {
        let text = "# The key.\nOPENROUTER_API_KEY=\n\n# Postgres; not used yet.\n# DATABASE_URL=postgres://x\n# Level\nRUST_LOG=info\n";
        let listed = listed(text);
        assert_eq!(listed.get("OPENROUTER_API_KEY"), Some(&false));
        assert_eq!(listed.get("DATABASE_URL"), Some(&true));
        assert_eq!(listed.get("RUST_LOG"), Some(&false));
        assert_eq!(listed.len(), 3);
    }

    #[test]
    fn a_clients_own_variables_are_in_its_readme() {
        assert_eq!(
            prefix_of_client("acme-cloud-client").as_deref(),
            Some("ACME_CLOUD_")
        );
        assert_eq!(
            prefix_of_client("openrouter-client"),
            None,
            "they are in .env.example"
        );
        assert_eq!(prefix_of_client("costing"), None);
        let set = |names: &[&str]| {
            names
                .iter()
                .map(|name| (*name).to_owned())
                .collect::<BTreeSet<_>>()
        };
        let read = literals(
            "lookup(\"ACME_API_KEY\"), \"ACME_API_KEY is not set\", \"ACME_\", \"ACMES_KEY\"",
            |word| has_prefix(word, "ACME_"),
        );
        assert_eq!(read, set(&["ACME_API_KEY"]));
        assert!(compare_client("acme-client", &read, &set(&["ACME_API_KEY"])).is_empty());
        let problems = compare_client("acme-client", &read, &set(&["ACME_KEY"]));
        assert_eq!(problems.len(), 2, "{problems:?}");
        assert!(problems[0].contains("ACME_API_KEY, which its README.md does not tell"));
        let template = Path::new(env!("CARGO_MANIFEST_DIR")).join("../templates/provider-client/src");
        assert_eq!(
            read_by_client(&template, "ACME_").unwrap(),
            set(&["ACME_API_KEY", "ACME_BASE_URL"])
        );
    }

    #[test]
    fn both_directions_are_compared() {
        let listed = BTreeMap::from([
            ("WAYPOST_LISTEN".to_owned(), false),
            ("REDIS_URL".to_owned(), true),
            ("RUST_LOG".to_owned(), false),
        ]);
        let none = BTreeMap::new();
        assert!(
            compare(
                &listed,
                &found(&["WAYPOST_LISTEN", "RUST_LOG", "WAYPOST_SHARED"]),
                &none
            )
            .is_empty()
        );
        let problems = compare(
            &listed,
            &found(&["WAYPOST_LISTEN", "WAYPOST_NEW"]),
            &found(&["WAYPOST_TYPO"]),
        );
        assert_eq!(problems.len(), 3, "{problems:?}");
        assert!(problems[0].contains("WAYPOST_NEW") && problems[1].contains("WAYPOST_TYPO"));
        assert!(problems[2].contains("RUST_LOG"));
    }
}
