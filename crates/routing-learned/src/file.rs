//! The file of a predictor: one compact block of bytes that says what it is.
//!
//! Eight bytes `WAYPOSTQ`, the version as four bytes, the length of the head as four bytes (both little-endian), the head as JSON, then for each
//! regression one bit for each place that was seen and for each of those its squared rarity as a float of four bytes and a weight for each model
//! as a step of two bytes, and at the end eight bytes of XXH3 over all that came before.
//!
//! Version 2 is of predictors that were trained on prompts with vectors. If those are used, then before the checksum: all vectors as floats of
//! four bytes, for each row its tag's number and one in two bytes (0 for none), and each row's score at each model as a float of four
//! bytes, of which one, not a number, is for a model that was not asked. Without vectors a file is of version 1, as it always was.

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::LearnedError;
use crate::features::{COUNTS, PLACES};
use crate::nearest::{Nearest, NearestSummary, is_of_length_one};
use crate::outcomes::MOST_MODELS;
use crate::predictor::{Figures, Head, Predictor, Scale, Summary, places_len};
use crate::train::MOST_TAGS;

const MAGIC: &[u8; 8] = b"WAYPOSTQ";
const VERSION: u32 = 1;
const WITH_VECTORS: u32 = 2;
const MOST_HEAD: usize = 64 << 20;
const CHECKSUM: usize = 8;

/// The bits of the score of a model that was not asked.
const NOT_ASKED: u32 = 0x7fc0_0000;

/// No weight is beyond this: sums of them are finite, so that every prediction is a number.
const LARGEST: f32 = 1e6;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileHead {
    models: Vec<String>,
    tags: Vec<String>,
    scale: Scale,
    figures: Figures,
    summary: Summary,
    text: HeadRest,
    tagged: Option<HeadRest>,
    /// The centres of the scores of [`Nearest`], if vectors are used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    centres: Option<Vec<f32>>,
}

/// A regression without its places.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct HeadRest {
    base: Vec<f32>,
    counts: Vec<f32>,
    tags: Vec<f32>,
    /// How large a step is, by model.
    steps: Vec<f32>,
    /// The squared rarity of what was never seen.
    rarest: f32,
}

/// Rounds the weights of words to what a file can hold.
pub(crate) fn round(predictor: &mut Predictor) {
    let models = predictor.models.len();
    for head in [Some(&mut predictor.text), predictor.tagged.as_mut()]
        .into_iter()
        .flatten()
    {
        let steps = steps(head, models);
        for row in head.places.chunks_exact_mut(models + 1) {
            for (weight, step) in row.iter_mut().skip(1).zip(&steps) {
                *weight = f32::from(in_steps(*weight, *step)) * step;
            }
        }
    }
}

/// The largest weight of each model in 32,767 steps: a power of two, so that a rounded weight has the same steps again.
fn steps(head: &Head, models: usize) -> Vec<f32> {
    let mut largest = vec![0.0f32; models];
    for row in head.places.chunks_exact(models + 1) {
        for (largest, weight) in largest.iter_mut().zip(row.iter().skip(1)) {
            *largest = largest.max(weight.abs());
        }
    }
    let step = |largest: f32| {
        if largest > 0.0 {
            (largest / 32_767.0).log2().ceil().exp2()
        } else {
            1.0
        }
    };
    largest.into_iter().map(step).collect()
}

fn in_steps(weight: f32, step: f32) -> i16 {
    // Casts to the nearest bound if it were beyond.
    (weight / step).round() as i16
}

