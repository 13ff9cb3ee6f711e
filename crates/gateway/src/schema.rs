//! JSON schemas that callers send, held to bounds: what an answer takes to be checked does not depend on how cunning a schema is.
//!
//! A schema of three kilobytes can double forty times, by references or by itself at every level of an answer. So before a schema
//! is compiled it is read into nodes and what it asks of one value is counted, and before an answer is checked what the checks will
//! take is counted too, by going the way that they will go, until the count is over or has reached its bound.

use std::collections::{BTreeMap, HashMap};

use jsonschema::{PatternOptions, ValidationOptions, Validator};
use serde_json::Value;

/// The most bytes of JSON that the schemas of one request may have together.
const MOST_BYTES: usize = 256 * 1024;
/// The most schemas that one request may come to where each stands for all that a value at its place is held against.
const MOST_SCHEMAS: u64 = 100_000;
/// The most patterns of one request: each is compiled to as much as [`PATTERN_BYTES`].
const MOST_PATTERNS: usize = 64;
const PATTERN_BYTES: usize = 1024 * 1024;
/// How deep schemas for the same value may be in one another. One that leads back to itself is infinitely deep.
const MOST_IN_PLACE: u64 = 64;
/// The longest answer that is held against a schema, in bytes.
const MOST_TEXT: usize = 1024 * 1024;
/// How many steps a check may take: one for each schema that a value is held against and each word in it.
const MOST_STEPS: u64 = 1_000_000;
/// How deep schemas and values together may be.
const MOST_DEPTH: usize = 512;

/// What the schemas of one request have left.
#[derive(Debug)]
pub(crate) struct Bounds {
    bytes: usize,
    schemas: u64,
    patterns: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            bytes: MOST_BYTES,
            schemas: MOST_SCHEMAS,
            patterns: MOST_PATTERNS,
        }
    }
}

/// A schema that a check can be trusted with.
#[derive(Debug)]
pub(crate) struct Schema {
    validator: Validator,
    nodes: Vec<Node>,
}

/// One schema among the nodes of its whole.
#[derive(Debug, Default)]
struct Node {
    /// Its keywords and the words in them.
    weight: u64,
    /// Patterns that a text is held against.
    patterns: u64,
    /// Whether values are compared as a whole.
    is_deep: bool,
    /// How often the same is looked at: what is not evaluated is found by evaluating again.
    times: u8,
    /// Schemas for the same value.
    in_place: Vec<usize>,
    /// How many of them, from the first, are alternatives: where none fits, each is asked again for the reason.
    alternatives: usize,
    /// Schemas for what is in the value under a name.
    properties: BTreeMap<String, usize>,
    /// Schemas that anything in the value may be held against.
    children: Vec<usize>,
    /// Schemas for the names in the value.
    names: Vec<usize>,
}

/// Nothing is left of what a check may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Spent;

impl Schema {
    /// Reads a schema and takes what it comes to from the bounds.
    ///
    /// # Errors
    /// What is wrong with it, or which bound it is over.
    pub(crate) fn new(schema: &Value, bounds: &mut Bounds) -> Result<Self, String> {
        Self::with_options(schema, bounds, jsonschema::options())
    }

    fn with_options(
        schema: &Value,
        bounds: &mut Bounds,
        options: ValidationOptions<'_>,
    ) -> Result<Self, String> {
        let bytes = schema.to_string().len();
        bounds.bytes = bounds
            .bytes
            .checked_sub(bytes)
            .ok_or_else(|| format!("the schemas of a request may have {MOST_BYTES} bytes together"))?;
        // All of them, for those that nothing refers to are compiled too when a schema is held against what a schema is.
        bounds.patterns = bounds
            .patterns
            .checked_sub(patterns(schema))
            .ok_or_else(|| format!("the schemas of a request may have {MOST_PATTERNS} patterns together"))?;
        let nodes = Reader::new(schema).read()?;
        let mut sums = vec![None; nodes.len()];
        for at in 0..nodes.len() {
            let (sum, _) = sum(&nodes, at, 0, &mut sums)?;
            bounds.schemas = bounds.schemas.checked_sub(sum).ok_or_else(|| {
                format!("the schemas of a request may come to {MOST_SCHEMAS} with their references followed")
            })?;
        }
        // Of the two engines for patterns this one needs time by the length of the text alone.
        let engine = PatternOptions::regex()
            .size_limit(PATTERN_BYTES)
            .dfa_size_limit(PATTERN_BYTES);
        let validator = options
            .with_pattern_options(engine)
            .should_validate_formats(false)
            .offline()
            .build(schema)
            .map_err(|error| error.to_string())?;
        Ok(Self { validator, nodes })
    }

