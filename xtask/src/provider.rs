//! A crate made by `new-provider` builds and passes, in this workspace and outside it: `docs/adding-a-provider.md` is followed to
//! the letter, once in a copy of the workspace and once against the packaged crates.

use std::collections::BTreeMap;
use std::fs;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

use crate::guide;
use crate::process;
use crate::workspace::{self, Workspace};

pub(crate) const GUIDE: &str = "docs/adding-a-provider.md";

/// A name that meets every rule and no habit: several words, a digit first in one of them, long enough to break lines elsewhere.
const NAME: &str = "zz-7even-quirks";

/// What a provider's crate outside this repository takes from it.
const PACKAGED: &[&str] = &["http-transport", "integration-core", "provider-testkit"];

/// Follows the guide in a copy of the workspace. Nothing but the new folder may change there; cargo itself adds the new member to
/// `Cargo.lock`.
///
/// # Errors
/// If a step fails, or something else changed.
pub(crate) fn in_the_workspace(workspace: &Workspace) -> anyhow::Result<()> {
    let copy = workspace.target().join("provider-check/workspace");
    copy_files(workspace.root(), &copy)?;
    let before = snapshot(&copy)?;
    let choices = [
        ("NAME", NAME),
        ("PACKAGE", &format!("{NAME}-client").replace('-', "_")),
    ];
    let steps = guide::steps(&read_guide(workspace)?, "In this repository", &choices)?;
    guide::follow(&steps, &copy, |command| prepare(workspace, command))?;
    let after = snapshot(&copy)?;
    let changed = changes(&before, &after, NAME);
    if !changed.is_empty() {
        bail!(
            "new files and changes outside the new folder: {}",
            changed.join(", ")
        );
    }
    println!("crates/{NAME}-client builds and passes; nothing outside its folder changed");
    Ok(())
}

/// Follows the guide outside the workspace, with the crates as they would be published.
///
/// # Errors
/// If a crate cannot be packaged, or a step fails.
pub(crate) fn outside(workspace: &Workspace) -> anyhow::Result<()> {
    // The same folder every time, or each run would leave what it built in the target folder for good.
    let of_this_workspace = BuildHasherDefault::<DefaultHasher>::default().hash_one(workspace.root());
    let base = std::env::temp_dir().join(format!("waypost-provider-{of_this_workspace:x}"));
    let _ = fs::remove_dir_all(&base);
    let result = outside_in(workspace, &base);
    let _ = fs::remove_dir_all(&base);
    result
}

fn outside_in(workspace: &Workspace, base: &Path) -> anyhow::Result<()> {
    let packages = package(workspace)?;
    let folder = base.join("provider");
    fs::create_dir_all(base)?;
    let text = |path: &Path| path.to_str().map(str::to_owned).context("a path is no text");
    let (folder_text, packages_text) = (text(&folder)?, text(&packages)?);
    let choices = [
        ("NAME", NAME),
        ("FOLDER", &folder_text),
        ("PACKAGES", &packages_text),
    ];
    let steps = guide::steps(&read_guide(workspace)?, "In a repository of your own", &choices)?;
    // The first step is taken here, all others in the new folder.
    let (made, rest) = steps.split_at(1);
    guide::follow(made, workspace.root(), |command| prepare(workspace, command))?;
    // The versions the workspace was tested with.
    fs::copy(workspace.root().join("Cargo.lock"), folder.join("Cargo.lock"))
        .context("cannot copy Cargo.lock")?;
    guide::follow(rest, workspace.root(), |command| prepare(workspace, command))?;
    println!("outside the workspace it builds and passes too");
    Ok(())
}

/// The crates as they would be published, unpacked; their folder.
fn package(workspace: &Workspace) -> anyhow::Result<PathBuf> {
    let target = workspace.target().join("provider-check");
    let folder = target.join("package");
    let _ = fs::remove_dir_all(&folder);
    let mut command = process::cargo(workspace.root());
    command
        .args([
            "package",
            "--quiet",
            "--no-verify",
            "--allow-dirty",
            "--offline",
            "--exclude-lockfile",
        ])
        .arg("--target-dir")
        .arg(&target);
    for name in PACKAGED {
        command.args(["-p", name]);
    }
    process::run(&mut command)?;
    for name in PACKAGED {
        let mut archives = fs::read_dir(&folder)?.flatten().map(|entry| entry.path());
        let archive = archives
            .find(|path| {
                let file = path
                    .file_name()
                    .unwrap_or_default()
                    .to_string_lossy()
                    .into_owned();
                file.starts_with(&format!("{name}-")) && file.ends_with(".crate")
            })
            .with_context(|| format!("{name} was not packaged"))?;
        process::run(
            Command::new("tar")
                .arg("-xmzf")
                .arg(&archive)
                .arg("-C")
                .arg(&folder),
        )?;
    }
    Ok(folder)
}

/// What every command of the guide runs with: the packages that are built and fetched already.
fn prepare(workspace: &Workspace, command: &mut Command) {
    command
        .env("CARGO_TARGET_DIR", workspace.target())
        .env("CARGO_NET_OFFLINE", "true")
        // As in the workspace's own profile, so that what is built is used again outside.
        .env("CARGO_PROFILE_DEV_DEBUG", "line-tables-only");
}

fn read_guide(workspace: &Workspace) -> anyhow::Result<String> {
    fs::read_to_string(workspace.root().join(GUIDE)).with_context(|| format!("{GUIDE} cannot be read"))
}

