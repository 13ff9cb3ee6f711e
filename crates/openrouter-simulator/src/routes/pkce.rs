//! Keys for programs that act for somebody: a code first, then a key in its place.

use std::time::Duration;

use costing::UtcTime;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::dice::fingerprint;
use crate::problem::{Problem, USER_ID};
use crate::routes::accounts::Code;
use crate::routes::dates::rfc3339;
use crate::routes::keys::wanted_by_code;
use crate::routes::page::{Call, Page, Refusal};
use crate::routes::vectors::base64;
use crate::simulation::Simulation;

/// How long a code can be exchanged.
const LIFE: Duration = Duration::from_secs(600);

/// The challenge that belongs to a verifier: its hash, in the alphabet of URLs and without padding.
pub(crate) fn challenge_of(verifier: &str) -> String {
    let digest = Sha256::digest(verifier.as_bytes());
    let text = base64(&digest).replace('+', "-").replace('/', "_");
    text.trim_end_matches('=').to_owned()
}

/// Whether a challenge is hashed; it is unless the request says otherwise.
fn hashed(method: Option<&Value>) -> Result<bool, Problem> {
    match method.unwrap_or(&Value::Null) {
        Value::Null => Ok(true),
        Value::String(method) if method == "S256" => Ok(true),
        Value::String(method) if method == "plain" => Ok(false),
        _ => Err(Problem::invalid("Invalid code_challenge_method")),
    }
}

/// Whether somebody may be sent there: a page of their own, or a program on this machine.
fn is_callback(url: &str) -> bool {
    let host = |rest: &str| {
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        authority.split(':').next().unwrap_or_default().to_owned()
    };
    match url.split_once("://") {
        Some(("https", rest)) => !host(rest).is_empty(),
        Some(("http", rest)) => matches!(host(rest).as_str(), "localhost" | "127.0.0.1"),
        _ => false,
    }
}

/// `POST /auth/keys/code`.
pub(crate) fn code(simulation: &Simulation, call: &Call<'_>) -> Result<Page, Refusal> {
    let fields = call.object()?;
    let callback = fields.get("callback_url").and_then(Value::as_str);
    let Some(callback) = callback.filter(|url| is_callback(url)) else {
        return Err(Problem::invalid("callback_url: Invalid URL: expected https, or localhost").into());
    };
    let hashed = hashed(fields.get("code_challenge_method"))?;
    let challenge = match fields.get("code_challenge") {
        None => None,
        Some(Value::String(text)) if !text.is_empty() => Some(text.clone()),
        Some(_) => return Err(Problem::invalid("code_challenge: Invalid input: expected string").into()),
    };
    let now = simulation.time();
    let wanted = wanted_by_code(&fields, now).map_err(|problem| Problem::invalid(problem.message))?;
    let life = i64::try_from(LIFE.as_secs()).unwrap_or_default();
    let code = Code {
        wanted,
        challenge,
        hashed,
        expires: UtcTime::from_unix(now.unix().saturating_add(life)),
    };
    let text = simulation
        .state()
        .accounts
        .make_code(simulation.config.seed, code);
    // An app is known by where its users are sent.
    let app = fingerprint(&[callback.as_bytes()]) % 1_000_000;
    Ok(Page::json(&json!({
        "data": { "id": text, "app_id": app, "created_at": rfc3339(now) },
    })))
}

/// `POST /auth/keys`.
pub(crate) fn exchange(simulation: &Simulation, call: &Call<'_>) -> Result<Page, Refusal> {
    let fields = call.object()?;
    let Some(text) = fields.get("code").and_then(Value::as_str) else {
        return Err(Problem::invalid("code: Invalid input: expected string").into());
    };
    let method = fields.get("code_challenge_method");
    let hashed = hashed(method)?;
    let verifier = match fields.get("code_verifier") {
        None | Some(Value::Null) => None,
        Some(Value::String(verifier)) => Some(verifier.as_str()),
        Some(_) => return Err(Problem::invalid("code_verifier: Invalid input: expected string").into()),
    };
    let now = simulation.time();
    let mut state = simulation.state();
    let refused =
        || Problem::new(403, "Invalid code or code_verifier").with("error_type", "permission_denied");
    let code = state.accounts.take_code(text).ok_or_else(refused)?;
    if now >= code.expires {
        return Err(refused().into());
    }
    if let Some(challenge) = &code.challenge {
        let made = match (verifier, code.hashed) {
            (None, _) => return Err(refused().into()),
            (Some(verifier), true) => challenge_of(verifier),
            (Some(verifier), false) => verifier.to_owned(),
        };
        let other_method = method.is_some_and(|method| !method.is_null()) && hashed != code.hashed;
        if made != *challenge || other_method {
            return Err(refused().into());
        }
    }
    let (key, _) = state.accounts.make(simulation.config.seed, code.wanted, now);
    Ok(Page::json(&json!({ "key": key, "user_id": USER_ID })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_is_the_one_of_the_standard() {
        // The example of RFC 7636, appendix B.
        assert_eq!(
            challenge_of("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"),
            "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
        );
    }

    #[test]
    fn users_are_sent_to_safe_places_only() {
        for good in [
            "https://app.example/callback",
            "http://localhost:3000/x",
            "http://127.0.0.1:80",
            "http://localhost",
        ] {
            assert!(is_callback(good), "{good}");
        }
        for bad in [
            "",
            "app.example",
            "http://app.example",
            "https://",
            "ftp://localhost",
            "http://localhost.evil",
        ] {
            assert!(!is_callback(bad), "{bad}");
        }
    }
}