    /// Whether a text is JSON that fits.
    ///
    /// # Errors
    /// Why not, or that it is too much to find out.
    pub(crate) fn check(&self, text: &str) -> Result<(), String> {
        if text.len() > MOST_TEXT {
            return Err(format!(
                "it is longer than the {MOST_TEXT} bytes that are checked"
            ));
        }
        let value: Value = serde_json::from_str(text).map_err(|error| format!("not JSON: {error}"))?;
        self.steps(&value)
            .map_err(|_spent| format!("to hold it against its schema takes more than {MOST_STEPS} steps"))?;
        self.validator.validate(&value).map_err(|error| error.to_string())
    }

    /// How many steps the check of a value takes, or a few more.
    fn steps(&self, value: &Value) -> Result<u64, Spent> {
        let mut walk = Walk {
            nodes: &self.nodes,
            left: MOST_STEPS,
        };
        walk.hold(0, value, 0, true)?;
        Ok(MOST_STEPS - walk.left)
    }
}

/// How many schemas a value is held against by this one, and how deep they are in one another.
fn sum(
    nodes: &[Node],
    at: usize,
    depth: u64,
    known: &mut [Option<(u64, u64)>],
) -> Result<(u64, u64), String> {
    let too_deep = || {
        format!(
            "schemas for one value may be {MOST_IN_PLACE} deep in one another, and not lead back to themselves"
        )
    };
    let (all, height) = match known.get(at).copied().flatten() {
        Some(sum) => sum,
        None if depth > MOST_IN_PLACE => return Err(too_deep()),
        None => {
            let (mut all, mut height) = (1_u64, 0);
            let node = nodes.get(at);
            for part in node.map_or(&[][..], |node| &node.in_place) {
                let (of_part, height_of_part) = sum(nodes, *part, depth + 1, known)?;
                all = all.saturating_add(of_part);
                height = height.max(height_of_part + 1);
            }
            let all = all.saturating_mul(node.map_or(1, |node| u64::from(node.times)));
            if let Some(slot) = known.get_mut(at) {
                *slot = Some((all, height));
            }
            (all, height)
        }
    };
    if depth + height > MOST_IN_PLACE {
        return Err(too_deep());
    }
    Ok((all, height))
}

/// Goes where a check will go.
struct Walk<'a> {
    nodes: &'a [Node],
    left: u64,
}

