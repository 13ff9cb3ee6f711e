//! The manifest of the new crate.

use std::fmt::Write;

use anyhow::{Context, bail};
use toml::{Table, Value};

/// The template's manifest for a member of the workspace: it may be published, unlike the template.
///
/// # Errors
/// If the template does not say that it is not.
pub(super) fn of_member(template: &str) -> anyhow::Result<String> {
    const PRIVATE: &str = "publish = false\n";
    if !template.contains(PRIVATE) {
        bail!("the template's manifest lacks `{}`", PRIVATE.trim());
    }
    Ok(template.replacen(PRIVATE, "", 1))
}

/// The template's manifest for a crate that stands alone: what it would take from the workspace is written out.
///
/// # Errors
/// If something it asks for is not in the workspace's manifest.
pub(super) fn alone(template: &str, workspace: &str) -> anyhow::Result<String> {
    let root: Table = workspace
        .parse()
        .context("the workspace's manifest cannot be read")?;
    let given = root.get("workspace").context("there is no [workspace]")?;
    let member: Table = of_member(template)?
        .parse()
        .context("the template's manifest cannot be read")?;
    let mut out = String::new();
    for line in of_member(template)?.lines() {
        // The lists of dependencies follow in a form of our own, and the lints at the end.
        let inherited = line
            .split_once(".workspace = true")
            .map(|(name, _)| name)
            .filter(|_| !out.contains("[lints]"));
        match inherited {
            Some(name) => {
                let value = given.get("package").and_then(|package| package.get(name));
                let value = value.with_context(|| format!("the workspace has no {name}"))?;
                let _ = writeln!(out, "{name} = {}", written(value)?);
            }
            None if line == "[lints]" => break,
            None => {
                let _ = writeln!(out, "{line}");
            }
        }
    }
    out.push_str("[lib]\nbench = false\n");
    for section in ["dependencies", "dev-dependencies"] {
        let _ = writeln!(out, "\n[{section}]");
        let asked = member.get(section).and_then(Value::as_table);
        for (name, wants) in asked.into_iter().flatten() {
            let entry = given
                .get("dependencies")
                .and_then(|all| all.get(name))
                .with_context(|| format!("the workspace does not list {name}"))?;
            let _ = writeln!(out, "{name} = {}", dependency(entry, wants)?);
        }
    }
    for bench in member
        .get("bench")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        let name = bench.get("name").and_then(Value::as_str).unwrap_or_default();
        let _ = write!(out, "\n[[bench]]\nname = {name:?}\nharness = false\n");
    }
    out.push_str(&lints(workspace));
    Ok(out)
}

/// One dependency: the workspace's version and features, and the features the crate adds.
fn dependency(entry: &Value, wants: &Value) -> anyhow::Result<String> {
    let version = entry
        .as_str()
        .or_else(|| entry.get("version").and_then(Value::as_str))
        .context("a dependency has no version")?;
    let mut text = format!("{{ version = {version:?}");
    if entry.get("default-features").and_then(Value::as_bool) == Some(false) {
        text.push_str(", default-features = false");
    }
    let features = |of: &Value| {
        of.get("features")
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default()
    };
    let mut all = features(entry);
    all.extend(features(wants));
    if !all.is_empty() {
        let _ = write!(text, ", features = {}", written(&Value::Array(all))?);
    }
    text.push_str(" }");
    Ok(text)
}

/// A value as TOML. Only what manifests inherit: texts, truth values, lists of them.
fn written(value: &Value) -> anyhow::Result<String> {
    Ok(match value {
        Value::String(text) => format!("{text:?}"),
        Value::Boolean(truth) => truth.to_string(),
        Value::Array(items) => {
            let items: anyhow::Result<Vec<String>> = items.iter().map(written).collect();
            format!("[{}]", items?.join(", "))
        }
        other => bail!("a value that no manifest inherits: {other:?}"),
    })
}

/// The workspace's lints as the crate's own, as they are written.
fn lints(workspace: &str) -> String {
    let mut out = String::new();
    let mut inside = false;
    for line in workspace.lines() {
        if line.starts_with('[') {
            inside = line.starts_with("[workspace.lints.");
            if inside {
                let _ = write!(out, "\n{}\n", line.replacen("workspace.", "", 1));
            }
        } else if inside && !line.trim().is_empty() {
            let _ = writeln!(out, "{line}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEMPLATE: &str = r#"[package]
name = "x-client"
version.workspace = true
readme = "README.md"
publish = false

[lints]
workspace = true

[lib]
bench = false

[dependencies]
core-types.workspace = true
serde.workspace = true

[dev-dependencies]
tokio = { workspace = true, features = ["macros"] }

[[bench]]
name = "call"
harness = false
"#;

    const WORKSPACE: &str = r#"[workspace]
members = []
[workspace.package]
version = "0.3.0"
[workspace.dependencies]
core-types = { path = "crates/core-types", version = "0.3.0" }
serde = { version = "1.0.1", default-features = false, features = ["std"] }
tokio = { version = "1.2.0", default-features = false }

[workspace.lints.rust]
unsafe_code = "forbid"

[profile.dev]
debug = 1
"#;

    #[test]
    fn a_member_may_be_published() {
        assert!(!of_member(TEMPLATE).unwrap().contains("publish"));
        assert!(of_member("[package]\n").is_err());
    }

    #[test]
    fn alone_it_takes_nothing_from_the_workspace() {
        let text = alone(TEMPLATE, WORKSPACE).unwrap();
        let manifest: Table = text.parse().unwrap();
        assert!(!text.contains("workspace") && !text.contains("path"), "{text}");
        assert_eq!(manifest["package"]["version"].as_str(), Some("0.3.0"));
        assert_eq!(
            manifest["dependencies"]["core-types"]["version"].as_str(),
            Some("0.3.0")
        );
        let serde = &manifest["dependencies"]["serde"];
        assert_eq!(serde["default-features"].as_bool(), Some(false));
        assert_eq!(serde["features"].as_array().map(Vec::len), Some(1));
        assert_eq!(
            manifest["dev-dependencies"]["tokio"]["features"][0].as_str(),
            Some("macros")
        );
        assert_eq!(manifest["lints"]["rust"]["unsafe_code"].as_str(), Some("forbid"));
        assert_eq!(manifest["bench"][0]["name"].as_str(), Some("call"));
        assert_eq!(manifest["lib"]["bench"].as_bool(), Some(false));
        assert!(!text.contains("debug"), "{text}");
        assert!(alone(&TEMPLATE.replace("serde", "unheard-of"), WORKSPACE).is_err());
    }
}
