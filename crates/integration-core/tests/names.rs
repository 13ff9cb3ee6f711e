//! Ids, secrets and capabilities: what is accepted, and what is shown.
#![allow(clippy::unwrap_used)]

use std::collections::HashMap;

use integration_core::chat::{FinishReason, Role};
use integration_core::{
    Capability, CapabilitySet, GenerationId, InvalidId, InvalidSecret, ModelId, ProviderId, RequestId,
    Secret, UpstreamName,
};
use proptest::prelude::*;

#[test]
fn a_name_is_short_and_printable() {
    assert_eq!(ModelId::new(""), Err(InvalidId::Empty));
    assert_eq!(ModelId::new("a".repeat(257)), Err(InvalidId::TooLong));
    assert!(ModelId::new("a".repeat(256)).is_ok());
    for bad in [
        "a b",
        "a\tb",
        "a\nb",
        " ",
        "a\u{0}",
        "a\u{7f}",
        "a\u{a0}b",
        "a\u{200b}",
        "\u{202e}a",
        "a\u{2066}",
        "\u{feff}a",
        "a\u{2028}b",
        "\u{61c}a",
    ] {
        assert_eq!(ModelId::new(bad), Err(InvalidId::Unprintable), "{bad:?}");
    }
    assert!(ModelId::new("模型/ä~x.1:free").is_ok());
}

#[test]
fn only_names_of_upstreams_hold_spaces() {
    assert_eq!(
        UpstreamName::new("Amazon Bedrock").unwrap().as_str(),
        "Amazon Bedrock"
    );
    assert_eq!(UpstreamName::new("  "), Err(InvalidId::Empty));
    assert_eq!(UpstreamName::new("a\u{2009}b"), Err(InvalidId::Unprintable));
    assert!(
        ProviderId::new("a b").is_err()
            && GenerationId::new("a b").is_err()
            && RequestId::new("a b").is_err()
    );
}

#[test]
fn a_model_id_has_an_author_and_a_variant() {
    for (id, author, variant) in [
        ("openai/gpt-4o", Some("openai"), None),
        ("anthropic/claude:batch", Some("anthropic"), Some("batch")),
        ("a/b/c:d:e", Some("a"), Some("d:e")),
        ("plain", None, None),
        ("/x:", None, None),
    ] {
        let id = ModelId::new(id).unwrap();
        assert_eq!((id.author(), id.variant()), (author, variant), "{id}");
    }
}

