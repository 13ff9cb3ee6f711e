//! What a judging model answers: hostile text may have got into it through the answers it was shown.

use routing::{MOST_JUDGEMENT, read_judgement};
use serde_json::Value;

/// A verdict comes only out of the object that was asked for, and that object stands alone.
pub(crate) fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let Ok(choice) = read_judgement(text) else { return };
    assert!(text.len() <= MOST_JUDGEMENT, "read beyond its limit");
    let (before, rest) = text.split_once('{').unwrap_or((text, ""));
    let (inside, after) = rest.rsplit_once('}').unwrap_or_default();
    let beside = [before.trim(), after.trim()];
    assert!(
        matches!(beside, ["", ""]) || (beside[0].starts_with("```") && beside[1] == "```"),
        "something stands beside the object"
    );
    let object: Value = serde_json::from_str(&format!("{{{inside}}}")).unwrap_or_default();
    assert_eq!(
        object["verdict"].as_str(),
        Some(choice.as_str()),
        "not the verdict it gives"
    );
    assert!(
        object.as_object().is_some_and(|fields| fields
            .keys()
            .all(|name| matches!(name.as_str(), "verdict" | "reason"))),
        "fields that nobody asked for"
    );
}
