//! `cargo xtask catalogue`: from a provider's list of models to the file that `model-catalogue` ships.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use model_catalogue::openrouter::{self, Report};
use model_catalogue::{Catalogue, Day, ModelRecord};

/// Whose list is read. The provider's name is the first part of the file's name.
const PROVIDER: &str = "openrouter";

/// Reads the answer of `GET /api/v1/models` in the file `from`, writes `crates/model-catalogue/data/openrouter-DATE.json`
/// and prints what came of it. `captured` is the date (`YYYY-MM-DD`); where it is not given it is in the name of the file,
/// `models-YYYY-MM-DD.json`.
///
/// # Errors
/// If the file cannot be read, is not the whole list, not every model of it came through, or, unless `anyway`, it is not
/// believable as the list after the one that is shipped. Nothing is written then.
pub(crate) fn run(from: &Path, captured: Option<&str>, anyway: bool) -> anyhow::Result<()> {
    let captured = match captured {
        Some(date) => date,
        None => date_in_name(from)?,
    };
    let text = fs::read_to_string(from).with_context(|| format!("cannot read {}", from.display()))?;
    let (catalogue, report) = openrouter::import(&text, captured, PROVIDER.parse()?)
        .with_context(|| format!("{} is not a usable list of models", from.display()))?;

    let mut out = io::stdout().lock();
    print_report(&mut out, &catalogue, &report)?;
    if report.models_in != report.models_out {
        bail!("not every model came through, so nothing was written; see the report above");
    }
    let shipped = Catalogue::bundled().context("the list that is shipped cannot be read")?;
    match catalogue.check_successor(&shipped) {
        Err(problem) if !anyway => {
            bail!("{problem}; nothing was written. If it is right all the same, repeat with --anyway")
        }
        _ => {}
    }
    let file = write(&catalogue)?;
    writeln!(out, "wrote {} ({})", file.display(), catalogue.id())?;
    remind(&mut out, &file)?;
    Ok(())
}

/// The date in `models-YYYY-MM-DD.json`.
fn date_in_name(from: &Path) -> anyhow::Result<&str> {
    from.file_stem()
        .and_then(|stem| stem.to_str())
        .and_then(|stem| stem.strip_prefix("models-"))
        .filter(|date| Day::parse(date).is_some())
        .ok_or_else(|| {
            anyhow!(
                "the name of {} does not say when it was captured (models-YYYY-MM-DD.json); say it with --captured",
                from.display()
            )
        })
}

fn print_report(out: &mut impl Write, catalogue: &Catalogue, report: &Report) -> io::Result<()> {
    let count =
        |has: fn(&ModelRecord) -> bool| catalogue.records().iter().filter(|record| has(record)).count();
    let overrides: usize = catalogue
        .records()
        .iter()
        .map(|record| record.prices.overrides.len())
        .sum();
    writeln!(out, "{} models in, {} out", report.models_in, report.models_out)?;
    writeln!(
        out,
        "{} with prices, {} with overrides ({overrides} in all), {} with a benchmark index",
        count(|record| !record.prices.rates.is_empty()),
        count(|record| !record.prices.overrides.is_empty()),
        count(|record| !record.benchmarks.is_empty()),
    )?;
    let left_out = openrouter::LEFT_OUT
        .iter()
        .chain(openrouter::LEFT_OUT_WHILE_NULL)
        .map(|known| known.path);
    let left_out: Vec<&str> = left_out.collect();
    writeln!(out, "left out knowingly: {}", left_out.join(", "))?;
    if report.unknown.is_empty() {
        return writeln!(out, "every other field was understood");
    }
    writeln!(out, "NOT understood ({}):", report.unknown.len())?;
    for field in &report.unknown {
        writeln!(out, "  {field}")?;
    }
    Ok(())
}

fn crate_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .with_file_name("crates")
        .join("model-catalogue")
}

/// Writes beside and renames, so that a broken run leaves the old file whole.
fn write(catalogue: &Catalogue) -> anyhow::Result<PathBuf> {
    let folder = crate_folder().join("data");
    let file = folder.join(format!("{}-{}.json", catalogue.provider(), catalogue.captured()));
    let half = file.with_extension("json.new");
    fs::create_dir_all(&folder)
        .and_then(|()| fs::write(&half, catalogue.write()))
        .and_then(|()| fs::rename(&half, &file))
        .with_context(|| format!("cannot write {}", file.display()))?;
    Ok(file)
}

/// Says what is left to do where the file written is not the one that is compiled in.
fn remind(out: &mut impl Write, file: &Path) -> anyhow::Result<()> {
    let source = crate_folder().join("src").join("bundled.rs");
    let bundled = fs::read_to_string(&source).with_context(|| format!("cannot read {}", source.display()))?;
    let name = file
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default();
    if !bundled.contains(name) {
        writeln!(
            out,
            "to ship it: name it in {} and delete the older file",
            source.display()
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_date_is_in_the_name() {
        assert_eq!(
            date_in_name(Path::new("some/models-2026-08-22.json")).unwrap(),
            "2026-08-22"
        );
        for name in [
            "models.json",
            "models-2026-13-01.json",
            "list-2026-08-22.json",
            "models-2026-08-22.json/..",
        ] {
            let error = date_in_name(Path::new(name)).unwrap_err().to_string();
            assert!(error.contains("--captured"), "{name}: {error}");
        }
    }

    #[test]
    fn a_list_that_loses_a_model_is_refused() {
        let folder = std::env::temp_dir().join(format!("xtask-catalogue-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let from = folder.join("models-2026-01-01.json");
        fs::write(
            &from,
            r#"{"data":[{"id":"a/b","canonical_slug":"a/b","architecture":{},"pricing":{}},{"id":""}]}"#,
        )
        .unwrap();
        let error = run(&from, None, false).unwrap_err().to_string();
        fs::remove_dir_all(&folder).unwrap();
        assert!(error.contains("nothing was written"), "{error}");
        assert!(!crate_folder().join("data/openrouter-2026-01-01.json").exists());
    }

    #[test]
    fn input_91_a_list_that_lost_half_of_its_models_is_not_written() {
        let folder = std::env::temp_dir().join(format!("xtask-catalogue-shrunk-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let from = folder.join("models-2031-01-01.json");
        let entry = r#"{"id":"a/b","canonical_slug":"a/b","architecture":{},"pricing":{}}"#;
        fs::write(&from, format!(r#"{{"data":[{entry}]}}"#)).unwrap();
        let error = run(&from, None, false).unwrap_err().to_string();
        fs::remove_dir_all(&folder).unwrap();
        assert!(
            error.contains("it has 1 models") && error.contains("--anyway"),
            "{error}"
        );
        assert!(!crate_folder().join("data/openrouter-2031-01-01.json").exists());
    }
}
