//! The workspace as cargo describes it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use cargo_metadata::{Metadata, MetadataCommand, Package, TargetKind};

/// The members and where they are.
#[derive(Debug)]
pub(crate) struct Workspace {
    metadata: Metadata,
}

impl Workspace {
    /// Asks cargo about the workspace of the current folder.
    pub(crate) fn load() -> anyhow::Result<Self> {
        let metadata = MetadataCommand::new()
            .no_deps()
            .exec()
            .context("cargo could not describe the workspace")?;
        Ok(Self { metadata })
    }

    /// The folder of the virtual manifest.
    pub(crate) fn root(&self) -> &Path {
        self.metadata.workspace_root.as_std_path()
    }

    /// The folder of everything built.
    pub(crate) fn target(&self) -> &Path {
        self.metadata.target_directory.as_std_path()
    }

    /// All members, by name.
    pub(crate) fn members(&self) -> Vec<&Package> {
        let mut members = self.metadata.workspace_packages();
        members.sort_by(|a, b| a.name.cmp(&b.name));
        members
    }

    /// The members in `crates/`: what other teams take.
    pub(crate) fn crates(&self) -> Vec<&Package> {
        let folder = self.root().join("crates");
        self.members()
            .into_iter()
            .filter(|member| member.manifest_path.as_std_path().starts_with(&folder))
            .collect()
    }

    /// A path below the root as people write it, with forward slashes.
    pub(crate) fn relative(&self, path: &Path) -> String {
        path.strip_prefix(self.root())
            .unwrap_or(path)
            .to_string_lossy()
            .replace('\\', "/")
    }

    /// Every file of the work tree that is read by people or compilers: no build output, no version control, no data,
    /// no `.env` of the developer's own.
    pub(crate) fn files(&self) -> anyhow::Result<Vec<PathBuf>> {
        files_below(self.root())
    }

    /// The members in `crates/` and the template they are made from: held to the same rules.
    pub(crate) fn crates_and_template(&self) -> Vec<&Package> {
        let folders = ["crates", "templates"].map(|folder| self.root().join(folder));
        self.members()
            .into_iter()
            .filter(|member| {
                let manifest = member.manifest_path.as_std_path();
                folders.iter().any(|folder| manifest.starts_with(folder))
            })
            .collect()
    }
}

/// Every file below a folder that is read by people or compilers.
///
/// # Errors
/// If a folder cannot be listed.
pub(crate) fn files_below(root: &Path) -> anyhow::Result<Vec<PathBuf>> {
    const LEFT_OUT: &[&str] = &["target", ".git", "waypost-data", ".env"];
    let mut files = Vec::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))? {
            let entry = entry?;
            if LEFT_OUT.iter().any(|name| entry.file_name() == *name) {
                continue;
            }
            let kind = entry.file_type()?;
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file() {
                files.push(entry.path());
            }
        }
    }
    files.sort();
    Ok(files)
}

/// The folder of a member.
pub(crate) fn folder(package: &Package) -> &Path {
    package
        .manifest_path
        .parent()
        .map_or(Path::new("."), |folder| folder.as_std_path())
}

/// Whether others can depend on the member.
pub(crate) fn is_library(package: &Package) -> bool {
    package
        .targets
        .iter()
        .any(|target| target.is_kind(TargetKind::Lib))
}
