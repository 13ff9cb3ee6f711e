//! Units in a file: JSON, a line each, or CSV.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use anyhow::{Context, bail};
use experiments::{LeftOut, UnitLine, UnitLines};

/// The longest line, in bytes.
const MOST_LINE: u64 = 1024 * 1024;

/// What a column of CSV with something known before begins with.
const COVARIATE: &str = "covariate.";

/// Reads a file, or standard input if it is `-`. A name that ends in `.csv` is CSV; anything else is JSON, a line each. `read` is told how
/// many bytes there were so far.
///
/// # Errors
/// One sentence that names the file and the line.
pub(crate) fn read(path: &Path, read: impl FnMut(u64)) -> anyhow::Result<UnitLines> {
    let name = path.display().to_string();
    let is_csv = path
        .extension()
        .is_some_and(|extension| extension.eq_ignore_ascii_case("csv"));
    let input: Box<dyn Read> = if path == Path::new("-") {
        Box::new(std::io::stdin())
    } else {
        Box::new(File::open(path).with_context(|| format!("{name} cannot be read"))?)
    };
    let lines = if is_csv {
        from_csv(input, read)
    } else {
        from_jsonl(BufReader::new(input), read)
    };
    let lines = lines.context(name.clone())?;
    if lines.is_empty() {
        bail!("{name}: there is no unit in it");
    }
    Ok(lines)
}

/// Reads JSON lines. Empty lines are passed over.
pub(crate) fn from_jsonl(mut input: impl BufRead, mut read: impl FnMut(u64)) -> anyhow::Result<UnitLines> {
    let mut lines = UnitLines::new();
    let (mut line, mut total) = (Vec::new(), 0);
    for number in 1_u64.. {
        line.clear();
        let length = (&mut input).take(MOST_LINE).read_until(b'\n', &mut line)? as u64;
        if length == 0 {
            break;
        }
        if length == MOST_LINE && line.last() != Some(&b'\n') {
            bail!("line {number} is longer than a mebibyte");
        }
        total += length;
        read(total);
        let text = line.trim_ascii();
        if text.is_empty() {
            continue;
        }
        let unit: UnitLine = serde_json::from_slice(text).with_context(|| format!("line {number}"))?;
        lines.add(&unit).with_context(|| format!("line {number}"))?;
    }
    Ok(lines)
}

/// Reads CSV: `unit` and `arm`, optionally `exposed_at_ms`, `excluded` and columns that begin with `covariate.`; every other column is a
/// number that was measured, and an empty cell one that is not known.
pub(crate) fn from_csv(input: impl Read, mut read: impl FnMut(u64)) -> anyhow::Result<UnitLines> {
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(input);
    let header = reader.headers().context("line 1")?.clone();
    for (place, name) in header.iter().enumerate() {
        if name.is_empty() {
            bail!("line 1: column {} has no name", place + 1);
        }
        if header.iter().take(place).any(|before| before == name) {
            bail!("line 1: there are two columns '{name}'");
        }
    }
    for name in ["unit", "arm"] {
        if !header.iter().any(|column| column == name) {
            bail!("line 1: there is no column '{name}'");
        }
    }
    let mut lines = UnitLines::new();
    let mut record = csv::StringRecord::new();
    while reader.read_record(&mut record)? {
        read(reader.position().byte());
        let number = record.position().map_or(0, csv::Position::line);
        let unit = unit_of(&header, &record).with_context(|| format!("line {number}"))?;
        lines.add(&unit).with_context(|| format!("line {number}"))?;
    }
    Ok(lines)
}