impl Walk<'_> {
    fn spend(&mut self, steps: u64) -> Result<(), Spent> {
        self.left = self.left.checked_sub(steps).ok_or(Spent)?;
        Ok(())
    }

    /// `has_reasons`: whether it is found out why something does not fit.
    fn hold(&mut self, at: usize, value: &Value, depth: usize, has_reasons: bool) -> Result<(), Spent> {
        let nodes = self.nodes;
        let (Some(node), true) = (nodes.get(at), depth <= MOST_DEPTH) else {
            return Err(Spent);
        };
        for _ in 0..node.times {
            self.spend(node.weight)?;
            if node.is_deep {
                self.compare(value)?;
            }
            for (place, part) in node.in_place.iter().enumerate() {
                if has_reasons && place < node.alternatives {
                    self.hold(*part, value, depth + 1, false)?;
                }
                self.hold(*part, value, depth + 1, has_reasons)?;
            }
            match value {
                Value::String(text) => self.spend(length(text).saturating_mul(1 + 4 * node.patterns) / 16)?,
                Value::Array(values) => {
                    for value in values {
                        self.all(&node.children, value, depth, has_reasons)?;
                    }
                }
                Value::Object(fields) => {
                    for (name, value) in fields {
                        // Patterns for names.
                        self.spend(1 + length(name).saturating_mul(node.patterns) / 4)?;
                        if let Some(child) = node.properties.get(name) {
                            self.hold(*child, value, depth + 1, has_reasons)?;
                        }
                        self.all(&node.children, value, depth, has_reasons)?;
                        if !node.names.is_empty() {
                            let name = Value::String(name.clone());
                            self.all(&node.names, &name, depth, has_reasons)?;
                        }
                    }
                }
                Value::Null | Value::Bool(_) | Value::Number(_) => {}
            }
        }
        Ok(())
    }

    fn all(
        &mut self,
        schemas: &[usize],
        value: &Value,
        depth: usize,
        has_reasons: bool,
    ) -> Result<(), Spent> {
        schemas
            .iter()
            .try_for_each(|at| self.hold(*at, value, depth + 1, has_reasons))
    }

    fn compare(&mut self, value: &Value) -> Result<(), Spent> {
        self.spend(1)?;
        match value {
            Value::Array(values) => values.iter().try_for_each(|value| self.compare(value)),
            Value::Object(fields) => fields.values().try_for_each(|value| self.compare(value)),
            Value::String(text) => self.spend(length(text) / 16),
            Value::Null | Value::Bool(_) | Value::Number(_) => Ok(()),
        }
    }
}

fn length(text: &str) -> u64 {
    u64::try_from(text.len()).unwrap_or(u64::MAX)
}

/// Reads a schema into nodes, each place in it once, wherever it is referred to from.
struct Reader<'a> {
    whole: &'a Value,
    anchors: HashMap<&'a str, Option<String>>,
    places: HashMap<String, usize>,
    /// Places with a number that are not read yet.
    open: Vec<(String, &'a Value)>,
}

impl<'a> Reader<'a> {
    fn new(whole: &'a Value) -> Self {
        let mut named = HashMap::new();
        anchors(whole, "", &mut named);
        let mut reader = Self {
            whole,
            anchors: named,
            places: HashMap::new(),
            open: Vec::new(),
        };
        reader.place(String::new(), whole);
        reader
    }

    fn read(mut self) -> Result<Vec<Node>, String> {
        let mut nodes: Vec<Node> = Vec::new();
        let mut at = 0;
        while let Some((place, schema)) = self.open.get(at).cloned() {
            nodes.push(self.node(&place, schema)?);
            at += 1;
        }
        Ok(nodes)
    }

    /// The number of a place.
    fn place(&mut self, place: String, schema: &'a Value) -> usize {
        let next = self.open.len();
        let at = *self.places.entry(place.clone()).or_insert(next);
        if at == next {
            self.open.push((place, schema));
        }
        at
    }

