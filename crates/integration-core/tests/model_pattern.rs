//! Which models a pattern means.
#![allow(clippy::unwrap_used)]

use integration_core::{ModelId, ModelPattern};

fn model(id: &str) -> ModelId {
    id.parse().unwrap()
}

#[test]
fn patterns_mean_what_they_say() {
    for (pattern, yes, no) in [
        ("*", vec!["a", "a/b:free"], vec![]),
        ("a/*", vec!["a/b", "a/c:free"], vec!["ab/c", "a", "b/a"]),
        (
            "*:free",
            vec!["a/b:free", "a/b:nitro:free", "a/b:free:nitro"],
            vec!["a/b", "a/free", "a/b:freedom"],
        ),
        ("a/b", vec!["a/b"], vec!["a/b:free", "a/bc", "A/b"]),
        ("~a/b-latest", vec!["~a/b-latest"], vec!["a/b-latest"]),
    ] {
        let parsed: ModelPattern = pattern.parse().unwrap();
        assert_eq!(parsed.to_string(), pattern);
        for id in yes {
            assert!(parsed.matches(&model(id)), "{pattern} {id}");
        }
        for id in no {
            assert!(!parsed.matches(&model(id)), "{pattern} {id}");
        }
    }
    for text in [
        "", "a/*:free", "*:*", "/*", "*:", "*:a:b", "a*", "*/b", "a/b/*", "a b", "*free",
    ] {
        let error = text.parse::<ModelPattern>().unwrap_err();
        assert!(error.to_string().contains("pattern"), "{text}");
    }
    assert_eq!(
        ModelPattern::from(model("a/b")),
        ModelPattern::Exact(model("a/b"))
    );
}
