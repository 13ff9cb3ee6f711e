//! A predictor's file, from whoever hands it on.

use routing_learned::{Predictor, Scratch};
use xxhash_rust::xxh3::xxh3_64;

/// Whatever is in it, with a checksum that is right: it is refused in one sentence, or it is a predictor that is written as the same bytes
/// again once it was read, and whose every prediction is a score from 0 to 1.
pub(crate) fn run(data: &[u8]) {
    let file = [data, &xxh3_64(data).to_le_bytes()].concat();
    match Predictor::from_bytes(&file) {
        Err(error) => assert!(!error.to_string().is_empty()),
        Ok(predictor) => {
            let written = predictor.to_bytes();
            let read = Predictor::from_bytes(&written);
            assert_eq!(read.as_ref().map(Predictor::to_bytes), Ok(written));
            let (mut scratch, mut scores) = (Scratch::new(), Vec::new());
            for prompt in ["", "one two three", "\u{e9}\n$x^2$ = 4?"] {
                let tag = predictor.tags().first().map(String::as_str);
                for tag in [None, tag] {
                    predictor.predict(prompt, tag, &mut scratch, &mut scores);
                    assert_eq!(scores.len(), predictor.models().len());
                    assert!(scores.iter().all(|score| (0.0..=1.0).contains(score)));
                    for vector in vectors_for(&predictor) {
                        let with = predictor.predict_with(prompt, tag, &vector, &mut scratch, &mut scores);
                        assert_eq!(with, Ok(()));
                        assert_eq!(scores.len(), predictor.models().len());
                        assert!(scores.iter().all(|score| (0.0..=1.0).contains(score)));
                    }
                }
            }
        }
    }
}

/// None where vectors are not used.
fn vectors_for(predictor: &Predictor) -> Vec<Vec<f32>> {
    let Some(dimensions) = predictor.dimensions() else {
        return Vec::new();
    };
    let one = |at: usize| (0..dimensions).map(move |place| if place == at { 1.0 } else { -0.1 });
    vec![
        one(0).collect(),
        one(dimensions - 1).collect(),
        vec![f32::MAX; dimensions],
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(seed: &[u8]) -> Result<Predictor, routing_learned::LearnedError> {
        Predictor::from_bytes(&[seed, &xxh3_64(seed).to_le_bytes()].concat())
    }

    /// Otherwise refusals alone would be looked at. And of what cannot be right, not all would be seen in a prediction: that the others are refused
    /// is seen here.
    #[test]
    fn these_seeds_are_predictors_and_no_others() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../seeds/predictor");
        let mut taken: Vec<String> = std::fs::read_dir(folder)
            .expect("seeds")
            .map(|entry| entry.expect("a seed"))
            .filter(|entry| read(&std::fs::read(entry.path()).expect("a seed")).is_ok())
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        taken.sort();
        assert_eq!(
            taken,
            [
                "largest-weight",
                "one-model",
                "tags",
                "vectors",
                "vectors-not-used"
            ]
        );
        let dimensions = read(include_bytes!("../../seeds/predictor/vectors")).map(|read| read.dimensions());
        assert_eq!(dimensions, Ok(Some(2)));
    }
}
