//! Certified policies that are watched: labels come in, and where a promise breaks the reference answers.

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, bail};
use arc_swap::ArcSwap;
use routing_learned::monitor::{Heard, Label, Monitor};
use routing_learned::{Certificate, Ladder, Policy};

use super::Tag;
use super::file::{Certified, Scope, said};

/// The longest line of a file of labels, in bytes: one of 256 models with room to spare.
const MOST_LINE: u64 = 64 << 10;

/// What was certified, with what is known of it by now.
#[derive(Debug)]
pub(crate) struct Watch {
    /// The SHA-256 of the certificate's file.
    pub(crate) sha256: String,
    pub(crate) ladder: Ladder,
    /// Of calls so many are drawn for a label.
    pub(crate) share: f64,
    /// One for each certificate.
    pub(crate) kept: Vec<Kept>,
    /// Whether the only certificate is for all requests, and not for those of its tag.
    is_for_all: bool,
    labels: Mutex<Labels>,
}

/// A promise, and how it does.
#[derive(Debug)]
pub(crate) struct Kept {
    /// Whose promise it is where each tag has its own.
    pub(crate) tag: Option<String>,
    /// As it was certified before the start.
    pub(crate) certificate: Certificate,
    now: ArcSwap<Standing>,
}

impl Kept {
    /// How it does now.
    pub(crate) fn now(&self) -> Arc<Standing> {
        self.now.load_full()
    }
}

/// How a promise does.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Standing {
    /// What chooses.
    pub(crate) policy: Policy,
    /// Whether it was found broken, so that the reference alone answers.
    pub(crate) is_broken: bool,
    /// The p-value of "it is kept".
    pub(crate) p_value: f64,
    /// How many labels there were.
    pub(crate) labels: u64,
}

#[derive(Debug)]
struct Labels {
    path: PathBuf,
    /// Open from the first label of this process on.
    file: Option<File>,
    /// The requests that have a label.
    known: HashSet<String>,
    /// One for each certificate.
    monitors: Vec<Monitor>,
}

/// What a label came to.
#[derive(Debug, PartialEq)]
pub(crate) enum Taken {
    /// The request had one already.
    Known,
    /// It is kept; the place of its certificate, and what it changed.
    Heard(usize, Heard),
}

