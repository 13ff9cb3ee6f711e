//! Readers of single fields, which say what is wrong in the service's words.

use serde_json::{Map, Value};

use crate::problem::Problem;

pub(crate) type Fields = Map<String, Value>;

/// A field that is there and not null.
pub(crate) fn given<'a>(fields: &'a Fields, name: &str) -> Option<&'a Value> {
    fields.get(name).filter(|value| !value.is_null())
}

pub(crate) fn wrong(path: &str, expected: &str, found: &Value) -> Problem {
    let found = match found {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    Problem::invalid(format!(
        "{path}: Invalid input: expected {expected}, received {found}"
    ))
}

pub(crate) fn flag(fields: &Fields, name: &str) -> Result<Option<bool>, Problem> {
    given(fields, name)
        .map(|value| value.as_bool().ok_or_else(|| wrong(name, "boolean", value)))
        .transpose()
}

pub(crate) fn whole(fields: &Fields, name: &str, least: u64) -> Result<Option<u64>, Problem> {
    let Some(value) = given(fields, name) else {
        return Ok(None);
    };
    match value.as_u64() {
        Some(number) if number >= least => Ok(Some(number)),
        _ if value.is_number() => Err(Problem::invalid(format!(
            "{name}: Invalid input: expected a whole number from {least} up, received {value}"
        ))),
        _ => Err(wrong(name, "number", value)),
    }
}

pub(crate) fn texts(fields: &Fields, name: &str, path: &str) -> Result<Option<Vec<String>>, Problem> {
    let Some(value) = given(fields, name) else {
        return Ok(None);
    };
    let list = value.as_array().ok_or_else(|| wrong(path, "array", value))?;
    list.iter()
        .enumerate()
        .map(|(at, item)| {
            item.as_str()
                .map(str::to_owned)
                .ok_or_else(|| wrong(&format!("{path}.{at}"), "string", item))
        })
        .collect::<Result<_, _>>()
        .map(Some)
}

pub(crate) fn object<'a>(fields: &'a Fields, name: &str) -> Result<Option<&'a Fields>, Problem> {
    given(fields, name)
        .map(|value| value.as_object().ok_or_else(|| wrong(name, "object", value)))
        .transpose()
}

/// One of some words.
pub(crate) fn option<'a>(
    fields: &'a Fields,
    name: &str,
    path: &str,
    options: &[&str],
) -> Result<Option<&'a str>, Problem> {
    let Some(value) = given(fields, name) else {
        return Ok(None);
    };
    match value.as_str().filter(|word| options.contains(word)) {
        Some(word) => Ok(Some(word)),
        None => Err(Problem::invalid(format!(
            "{path}: Invalid option: expected one of \"{}\"",
            options.join("\"|\"")
        ))),
    }
}

/// A text of a limited length.
pub(crate) fn text<'a>(fields: &'a Fields, name: &str, most: usize) -> Result<Option<&'a str>, Problem> {
    let Some(value) = given(fields, name) else {
        return Ok(None);
    };
    let text = value.as_str().ok_or_else(|| wrong(name, "string", value))?;
    if text.chars().count() > most {
        return Err(Problem::invalid(format!(
            "{name}: Too big: expected string to have <={most} characters"
        )));
    }
    Ok(Some(text))
}
