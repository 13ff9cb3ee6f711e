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
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Otherwise refusals alone would be looked at.
    #[test]
    fn some_seeds_are_predictors() {
        let seeds: [&[u8]; 2] = [
            include_bytes!("../../seeds/predictor/one-model"),
            include_bytes!("../../seeds/predictor/tags"),
        ];
        for seed in seeds {
            let file = [seed, &xxh3_64(seed).to_le_bytes()].concat();
            assert_eq!(Predictor::from_bytes(&file).map(|_| ()), Ok(()));
        }
    }
}