impl Predictor {
    /// The predictor as a file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let models = self.models.len();
        let rest = |head: &Head| HeadRest {
            base: head.base.clone(),
            counts: head.counts.clone(),
            tags: head.tags.clone(),
            steps: steps(head, models),
            rarest: rarest(head, models),
        };
        let head = FileHead {
            models: self.models.clone(),
            tags: self.tags.clone(),
            scale: self.scale.clone(),
            figures: self.figures.clone(),
            summary: self.summary.clone(),
            text: rest(&self.text),
            tagged: self.tagged.as_ref().map(rest),
            centres: self.nearest.as_ref().map(|nearest| nearest.centres.clone()),
        };
        // Strings, numbers and maps with string keys: this cannot fail.
        let json = serde_json::to_vec(&head).unwrap_or_default();
        let mut bytes = MAGIC.to_vec();
        let version = match self.summary.nearest {
            Some(_) => WITH_VECTORS,
            None => VERSION,
        };
        bytes.extend(version.to_le_bytes());
        bytes.extend((json.len() as u32).to_le_bytes());
        bytes.extend(json);
        for head in [Some(&self.text), self.tagged.as_ref()].into_iter().flatten() {
            write_places(head, models, &mut bytes);
        }
        if let Some(nearest) = &self.nearest {
            write_nearest(nearest, &mut bytes);
        }
        bytes.extend(xxh3_64(&bytes).to_le_bytes());
        bytes
    }

    /// A predictor out of its file.
    ///
    /// # Errors
    /// [`LearnedError::File`] for anything else, for a file that is damaged, and for a later version of it.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, LearnedError> {
        let wrong = |what: &str| LearnedError::File(what.to_owned());
        let cut = || wrong("it is cut short");
        let rest = bytes
            .strip_prefix(MAGIC)
            .ok_or_else(|| wrong("it does not begin as one"))?;
        let (version, rest) = rest.split_first_chunk().ok_or_else(cut)?;
        let version = u32::from_le_bytes(*version);
        if ![VERSION, WITH_VECTORS].contains(&version) {
            return Err(LearnedError::File(format!(
                "it is of version {version}, and this reads versions {VERSION} and {WITH_VECTORS}"
            )));
        }
        let (length, rest) = rest.split_first_chunk().ok_or_else(cut)?;
        let length = u32::from_le_bytes(*length) as usize;
        let (_, checksum) = rest.split_last_chunk::<CHECKSUM>().ok_or_else(cut)?;
        if xxh3_64(&bytes[..bytes.len() - CHECKSUM]) != u64::from_le_bytes(*checksum) {
            return Err(wrong("it is damaged or cut short"));
        }
        let rest = &rest[..rest.len() - CHECKSUM];
        if length > MOST_HEAD {
            return Err(wrong("its head is too long"));
        }
        let (json, mut places) = rest.split_at_checked(length).ok_or_else(cut)?;
        let head: FileHead =
            serde_json::from_slice(json).map_err(|error| LearnedError::File(format!("its head: {error}")))?;
        head.check()?;
        if head.summary.nearest.is_some() != (version == WITH_VECTORS) {
            return Err(wrong("its version is not that of what is in it"));
        }
        let models = head.models.len();
        let text = read_head(head.text, models, &mut places)?;
        let tagged = head
            .tagged
            .map(|tagged| read_head(tagged, models, &mut places))
            .transpose()?;
        let nearest = match (head.centres, &head.summary.nearest) {
            (Some(centres), Some(summary)) => Some(read_nearest(
                centres,
                summary,
                models,
                head.tags.len(),
                &mut places,
            )?),
            _ => None,
        };
        if !places.is_empty() {
            return Err(wrong("there is more in it than there should be"));
        }
        Ok(Self {
            models: head.models,
            tags: head.tags,
            scale: head.scale,
            text,
            tagged,
            nearest,
            figures: head.figures,
            summary: head.summary,
        })
    }
}

impl FileHead {
    fn check(&self) -> Result<(), LearnedError> {
        let models = self.models.len();
        let tags = self.tags.len();
        let sorted = |names: &[String]| names.windows(2).all(|pair| pair[0] < pair[1]);
        let finite = |values: &[f32]| values.iter().all(|value| value.is_finite());
        let bounded = |values: &[f32]| values.iter().all(|value| value.abs() <= LARGEST);
        let fits = |head: &HeadRest, tags: usize| {
            head.base.len() == models
                && head.counts.len() == COUNTS * models
                && head.tags.len() == tags * models
                && head.steps.len() == models
                && bounded(&head.base)
                && bounded(&head.counts)
                && bounded(&head.tags)
                && bounded(&head.steps)
                && head.rarest <= LARGEST
                && head.rarest > 0.0
        };
        let figures_fit = self.figures.all.len() == models
            && self.figures.by_tag.len() == tags
            && self.figures.by_tag.iter().all(|figures| figures.len() == models)
            && self
                .figures
                .all
                .iter()
                .chain(self.figures.by_tag.iter().flatten())
                .all(|figure| {
                    figure
                        .completion_tokens
                        .is_none_or(|tokens| tokens.is_finite() && tokens >= 0.0)
                });
        let nearest = self.summary.nearest.as_ref();
        let nearest_fits = nearest.is_none_or(NearestSummary::is_sound)
            && nearest.is_some_and(NearestSummary::is_used) == self.centres.is_some()
            && self.centres.as_ref().is_none_or(|centres| {
                centres.len() == (tags + 1) * models
                    && centres.iter().all(|centre| (0.0..=1.0).contains(centre))
            });
        let checks = [
            (
                (1..=MOST_MODELS).contains(&models) && sorted(&self.models),
                "models",
            ),
            (tags <= MOST_TAGS && sorted(&self.tags), "tags"),
            (
                finite(&self.scale.mean) && self.scale.deviation.iter().all(|d| d.is_finite() && *d > 0.0),
                "scale",
            ),
            (fits(&self.text, 0), "text"),
            (self.tagged.as_ref().is_none_or(|head| fits(head, tags)), "tagged"),
            (figures_fit, "figures"),
            (nearest_fits, "nearest"),
        ];
        match checks.iter().find(|(holds, _)| !holds) {
            Some((_, what)) => Err(LearnedError::File(format!("its `{what}` cannot be right"))),
            None => Ok(()),
        }
    }
}

