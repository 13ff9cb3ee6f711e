//! Which texts are prices, and what happens to the others.
#![allow(clippy::unwrap_used, missing_docs)]

use costing::{NumberError, PriceError, PriceKey, PriceSheet, SheetProblem, UtcTime};
use proptest::prelude::*;
use rust_decimal::Decimal;

const NOON: UtcTime = UtcTime::from_unix(12 * 3600);

fn prompt_price(text: &str) -> Result<Option<Decimal>, PriceError> {
    let json = serde_json::json!({"prompt": text, "completion": "0"}).to_string();
    PriceSheet::from_pricing_json(&json).map(|sheet| sheet.rate(PriceKey::Prompt, 0, NOON))
}

#[test]
fn trap_17_decimal_strings_are_read_to_the_last_digit() {
    for (text, expected) in [
        ("0", "0"),
        ("0.00", "0"),
        ("1", "1"),
        ("0.0000000208333333333333", "0.0000000208333333333333"),
        ("0.0000000000000000000000000001", "0.0000000000000000000000000001"),
        ("2.5e-06", "0.0000025"),
        ("2.50E-6", "0.0000025"),
        ("1e-28", "0.0000000000000000000000000001"),
        ("10e-29", "0.0000000000000000000000000001"),
        ("0.00001e+2", "0.001"),
        ("0e99", "0"),
        ("0000.5", "0.5"),
    ] {
        let price = prompt_price(text).unwrap().unwrap();
        assert_eq!(price, Decimal::from_str_exact(expected).unwrap(), "{text}");
    }
}