fn unit_of(header: &csv::StringRecord, record: &csv::StringRecord) -> anyhow::Result<UnitLine> {
    let mut line = UnitLine::new("", "", []);
    let (mut metrics, mut covariates) = (BTreeMap::new(), BTreeMap::new());
    for (name, cell) in header.iter().zip(record) {
        let number = || -> anyhow::Result<f64> {
            cell.parse()
                .with_context(|| format!("'{cell}' in the column '{name}' is no number"))
        };
        match name {
            "unit" => cell.clone_into(&mut line.unit),
            "arm" => cell.clone_into(&mut line.arm),
            _ if cell.is_empty() => {}
            "exposed_at_ms" => {
                let time = cell.parse();
                line.exposed_at_ms =
                    Some(time.with_context(|| format!("'{cell}' is no time in milliseconds"))?);
            }
            "excluded" => {
                line.excluded = Some(match cell {
                    "forced" => LeftOut::Forced,
                    "multiple_versions" => LeftOut::MultipleVersions,
                    "multiple_arms" => LeftOut::MultipleArms,
                    "immature" => LeftOut::Immature,
                    _ => bail!("'{cell}' is no reason to leave a unit out"),
                });
            }
            _ => match name.strip_prefix(COVARIATE) {
                Some(covariate) => {
                    covariates.insert(covariate.to_owned(), number()?);
                }
                None => {
                    metrics.insert(name.to_owned(), number()?);
                }
            },
        }
    }
    line.metrics = metrics;
    line.covariates = covariates;
    Ok(line)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn csv(text: &str) -> anyhow::Result<UnitLines> {
        from_csv(text.as_bytes(), |_| {})
    }

    fn wrong(lines: anyhow::Result<UnitLines>) -> String {
        format!("{:#}", lines.unwrap_err())
    }

    #[test]
    fn csv_and_json_lines_say_the_same() {
        let table = "unit,arm,success,cost,covariate.tokens,exposed_at_ms,excluded\n\
                     u1, a ,1,0.5,10,5,\n\"u,2\",b,,0.25,,6,forced\n";
        let json = "{\"unit\":\"u1\",\"arm\":\"a\",\"exposed_at_ms\":5,\"covariates\":{\"tokens\":10},\"metrics\":{\"success\":1,\"cost\":0.5}}\n\n\
                    {\"unit\":\"u,2\",\"arm\":\"b\",\"exposed_at_ms\":6,\"excluded\":\"forced\",\"metrics\":{\"cost\":0.25}}\n";
        let lines = from_jsonl(json.as_bytes(), |_| {}).unwrap();
        assert_eq!(format!("{:?}", csv(table).unwrap()), format!("{lines:?}"));
        assert_eq!(lines.len(), 2);
    }

    #[test]
    fn a_mistake_is_told_with_its_line() {
        for (table, told) in [
            ("unit,success\nu,1\n", "line 1: there is no column 'arm'"),
            ("unit,arm,x,x\n", "two columns 'x'"),
            ("unit,arm,\n", "column 3 has no name"),
            (
                "unit,arm,x\nu,a,1\nv,a,one\n",
                "line 3: 'one' in the column 'x' is no number",
            ),
            ("unit,arm,x\nu,a\n", "record 1"),
            ("unit,arm,x\n,a,1\n", "line 2: `unit` is empty"),
            ("unit,arm,x\nu,a,NaN\n", "line 2: `x` is NaN"),
            ("unit,arm,excluded\nu,a,why\n", "line 2: 'why' is no reason"),
            ("unit,arm,exposed_at_ms\nu,a,1.5\n", "line 2: '1.5' is no time"),
        ] {
            let message = wrong(csv(table));
            assert!(message.contains(told), "{told}: {message}");
        }
        let message = wrong(from_jsonl(
            &b"{\"unit\":\"u\",\"arm\":\"a\",\"metrics\":{}}\n{\"unit\"\n"[..],
            |_| {},
        ));
        assert!(message.starts_with("line 2: "), "{message}");
        let long = vec![b'x'; MOST_LINE as usize + 1];
        assert_eq!(
            wrong(from_jsonl(&long[..], |_| {})),
            "line 1 is longer than a mebibyte"
        );
    }
}