/// Copies the files of the work tree, with their times, so that what is built is not built again.
fn copy_files(root: &Path, copy: &Path) -> anyhow::Result<()> {
    if copy.exists() {
        fs::remove_dir_all(copy)?;
    }
    for file in tracked(root)? {
        let to = copy.join(file.strip_prefix(root)?);
        fs::create_dir_all(to.parent().unwrap_or(copy))?;
        fs::copy(&file, &to).with_context(|| format!("cannot copy {}", file.display()))?;
        let modified = fs::metadata(&file)?.modified()?;
        fs::File::options()
            .write(true)
            .open(&to)?
            .set_modified(modified)?;
    }
    Ok(())
}

/// The files that are under version control, or will be; without git, all that a person or a compiler reads.
fn tracked(root: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut git = Command::new("git");
    git.current_dir(root)
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
    let Ok(listed) = process::capture(&mut git) else {
        return workspace::files_below(root);
    };
    let files = listed.split('\0').filter(|name| !name.is_empty());
    // One that is deleted and not yet committed is listed, and is not there.
    Ok(files
        .map(|name| root.join(name))
        .filter(|path| path.is_file())
        .collect())
}

fn snapshot(root: &Path) -> anyhow::Result<BTreeMap<String, Vec<u8>>> {
    let mut files = BTreeMap::new();
    for path in workspace::files_below(root)? {
        let name = path.strip_prefix(root)?.to_string_lossy().replace('\\', "/");
        files.insert(name, fs::read(&path)?);
    }
    Ok(files)
}

/// The files outside the new folder that are new, changed or gone. In the lock file, the entry of the new member is no change.
fn changes(before: &BTreeMap<String, Vec<u8>>, after: &BTreeMap<String, Vec<u8>>, name: &str) -> Vec<String> {
    let own = format!("crates/{name}-client/");
    let mut changed: Vec<String> = Vec::new();
    for file in before
        .keys()
        .chain(after.keys().filter(|file| !before.contains_key(*file)))
    {
        let same = match (before.get(file), after.get(file)) {
            (Some(old), Some(new)) if file == "Cargo.lock" => {
                let new = String::from_utf8_lossy(new);
                without_entry(&new, &format!("{name}-client")).as_bytes() == old
            }
            (old, new) => old == new,
        };
        if !same && !file.starts_with(&own) {
            changed.push(file.clone());
        }
    }
    changed
}

/// A lock file without the entry of one package.
fn without_entry(lock: &str, package: &str) -> String {
    const ENTRY: &str = "[[package]]\n";
    let named = format!("name = {package:?}\n");
    let mut parts = lock.split(ENTRY);
    let first = parts.next().unwrap_or_default().to_owned();
    let rest = parts
        .filter(|part| !part.starts_with(&named))
        .fold(first, |text, part| text + ENTRY + part);
    // An entry is followed by an empty line, unless it is the last one.
    format!("{}\n", rest.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(list: &[(&str, &str)]) -> BTreeMap<String, Vec<u8>> {
        let entry = |(name, text): &(&str, &str)| ((*name).to_owned(), text.as_bytes().to_vec());
        list.iter().map(entry).collect()
    }

    #[test]
    fn every_change_outside_the_folder_is_seen() {
        let lock = "version = 4\n\n[[package]]\nname = \"a\"\nversion = \"1\"\n\n[[package]]\nname = \"z\"\nversion = \"1\"\n";
        let with_x = lock.replace(
            "[[package]]\nname = \"z\"",
            "[[package]]\nname = \"x-client\"\nversion = \"1\"\ndependencies = [\n \"a\",\n]\n\n[[package]]\nname = \"z\"",
        );
        let before = files(&[("Cargo.lock", lock), ("a", "1"), ("b", "1")]);
        let good = files(&[
            ("Cargo.lock", &with_x),
            ("a", "1"),
            ("b", "1"),
            ("crates/x-client/src/lib.rs", "1"),
        ]);
        assert_eq!(changes(&before, &good, "x"), Vec::<String>::new());

        // As the last entry.
        let at_the_end = format!("{lock}\n[[package]]\nname = \"x-client\"\nversion = \"1\"\n");
        assert_eq!(without_entry(&at_the_end, "x-client"), lock);

        let newer = with_x.replace("name = \"z\"\nversion = \"1\"", "name = \"z\"\nversion = \"2\"");
        let bad = files(&[
            ("Cargo.lock", &newer),
            ("a", "2"),
            ("c", "1"),
            ("crates/x-client-2/a", "1"),
        ]);
        assert_eq!(
            changes(&before, &bad, "x"),
            ["Cargo.lock", "a", "b", "c", "crates/x-client-2/a"]
        );
    }

    #[test]
    fn the_guide_has_steps_for_both_places() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let text = fs::read_to_string(root.join(GUIDE)).unwrap();
        for heading in ["In this repository", "In a repository of your own"] {
            let steps = guide::steps(&text, heading, &[("NAME", NAME)]).unwrap();
            let first = guide::Step::Run(vec!["cargo".to_owned(), "xtask".to_owned()]);
            let guide::Step::Run(words) = &steps[0] else {
                panic!("{heading} begins with {:?} instead of {first:?}", steps[0]);
            };
            assert_eq!(words[..3], ["cargo", "xtask", "new-provider"], "{heading}");
            assert!(steps.len() > 2, "{heading}");
        }
    }
}