impl Watch {
    /// A watch that has heard nothing. Labels are kept in `folder`.
    ///
    /// # Errors
    /// One sentence: the certificate does not fit the models, or promises what cannot be.
    pub(super) fn new(
        name: &str,
        certified: Certified,
        models: &[String],
        share: f64,
        window: usize,
        folder: &Path,
    ) -> anyhow::Result<Self> {
        let (certificates, is_for_all) = match certified.scope {
            Scope::All(certificate) => (vec![(None, certificate)], true),
            Scope::Tags(tags) => (tags, false),
        };
        let monitors = certificates
            .iter()
            .map(|(_, certificate)| Monitor::new(certificate, certified.ladder.clone(), models, window))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| anyhow::anyhow!("it is damaged: {}", said(&error)))?;
        let kept = certificates.into_iter().zip(&monitors);
        let kept = kept.map(|((tag, certificate), monitor)| Kept {
            tag,
            certificate,
            now: ArcSwap::from_pointee(standing(monitor, 0)),
        });
        // Labels are of one certificate: those of the one before say nothing of it.
        let of = certified.sha256.get(..16).unwrap_or(&certified.sha256);
        Ok(Self {
            kept: kept.collect(),
            is_for_all,
            ladder: certified.ladder,
            share,
            labels: Mutex::new(Labels {
                path: folder.join(format!("{name}-{of}.jsonl")),
                file: None,
                known: HashSet::new(),
                monitors,
            }),
            sha256: certified.sha256,
        })
    }

    /// Whether one promise is for all requests, and not one for each tag.
    pub(crate) const fn is_for_all(&self) -> bool {
        self.is_for_all
    }

    /// The promise for requests with this tag; `None` if there is none.
    pub(crate) fn of(&self, tag: Tag<'_>) -> Option<&Kept> {
        if tag == Tag::Unknown && !self.is_for_all {
            return None;
        }
        self.kept.get(self.place(tag.known())?)
    }

    fn place(&self, tag: Option<&str>) -> Option<usize> {
        if self.is_for_all {
            return Some(0);
        }
        self.kept.iter().position(|kept| kept.tag.as_deref() == tag)
    }

    /// Says of each promise that is broken that it is.
    pub(super) fn warn_of_broken(&self, policy: &str) {
        for kept in self.kept.iter().filter(|kept| kept.now().is_broken) {
            self.warn(policy, kept);
        }
    }

    fn warn(&self, policy: &str, kept: &Kept) {
        let reference = self.ladder.reference();
        tracing::warn!(
            policy,
            tag = kept.tag,
            "a promise is broken: {reference} answers until a new policy is certified"
        );
    }

    /// Writes down what a label changed.
    pub(crate) fn log(&self, policy: &str, taken: &Taken) {
        let Taken::Heard(place, heard) = taken else { return };
        match (heard, self.kept.get(*place)) {
            (Heard::Broken, Some(kept)) => self.warn(policy, kept),
            (Heard::Certified(_), Some(kept)) => {
                tracing::info!(policy, tag = kept.tag, "a new policy is certified");
            }
            _ => {}
        }
    }

    /// Whether a request has a label.
    pub(crate) fn has_label(&self, request: &str) -> bool {
        self.labels().known.contains(request)
    }

    /// Takes a label, and keeps it before anything follows from it. It writes to a file and may certify anew, so it is no work for a thread that
    /// others wait for.
    ///
    /// # Errors
    /// One sentence: a label that is none, or one that cannot be kept. Nothing changes then.
    pub(crate) fn take(&self, label: Label) -> anyhow::Result<Taken> {
        let none = "there is no such promise";
        let place = self.place(label.tag.as_deref()).context(none)?;
        let mut labels = self.labels();
        if labels.known.contains(&label.id) {
            return Ok(Taken::Known);
        }
        let line = serde_json::to_string(&label)? + "\n";
        if line.len() as u64 > MOST_LINE {
            bail!("the label is too long to be kept");
        }
        let wrong = |error| anyhow::anyhow!(said(&error));
        labels
            .monitors
            .get(place)
            .context(none)?
            .check(&label)
            .map_err(wrong)?;
        labels.append(line.as_bytes())?;
        labels.known.insert(label.id.clone());
        let monitor = labels.monitors.get_mut(place).context(none)?;
        let heard = monitor.observe(label).map_err(wrong)?;
        self.tell(&labels, place);
        Ok(Taken::Heard(place, heard))
    }

    fn tell(&self, labels: &Labels, place: usize) {
        if let (Some(kept), Some(monitor)) = (self.kept.get(place), labels.monitors.get(place)) {
            let before = kept.now.load().labels;
            kept.now.store(Arc::new(standing(monitor, before + 1)));
        }
    }

    /// Hears again what was heard before the start.
    ///
    /// # Errors
    /// One sentence about the file of labels.
    pub(super) fn read_labels(&self) -> anyhow::Result<()> {
        let mut labels = self.labels();
        let name = labels.path.display().to_string();
        let file = match File::open(&labels.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            file => file.with_context(|| format!("the labels {name} cannot be read"))?,
        };
        let mut lines = BufReader::new(file);
        let mut line = Vec::new();
        for number in 1_u64.. {
            line.clear();
            let length = (&mut lines).take(MOST_LINE).read_until(b'\n', &mut line)? as u64;
            if length == 0 {
                break;
            }
            if line.last() != Some(&b'\n') {
                if length == MOST_LINE {
                    bail!("the labels {name}: line {number} is too long");
                }
                // What was being written when the process ended was never heard.
                tracing::warn!("the labels {name}: line {number} was not written to its end and is left out");
                break;
            }
            let of_line = || format!("the labels {name}: line {number}");
            let label: Label = serde_json::from_slice(&line).with_context(of_line)?;
            let place = self.place(label.tag.as_deref()).with_context(of_line)?;
            // One that could not be seen to be kept may have been sent and written once more.
            if !labels.known.insert(label.id.clone()) {
                continue;
            }
            let monitor = labels.monitors.get_mut(place).with_context(of_line)?;
            monitor
                .observe(label)
                .map_err(|error| anyhow::anyhow!(said(&error)))
                .with_context(of_line)?;
            self.tell(&labels, place);
        }
        Ok(())
    }

    fn labels(&self) -> MutexGuard<'_, Labels> {
        self.labels.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Labels {
    fn append(&mut self, line: &[u8]) -> anyhow::Result<()> {
        let name = self.path.display().to_string();
        let cannot = || format!("the label cannot be kept in {name}");
        if self.file.is_none() {
            if let Some(folder) = self.path.parent() {
                std::fs::create_dir_all(folder).with_context(cannot)?;
            }
            let file = OpenOptions::new().append(true).create(true).open(&self.path);
            let file = file.with_context(cannot)?;
            end_at_line(&self.path, &file).with_context(cannot)?;
            self.file = Some(file);
        }
        let file = self.file.as_mut().with_context(cannot)?;
        let written = file.write_all(line).and_then(|()| file.sync_data());
        if written.is_err() {
            // The next one cuts off what may be there of this one.
            self.file = None;
        }
        written.with_context(cannot)
    }
}

/// Cuts off what is behind the last whole line.
fn end_at_line(path: &Path, file: &File) -> std::io::Result<()> {
    let bytes = std::fs::read(path)?;
    let whole = bytes
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |at| at + 1);
    if whole < bytes.len() {
        file.set_len(whole as u64)?;
    }
    Ok(())
}

fn standing(monitor: &Monitor, labels: u64) -> Standing {
    Standing {
        policy: monitor.policy(),
        is_broken: monitor.is_broken(),
        p_value: monitor.p_value(),
        labels,
    }
}
