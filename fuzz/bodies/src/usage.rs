//! What an answer used.

use integration_core::Usage;

/// What was read and written out again reads as the same, to the last digit.
pub(crate) fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let usage = match Usage::from_json(text) {
        Ok(usage) => usage,
        Err(error) => {
            assert!(!error.to_string().contains('\n'));
            return;
        }
    };
    for amount in [usage.reported.cost, usage.reported.upstream_cost]
        .into_iter()
        .flatten()
    {
        assert!(
            !amount.is_sign_negative() || amount.is_zero(),
            "a negative cost of {amount}"
        );
    }
    let written = serde_json::to_string(&usage);
    assert!(written.is_ok(), "{usage:?} cannot be written");
    if let Ok(written) = written {
        let again = Usage::from_json(&written);
        assert!(again.is_ok(), "{written}: {again:?}");
        assert_eq!(again.ok(), Some(usage), "{written}");
    }
}
