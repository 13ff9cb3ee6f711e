//! What every member has: an inherited manifest, a README with an example, tests, benches, files of a readable size.

use std::fs;
use std::path::Path;

use anyhow::Context;
use cargo_metadata::{Package, TargetKind};
use toml::{Table, Value};

use crate::readme;
use crate::workspace::{self, Workspace};

/// No source file is longer: a reader holds one in the head.
const MOST_LINES: usize = 800;

/// What each manifest takes from the workspace's.
const INHERITED: &[&str] = &["version", "edition", "rust-version", "license", "repository"];

/// First folders of paths that exist on one machine only.
const PRIVATE_FOLDERS: &[&str] = &["root", "home", "Users", "work"];

/// Everything that is out of order, one sentence each.
///
/// # Errors
/// If a file cannot be read.
pub(crate) fn check(workspace: &Workspace) -> anyhow::Result<Vec<String>> {
    let mut problems = Vec::new();
    if !workspace.root().join("LICENSE").is_file() {
        problems.push("there is no LICENSE".to_owned());
    }
    for package in workspace.members() {
        let path = package.manifest_path.as_std_path();
        let name = workspace.relative(path);
        let manifest: Table = fs::read_to_string(path)?
            .parse()
            .with_context(|| format!("{name} is not a manifest"))?;
        problems.extend(
            manifest_problems(&manifest, package)
                .into_iter()
                .map(|problem| format!("{name} {problem}")),
        );
    }
    for package in workspace.crates_and_template() {
        let name = &package.name;
        problems.extend(
            folder_problems(package)?
                .into_iter()
                .map(|problem| format!("{name} {problem}")),
        );
    }
    for file in workspace.files()? {
        let name = workspace.relative(&file);
        // A file that is no text has no lines.
        let Ok(text) = fs::read_to_string(&file) else {
            continue;
        };
        problems.extend(text_problems(&name, &text));
    }
    Ok(problems)
}

fn manifest_problems(manifest: &Table, package: &Package) -> Vec<String> {
    let mut problems = Vec::new();
    let is_true = |value: Option<&Value>| value.and_then(Value::as_bool) == Some(true);
    let is_false = |value: Option<&Value>| value.and_then(Value::as_bool) == Some(false);
    let section = manifest.get("package");
    let field = |name: &str| section.and_then(|section| section.get(name));
    for name in INHERITED {
        if !is_true(field(name).and_then(|value| value.get("workspace"))) {
            problems.push(format!(
                "does not inherit {name}: write `{name}.workspace = true`"
            ));
        }
    }
    for name in ["description", "readme"] {
        if field(name).and_then(Value::as_str).is_none_or(str::is_empty) {
            problems.push(format!("has no {name}"));
        }
    }
    if !is_true(manifest.get("lints").and_then(|lints| lints.get("workspace"))) {
        problems.push("does not inherit the lints: write `[lints] workspace = true`".to_owned());
    }
    // Otherwise `cargo bench -- --save-baseline N` hands criterion's flags to libtest, which refuses them.
    for target in &package.targets {
        let (kind, entry) = if target.is_kind(TargetKind::Lib) || target.is_kind(TargetKind::ProcMacro) {
            ("[lib]", manifest.get("lib"))
        } else if target.is_kind(TargetKind::Bin) {
            let named = |entry: &&Value| entry.get("name").and_then(Value::as_str) == Some(&target.name);
            (
                "[[bin]]",
                manifest
                    .get("bin")
                    .and_then(Value::as_array)
                    .and_then(|bins| bins.iter().find(named)),
            )
        } else {
            continue;
        };
        if !is_false(entry.and_then(|entry| entry.get("bench"))) {
            problems.push(format!("lacks `bench = false` in {kind} ({})", target.name));
        }
    }
    problems
}

fn folder_problems(package: &Package) -> anyhow::Result<Vec<String>> {
    let folder = workspace::folder(package);
    let mut problems = Vec::new();
    match fs::read_to_string(folder.join("README.md")) {
        Err(_) => problems.push("has no README.md".to_owned()),
        Ok(text) => {
            if readme::first_example(&text).is_none() {
                problems.push("has no Rust example in its README.md".to_owned());
            }
        }
    }
    if workspace::is_library(package) {
        let source = fs::read_to_string(folder.join("src/lib.rs"))?;
        if !source.contains("include_str!(\"../README.md\")") {
            problems.push(
                "does not test its README: write `#![doc = include_str!(\"../README.md\")]` in src/lib.rs"
                    .to_owned(),
            );
        }
    }
    for part in ["tests", "benches"] {
        if !has_source(&folder.join(part)) {
            problems.push(format!("has nothing in {part}/"));
        }
    }
    Ok(problems)
}

fn has_source(folder: &Path) -> bool {
    let rust = |path: &Path| path.extension().is_some_and(|extension| extension == "rs");
    fs::read_dir(folder).is_ok_and(|entries| {
        entries
            .flatten()
            .any(|entry| rust(&entry.path()) || rust(&entry.path().join("main.rs")))
    })
}

