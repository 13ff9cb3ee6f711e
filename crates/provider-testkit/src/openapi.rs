//! Checks against an OpenAPI 3.1 document: is this request one the provider takes, is this answer one it gives.
//!
//! Where a schema leaves an object open, fields it does not name are allowed, as they are to whoever reads it.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use jsonschema::{Draft, Registry, Validator};
use serde_json::{Value, json};

/// The name the document goes by among its own references.
const URI: &str = "urn:openapi";
/// How many references in a row are followed before they count as a circle.
const LONGEST_CHAIN: usize = 16;

/// Why something cannot be checked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenApiError {
    /// The document is not one.
    #[error("not an OpenAPI document: {0}")]
    Document(String),
    /// The document has no such operation.
    #[error("the document has no operation {method} {path}")]
    NoOperation {
        /// The method asked for, in capitals.
        method: String,
        /// The path asked for.
        path: String,
    },
    /// The operation takes or gives no such thing.
    #[error("{operation} has no {what}")]
    Nothing {
        /// The operation.
        operation: String,
        /// What was looked for.
        what: String,
    },
    /// A reference leads nowhere in the document, or goes round in circles.
    #[error("{at} refers to {reference:?}, which is not in the document")]
    Reference {
        /// Where the document has the reference, as a JSON pointer.
        at: String,
        /// The reference.
        reference: String,
    },
    /// It breaks the schema.
    #[error("{operation}, {what}: {}", violations.join("; "))]
    Invalid {
        /// The operation.
        operation: String,
        /// What was checked.
        what: String,
        /// Where, and why.
        violations: Vec<String>,
    },
}

/// An OpenAPI document whose schemas are compiled when they are first needed.
pub struct OpenApi {
    document: Value,
    registry: Registry<'static>,
    compiled: Mutex<HashMap<String, Arc<Validator>>>,
}

impl OpenApi {
    /// Reads a document of version 3.1 (JSON).
    ///
    /// # Errors
    /// [`OpenApiError::Document`].
    pub fn read(text: &str) -> Result<Self, OpenApiError> {
        let wrong = |error: String| OpenApiError::Document(error);
        let document: Value = serde_json::from_str(text).map_err(|error| wrong(error.to_string()))?;
        if !document.get("paths").is_some_and(Value::is_object) {
            return Err(wrong("it has no paths".to_owned()));
        }
        let resource = Draft::Draft202012.create_resource(document.clone());
        let registry = Registry::new()
            .add(URI, resource)
            .and_then(|builder| builder.prepare())
            .map_err(|error| wrong(error.to_string()))?;
        Ok(Self {
            document,
            registry,
            compiled: Mutex::default(),
        })
    }