    fn node(&mut self, place: &str, schema: &'a Value) -> Result<Node, String> {
        let mut node = Node {
            weight: 1,
            times: 1,
            ..Node::default()
        };
        let Value::Object(keywords) = schema else {
            return Ok(node);
        };
        let mut others = Vec::new();
        for (keyword, value) in keywords {
            let under = format!("{place}/{}", escaped(keyword));
            node.weight += 1 + match value {
                Value::Array(values) => values.len() as u64,
                Value::Object(fields) => fields.len() as u64,
                _ => 0,
            };
            match (keyword.as_str(), value) {
                ("$ref" | "$dynamicRef" | "$recursiveRef", Value::String(to)) => {
                    others.extend(self.reference(to)?);
                }
                ("$id" | "id", Value::String(id)) if !place.is_empty() && !id.starts_with('#') => {
                    return Err("a schema within a schema may not have an `$id` of its own".to_owned());
                }
                ("anyOf" | "oneOf", Value::Array(_)) => node.in_place.extend(self.each(&under, value)),
                ("allOf", Value::Array(_)) | ("dependentSchemas" | "dependencies", Value::Object(_)) => {
                    others.extend(self.each(&under, value));
                }
                ("not" | "if" | "then" | "else", _) => others.push(self.place(under, value)),
                ("properties", Value::Object(fields)) => {
                    for (name, value) in fields {
                        let at = self.place(format!("{under}/{}", escaped(name)), value);
                        node.properties.insert(name.clone(), at);
                    }
                }
                ("patternProperties", Value::Object(fields)) => {
                    node.patterns += fields.len() as u64;
                    node.children.extend(self.each(&under, value));
                }
                ("items" | "prefixItems", Value::Array(_)) => node.children.extend(self.each(&under, value)),
                ("items" | "additionalItems" | "additionalProperties" | "contains", _) => {
                    node.children.push(self.place(under, value));
                }
                ("unevaluatedProperties" | "unevaluatedItems", _) => {
                    node.times = 4;
                    node.children.push(self.place(under, value));
                }
                ("propertyNames", _) => node.names.push(self.place(under, value)),
                ("pattern", _) => node.patterns += 1,
                ("enum" | "const", _) => {
                    node.is_deep = true;
                    node.weight += value.to_string().len() as u64 / 16;
                }
                ("uniqueItems", Value::Bool(true)) => node.is_deep = true,
                _ => {}
            }
        }
        node.alternatives = node.in_place.len();
        node.in_place.extend(others);
        Ok(node)
    }

    /// The places of all schemas in a list or under names.
    fn each(&mut self, under: &str, schemas: &'a Value) -> Vec<usize> {
        match schemas {
            Value::Array(all) => {
                let all = all.iter().enumerate();
                all.map(|(at, one)| self.place(format!("{under}/{at}"), one))
                    .collect()
            }
            Value::Object(all) => {
                let all = all.iter();
                all.map(|(name, one)| self.place(format!("{under}/{}", escaped(name)), one))
                    .collect()
            }
            _ => Vec::new(),
        }
    }

    /// The place that a reference names; a reference of no text is none.
    fn reference(&mut self, to: &str) -> Result<Option<usize>, String> {
        if to.is_empty() {
            return Ok(None);
        }
        let shown: String = to.chars().take(60).collect();
        let nothing = || format!("a reference leads to nothing: '{shown}'");
        let fragment = to
            .strip_prefix('#')
            .ok_or_else(|| format!("a reference must stay in its schema (`#…`): '{shown}'"))?;
        let pointer = if fragment.is_empty() || fragment.starts_with('/') {
            unquoted(fragment).ok_or_else(nothing)?
        } else {
            let place = self.anchors.get(fragment).cloned().flatten();
            place.ok_or_else(nothing)?
        };
        let mut value = self.whole;
        let mut place = String::new();
        for step in pointer.split('/').skip(1) {
            value = match value {
                Value::Object(fields) => fields.get(&step.replace("~1", "/").replace("~0", "~")),
                Value::Array(values) => step.parse().ok().and_then(|at: usize| values.get(at)),
                _ => None,
            }
            .ok_or_else(nothing)?;
            place = place + "/" + step;
            if value.get("$id").is_some_and(Value::is_string) {
                // It is looked at too, for what is below it would be named from there.
                self.place(place.clone(), value);
            }
        }
        Ok(Some(self.place(place, value)))
    }
}

/// How many patterns a schema may have anywhere.
fn patterns(value: &Value) -> usize {
    match value {
        Value::Object(fields) => {
            let all = fields.iter().map(|(keyword, value)| {
                let here = match (keyword.as_str(), value) {
                    ("pattern", Value::String(_)) => 1,
                    ("patternProperties", Value::Object(patterns)) => patterns.len(),
                    _ => 0,
                };
                here + patterns(value)
            });
            all.sum()
        }
        Value::Array(values) => values.iter().map(patterns).sum(),
        _ => 0,
    }
}

