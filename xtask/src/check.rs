//! `cargo xtask check`: everything about the workspace that is not a test.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::bail;
use cargo_metadata::Package;
use clap::ValueEnum;

use crate::process;
use crate::tools;
use crate::workspace::Workspace;
use crate::{consume, docs, env_keys, layering, provider, tidy};

/// Which checks to make.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Options {
    /// Only these; all of them if none is named
    #[arg(value_enum)]
    pub(crate) only: Vec<Step>,
    /// Instead: take each library from outside the workspace, run its README example, count its packages
    #[arg(long, conflicts_with = "only")]
    pub(crate) consume: bool,
}

/// One check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Step {
    /// Formatting
    Fmt,
    /// Manifests, READMEs, tests and benches of each member; length of files; no private paths
    Tidy,
    /// The variables in the code and in .env.example are the same; a provider's own are in its README
    EnvKeys,
    /// The generated parts of the documentation are up to date, and every required trap, fault and input has a test
    Generated,
    /// Only the allowed arrows between members; no test helpers in what is shipped
    Layering,
    /// No warnings, with the default features and with all
    Clippy,
    /// No warnings in the documentation
    Docs,
    /// Each crate builds by itself: default features, none, each one
    Alone,
    /// A crate made by `new-provider` builds and passes, in the workspace and outside, by the guide
    Provider,
    /// Licences, sources and banned packages
    Deny,
}

/// Makes the checks, all of them even if one fails, and lists the failed ones.
///
/// # Errors
/// If any failed.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> anyhow::Result<()> {
    if options.consume {
        return consume::run(workspace);
    }
    let steps = if options.only.is_empty() {
        Step::value_variants()
    } else {
        &options.only
    };
    let mut failed = Vec::new();
    for step in steps {
        let name = step.name();
        println!("\n== {name}");
        let started = now();
        let result = step.run(workspace);
        let seconds = now().saturating_sub(started).as_secs_f64();
        match result {
            Ok(()) => println!("{name}: ok ({seconds:.0} s)"),
            Err(error) => {
                println!("{name}: {error:#} ({seconds:.0} s)");
                failed.push(name);
            }
        }
    }
    println!();
    if !failed.is_empty() {
        bail!("check failed: {}", failed.join(", "));
    }
    println!("check passed");
    Ok(())
}

impl Step {
    fn name(self) -> String {
        self.to_possible_value()
            .map(|value| value.get_name().to_owned())
            .unwrap_or_default()
    }

    fn run(self, workspace: &Workspace) -> anyhow::Result<()> {
        let cargo = || process::cargo(workspace.root());
        match self {
            Self::Fmt => process::run(cargo().args(["fmt", "--all", "--", "--check", "-l"])),
            Self::Tidy => none_of(&tidy::check(workspace)?),
            Self::EnvKeys => none_of(&env_keys::check(workspace)?),
            Self::Generated => docs::run(workspace, &docs::Options { check: true }),
            Self::Layering => none_of(&layering::check(workspace)?),
            Self::Clippy => {
                let targets = ["clippy", "--quiet", "--workspace", "--all-targets"];
                process::run(cargo().args(targets).args(["--", "-D", "warnings"]))?;
                process::run(
                    cargo()
                        .args(targets)
                        .args(["--all-features", "--", "-D", "warnings"]),
                )
            }
            Self::Docs => {
                let mut command = cargo();
                command
                    .args(["doc", "--quiet", "--no-deps", "--workspace"])
                    .env("RUSTDOCFLAGS", "-D warnings");
                process::run(&mut command)
            }
            Self::Alone => {
                let mut problems = Vec::new();
                for package in workspace.members() {
                    for flags in feature_sets(package) {
                        let mut command = cargo();
                        command
                            .args(["check", "--quiet", "-p", &package.name])
                            .args(flags);
                        problems.extend(process::run(&mut command).err().map(|error| error.to_string()));
                    }
                }
                none_of(&problems)
            }
            Self::Provider => {
                // Both are tried, even if the first fails.
                let here = provider::in_the_workspace(workspace);
                provider::outside(workspace).and(here)
            }
            Self::Deny => {
                tools::need_cargo_tool(workspace.root(), "deny")?;
                let what = ["check", "--hide-inclusion-graph", "bans", "licenses", "sources"];
                process::run(cargo().args(["deny", "--all-features"]).args(what))
            }
        }
    }
}

/// The ways to build a crate by itself: as it comes, bare, and bare with each one of its features.
fn feature_sets(package: &Package) -> Vec<Vec<String>> {
    let mut sets = vec![Vec::new()];
    let features: BTreeSet<&String> = package
        .features
        .keys()
        .filter(|name| *name != "default")
        .collect();
    if !package.features.is_empty() {
        sets.push(vec!["--no-default-features".to_owned()]);
    }
    for feature in features {
        sets.push(vec![
            "--no-default-features".to_owned(),
            "--features".to_owned(),
            feature.clone(),
        ]);
    }
    sets
}

fn none_of(problems: &[String]) -> anyhow::Result<()> {
    for problem in problems {
        println!("  {problem}");
    }
    match problems.len() {
        0 => Ok(()),
        1 => bail!("1 problem"),
        many => bail!("{many} problems"),
    }
}

/// Time since some fixed moment, to tell how long a step took.
#[expect(
    clippy::disallowed_methods,
    reason = "the tasks measure themselves for whoever waits"
)]
pub(crate) fn now() -> Duration {
    use std::time::{SystemTime, UNIX_EPOCH};
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_are_tried_one_by_one() {
        let json = r#"{"name":"thing","version":"0.1.0","id":"path+file:///w/thing#0.1.0","dependencies":[],"targets":[],
            "features":{FEATURES},"manifest_path":"/w/thing/Cargo.toml"}"#;
        let sets = |features: &str| {
            let package: Package = serde_json::from_str(&json.replace("{FEATURES}", features)).unwrap();
            feature_sets(&package)
                .into_iter()
                .map(|set| set.join(" "))
                .collect::<Vec<_>>()
        };
        assert_eq!(sets("{}"), [""]);
        assert_eq!(
            sets(r#"{"default":["b"],"a":[],"b":[]}"#),
            [
                "",
                "--no-default-features",
                "--no-default-features --features a",
                "--no-default-features --features b"
            ]
        );
    }

    #[test]
    fn problems_are_counted() {
        assert!(none_of(&[]).is_ok());
        assert_eq!(none_of(&["a".to_owned()]).unwrap_err().to_string(), "1 problem");
        assert_eq!(
            none_of(&["a".to_owned(), "b".to_owned()])
                .unwrap_err()
                .to_string(),
            "2 problems"
        );
    }

    #[test]
    fn steps_have_names_of_the_command_line() {
        assert_eq!(Step::EnvKeys.name(), "env-keys");
    }
}