    /// Every operation: the method in capitals and the path as the document writes it.
    pub fn operations(&self) -> Vec<(String, String)> {
        const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];
        let paths = self.document.get("paths").and_then(Value::as_object);
        let mut out = Vec::new();
        for (path, item) in paths.into_iter().flatten() {
            for method in METHODS.iter().filter(|method| item.get(**method).is_some()) {
                out.push((method.to_uppercase(), path.clone()));
            }
        }
        out
    }

    /// The path as the document writes it, of a path as it was sent: `/models/{author}/{slug}/endpoints`.
    pub fn template(&self, method: &str, path: &str) -> Option<String> {
        let method = method.to_lowercase();
        let paths = self.document.get("paths")?.as_object()?;
        let segments = |path: &str| path.split('/').map(str::to_owned).collect::<Vec<_>>();
        let sent = segments(path.split('?').next().unwrap_or(path));
        paths
            .iter()
            .filter(|(template, item)| {
                let template = segments(template);
                item.get(&method).is_some()
                    && template.len() == sent.len()
                    && template
                        .iter()
                        .zip(&sent)
                        .all(|(t, s)| t == s || (t.starts_with('{') && !s.is_empty()))
            })
            // The one with the fewest placeholders is meant.
            .min_by_key(|(template, _)| template.matches('{').count())
            .map(|(template, _)| template.clone())
    }

    /// The object at `pointer`, or the one that it refers to, and where it is; `None` if there is nothing.
    fn resolve(&self, pointer: String) -> Result<Option<(String, &Value)>, OpenApiError> {
        let Some(mut found) = self.document.pointer(&pointer) else {
            return Ok(None);
        };
        let mut at = pointer;
        for _ in 0..LONGEST_CHAIN {
            let Some(reference) = found.get("$ref").and_then(Value::as_str) else {
                return Ok(Some((at, found)));
            };
            // A fragment of a URI: its pointer may be percent-encoded.
            let target = reference.strip_prefix('#').map(|target| decode(target, false));
            let target = target.and_then(|target| Some((self.document.pointer(&target)?, target)));
            match target {
                Some((value, target)) => (found, at) = (value, target),
                None => {
                    let reference = reference.to_owned();
                    return Err(OpenApiError::Reference { at, reference });
                }
            }
        }
        let reference = found.get("$ref").and_then(Value::as_str).unwrap_or_default();
        Err(OpenApiError::Reference {
            at,
            reference: reference.to_owned(),
        })
    }

    fn operation(&self, method: &str, path: &str) -> Result<(String, String), OpenApiError> {
        let missing = || OpenApiError::NoOperation {
            method: method.to_uppercase(),
            path: path.to_owned(),
        };
        let template = self.template(method, path).ok_or_else(missing)?;
        let pointer = format!("/paths/{}/{}", escape(&template), method.to_lowercase());
        Ok((format!("{} {template}", method.to_uppercase()), pointer))
    }

    /// Checks the query and the body of a request. `path` is relative to the server's, with its query if it has one.
    ///
    /// # Errors
    /// [`OpenApiError`]; a query parameter the document does not name is one, a missing one that it requires too.
    pub fn check_request(&self, method: &str, path: &str, body: Option<&Value>) -> Result<(), OpenApiError> {
        let (name, pointer) = self.operation(method, path)?;
        self.check_query(&name, &pointer, path)?;
        let wanted = self.resolve(format!("{pointer}/requestBody"))?;
        let required = wanted
            .as_ref()
            .is_some_and(|(_, wanted)| wanted.get("required") == Some(&Value::Bool(true)));
        let schema = wanted
            .map(|(at, _)| format!("{at}/content/application~1json/schema"))
            .filter(|schema| self.document.pointer(schema).is_some());
        match (body, schema) {
            (Some(body), Some(schema)) => self.check(&name, "request body", &schema, body),
            (Some(_), None) => Err(OpenApiError::Nothing {
                operation: name,
                what: "JSON body".to_owned(),
            }),
            (None, _) if required => Err(OpenApiError::Nothing {
                operation: name,
                what: "request without its body".to_owned(),
            }),
            (None, _) => Ok(()),
        }
    }

    /// Checks the body of an answer, or one event of a streamed one (`media_type` is `text/event-stream` then).
    ///
    /// # Errors
    /// [`OpenApiError`]; a status that the operation does not list, neither itself nor as `4XX` nor by a `default`, is one.
    pub fn check_answer(
        &self,
        method: &str,
        path: &str,
        status: u16,
        media_type: &str,
        body: &Value,
    ) -> Result<(), OpenApiError> {
        let (name, pointer) = self.operation(method, path)?;
        let mut listed = None;
        // The one that says most about the status counts.
        for key in [
            status.to_string(),
            format!("{}XX", status / 100),
            "default".to_owned(),
        ] {
            listed = self.resolve(format!("{pointer}/responses/{key}"))?;
            if listed.is_some() {
                break;
            }
        }
        let schema = listed
            .map(|(at, _)| format!("{at}/content/{}/schema", escape(media_type)))
            .filter(|schema| self.document.pointer(schema).is_some());
        match schema {
            Some(schema) => self.check(&name, &format!("answer {status}"), &schema, body),
            None => Err(OpenApiError::Nothing {
                operation: name,
                what: format!("answer {status} of type {media_type}"),
            }),
        }
    }

    /// Checks a value against a schema anywhere in the document, `/components/schemas/Model` for instance.
    ///
    /// # Errors
    /// [`OpenApiError`].
    pub fn check_schema(&self, pointer: &str, value: &Value) -> Result<(), OpenApiError> {
        self.check(pointer, "value", pointer, value)
    }

    /// The query parameters of an operation: where the schema of each is, and whether it must be given.
    fn query_parameters(&self, pointer: &str) -> Result<HashMap<String, (String, bool)>, OpenApiError> {
        let mut known = HashMap::new();
        let of_path = pointer.rsplit_once('/').map_or("", |(path, _)| path);
        // Those of the path hold for all of its operations; an operation's own of the same name take their place.
        for list in [format!("{of_path}/parameters"), format!("{pointer}/parameters")] {
            let count = self.document.pointer(&list).and_then(Value::as_array);
            for index in 0..count.map_or(0, Vec::len) {
                let Some((at, parameter)) = self.resolve(format!("{list}/{index}"))? else {
                    continue;
                };
                if parameter.get("in").and_then(Value::as_str) == Some("query")
                    && let Some(key) = parameter.get("name").and_then(Value::as_str)
                {
                    let required = parameter.get("required") == Some(&Value::Bool(true));
                    known.insert(key.to_owned(), (format!("{at}/schema"), required));
                }
            }
        }
        Ok(known)
    }

    fn check_query(&self, name: &str, pointer: &str, path: &str) -> Result<(), OpenApiError> {
        let known = self.query_parameters(pointer)?;
        let query = path.split_once('?').map_or("", |(_, query)| query);
        let mut given = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (key, value) = (decode(key, true), decode(value, true));
            let Some((schema, _)) = known.get(&key) else {
                return Err(OpenApiError::Nothing {
                    operation: name.to_owned(),
                    what: format!("query parameter {key:?}"),
                });
            };
            self.check_parameter(name, &key, schema, &value)?;
            given.push(key);
        }
        match known
            .iter()
            .find(|(key, (_, required))| *required && !given.contains(*key))
        {
            Some((key, _)) => Err(OpenApiError::Nothing {
                operation: name.to_owned(),
                what: format!("query without {key:?}"),
            }),
            None => Ok(()),
        }
    }

    /// A parameter is text; its schema may want a number, a truth value or a list. Any reading that fits will do.
    fn check_parameter(&self, name: &str, key: &str, schema: &str, value: &str) -> Result<(), OpenApiError> {
        let mut readings = vec![Value::String(value.to_owned())];
        readings.extend(serde_json::from_str(value).ok());
        readings.push(json!(value.split(',').collect::<Vec<_>>()));
        let mut last = Ok(());
        for reading in &readings {
            last = self.check(name, &format!("query parameter {key:?}"), schema, reading);
            if last.is_ok() {
                break;
            }
        }
        last
    }

    fn check(&self, operation: &str, what: &str, pointer: &str, value: &Value) -> Result<(), OpenApiError> {
        let validator = self.validator(pointer)?;
        let violations: Vec<String> = validator
            .iter_errors(value)
            .take(8)
            .map(|error| {
                let said: String = error.to_string().chars().take(300).collect();
                format!("{}: {said}", error.instance_path())
            })
            .collect();
        if violations.is_empty() {
            return Ok(());
        }
        Err(OpenApiError::Invalid {
            operation: operation.to_owned(),
            what: what.to_owned(),
            violations,
        })
    }

    fn validator(&self, pointer: &str) -> Result<Arc<Validator>, OpenApiError> {
        let mut compiled = self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(validator) = compiled.get(pointer) {
            return Ok(Arc::clone(validator));
        }
        let fragment = pointer.replace('{', "%7B").replace('}', "%7D");
        let validator = jsonschema::options()
            .with_draft(Draft::Draft202012)
            .with_registry(&self.registry)
            .build(&json!({ "$ref": format!("{URI}#{fragment}") }))
            .map_err(|error| OpenApiError::Document(format!("{pointer}: {error}")))?;
        let validator = Arc::new(validator);
        compiled.insert(pointer.to_owned(), Arc::clone(&validator));
        Ok(validator)
    }
}

impl fmt::Debug for OpenApi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenApi").finish_non_exhaustive()
    }
}

/// A key as a step of a JSON pointer.
fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

/// Percent-encoding undone; in a query a `+` is a space.
fn decode(text: &str, in_query: bool) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let decoded = (byte == b'%')
            .then(|| {
                let mut ahead = bytes.clone();
                let digits = [ahead.next()?, ahead.next()?];
                let value = u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?;
                bytes = ahead;
                Some(value)
            })
            .flatten();
        out.push(match (decoded, byte) {
            (Some(value), _) => value,
            (None, b'+') if in_query => b' ',
            (None, byte) => byte,
        });
    }
    String::from_utf8_lossy(&out).into_owned()
}
