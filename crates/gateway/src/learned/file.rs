//! The files that a learned policy is in: a predictor, and a certificate of it.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use anyhow::{Context, bail};
use integration_core::printable;
use routing_learned::{Certificate, Ladder, LearnedError, Predictor, Verdict};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};

use crate::cli::WrongUsage;

/// The largest file of a predictor that is read: above that of 256 models, each word, a thousand tags and as many vectors as there may be.
const MOST_PREDICTOR: u64 = 512 << 20;

/// The largest certificate that is read.
const MOST_CERTIFICATE: u64 = 16 << 20;

/// The longest name of a model or a tag that is shown, in bytes.
pub(crate) const LONGEST_NAME: usize = 256;

/// What the outcomes do not allow, in one line. They repeat names out of the file.
pub(crate) fn said(error: &LearnedError) -> String {
    printable(error.to_string(), 2 * LONGEST_NAME)
}

/// A predictor with the SHA-256 of its file in hexadecimal digits.
///
/// # Errors
/// [`WrongUsage`] that names the file.
pub(crate) fn read_predictor(path: &Path) -> Result<(Predictor, String), WrongUsage> {
    let name = path.display();
    let cannot = |error: std::io::Error| WrongUsage(format!("{name} cannot be read: {error}"));
    let bytes = read_bytes(path, MOST_PREDICTOR)
        .map_err(cannot)?
        .ok_or_else(|| WrongUsage(format!("{name}: this is too large for a predictor")))?;
    let predictor =
        Predictor::from_bytes(&bytes).map_err(|error| WrongUsage(format!("{name}: {}", said(&error))))?;
    let is_shown = |model: &String| printable(model.clone(), LONGEST_NAME) == *model;
    if !predictor.models().iter().all(is_shown) {
        return Err(WrongUsage(format!(
            "{name}: the name of a model in it is not printable, or too long"
        )));
    }
    Ok((predictor, hex(&bytes)))
}

/// What was certified, as the file of `waypost certify` has it.
#[derive(Debug)]
pub(super) struct Certified {
    /// The SHA-256 of the file.
    pub(super) sha256: String,
    pub(super) ladder: Ladder,
    pub(super) scope: Scope,
}

/// What the certificates of a file are for.
#[derive(Debug)]
pub(super) enum Scope {
    /// One for all requests.
    All(Certificate),
    /// One for each tag; nothing stands for requests without one.
    Tags(Vec<(Option<String>, Certificate)>),
}

/// The part of the file that is read. The rest is for people.
#[derive(Deserialize)]
struct Report {
    predictor: FileOf,
    ladder: Ladder,
    result: Option<Judged>,
    #[serde(default)]
    tags: Vec<OfTag>,
}

#[derive(Deserialize)]
struct OfTag {
    tag: Option<String>,
    #[serde(flatten)]
    judged: Judged,
}

#[derive(Deserialize)]
struct Judged {
    verdict: Verdict,
}

impl Certified {
    /// Reads the certificate of a predictor whose file has this SHA-256. Whether it fits the predictor's models is for who watches it to say.
    ///
    /// # Errors
    /// One sentence that names the file: not there, none of `waypost certify --out`, of another predictor, or nothing certified in it.
    pub(super) fn read(path: &Path, sha256: &str) -> anyhow::Result<Self> {
        let (bytes, report) = read_report(path, MOST_CERTIFICATE, "certificate", "certify")?;
        Self::of(report, hex(&bytes), sha256).with_context(|| path.display().to_string())
    }

    fn of(report: Report, own: String, sha256: &str) -> anyhow::Result<Self> {
        if report.predictor.sha256 != sha256 {
            bail!("it certifies another predictor; certify this one");
        }
        let certificate = |judged: Judged| -> anyhow::Result<Option<Certificate>> {
            let Verdict::Certified(certificate) = judged.verdict else {
                return Ok(None);
            };
            if certificate.reference != report.ladder.reference() {
                bail!("it is damaged: its ladder has another reference");
            }
            Ok(Some(certificate))
        };
        let scope = match report.result {
            Some(judged) => certificate(judged)?.map(Scope::All),
            None => {
                let mut tags = Vec::new();
                for one in report.tags {
                    if let Some(found) = certificate(one.judged)? {
                        tags.push((one.tag, found));
                    }
                }
                (!tags.is_empty()).then_some(Scope::Tags(tags))
            }
        };
        Ok(Self {
            sha256: own,
            ladder: report.ladder,
            scope: scope.context("nothing is certified in it")?,
        })
    }
}

/// Of which predictor a file was written.
#[derive(Deserialize)]
pub(super) struct FileOf {
    pub(super) sha256: String,
}

/// The bytes of a file that a command wrote, and the part of them that is asked for. `what` the file is of the command of that name.
///
/// # Errors
/// One sentence that names the file: not there, larger than so many bytes, or not of that command.
pub(super) fn read_report<R: DeserializeOwned>(
    path: &Path,
    most: u64,
    what: &str,
    command: &str,
) -> anyhow::Result<(Vec<u8>, R)> {
    let name = path.display();
    let bytes = read_bytes(path, most)
        .with_context(|| format!("{name} cannot be read"))?
        .with_context(|| format!("{name}: this is too large for a {what}"))?;
    let report = serde_json::from_slice(&bytes)
        .with_context(|| format!("{name}: this is no {what} as `waypost {command} --out` writes it"))?;
    Ok((bytes, report))
}

/// The bytes of a file; nothing if there are more than so many.
fn read_bytes(path: &Path, most: u64) -> std::io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(most + 1).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= most).then_some(bytes))
}

/// The SHA-256 of bytes in hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
