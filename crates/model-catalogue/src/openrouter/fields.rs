//! Takes the known fields out of a JSON object; what is left is reported.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::{LEFT_OUT, LEFT_OUT_WHILE_NULL, Problem, UnknownField};

/// Gathers what was not understood: one line per path and problem, with the first example and a count.
#[derive(Debug, Default)]
pub(super) struct Reporter {
    lines: Vec<UnknownField>,
    places: HashMap<(String, Problem), usize>,
    /// The model being read.
    model: String,
}

impl Reporter {
    pub(super) fn model(&mut self, name: String) {
        self.model = name;
    }

    pub(super) fn report(&mut self, path: String, problem: Problem) {
        if let Some(line) = self
            .places
            .get(&(path.clone(), problem))
            .and_then(|&place| self.lines.get_mut(place))
        {
            line.count += 1;
            return;
        }
        self.places.insert((path.clone(), problem), self.lines.len());
        self.lines.push(UnknownField {
            path,
            problem,
            example: self.model.clone(),
            count: 1,
        });
    }

    pub(super) fn into_lines(self) -> Vec<UnknownField> {
        self.lines
    }
}

/// The fields of one object that nobody has asked for yet.
pub(super) struct Fields<'r> {
    rest: Map<String, Value>,
    /// The path down to this object, with a dot at its end.
    prefix: &'static str,
    reporter: &'r mut Reporter,
}

impl<'r> Fields<'r> {
    pub(super) fn new(object: Map<String, Value>, prefix: &'static str, reporter: &'r mut Reporter) -> Self {
        Self {
            rest: object,
            prefix,
            reporter,
        }
    }

    /// Takes a field through `read`. Null is absent; a value that `read` refuses is reported and then as good as absent.
    pub(super) fn take<T>(&mut self, key: &str, read: impl FnOnce(Value) -> Result<T, Value>) -> Option<T> {
        match self.rest.remove(key)? {
            Value::Null => None,
            value => match read(value) {
                Ok(value) => Some(value),
                Err(value) => {
                    self.unexpected(key, &value);
                    None
                }
            },
        }
    }

    pub(super) fn string(&mut self, key: &str) -> Option<String> {
        self.take(key, text)
    }

    pub(super) fn u64(&mut self, key: &str) -> Option<u64> {
        self.take(key, |value| value.as_u64().ok_or(value))
    }

    pub(super) fn i64(&mut self, key: &str) -> Option<i64> {
        self.take(key, |value| value.as_i64().ok_or(value))
    }

    pub(super) fn f64(&mut self, key: &str) -> Option<f64> {
        self.take(key, |value| {
            value.as_f64().filter(|number| number.is_finite()).ok_or(value)
        })
    }

    pub(super) fn bool(&mut self, key: &str) -> Option<bool> {
        self.take(key, |value| value.as_bool().ok_or(value))
    }

    /// An array of strings. Elements that are none are reported one by one, the others kept.
    pub(super) fn strings(&mut self, key: &str) -> Option<Vec<String>> {
        let elements = self.array(key)?;
        let mut strings = Vec::with_capacity(elements.len());
        for element in elements {
            match text(element) {
                Ok(string) => strings.push(string),
                Err(element) => self.unexpected(&format!("{key}[]"), &element),
            }
        }
        Some(strings)
    }

    pub(super) fn array(&mut self, key: &str) -> Option<Vec<Value>> {
        self.take(key, |value| match value {
            Value::Array(elements) => Ok(elements),
            other => Err(other),
        })
    }

    /// The fields of an object below this one. `prefix` is its whole path, with a dot at its end.
    pub(super) fn object(&mut self, key: &str, prefix: &'static str) -> Option<Fields<'_>> {
        let object = self.take(key, object)?;
        Some(Fields::new(object, prefix, self.reporter))
    }

    /// The next field that nobody asked for by name.
    pub(super) fn next_left(&mut self) -> Option<(String, Value)> {
        let key = self.rest.keys().next()?.clone();
        let value = self.rest.remove(&key)?;
        Some((key, value))
    }

    pub(super) fn unexpected(&mut self, key: &str, value: &Value) {
        self.report(
            key,
            Problem::Unexpected {
                found: type_of(value),
            },
        );
    }

    pub(super) fn report(&mut self, key: &str, problem: Problem) {
        let path = format!("{}{key}", self.prefix);
        self.reporter.report(path, problem);
    }

    pub(super) fn reporter(&mut self) -> &mut Reporter {
        self.reporter
    }

    /// Reports what is left, but for the fields that are knowingly left out.
    pub(super) fn finish(mut self) {
        while let Some((key, value)) = self.next_left() {
            let path = format!("{}{key}", self.prefix);
            let is_known = LEFT_OUT.iter().any(|known| known.path == path);
            if LEFT_OUT_WHILE_NULL.iter().any(|known| known.path == path) {
                if !value.is_null() {
                    self.unexpected(&key, &value);
                }
            } else if !is_known {
                self.report(&key, Problem::Unknown);
            }
        }
    }
}

pub(super) fn text(value: Value) -> Result<String, Value> {
    match value {
        Value::String(text) => Ok(text),
        other => Err(other),
    }
}

pub(super) fn object(value: Value) -> Result<Map<String, Value>, Value> {
    match value {
        Value::Object(object) => Ok(object),
        other => Err(other),
    }
}

pub(super) fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}
