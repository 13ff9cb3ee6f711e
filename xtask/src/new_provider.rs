//! `cargo xtask new-provider NAME`: a crate for a new provider, copied from the compiled template.

mod manifest;
mod name;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

use crate::process;
use crate::workspace::{self, Workspace};

pub(crate) use self::name::Name;

/// Where the template is: a member like any other, so that it compiles and passes its tests.
pub(crate) const TEMPLATE: &str = "templates/provider-client";

/// What to make.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The provider, in small letters, words joined by hyphens: `acme` makes the crate `acme-client`
    pub(crate) name: String,
    /// Makes a crate that stands alone in this new folder, for a repository of your own; in `crates/` of this one if not given
    #[arg(long, value_name = "FOLDER")]
    pub(crate) into: Option<PathBuf>,
}

/// Writes the crate, and says what to do next. No file outside its folder is touched.
///
/// # Errors
/// If the name cannot be one or is taken, or a file cannot be written.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> anyhow::Result<()> {
    let name = Name::new(&options.name).map_err(anyhow::Error::msg)?;
    let root = workspace.root();
    let folder = match &options.into {
        Some(folder) => folder.clone(),
        None => {
            let taken = workspace
                .members()
                .iter()
                .any(|member| *member.name == name.package());
            if taken || locked(root, &name.package())? {
                bail!("'{name}' is taken: there is a package {} already", name.package());
            }
            root.join("crates").join(name.package())
        }
    };
    if folder.exists() {
        bail!("{} exists already; nothing was changed", folder.display());
    }
    let files = render(root, &name, options.into.is_some())?;
    for (path, text) in &files {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().unwrap_or(&folder))?;
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    format(root, &folder, &files);
    print!("{}", next_steps(&name, &folder, root, files.len()));
    Ok(())
}

/// Whether the lock file names a package: a second one of that name would be confusing at best.
fn locked(root: &Path, package: &str) -> anyhow::Result<bool> {
    let lock = fs::read_to_string(root.join("Cargo.lock")).context("cannot read Cargo.lock")?;
    Ok(lock.lines().any(|line| line == format!("name = {package:?}")))
}

/// The files of the new crate: path below its folder, and text.
fn render(root: &Path, name: &Name, alone: bool) -> anyhow::Result<Vec<(PathBuf, String)>> {
    let template = root.join(TEMPLATE);
    let mut files = Vec::new();
    for path in workspace::files_below(&template)? {
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let path = path.strip_prefix(&template)?.to_path_buf();
        let text = match path.to_str() {
            Some("Cargo.toml") if alone => {
                let workspace =
                    fs::read_to_string(root.join("Cargo.toml")).context("cannot read Cargo.toml")?;
                manifest::alone(&text, &workspace)?
            }
            Some("Cargo.toml") => manifest::of_member(&text)?,
            _ => text,
        };
        files.push((path, name.put_into(&text)));
    }
    if alone {
        // The code is written for these: line lengths, and the calls that take time from nowhere.
        for file in ["clippy.toml", "rustfmt.toml"] {
            let text = fs::read_to_string(root.join(file)).with_context(|| format!("cannot read {file}"))?;
            files.push((PathBuf::from(file), text));
        }
    }
    Ok(files)
}

/// Formats the sources: a longer name breaks lines elsewhere. Without rustfmt they compile all the same.
fn format(root: &Path, folder: &Path, files: &[(PathBuf, String)]) {
    let sources = files
        .iter()
        .map(|(path, _)| path)
        .filter(|path| path.extension().is_some_and(|ending| ending == "rs"))
        .map(|path| folder.join(path));
    let mut command = Command::new("rustfmt");
    command
        .args(["--edition", "2024", "--config-path"])
        .arg(root)
        .args(sources);
    if let Err(error) = process::capture(&mut command) {
        println!("the sources are not formatted: {error:#}");
    }
}

fn next_steps(name: &Name, folder: &Path, root: &Path, files: usize) -> String {
    let shown = folder.strip_prefix(root).unwrap_or(folder).display();
    let in_it = if folder.starts_with(root) {
        format!("-p {}", name.package())
    } else {
        format!("--manifest-path {shown}/Cargo.toml")
    };
    let variable = name.shouting();
    format!(
        "{shown} is written ({files} files); nothing else was changed.\n\n\
         It compiles and passes as it is, for a server that speaks OpenAI's chat completions:\n\n  \
         cargo test {in_it}\n\n\
         What to make its own, in this order (docs/adding-a-provider.md tells more):\n\n  \
         src/config.rs        where the provider is; {variable}_API_KEY and {variable}_BASE_URL are its variables\n  \
         src/client.rs        CAPABILITIES: what it offers; the rest is refused\n  \
         src/wire/error.rs    its words for what went wrong\n  \
         src/wire/            how its requests and answers differ\n  \
         tests/conformance.rs what the suite must know of its dialect\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
    }

    #[test]
    fn nothing_of_the_templates_name_is_left() {
        let name = Name::new("quirk-7even").unwrap();
        for alone in [false, true] {
            let files = render(&root(), &name, alone).unwrap();
            for needed in [
                "Cargo.toml",
                "README.md",
                "src/lib.rs",
                "tests/conformance.rs",
                "benches/call.rs",
            ] {
                assert!(
                    files.iter().any(|(path, _)| path == Path::new(needed)),
                    "{needed}"
                );
            }
            for (path, text) in &files {
                let small = text.to_ascii_lowercase();
                assert!(
                    !small.contains("acme"),
                    "{}: the template's name is left",
                    path.display()
                );
            }
        }
    }

    #[test]
    fn a_package_of_the_lock_file_is_taken() {
        assert!(locked(&root(), "serde").unwrap());
        assert!(!locked(&root(), "quirk-7even-client").unwrap());
    }

    #[test]
    fn the_next_steps_name_the_crate_and_its_variables() {
        let name = Name::new("quirk-7even").unwrap();
        let here = next_steps(
            &name,
            Path::new("/w/crates/quirk-7even-client"),
            Path::new("/w"),
            3,
        );
        assert!(
            here.starts_with("crates/quirk-7even-client is written (3 files)"),
            "{here}"
        );
        assert!(here.contains("cargo test -p quirk-7even-client") && here.contains("QUIRK_7EVEN_API_KEY"));
        let there = next_steps(&name, Path::new("/elsewhere"), Path::new("/w"), 3);
        assert!(there.contains("--manifest-path /elsewhere/Cargo.toml"), "{there}");
    }
}