/// Where each anchor is; `None` for a name that is there more than once.
fn anchors<'a>(value: &'a Value, place: &str, found: &mut HashMap<&'a str, Option<String>>) {
    match value {
        Value::Object(fields) => {
            for (keyword, value) in fields {
                let name = match keyword.as_str() {
                    "$anchor" | "$dynamicAnchor" => value.as_str(),
                    "$id" | "id" => value.as_str().and_then(|id| id.strip_prefix('#')),
                    _ => None,
                };
                if let Some(name) = name {
                    let place = (!found.contains_key(name)).then(|| place.to_owned());
                    found.insert(name, place);
                }
                anchors(value, &format!("{place}/{}", escaped(keyword)), found);
            }
        }
        Value::Array(values) => {
            for (at, value) in values.iter().enumerate() {
                anchors(value, &format!("{place}/{at}"), found);
            }
        }
        _ => {}
    }
}

fn escaped(step: &str) -> String {
    step.replace('~', "~0").replace('/', "~1")
}

/// A fragment without its percent signs.
fn unquoted(fragment: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(fragment.len());
    let mut rest = fragment.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let high = char::from(rest.next()?).to_digit(16)?;
            let low = char::from(rest.next()?).to_digit(16)?;
            bytes.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use jsonschema::{Keyword, ValidationError};
    use serde_json::{Map, json};

    use super::*;

    fn read(schema: &Value) -> Result<Schema, String> {
        Schema::new(schema, &mut Bounds::default())
    }

    /// So many definitions, each of which is made of the next.
    fn chain(count: usize, link: impl Fn(Value) -> Value) -> Value {
        let mut definitions = Map::new();
        for at in 0..count {
            let next = json!({ "$ref": format!("#/$defs/d{}", at + 1) });
            definitions.insert(format!("d{at}"), link(next));
        }
        definitions.insert(format!("d{count}"), json!({ "type": "string" }));
        json!({ "$defs": definitions, "$ref": "#/$defs/d0" })
    }

    #[test]
    fn what_doubles_for_one_value_is_refused() {
        for keyword in ["allOf", "anyOf", "oneOf"] {
            let why = read(&chain(30, |next| json!({ keyword: [next, next] }))).unwrap_err();
            assert!(why.contains("100000"), "{why}");
            let why = read(&chain(40, |next| json!({ keyword: [next, next] }))).unwrap_err();
            assert!(why.contains("64 deep"), "{why}");
            assert!(read(&chain(10, |next| json!({ keyword: [next, next] }))).is_ok());
        }
        let again = chain(
            10,
            |next| json!({ "allOf": [next], "unevaluatedProperties": false }),
        );
        assert!(read(&again).unwrap_err().contains("100000"));
    }

    #[test]
    fn what_doubles_from_level_to_level_is_stopped_at_the_answer() {
        let twice = json!({ "allOf": [{ "properties": { "a": { "$ref": "#" } } }, { "properties": { "a": { "$ref": "#" } } }] });
        let recursive = read(&twice).unwrap();
        let nested = |depth: usize| {
            (0..depth)
                .fold(json!(1), |inner, _| json!({ "a": inner }))
                .to_string()
        };
        assert_eq!(recursive.check(&nested(10)), Ok(()));
        let why = recursive.check(&nested(60)).unwrap_err();
        assert!(why.contains("1000000 steps"), "{why}");
        // Recursion itself is no mistake.
        let list = json!({ "properties": { "value": { "type": "integer" }, "next": { "$ref": "#" } }, "required": ["value"] });
        let list = read(&list).unwrap();
        let values = |count: usize| {
            (1..count).fold(
                json!({ "value": 0 }),
                |next, _| json!({ "value": 1, "next": next }),
            )
        };
        assert_eq!(list.check(&values(100).to_string()), Ok(()));
        assert!(
            list.check(r#"{"value":1,"next":{}}"#)
                .unwrap_err()
                .contains("required")
        );
    }

    #[test]
    fn schemas_that_lead_back_to_themselves_or_away_are_refused() {
        let id = json!({ "$id": "urn:x", "type": "string" });
        for (schema, says) in [
            (json!({ "$ref": "#" }), "lead back"),
            (
                json!({ "anyOf": [{ "$ref": "#/$defs/a" }], "$defs": { "a": { "not": { "$ref": "#/anyOf/0" } } } }),
                "lead back",
            ),
            (chain(70, |next| next), "64 deep"),
            (
                json!({ "$ref": "https://example.org/schema.json" }),
                "stay in its schema",
            ),
            (json!({ "$ref": "other.json#/a" }), "stay in its schema"),
            (json!({ "items": { "$ref": "#/$defs/none" } }), "leads to nothing"),
            (
                json!({ "$ref": "#twice", "$defs": { "a": { "$anchor": "twice" }, "b": { "$anchor": "twice" } } }),
                "leads to nothing",
            ),
            (json!({ "properties": { "a": id } }), "`$id`"),
            (
                json!({ "$defs": { "a": { "$id": "urn:x", "properties": { "b": {} } } }, "$ref": "#/$defs/a/properties/b" }),
                "`$id`",
            ),
            (json!({ "type": "no such type" }), "no such type"),
            (json!({ "description": "x".repeat(MOST_BYTES) }), "262144 bytes"),
            (json!({ "pattern": "(?=a)b" }), "regex"),
            (json!({ "pattern": "((((a{99}){99}){99}){99})" }), "regex"),
            (
                json!({ "$defs": { "a": vec![json!({ "pattern": "a" }); 65] } }),
                "64 patterns",
            ),
        ] {
            let why = read(&schema).unwrap_err();
            assert!(why.contains(says), "{schema}: {why}");
        }
    }

    #[test]
    fn references_are_followed_as_they_are_written() {
        let schema = json!({ "$id": "https://example.org/whole", "$schema": "https://json-schema.org/draft/2020-12/schema",
            "properties": { "a": { "$ref": "#/$defs/one~1two%25" }, "b": { "$ref": "#named" }, "$id": { "type": "string" } },
            "$defs": { "one/two%": { "type": "integer" }, "n": { "$anchor": "named", "pattern": "^[\\w-]{1,64}$" } } });
        let schema = read(&schema).unwrap();
        assert_eq!(schema.check(r#"{"a":1,"b":"x-y","$id":"s"}"#), Ok(()));
        assert!(schema.check(r#"{"a":"1"}"#).is_err());
        assert!(schema.check(r#"{"b":" "}"#).is_err());
        let long = format!("{{\"c\":\"{}\"}}", "x".repeat(MOST_TEXT));
        assert!(schema.check(&long).unwrap_err().contains("longer than"));
    }

    #[test]
    fn the_schemas_of_a_request_share_its_bounds() {
        let mut bounds = Bounds::default();
        let schema = json!({ "description": "x".repeat(MOST_BYTES / 2) });
        assert!(Schema::new(&schema, &mut bounds).is_ok());
        assert!(Schema::new(&schema, &mut bounds).is_err());
    }

    /// The deepest chains that are taken, each at the deepest answer, on the stack of a thread that is none too large.
    #[test]
    fn the_deepest_that_is_taken_is_no_end_of_the_stack() {
        for link in ["allOf", "anyOf", "oneOf"] {
            let mut schema = chain(25, |next| json!({ link: [next] }));
            schema["$defs"]["d25"] = json!({ "items": { "$ref": "#/$defs/d0" } });
            let schema = read(&schema).unwrap();
            let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
            let _either_way = schema.check(&nested(8));
            assert!(schema.check(&nested(100)).unwrap_err().contains("steps"));
        }
        // However long the way from one to the next is where values lie between them.
        let long = read(&chain(5_000, |next| json!({ "items": next }))).unwrap();
        assert_eq!(long.check("[[[]]]"), Ok(()));
    }

    /// Draws without dependence on anything but its seed.
    struct Draw(Cell<u64>);

    impl Draw {
        fn below(&self, count: u64) -> u64 {
            // SplitMix64.
            let state = self.0.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
            self.0.set(state);
            let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            (mixed ^ (mixed >> 31)) % count
        }

        fn schema(&self, depth: u64) -> Value {
            let mut schema = Map::from_iter([("x-visit".to_owned(), json!(true))]);
            let reference =
                |draw: &Self| json!({ "x-visit": true, "$ref": format!("#/$defs/d{}", draw.below(4)) });
            for _ in 0..=self.below(2) {
                let part = |draw: &Self| match draw.below(3) {
                    _ if depth == 0 => reference(draw),
                    0 => reference(draw),
                    _ => draw.schema(depth - 1),
                };
                let (keyword, value) = match self.below(16) {
                    0 => ("allOf", json!([part(self), part(self)])),
                    1 => ("anyOf", json!([part(self), part(self)])),
                    2 => ("oneOf", json!([part(self), part(self)])),
                    3 => ("not", part(self)),
                    4 => ("if", part(self)),
                    5 => ("then", part(self)),
                    6 => ("properties", json!({ "a": part(self), "b": part(self) })),
                    7 => ("additionalProperties", part(self)),
                    8 => ("items", part(self)),
                    9 => ("contains", part(self)),
                    10 => ("propertyNames", part(self)),
                    11 => ("patternProperties", json!({ "^a": part(self) })),
                    12 => ("prefixItems", json!([part(self)])),
                    13 => ("unevaluatedProperties", part(self)),
                    14 => ("dependentSchemas", json!({ "a": part(self) })),
                    _ => ("type", json!("object")),
                };
                schema.insert(keyword.to_owned(), value);
            }
            Value::Object(schema)
        }

        fn value(&self, depth: u64) -> Value {
            match self.below(5) {
                _ if depth == 0 => json!(1),
                0 => json!("a"),
                1 => (0..self.below(4)).map(|_| self.value(depth - 1)).collect(),
                _ => json!({ "a": self.value(depth - 1), "b": self.value(depth - 1) }),
            }
        }
    }

    struct Visit(Arc<AtomicU64>);

    impl<'i> Keyword<'i> for Visit {
        fn validate(&self, _: &'i Value) -> Result<(), ValidationError<'i>> {
            self.0.fetch_add(1, Ordering::Relaxed);
            Ok(())
        }

        fn is_valid(&self, _: &'i Value) -> bool {
            self.0.fetch_add(1, Ordering::Relaxed);
            true
        }
    }

    /// What the checks visit is counted by a keyword in every one of the schemas. The walk before them must have counted no less.
    #[test]
    fn random_schemas_take_no_more_visits_than_were_counted_for_them() {
        let (mut taken, mut refused, mut stopped, mut most) = (0, 0, 0, 0);
        for seed in 0..1_000 {
            let draw = Draw(Cell::new(seed));
            let mut whole = draw.schema(2);
            whole["$defs"] = (0..4).map(|at| (format!("d{at}"), draw.schema(2))).collect();
            let visits = Arc::new(AtomicU64::new(0));
            let counter = Arc::clone(&visits);
            let options = jsonschema::options().with_keyword("x-visit", move |_, _, _| {
                Ok(Box::new(Visit(Arc::clone(&counter))))
            });
            let Ok(schema) = Schema::with_options(&whole, &mut Bounds::default(), options) else {
                refused += 1;
                continue;
            };
            for _ in 0..4 {
                let value = draw.value(5);
                let Ok(counted) = schema.steps(&value) else {
                    stopped += 1;
                    continue;
                };
                visits.store(0, Ordering::Relaxed);
                let _either_way = schema
                    .validator
                    .validate(&value)
                    .map_err(|error| error.to_string());
                let visited = visits.load(Ordering::Relaxed);
                assert!(
                    visited <= counted,
                    "seed {seed}: {visited} > {counted}\n{whole}\n{value}"
                );
                taken += 1;
                most = most.max(visited);
            }
        }
        assert!(taken > 300 && refused > 30, "{taken} {refused} {stopped}");
        assert!(most > 100, "{most}");
    }
}
