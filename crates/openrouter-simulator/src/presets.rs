//! What a request leaves to the account: the fields of a preset, and the model where there is none.

use serde_json::Value;

use crate::fields::{Fields, given, text};
use crate::problem::Problem;
use crate::scenario::Scenario;

/// The error for a preset that the account does not have.
pub(crate) fn no_preset(slug: &str) -> Problem {
    Problem::new(404, format!("Preset {slug} not found")).with("error_type", "not_found")
}

/// Fills in what the request leaves to the account: the preset that its model or its field `preset` names, and the account's
/// own model where neither has one.
pub(crate) fn fill_in(fields: &mut Fields, scenario: &Scenario) -> Result<(), Problem> {
    let mut slugs: Vec<String> = Vec::new();
    let model = given(fields, "model").and_then(Value::as_str).map(str::to_owned);
    if let Some((model, slug)) = model.as_deref().and_then(|model| model.split_once("@preset/")) {
        slugs.push(slug.to_owned());
        // A preset alone leaves the model to the preset.
        if model.is_empty() {
            fields.remove("model");
        } else {
            fields.insert("model".to_owned(), model.into());
        }
    }
    slugs.extend(text(fields, "preset", usize::MAX)?.map(str::to_owned));
    for slug in slugs {
        let preset = scenario.presets.get(&slug).ok_or_else(|| no_preset(&slug))?;
        merge(fields, preset);
    }
    if given(fields, "model").is_none()
        && given(fields, "models").is_none()
        && let Some(model) = &scenario.account.default_model
    {
        fields.insert("model".to_owned(), model.as_str().into());
    }
    Ok(())
}

/// Adds what a request does not say itself. Of tools it gets those that it does not have.
fn merge(fields: &mut Fields, preset: &Fields) {
    for (name, value) in preset {
        match (fields.get_mut(name), value) {
            (None, _) => {
                fields.insert(name.clone(), value.clone());
            }
            (Some(Value::Array(own)), Value::Array(more)) if name == "tools" => {
                for tool in more {
                    if !own.iter().any(|one| identity(one) == identity(tool)) {
                        own.push(tool.clone());
                    }
                }
            }
            _ => {}
        }
    }
}

/// What makes two tools the same: the name of a function, else the kind.
fn identity(tool: &Value) -> Option<&str> {
    tool.pointer("/function/name")
        .or_else(|| tool.get("type"))
        .and_then(Value::as_str)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn scenario() -> Scenario {
        Scenario::read(
            "[account]\ndefault_model = 'a/default'\n\
             [preset.help]\nmodel = 'a/of-preset'\ntemperature = 0.25\nprovider = { sort = 'price' }\n\
             tools = [{ type = 'function', function = { name = 'look' } }, { type = 'openrouter:web_search' }]\n\
             [preset.short]\nmax_tokens = 9\n",
        )
        .unwrap()
    }

    fn filled(body: &Value) -> Result<Value, Problem> {
        let mut fields = body.as_object().unwrap().clone();
        fill_in(&mut fields, &scenario()).map(|()| Value::Object(fields))
    }

    #[test]
    fn a_preset_fills_in_what_the_request_does_not_say() {
        let alone = filled(&json!({ "model": "@preset/help" })).unwrap();
        assert_eq!(
            (&alone["model"], &alone["temperature"]),
            (&json!("a/of-preset"), &json!(0.25))
        );
        let behind =
            filled(&json!({ "model": "a/b:nitro@preset/help", "temperature": 1, "provider": {} })).unwrap();
        assert_eq!(behind["model"], "a/b:nitro");
        // Each field as a whole: nothing inside of it is mixed.
        assert_eq!(
            (&behind["temperature"], &behind["provider"]),
            (&json!(1), &json!({}))
        );
        let by_field = filled(&json!({ "preset": "short", "model": "@preset/help" })).unwrap();
        assert_eq!(
            (&by_field["model"], &by_field["max_tokens"]),
            (&json!("a/of-preset"), &json!(9))
        );
    }

    #[test]
    fn tools_are_united() {
        let look = json!({ "type": "function", "function": { "name": "look", "strict": true } });
        let other = json!({ "type": "function", "function": { "name": "other" } });
        let both = filled(&json!({ "preset": "help", "tools": [look, other] })).unwrap();
        assert_eq!(
            both["tools"],
            json!([look, other, { "type": "openrouter:web_search" }])
        );
    }

    #[test]
    fn a_request_without_a_model_is_for_the_account_to_decide() {
        for body in [json!({}), json!({ "model": null }), json!({ "preset": "short" })] {
            assert_eq!(filled(&body).unwrap()["model"], "a/default");
        }
        assert_eq!(filled(&json!({ "models": ["a/b"] })).unwrap().get("model"), None);
        assert_eq!(filled(&json!({ "model": 7 })).unwrap()["model"], 7);
    }

    #[test]
    fn a_preset_that_there_is_not_is_not_found() {
        for body in [
            json!({ "model": "@preset/none" }),
            json!({ "model": "a/b@preset/none" }),
            json!({ "model": "a/b", "preset": "none" }),
        ] {
            let problem = filled(&body).unwrap_err();
            assert_eq!(
                (problem.status, problem.message.as_str()),
                (404, "Preset none not found")
            );
        }
    }
}
