//! Which member may depend on which: the arrows of the architecture, against what cargo says.

mod arrows;

use std::collections::BTreeSet;
use std::path::Path;

use cargo_metadata::DependencyKind;

use self::arrows::{Condition, FOR_TESTS, OWNED, ROOTS, RULES, Rule};
use crate::process;
use crate::workspace::Workspace;

/// Packages that must not be in the normal tree of a member, whatever its features: (member, cargo flags, packages).
const WITHOUT: &[(&str, &[&str], &[&str])] = &[
    ("integration-core", &["--all-features"], RUNTIMES),
    ("model-catalogue", &["--all-features"], RUNTIMES),
    ("costing", &["--all-features"], RUNTIMES),
    ("experiments", &["--all-features"], RUNTIMES),
    ("routing", &["--no-default-features"], RUNTIMES),
];

const RUNTIMES: &[&str] = &["tokio", "async-std", "smol", "hyper", "reqwest", "axum"];

/// One member and what it depends on inside the workspace and outside.
#[derive(Debug)]
struct Member {
    name: String,
    uses: Vec<Use>,
}

#[derive(Debug)]
struct Use {
    name: String,
    kind: DependencyKind,
    optional: bool,
    default_features: bool,
    features: Vec<String>,
}

/// Every arrow that is not allowed, one sentence each.
///
/// # Errors
/// If cargo cannot show a tree.
pub(crate) fn check(workspace: &Workspace) -> anyhow::Result<Vec<String>> {
    let members: Vec<Member> = workspace
        .members()
        .into_iter()
        .map(|package| Member {
            name: package.name.to_string(),
            uses: package.dependencies.iter().map(Use::from).collect(),
        })
        .collect();
    let mut problems = violations(&members);

    let features = tree(workspace.root(), &["--workspace", "-e", "normal,features"])?;
    problems.extend(shipped_mocks(&features));

    for (member, flags, packages) in WITHOUT {
        if !members.iter().any(|found| found.name == *member) {
            continue;
        }
        let tree = tree(
            workspace.root(),
            &[&["-p", member, "-e", "normal"], *flags].concat(),
        )?;
        let found = packages_of(&tree);
        for package in packages.iter().filter(|package| found.contains(**package)) {
            problems.push(format!(
                "{member} with {} brings in {package}; it must not",
                flags.join(" ")
            ));
        }
    }
    Ok(problems)
}

/// How many packages a member brings with it: (with its default features, without).
///
/// # Errors
/// If cargo cannot show a tree.
pub(crate) fn dependency_counts(workspace: &Workspace, member: &str) -> anyhow::Result<(usize, usize)> {
    let count = |flags: &[&str]| {
        let tree = tree(
            workspace.root(),
            &[&["-p", member, "-e", "normal"], flags].concat(),
        )?;
        // Two versions of one package are two packages to build; the member itself is none.
        let lines: BTreeSet<&str> = tree
            .lines()
            .map(line_of_package)
            .filter(|line| !line.is_empty())
            .collect();
        anyhow::Ok(lines.len().saturating_sub(1))
    };
    Ok((count(&[])?, count(&["--no-default-features"])?))
}

impl From<&cargo_metadata::Dependency> for Use {
    fn from(dependency: &cargo_metadata::Dependency) -> Self {
        Self {
            name: dependency.name.clone(),
            kind: dependency.kind,
            optional: dependency.optional,
            default_features: dependency.uses_default_features,
            features: dependency.features.clone(),
        }
    }
}

fn violations(members: &[Member]) -> Vec<String> {
    let names: BTreeSet<&str> = members.iter().map(|member| member.name.as_str()).collect();
    let mut problems = Vec::new();
    for member in members {
        let root = ROOTS.contains(&member.name.as_str());
        let rule = RULES.iter().find(|rule| matches(rule.member, &member.name));
        if !root && rule.is_none() {
            problems.push(format!(
                "{} is in no arrow: add its line to RULES in xtask/src/layering/arrows.rs and to ARCHITECTURE.md",
                member.name
            ));
            continue;
        }
        for used in &member.uses {
            let dev = used.kind == DependencyKind::Development;
            if !names.contains(used.name.as_str()) {
                let owners = OWNED
                    .iter()
                    .find(|(package, _)| *package == used.name)
                    .map(|(_, owners)| *owners);
                if !dev && !root && owners.is_some_and(|owners| !owners.contains(&member.name.as_str())) {
                    problems.push(format!(
                        "{} may not depend on {}: only {} may",
                        member.name,
                        used.name,
                        {
                            let owners = owners.unwrap_or_default();
                            if owners.is_empty() {
                                "the gateway".to_owned()
                            } else {
                                owners.join(", ")
                            }
                        }
                    ));
                }
                continue;
            }
            if !dev && used.features.iter().any(|feature| feature == "testing") {
                problems.push(format!(
                    "{} turns on {}/testing in a normal dependency: that would ship mocks",
                    member.name, used.name
                ));
            }
            if used.name == member.name && dev {
                continue;
            }
            if ROOTS.contains(&used.name.as_str()) {
                problems.push(format!(
                    "{} may not depend on {}: nothing does",
                    member.name, used.name
                ));
            } else if !root {
                problems.extend(
                    rule.and_then(|rule| refuse(rule, used, dev))
                        .map(|why| format!("{} {why}", member.name)),
                );
            }
        }
    }
    problems
}

fn refuse(rule: &Rule, used: &Use, dev: bool) -> Option<String> {
    let arrow = rule.may_use.iter().find(|arrow| arrow.to == used.name);
    match arrow {
        Some(_) if dev => None,
        Some(arrow) if arrow.condition == Condition::NoDefaultFeatures && used.default_features => Some(
            format!("may depend on {} only with default-features = false", used.name),
        ),
        Some(arrow) if arrow.condition == Condition::Optional && !used.optional => Some(format!(
            "may depend on {} only as an optional dependency",
            used.name
        )),
        Some(_) => None,
        None if dev && FOR_TESTS.contains(&used.name.as_str()) => None,
        None => {
            let allowed: Vec<&str> = rule.may_use.iter().map(|arrow| arrow.to).collect();
            let allowed = if allowed.is_empty() {
                "no other member".to_owned()
            } else {
                allowed.join(", ")
            };
            Some(format!("may not depend on {}: allowed are {allowed}", used.name))
        }
    }
}

/// Lines of a feature tree that show test helpers in what is shipped.
fn shipped_mocks(tree: &str) -> Vec<String> {
    let mut problems = BTreeSet::new();
    for line in tree.lines() {
        if line.starts_with("integration-core feature \"testing\"") {
            problems.insert("a normal dependency turns on integration-core/testing".to_owned());
        }
        if line == "mockall" || line.starts_with("mockall ") {
            problems.insert("mockall is in the normal tree".to_owned());
        }
    }
    problems.into_iter().collect()
}

fn tree(root: &Path, flags: &[&str]) -> anyhow::Result<String> {
    process::capture(
        process::cargo(root)
            .args(["tree", "--prefix", "none"])
            .args(flags),
    )
}

fn packages_of(tree: &str) -> BTreeSet<&str> {
    tree.lines()
        .filter_map(|line| line.split_whitespace().next())
        .collect()
}

fn line_of_package(line: &str) -> &str {
    line.trim_end().trim_end_matches("(*)").trim_end()
}

fn matches(pattern: &str, name: &str) -> bool {
    match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
        (Some(end), _) => name.ends_with(end),
        (_, Some(start)) => name.starts_with(start),
        _ => pattern == name,
    }
}

#[cfg(test)]
mod tests;