/// What stands for places that were never seen: the largest there is.
fn rarest(head: &Head, models: usize) -> f32 {
    head.places
        .chunks_exact(models + 1)
        .map(|row| row[0])
        .fold(f32::MIN_POSITIVE, f32::max)
}

fn write_places(head: &Head, models: usize, bytes: &mut Vec<u8>) {
    let rarest = rarest(head, models);
    let steps = steps(head, models);
    let is_seen = |row: &[f32]| row[0] < rarest || row[1..].iter().any(|weight| *weight != 0.0);
    let mut bits = [0u8; PLACES / 8];
    for (place, row) in head.places.chunks_exact(models + 1).enumerate() {
        bits[place / 8] |= u8::from(is_seen(row)) << (place % 8);
    }
    bytes.extend(bits);
    for row in head.places.chunks_exact(models + 1).filter(|row| is_seen(row)) {
        bytes.extend(row[0].to_le_bytes());
        for (weight, step) in row[1..].iter().zip(&steps) {
            bytes.extend(in_steps(*weight, *step).to_le_bytes());
        }
    }
}

fn read_head(rest: HeadRest, models: usize, bytes: &mut &[u8]) -> Result<Head, LearnedError> {
    let cut = || LearnedError::File("its weights are cut short".to_owned());
    let (bits, mut left) = bytes.split_at_checked(PLACES / 8).ok_or_else(cut)?;
    let seen: usize = bits.iter().map(|bits| bits.count_ones() as usize).sum();
    if left.len() < seen * (4 + 2 * models) {
        return Err(cut());
    }
    let mut places = vec![0.0f32; places_len(models)];
    for (place, row) in places.chunks_exact_mut(models + 1).enumerate() {
        if bits[place / 8] >> (place % 8) & 1 == 0 {
            row[0] = rest.rarest;
            continue;
        }
        let (rarity, after) = left.split_first_chunk().ok_or_else(cut)?;
        left = after;
        row[0] = f32::from_le_bytes(*rarity);
        if !(row[0].is_finite() && row[0] > 0.0 && row[0] <= rest.rarest) {
            return Err(LearnedError::File("a rarity cannot be right".to_owned()));
        }
        for (weight, step) in row[1..].iter_mut().zip(&rest.steps) {
            let (steps, after) = left.split_first_chunk().ok_or_else(cut)?;
            left = after;
            *weight = f32::from(i16::from_le_bytes(*steps)) * step;
            if weight.abs() > LARGEST {
                return Err(LearnedError::File("a weight cannot be right".to_owned()));
            }
        }
    }
    *bytes = left;
    Ok(Head {
        base: rest.base,
        places,
        counts: rest.counts,
        tags: rest.tags,
    })
}

fn write_nearest(nearest: &Nearest, bytes: &mut Vec<u8>) {
    bytes.extend(nearest.vectors.iter().flat_map(|number| number.to_le_bytes()));
    bytes.extend(nearest.tags.iter().flat_map(|tag| tag.to_le_bytes()));
    let bits = |score: &Option<f32>| score.map_or(NOT_ASKED, f32::to_bits);
    bytes.extend(nearest.scores.iter().flat_map(|score| bits(score).to_le_bytes()));
}

fn read_nearest(
    centres: Vec<f32>,
    summary: &NearestSummary,
    models: usize,
    tags: usize,
    bytes: &mut &[u8],
) -> Result<Nearest, LearnedError> {
    // Both were held against their bounds, so that no product is too great.
    let (dimensions, rows) = (summary.dimensions as usize, summary.vectors as usize);
    let mut take = |length: usize| {
        let (taken, left) = bytes
            .split_at_checked(length)
            .ok_or_else(|| LearnedError::File("its vectors are cut short".to_owned()))?;
        *bytes = left;
        Ok::<_, LearnedError>(taken)
    };
    let vectors = words(take(4 * rows * dimensions)?)
        .map(f32::from_bits)
        .collect::<Vec<_>>();
    let tag_bytes = take(2 * rows)?.as_chunks::<2>().0;
    let tags_of: Vec<u16> = tag_bytes.iter().map(|tag| u16::from_le_bytes(*tag)).collect();
    let scores: Vec<Option<f32>> = words(take(4 * rows * models)?)
        .map(|bits| (bits != NOT_ASKED).then(|| f32::from_bits(bits)))
        .collect();
    let is_right = vectors.chunks_exact(dimensions).all(is_of_length_one)
        && tags_of.iter().all(|tag| usize::from(*tag) <= tags)
        && scores.iter().flatten().all(|score| (0.0..=1.0).contains(score));
    if !is_right {
        return Err(LearnedError::File("a vector cannot be right".to_owned()));
    }
    Ok(Nearest {
        dimensions,
        vectors,
        tags: tags_of,
        scores,
        centres,
    })
}

fn words(bytes: &[u8]) -> impl Iterator<Item = u32> {
    bytes
        .as_chunks::<4>()
        .0
        .iter()
        .map(|word| u32::from_le_bytes(*word))
}
