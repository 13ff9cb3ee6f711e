//! `cargo xtask check --consume`: each library, as a team outside the workspace takes it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use cargo_metadata::{Dependency, DependencyKind, Package};

use crate::layering;
use crate::process;
use crate::readme::{self, Example};
use crate::table::Table;
use crate::workspace::{self, Workspace};

/// For each library: writes a crate outside the workspace that depends on it by path, and runs its README's example.
///
/// # Errors
/// If a README has no example, or an example does not run.
pub(crate) fn run(workspace: &Workspace) -> anyhow::Result<()> {
    let base = std::env::temp_dir().join(format!("waypost-consume-{}", std::process::id()));
    let result = run_in(workspace, &base);
    let _ = fs::remove_dir_all(&base);
    result
}

fn run_in(workspace: &Workspace, base: &Path) -> anyhow::Result<()> {
    let mut table = Table::new(&[
        "crate",
        "packages",
        "without default features",
        "the example also names",
    ]);
    let mut failed = Vec::new();
    for package in workspace
        .crates()
        .into_iter()
        .filter(|package| workspace::is_library(package))
    {
        println!("\n{}", package.name);
        match consume(workspace, base, package) {
            Ok(also) => {
                let (default, bare) = layering::dependency_counts(workspace, &package.name)?;
                let bare = if package.features.is_empty() {
                    "-".to_owned()
                } else {
                    bare.to_string()
                };
                table.row([
                    package.name.to_string(),
                    default.to_string(),
                    bare,
                    also.join(" "),
                ]);
            }
            Err(error) => {
                println!("{error:#}");
                failed.push(package.name.to_string());
            }
        }
    }
    println!(
        "\nEach crate alone, by path, from outside the workspace; packages it brings with it:\n\n{}",
        table.text()
    );
    if !failed.is_empty() {
        bail!("cannot be taken alone: {}", failed.join(", "));
    }
    Ok(())
}

fn consume(workspace: &Workspace, base: &Path, package: &Package) -> anyhow::Result<Vec<String>> {
    let readme = workspace::folder(package).join("README.md");
    let text = fs::read_to_string(&readme)
        .with_context(|| format!("cannot read {}", workspace.relative(&readme)))?;
    let Some(example) = readme::first_example(&text) else {
        bail!("{} has no example", workspace.relative(&readme));
    };
    let also = named_dependencies(package, &example);
    let folder: PathBuf = base.join(package.name.as_str());
    fs::create_dir_all(folder.join("src"))?;
    fs::write(
        folder.join("Cargo.toml"),
        manifest(package, workspace::folder(package), &also),
    )?;
    fs::write(folder.join("src/main.rs"), readme::program(&example.code))?;
    // The versions the workspace was tested with.
    fs::copy(workspace.root().join("Cargo.lock"), folder.join("Cargo.lock"))
        .context("cannot copy Cargo.lock")?;
    let task = if example.no_run { "build" } else { "run" };
    let mut command = process::cargo(&folder);
    command
        .args([task, "--quiet"])
        .env("CARGO_TARGET_DIR", workspace.target().join("consume"));
    // Each is run once: debug information would only take room.
    command
        .env("CARGO_PROFILE_DEV_DEBUG", "0")
        .env("CARGO_INCREMENTAL", "0");
    process::run(&mut command)?;
    Ok(also.iter().map(|dependency| dependency.name.clone()).collect())
}

/// The dependencies of the crate, or of its tests, that the example itself names, as its reader would have to add them.
fn named_dependencies<'a>(package: &'a Package, example: &Example) -> Vec<&'a Dependency> {
    let mut named: Vec<&Dependency> = Vec::new();
    for dependency in &package.dependencies {
        let ident = dependency.rename.as_deref().unwrap_or(&dependency.name);
        let own = dependency.name == package.name.as_str();
        let wanted = dependency.kind != DependencyKind::Build
            && if own {
                // The crate itself, with a feature for tests.
                dependency
                    .features
                    .iter()
                    .any(|feature| example.code.contains(&format!("::{feature}::")))
            } else {
                readme::names_crate(&example.code, ident)
            };
        if wanted {
            // A line for tests asks for at least what the normal one does.
            named.retain(|other| other.name != dependency.name);
            named.push(dependency);
        }
    }
    named
}

fn manifest(package: &Package, folder: &Path, also: &[&Dependency]) -> String {
    let mut text = "[package]\nname = \"consumer\"\nversion = \"0.0.0\"\nedition = \"2024\"\npublish = false\n\n[workspace]\n\n[dependencies]\n"
        .to_owned();
    if !also
        .iter()
        .any(|dependency| dependency.name == package.name.as_str())
    {
        text.push_str(&format!("{} = {{ path = {folder:?} }}\n", package.name));
    }
    for dependency in also {
        let source = match &dependency.path {
            Some(path) => format!("path = {:?}", path.as_str()),
            None => format!("version = \"{}\"", dependency.req),
        };
        let rename = dependency
            .rename
            .as_ref()
            .map(|_| format!(", package = {:?}", dependency.name))
            .unwrap_or_default();
        text.push_str(&format!(
            "{} = {{ {source}{rename}, default-features = {}, features = {:?} }}\n",
            dependency.rename.as_deref().unwrap_or(&dependency.name),
            dependency.uses_default_features,
            dependency.features,
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package() -> Package {
        let dependency = |name: &str, kind: &str, path: &str, features: &str| {
            format!(
                r#"{{"name":"{name}","source":null,"req":"^1.2","kind":{kind},"optional":false,"uses_default_features":false,
                "features":{features},"target":null,"rename":null,"registry":null{path}}}"#
            )
        };
        let dependencies = [
            dependency("tokio", "null", "", r#"["time"]"#),
            dependency("tokio", "\"dev\"", "", r#"["macros","rt"]"#),
            dependency("serde", "null", "", "[]"),
            dependency("other-core", "null", r#","path":"/w/other-core""#, "[]"),
        ];
        let json = format!(
            r#"{{"name":"thing","version":"0.1.0","id":"path+file:///w/thing#0.1.0","dependencies":[{}],"targets":[],
            "features":{{}},"manifest_path":"/w/thing/Cargo.toml"}}"#,
            dependencies.join(",")
        );
        serde_json::from_str(&json).unwrap()
    }

    #[test]
    fn only_what_the_example_names_is_added() {
        let package = package();
        let code = "#[tokio::main]\nasync fn main() { thing::go(other_core::A).await }".to_owned();
        let also = named_dependencies(&package, &Example { code, no_run: false });
        assert_eq!(
            also.iter().map(|d| d.name.as_str()).collect::<Vec<_>>(),
            ["tokio", "other-core"]
        );
        let text = manifest(&package, Path::new("/w/thing"), &also);
        assert!(text.contains("thing = { path = \"/w/thing\" }\n"), "{text}");
        assert!(
            text.contains(
                "tokio = { version = \"^1.2\", default-features = false, features = [\"macros\", \"rt\"] }\n"
            ),
            "{text}"
        );
        assert!(
            text.contains("other-core = { path = \"/w/other-core\", default-features"),
            "{text}"
        );
        assert!(!text.contains("serde"), "{text}");
        assert!(text.parse::<toml::Table>().is_ok());
    }
}