fn text_problems(name: &str, text: &str) -> Vec<String> {
    let mut problems = Vec::new();
    let lines = text.lines().count();
    if name.ends_with(".rs") && lines > MOST_LINES {
        problems.push(format!("{name} has {lines} lines; split it below {MOST_LINES}"));
    }
    for (number, line) in text.lines().enumerate() {
        if let Some(path) = private_path(line) {
            problems.push(format!("{name}:{} has a path of one machine: {path}", number + 1));
        }
    }
    problems
}

/// An absolute path into a person's or a machine's own folder. A URL's path is none.
fn private_path(line: &str) -> Option<&str> {
    let starts_a_path = |before: &str| {
        before
            .chars()
            .next_back()
            .is_none_or(|c| !c.is_alphanumeric() && !matches!(c, '/' | '.' | '_' | '-' | '}' | '~'))
    };
    line.match_indices('/').find_map(|(at, _)| {
        let path = &line[at + 1..];
        let (first, rest) = path.split_once('/')?;
        let deep = rest
            .chars()
            .next()
            .is_some_and(|c| c.is_alphanumeric() || c == '.');
        let found = PRIVATE_FOLDERS.contains(&first) && deep && starts_a_path(&line[..at]);
        found.then(|| {
            line[at..]
                .split(|c: char| c.is_whitespace() || "\"'`),;".contains(c))
                .next()
                .unwrap_or_default()
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
[package]
name = "thing"
description = "A thing"
readme = "README.md"
version.workspace = true
edition.workspace = true
rust-version.workspace = true
license.workspace = true
repository.workspace = true
[lints]
workspace = true
[lib]
bench = false
[[bin]]
name = "tool"
bench = false
"#;

    fn package() -> Package {
        let target = |kind: &str, name: &str| {
            format!(
                r#"{{"kind":["{kind}"],"name":"{name}","src_path":"/w/{name}.rs","edition":"2024","crate_types":["{kind}"]}}"#
            )
        };
        let json = format!(
            r#"{{"name":"thing","version":"0.1.0","id":"path+file:///w/thing#0.1.0","dependencies":[],
            "targets":[{},{},{}],"features":{{}},"manifest_path":"/w/thing/Cargo.toml"}}"#,
            target("lib", "thing"),
            target("bin", "tool"),
            target("bench", "speed")
        );
        serde_json::from_str(&json).unwrap()
    }

    fn problems(manifest: &str) -> Vec<String> {
        manifest_problems(&manifest.parse().unwrap(), &package())
    }

    #[test]
    fn a_good_manifest_has_no_problems() {
        assert_eq!(problems(GOOD), Vec::<String>::new());
    }

    #[test]
    fn each_fault_of_a_manifest_is_named() {
        for (from, to, why) in [
            (
                "license.workspace = true",
                "license = \"MIT\"",
                "does not inherit license",
            ),
            (
                "rust-version.workspace = true",
                "",
                "does not inherit rust-version",
            ),
            ("[lints]\nworkspace = true", "", "does not inherit the lints"),
            ("[lib]\nbench = false", "", "lacks `bench = false` in [lib]"),
            (
                "name = \"tool\"\nbench = false",
                "name = \"tool\"",
                "lacks `bench = false` in [[bin]] (tool)",
            ),
            (
                "name = \"tool\"\nbench = false",
                "name = \"other\"\nbench = false",
                "[[bin]] (tool)",
            ),
            (
                "description = \"A thing\"",
                "description = \"\"",
                "has no description",
            ),
        ] {
            assert!(GOOD.contains(from));
            let found = problems(&GOOD.replace(from, to));
            assert!(found.len() == 1 && found[0].contains(why), "{why}: {found:?}");
        }
    }

    #[test]
    fn long_files_are_named() {
        assert!(text_problems("a.rs", &"x\n".repeat(800)).is_empty());
        assert_eq!(
            text_problems("a.rs", &"x\n".repeat(801)),
            ["a.rs has 801 lines; split it below 800"]
        );
        assert!(text_problems("a.json", &"x\n".repeat(9000)).is_empty());
    }

    #[test]
    fn paths_of_one_machine_are_named() {
        let home = format!("see `/{}/someone/notes.txt`, please", "home");
        assert_eq!(private_path(&home), Some(&home[5..28]));
        assert_eq!(
            text_problems("a.md", &home),
            [format!("a.md:1 has a path of one machine: {}", &home[5..28])]
        );
        let root = format!("/{}/.cargo", "root");
        assert_eq!(private_path(&root), Some(root.as_str()));
        for fine in [
            "https://example.org/home/page",
            "crates/work/src",
            "a/home/b",
            "cargo /home",
            "1/2",
            "../work/x",
        ] {
            assert_eq!(private_path(fine), None, "{fine}");
        }
    }

    #[test]
    fn this_crate_has_sources_and_no_tests_folder() {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        assert!(has_source(&here.join("src")));
        assert!(!has_source(&here.join("no-such-folder")));
    }
}
