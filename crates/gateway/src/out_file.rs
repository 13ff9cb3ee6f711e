//! Files that a command is told to write its answer to.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, bail};

use crate::cli::WrongUsage;

/// The longest name of a file on the systems there are, in bytes.
const LONGEST_NAME: usize = 255;

/// The longest path, in bytes.
const LONGEST_PATH: usize = 4_095;

/// A file that does not exist yet and will be there as a whole or not at all. Nothing that is there is ever overwritten, and no
/// link followed.
#[derive(Debug)]
pub struct OutFile {
    path: PathBuf,
    folder: PathBuf,
}

impl OutFile {
    /// Looks whether the file may be written, before anything is done for it.
    ///
    /// # Errors
    /// One sentence: [`WrongUsage`] for a name that can be none or leads upwards with `..`; else what is there already, or that the
    /// folder is not.
    pub fn new(path: &Path) -> anyhow::Result<Self> {
        let bytes = path.as_os_str().as_encoded_bytes();
        let wrong = |message: &str| Err(WrongUsage(format!("the file to be written {message}")).into());
        if bytes.contains(&0) {
            return wrong("has a NUL in its name");
        }
        let name = match path.file_name() {
            Some(name) if !bytes.ends_with(b"/") => name,
            _ => return wrong("has no name; give one like report.html"),
        };
        if name.len() > LONGEST_NAME || bytes.len() > LONGEST_PATH {
            return wrong("has a name that is too long; 255 bytes are the most");
        }
        if path.components().any(|part| part == Component::ParentDir) {
            return wrong("must not lead upwards with `..`; name the folder itself");
        }
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
            _ => PathBuf::from("."),
        };
        match fs::symlink_metadata(path) {
            Ok(found) if found.is_dir() => bail!("{} is a folder; name a file in it", path.display()),
            Ok(found) if found.is_symlink() => {
                bail!("{} is a link, and links are not followed", path.display())
            }
            Ok(found) if found.is_file() => bail!("{}", exists(path)),
            Ok(_) => bail!("{} is no file but a device", path.display()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => {
                return Err(error).with_context(|| format!("{} cannot be written", path.display()));
            }
        }
        let found = fs::metadata(&folder)
            .with_context(|| format!("the folder {} cannot be used", folder.display()))?;
        if !found.is_dir() {
            bail!("{} is no folder", folder.display());
        }
        Ok(Self {
            path: path.to_owned(),
            folder,
        })
    }

    /// Writes the file beside its place and gives it its name once it is whole and on the disk. Only its owner may read it.
    ///
    /// # Errors
    /// What the system says, in one sentence. Nothing is left behind then, and a file that has come up meanwhile is as it was.
    pub fn write(&self, content: impl AsRef<[u8]>) -> anyhow::Result<()> {
        let context = || format!("{} cannot be written", self.path.display());
        let mut builder = tempfile::Builder::new();
        builder.prefix(".waypost-").suffix(".part");
        let mut part = builder.tempfile_in(&self.folder).with_context(context)?;
        part.write_all(content.as_ref()).with_context(context)?;
        part.as_file().sync_all().with_context(context)?;
        match part.persist_noclobber(&self.path) {
            Ok(_) => {}
            Err(error) if error.error.kind() == std::io::ErrorKind::AlreadyExists => {
                bail!("{}", exists(&self.path))
            }
            Err(error) => return Err(error.error).with_context(context),
        }
        // The name is durable only once the folder is.
        #[cfg(unix)]
        File::open(&self.folder)
            .and_then(|folder| folder.sync_all())
            .with_context(context)?;
        Ok(())
    }
}

fn exists(path: &Path) -> String {
    format!("{} exists already and is not overwritten", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_is_whole_and_its_owners_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.csv");
        OutFile::new(&path).unwrap().write("text\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "text\n");
        assert_eq!(names(dir.path()), ["a.csv"]);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn input_92_a_name_with_a_nul_is_refused() {
        let error = OutFile::new(Path::new("a\0b")).unwrap_err();
        assert!(error.is::<WrongUsage>() && error.to_string().contains("NUL"));
    }

    /// What comes up between the look and the write: it is kept, and nothing lies about.
    #[test]
    fn input_92_what_comes_up_meanwhile_is_not_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.csv");
        let file = OutFile::new(&path).unwrap();
        fs::write(&path, "mine").unwrap();
        let error = file.write("text").unwrap_err().to_string();
        assert!(error.contains("exists already"), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
        fs::remove_file(&path).unwrap();
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(dir.path().join("elsewhere"), &path).unwrap();
            file.write("text").unwrap_err();
            fs::remove_file(&path).unwrap();
        }
        assert!(names(dir.path()).is_empty(), "{:?}", names(dir.path()));
        drop(dir);
        let error = format!("{:#}", file.write("text").unwrap_err());
        assert!(error.contains("cannot be written"), "{error}");
    }
}
