//! The environment: the process's variables, then those of `.env`. The only place of the gateway that reads it.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;

/// Where named settings are looked up. An empty value counts as absent: a copied `.env.example` sets nothing.
#[derive(Clone, Default)]
pub struct Environment {
    process: bool,
    file: BTreeMap<String, String>,
}

impl Environment {
    /// The process's variables, and below them those of the file, if it exists. The process is not changed.
    ///
    /// # Errors
    /// If the file exists and cannot be read or parsed.
    pub fn load(dotenv: &Path) -> anyhow::Result<Self> {
        let mut file = BTreeMap::new();
        if dotenv.exists() {
            // The parser's own message repeats the line, which may hold a key; only the file is named.
            let lines = dotenvy::from_path_iter(dotenv)
                .map_err(|_| anyhow::anyhow!("{} cannot be read", dotenv.display()))?;
            for (number, line) in lines.enumerate() {
                let (name, value) = line
                    .map_err(|_| anyhow::anyhow!("entry {} is not NAME=value", number + 1))
                    .with_context(|| format!("{} cannot be parsed", dotenv.display()))?;
                file.insert(name, value);
            }
        }
        Ok(Self { process: true, file })
    }

    /// Only the given variables, whatever the process has.
    pub fn of<const N: usize>(pairs: [(&str, &str); N]) -> Self {
        let file = pairs
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        Self { process: false, file }
    }

    /// The value of a variable; `None` if it is absent or blank.
    pub fn get(&self, name: &str) -> Option<String> {
        #[expect(
            clippy::disallowed_methods,
            reason = "the one place of the gateway that reads the environment"
        )]
        let process = self.process.then(|| std::env::var(name).ok()).flatten();
        process
            .or_else(|| self.file.get(name).cloned())
            .filter(|value| !value.trim().is_empty())
    }
}

/// Names only: values may be keys.
impl std::fmt::Debug for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.file.keys()).finish()
    }
}
