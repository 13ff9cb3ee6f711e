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

    /// Otherwise refusals alone would be looked at.
    #[test]
    fn some_seeds_are_predictors() {
        let seeds: [&[u8]; 4] = [
            include_bytes!("../../seeds/predictor/one-model"),
            include_bytes!("../../seeds/predictor/tags"),
            include_bytes!("../../seeds/predictor/vectors"),
            include_bytes!("../../seeds/predictor/vectors-not-used"),
        ];
        for seed in seeds {
            let file = [seed, &xxh3_64(seed).to_le_bytes()].concat();
            assert_eq!(Predictor::from_bytes(&file).map(|_| ()), Ok(()));
        }
        let with_vectors = [seeds[2], &xxh3_64(seeds[2]).to_le_bytes()].concat();
        let read = Predictor::from_bytes(&with_vectors).map(|read| read.dimensions());
        assert_eq!(read, Ok(Some(2)));
    }
}