#[test]
fn a_name_is_text_everywhere() {
    let id: ModelId = "a/m".parse().unwrap();
    assert_eq!(format!("{id} {id:?} {id:>5}"), "a/m \"a/m\"   a/m");
    assert_eq!(id.as_ref(), "a/m");
    assert_eq!(ModelId::try_from("a/m".to_owned()), Ok(id.clone()));
    assert_eq!(serde_json::to_string(&id).unwrap(), "\"a/m\"");
    assert_eq!(serde_json::from_str::<ModelId>("\"a\\u002fm\"").unwrap(), id);
    let by_id = HashMap::from([(id, 1)]);
    assert_eq!(by_id.get("a/m"), Some(&1));
    for (json, says) in [
        ("\"\"", "the name is empty"),
        ("\"a b\"", "an invisible mark"),
        ("3", "expected a string"),
    ] {
        let error = serde_json::from_str::<ModelId>(json).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
}

#[test]
fn a_secret_is_never_shown() {
    let secret = Secret::new("  sk-or-v1-0123\n").unwrap();
    assert_eq!(secret.expose(), "sk-or-v1-0123");
    assert_eq!(
        format!("{secret:?} {:#?}", Some(&secret.clone())),
        "Secret([redacted]) Some(\n    Secret([redacted]),\n)"
    );
}

#[test]
fn a_secret_fits_a_header() {
    for empty in ["", " \r\n\t "] {
        assert_eq!(Secret::new(empty).unwrap_err(), InvalidSecret::Empty);
    }
    for bad in ["a b", "a\nb", "a\u{0}b", "schlüssel", "a\u{7f}"] {
        let error = Secret::new(bad).unwrap_err();
        assert_eq!(error, InvalidSecret::NotVisibleAscii);
        assert!(!error.to_string().contains(bad));
    }
}

#[test]
fn capabilities_have_names_in_order() {
    let names: Vec<_> = Capability::all().map(Capability::as_str).collect();
    assert!(names.is_sorted() && names.len() == 17);
    for name in names {
        let capability: Capability = name.parse().unwrap();
        assert_eq!(capability.to_string(), name);
    }
    let error = "speech".parse::<Capability>().unwrap_err().to_string();
    assert!(
        error.starts_with("'speech' is not a capability; the capabilities are audio-input, "),
        "{error}"
    );
    let error = format!("{}\n", "x".repeat(999))
        .parse::<Capability>()
        .unwrap_err()
        .to_string();
    assert!(error.len() < 400 && !error.contains('\n'));
}

#[test]
fn open_words_keep_what_they_do_not_know() {
    for (word, reason) in [
        ("stop", FinishReason::Stop),
        ("length", FinishReason::Length),
        ("tool_calls", FinishReason::ToolCalls),
        ("content_filter", FinishReason::ContentFilter),
        ("error", FinishReason::Error),
        ("new_word", FinishReason::Other("new_word".into())),
        ("", FinishReason::Other(String::new())),
    ] {
        assert_eq!(FinishReason::from(word), reason);
        assert_eq!(serde_json::to_value(&reason).unwrap(), word);
        assert_eq!(
            serde_json::from_value::<FinishReason>(word.into()).unwrap(),
            reason
        );
        assert_eq!(reason.to_string(), word);
    }
    let words = ["assistant", "developer", "system", "tool", "user", "critic"];
    assert!(words.iter().all(|word| Role::from(*word).as_str() == *word));
    let error = serde_json::from_str::<Role>("3").unwrap_err().to_string();
    assert!(error.contains("expected a string"), "{error}");
}

fn sets() -> impl Strategy<Value = Vec<Capability>> {
    proptest::sample::subsequence(Capability::all().collect::<Vec<_>>(), 0..=17)
}

proptest! {
    /// Oracle: sets of the standard library.
    #[test]
    fn sets_are_sets(left in sets(), right in sets(), one in 0usize..17) {
        use std::collections::BTreeSet;
        let (a, b): (CapabilitySet, CapabilitySet) = (left.iter().copied().collect(), right.iter().copied().collect());
        let (x, y): (BTreeSet<_>, BTreeSet<_>) = (left.into_iter().collect(), right.into_iter().collect());
        let list = |set: CapabilitySet| set.iter().collect::<Vec<_>>();
        prop_assert_eq!(list(a), x.iter().copied().collect::<Vec<_>>());
        prop_assert_eq!(list(a.union(b)), x.union(&y).copied().collect::<Vec<_>>());
        prop_assert_eq!(list(a.missing_from(b)), x.difference(&y).copied().collect::<Vec<_>>());
        prop_assert_eq!(a.contains_all(b), y.is_subset(&x));
        prop_assert_eq!(a.is_empty(), x.is_empty());
        let one = Capability::all().nth(one).unwrap();
        prop_assert_eq!(a.contains(one), x.contains(&one));
        prop_assert!(a.with(one).contains(one) && CapabilitySet::of(one).iter().eq([one]));
        prop_assert_eq!(a.to_string(), x.iter().map(|c| c.as_str()).collect::<Vec<_>>().join(", "));
        prop_assert_eq!(format!("{a:?}"), format!("{x:?}"));
    }

    #[test]
    fn what_is_accepted_is_printable(text in ".{0,300}") {
        if let Ok(id) = ModelId::new(&text) {
            prop_assert_eq!(id.as_str(), &text);
            prop_assert!(!text.is_empty() && text.len() <= 256 && !text.chars().any(|c| c.is_control() || c.is_whitespace()));
        }
    }
}

mod words {
    #![allow(unreachable_pub)]

    integration_core::open_enum! {
        /// Words of another crate.
        pub enum Word {
            /// One.
            One = "one",
        }
    }
}

#[test]
fn words_nobody_knows_yet_are_kept() {
    use words::Word;
    let words: Vec<Word> = serde_json::from_str(r#"["one", "two\n", "o\u006ee"]"#).unwrap();
    assert_eq!(words, [Word::One, Word::Other("two\n".to_owned()), Word::One]);
    assert_eq!(serde_json::to_string(&words).unwrap(), r#"["one","two\n","one"]"#);
    assert_eq!(
        (format!("{:>5}", Word::One), Word::WORDS),
        ("  one".to_owned(), &["one"][..])
    );
    assert!(serde_json::from_str::<Word>("7").is_err());
}