#[test]
fn input_87_everything_else_is_refused_with_its_name() {
    for text in [
        " 1",
        "1 ",
        "+1",
        "-0",
        "-0.1",
        "-2",
        "-1.0",
        "1_000",
        "1,5",
        ".5",
        "5.",
        "1.2.3",
        "0x1",
        "NaN",
        "inf",
        "1e",
        "1e--1",
        "1e-100",
        "1e400",
        "0e100",
        "1e-001",
        "e-7",
        "0.1e-28",
        "1e-29",
        "0.00000000000000000000000000001",
        "1234567890123",
        "１",
        "١٢",
        "1 000",
        "7922816251426433759354395033.6",
    ] {
        let error = prompt_price(text).unwrap_err();
        assert!(matches!(error, PriceError::Number { .. }), "{text}: {error:?}");
        assert!(error.to_string().contains("`prompt`"), "{error}");
    }
    assert!(matches!(prompt_price("2.5"), Err(PriceError::TooLarge { .. })));
    assert!(matches!(prompt_price(""), Err(PriceError::Malformed(_))));
    assert!(
        prompt_price("2.5")
            .unwrap_err()
            .to_string()
            .contains("per million")
    );
    // A fee may be larger than a token.
    assert!(PriceSheet::from_pricing_json(r#"{"prompt":"0","completion":"0","request":"2.5"}"#).is_ok());
    assert!(PriceSheet::from_pricing_json(r#"{"prompt":"0","completion":"0","request":"1001"}"#).is_err());
}

#[test]
fn trap_17_what_is_not_an_object_of_strings_is_refused() {
    for json in ["", "[]", "7", "{", r#"{"prompt":0.000001,"completion":"0"}"#] {
        assert!(
            matches!(PriceSheet::from_pricing_json(json), Err(PriceError::Malformed(_))),
            "{json}"
        );
    }
    assert!(PriceSheet::from_pricing_json(r#"{"prompt":"x","completion":"0"}"#).is_err());
    let bad = r#"{"prompt":"0","completion":"0","overrides":[{"min_prompt_tokens":1,"prompt":"x"}]}"#;
    assert!(PriceSheet::from_pricing_json(bad).is_err());
    let number = r#"{"prompt":"0","completion":"0","overrides":[{"min_prompt_tokens":1,"prompt":0.1}]}"#;
    assert!(PriceSheet::from_pricing_json(number).is_err());
}

#[test]
fn input_90_the_unknown_is_reported_and_priced_around() {
    let sheet = PriceSheet::from_pricing_json(
        r#"{"prompt":"0.1","completion":"0","discount":0.5,"video":"0.5","overrides":[
            {"min_prompt_tokens":5,"region":"eu","prompt":"0.2"},
            {"utc_days":["blursday"],"prompt":"0.3"},
            {"utc_start":500,"utc_end":500,"prompt":"0.4"},
            7]}"#,
    )
    .unwrap();
    // The discount is in the prices already, and no override is applied that nobody understands.
    assert_eq!(
        sheet.rate(PriceKey::Prompt, 10, NOON),
        Some(Decimal::from_str_exact("0.1").unwrap())
    );
    let problems = sheet.problems();
    assert!(problems.contains(&SheetProblem::UnknownKey {
        key: "video".to_owned()
    }));
    let conditions: Vec<_> = problems
        .iter()
        .filter_map(|problem| match problem {
            SheetProblem::UnknownCondition { entry, condition } => Some((*entry, condition.as_str())),
            _ => None,
        })
        .collect();
    assert_eq!(
        conditions,
        [
            (1, r#"region="eu""#),
            (2, "utc_days=blursday"),
            (3, "utc_start=0500, utc_end=0500"),
            (4, "[]=7")
        ]
    );
    for problem in problems {
        assert!(!problem.to_string().is_empty());
    }
    let odd = PriceSheet::from_pricing_json(r#"{"prompt":"0","completion":"0","discount":"much"}"#).unwrap();
    assert!(
        matches!(odd.problems(), [SheetProblem::LeftOut(_)]),
        "{:?}",
        odd.problems()
    );
}

#[test]
fn every_key_has_its_name() {
    for key in PriceKey::ALL {
        assert_eq!(PriceKey::from_name(key.as_str()), Some(key));
        assert!(model_catalogue::openrouter::PRICE_KEYS.contains(&key.to_string().as_str()));
    }
    assert_eq!(PriceKey::ALL.len(), model_catalogue::openrouter::PRICE_KEYS.len());
    assert_eq!(PriceKey::from_name("video"), None);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
    /// Whatever is read is read exactly: the oracle compares whole numbers, digit by digit.
    #[test]
    fn input_88_nothing_is_rounded(whole in "[0-9]{1,3}", fraction in "[0-9]{0,30}", exponent in -30_i32..=3) {
        let number = if fraction.is_empty() { whole.clone() } else { format!("{whole}.{fraction}") };
        let text = format!("{number}e{exponent}");
        let json = serde_json::json!({"prompt": "0", "completion": "0", "request": text}).to_string();
        if let Ok(sheet) = PriceSheet::from_pricing_json(&json) {
            let price = sheet.rate(PriceKey::Request, 0, NOON).unwrap();
            let digits = |text: &str| text.trim_start_matches('0').trim_end_matches('0').to_owned();
            let all = format!("{whole}{fraction}");
            prop_assert_eq!(digits(&price.mantissa().to_string()), digits(&all));
            // The same power of ten: mantissa × 10^-scale == all × 10^(exponent - places).
            let zeros = |text: &str| (text.len() - text.trim_end_matches('0').len()) as i32;
            if !price.is_zero() {
                let left = zeros(&price.mantissa().to_string()) - price.scale() as i32;
                prop_assert_eq!(left, zeros(&all) + exponent - fraction.len() as i32);
            }
        }
    }

    /// The grammar, said once more without a parser: what it forbids is refused, what it allows is read, and what was read is
    /// read again as the same when it is written.
    #[test]
    fn a_price_is_one_by_the_grammar_and_by_nothing_else(text in price_like()) {
        let read = prompt_price(&text);
        let allowed = text == "-1" || by_the_grammar(&text);
        if !allowed {
            prop_assert!(read.is_err(), "{:?} was read as {:?}", text, read);
        }
        match read {
            Ok(None) => prop_assert_eq!(text, "-1"),
            Ok(Some(price)) => {
                prop_assert!(!price.is_sign_negative() && price <= Decimal::ONE, "{}", price);
                prop_assert_eq!(prompt_price(&price.to_string()), Ok(Some(price)));
                prop_assert_eq!(prompt_price(&price.normalize().to_string()), Ok(Some(price)));
            }
            // What the grammar allows is refused only for its size, one way or the other.
            Err(PriceError::TooLarge { .. }) => prop_assert!(allowed),
            Err(PriceError::Number { source, .. }) => {
                let size = matches!(source, NumberError::TooManyDigits);
                prop_assert!(!allowed || size, "{:?}: {}", text, source);
            }
            Err(other) => prop_assert!(text.is_empty(), "{:?}: {}", text, other),
        }
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in ".{0,40}") {
        let _ = prompt_price(&text);
        let _ = PriceSheet::from_pricing_json(&text);
    }
}

/// Texts that are prices, nearly prices, and anything.
fn price_like() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[0-9]{1,14}(\\.[0-9]{1,32})?([eE][-+]?[0-9]{1,3})?",
        2 => "0\\.0{0,30}[0-9]{1,6}",
        4 => "[-+]?[0-9_, ]{0,6}\\.{0,2}[0-9_]{0,6}([eExX]?[-+]{0,2}[0-9]{0,3}) ?",
        1 => ".{0,12}",
        1 => Just("-1".to_owned()),
    ]
}

/// `DIGITS[.DIGITS][e[+-]DIGITS]`, with one or two digits in the exponent, character by character.
fn by_the_grammar(text: &str) -> bool {
    let mut rest = text.chars().peekable();
    let digits = |rest: &mut std::iter::Peekable<std::str::Chars<'_>>| {
        let mut count = 0;
        while rest.next_if(char::is_ascii_digit).is_some() {
            count += 1;
        }
        count
    };
    if digits(&mut rest) == 0 {
        return false;
    }
    if rest.next_if_eq(&'.').is_some() && digits(&mut rest) == 0 {
        return false;
    }
    if rest.next_if(|c| matches!(c, 'e' | 'E')).is_some() {
        let _ = rest.next_if(|c| matches!(c, '+' | '-'));
        if !(1..=2).contains(&digits(&mut rest)) {
            return false;
        }
    }
    rest.next().is_none()
}
