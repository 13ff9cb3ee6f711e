//! The one grammar for numbers from outside: digits, at most one point, an exponent within bounds; nothing is rounded.

use rust_decimal::Decimal;

/// Digits before the point.
const MAX_WHOLE: usize = 12;
/// Digits after the point, and places in all once an exponent is applied: what a `Decimal` holds.
const MAX_PLACES: usize = 28;

/// Why a text is not a number that can be held exactly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NumberError {
    /// Signs, spaces, separators, an empty part, anything that is not a plain decimal number.
    #[error("not a plain decimal number")]
    Malformed,
    /// More digits than can be held, before or after the point.
    #[error("more digits than can be held exactly")]
    TooManyDigits,
}

/// Reads `digits[.digits][e[-]digits]` without loss. Never negative.
pub(crate) fn parse(text: &str) -> Result<Decimal, NumberError> {
    let (number, exponent) = match text.split_once(['e', 'E']) {
        Some((number, exponent)) => (number, parse_exponent(exponent)?),
        None => (text, 0),
    };
    let (whole, fraction) = match number.split_once('.') {
        Some((_, "")) => return Err(NumberError::Malformed),
        Some(parts) => parts,
        None => (number, ""),
    };
    let all_digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !all_digits(whole) || !all_digits(fraction) {
        return Err(NumberError::Malformed);
    }
    if whole.len() > MAX_WHOLE || fraction.len() > MAX_PLACES {
        return Err(NumberError::TooManyDigits);
    }
    // At most 40 digits: more than an i128 holds, so the sum is checked.
    let mantissa = whole
        .bytes()
        .chain(fraction.bytes())
        .try_fold(0_i128, |sum, digit| {
            sum.checked_mul(10)?.checked_add(i128::from(digit - b'0'))
        });
    let mantissa = mantissa.ok_or(NumberError::TooManyDigits)?;
    if mantissa == 0 {
        return Ok(Decimal::ZERO);
    }
    // Both terms are small: fraction ≤ 28, |exponent| ≤ 99.
    let places = i32::try_from(fraction.len()).map_err(|_| NumberError::TooManyDigits)? - exponent;
    exact(mantissa, places)
}

fn parse_exponent(text: &str) -> Result<i32, NumberError> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if digits.is_empty() || digits.len() > 2 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(NumberError::Malformed);
    }
    let value: i32 = digits.parse().map_err(|_| NumberError::Malformed)?;
    Ok(if negative { -value } else { value })
}

/// `mantissa × 10^-places`, with the zeros at its end taken off so that as many values as possible can be held.
pub(crate) fn exact(mut mantissa: i128, mut places: i32) -> Result<Decimal, NumberError> {
    while places > 0 && mantissa % 10 == 0 {
        mantissa /= 10;
        places -= 1;
    }
    while places < 0 {
        mantissa = mantissa.checked_mul(10).ok_or(NumberError::TooManyDigits)?;
        places += 1;
    }
    let scale = u32::try_from(places).map_err(|_| NumberError::TooManyDigits)?;
    Decimal::try_from_i128_with_scale(mantissa, scale).map_err(|_| NumberError::TooManyDigits)
}
