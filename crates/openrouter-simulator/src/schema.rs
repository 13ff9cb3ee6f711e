//! A value that fits a JSON schema, from a seed.
//!
//! Understood are `type` (one or several), `enum`, `const`, `properties`, `required`, `items`, `prefixItems`, the bounds of
//! numbers, strings and arrays, `multipleOf`, the common `format`s, `$ref` within the document, `anyOf`, `oneOf` (the first
//! branch that leads to an end), `allOf` (merged) and `pattern` as far as [`pattern`] goes; beyond, such a string fits only by
//! luck.

use serde_json::{Map, Number, Value, json};

use crate::dice::Dice;
use crate::{pattern, words};

/// Nesting at which optional parts are left out.
const SHALLOW: usize = 5;
/// Nesting at which a value is null whatever the schema says: it can only be endless there.
const DEEPEST: usize = 24;
/// The most items or characters made for a bound that asks for more.
const MOST: u64 = 2_000;
/// The most values made for one schema: one that repeats itself twice over would double at every level.
const VALUES: u32 = 20_000;
/// The most steps taken for the patterns of one schema.
const STEPS: u32 = 50_000;

/// Makes a value. A schema that nothing fits gives some value all the same.
pub(crate) fn value(schema: &Value, dice: &mut Dice) -> Value {
    Maker {
        root: schema,
        dice,
        left: VALUES,
        steps: STEPS,
    }
    .make(schema, 0, "value")
}

/// What an answer in JSON holds where the request does not say.
pub(crate) fn free_object(question: &str, dice: &mut Dice) -> Value {
    let asked: String = question.chars().take(80).collect();
    json!({
        "simulated": true,
        "question": asked,
        "summary": words::sentence(dice),
        "items": [words::name(dice), words::name(dice)],
        "score": dice.below(101),
    })
}

struct Maker<'a> {
    root: &'a Value,
    dice: &'a mut Dice,
    /// How many more values may be made.
    left: u32,
    /// How many more steps may be taken for patterns.
    steps: u32,
}

impl Maker<'_> {
    fn make(&mut self, schema: &Value, depth: usize, name: &str) -> Value {
        let Some(fields) = schema.as_object().filter(|_| depth < DEEPEST && self.left > 0) else {
            return Value::Null;
        };
        self.left -= 1;
        let fields = &self.resolve(fields, depth);
        if let Some(constant) = fields.get("const") {
            return constant.clone();
        }
        if let Some(options) = fields
            .get("enum")
            .and_then(Value::as_array)
            .filter(|options| !options.is_empty())
        {
            let refs: Vec<&Value> = options.iter().collect();
            return self.dice.pick(&refs).cloned().unwrap_or_default();
        }
        match self.kind(fields) {
            "object" => self.object(fields, depth),
            "array" => self.array(fields, depth, name),
            "integer" => self.number(fields, true),
            "number" => self.number(fields, false),
            "boolean" => Value::Bool(self.dice.chance(0.5)),
            "null" => Value::Null,
            _ => Value::String(self.text(fields, name)),
        }
    }

    /// The schema with its reference followed, its `allOf` merged and one branch of its alternatives chosen.
    fn resolve(&mut self, fields: &Map<String, Value>, depth: usize) -> Map<String, Value> {
        let mut merged = fields.clone();
        // Each turn takes at least one of the words away or follows a reference; the bound ends references in a circle.
        for _ in 0..DEEPEST {
            let more = if let Some(target) = merged.remove("$ref") {
                vec![
                    target
                        .as_str()
                        .and_then(|target| self.find(target))
                        .unwrap_or(Value::Null),
                ]
            } else if let Some(Value::Array(all)) = merged.remove("allOf") {
                all
            } else if let Some(Value::Array(any)) = merged.remove("anyOf").or_else(|| merged.remove("oneOf"))
            {
                vec![self.branch(any, depth)]
            } else {
                break;
            };
            for part in more {
                merge(&mut merged, part);
            }
        }
        merged
    }

    /// Any branch near the top; further down the plainest, so that a tree ends.
    fn branch(&mut self, branches: Vec<Value>, depth: usize) -> Value {
        let plain = |branch: &Value| {
            let kind = branch.get("type").and_then(Value::as_str).unwrap_or("");
            branch.get("const").is_some()
                || branch.get("enum").is_some()
                || !matches!(kind, "object" | "array" | "")
        };
        if depth >= SHALLOW
            && let Some(branch) = branches.iter().find(|branch| plain(branch))
        {
            return branch.clone();
        }
        let not_null = |branch: &&Value| branch.get("type").and_then(Value::as_str) != Some("null");
        let telling: Vec<&Value> = branches.iter().filter(not_null).collect();
        self.dice
            .pick(&telling)
            .cloned()
            .or_else(|| branches.first().cloned())
            .unwrap_or_default()
    }

    fn find(&self, target: &str) -> Option<Value> {
        let pointer = target.strip_prefix('#')?;
        self.root.pointer(pointer).cloned()
    }

    fn kind<'s>(&mut self, fields: &'s Map<String, Value>) -> &'s str {
        match fields.get("type") {
            Some(Value::String(kind)) => kind,
            Some(Value::Array(kinds)) => {
                let kinds: Vec<&str> = kinds
                    .iter()
                    .filter_map(Value::as_str)
                    .filter(|kind| *kind != "null")
                    .collect();
                self.dice.pick(&kinds).unwrap_or("null")
            }
            _ if fields.contains_key("properties") => "object",
            _ if fields.contains_key("items") || fields.contains_key("prefixItems") => "array",
            _ if ["minimum", "maximum", "multipleOf"]
                .iter()
                .any(|name| fields.contains_key(*name)) =>
            {
                "number"
            }
            _ => "string",
        }
    }

    fn object(&mut self, fields: &Map<String, Value>, depth: usize) -> Value {
        let required: Vec<&str> = fields
            .get("required")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        let mut made = Map::new();
        for (name, schema) in fields
            .get("properties")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
        {
            if depth < SHALLOW || required.contains(&name.as_str()) {
                made.insert(name.clone(), self.make(schema, depth + 1, name));
            }
        }
        // Something required that is not described may be anything.
        for name in required {
            if !made.contains_key(name) {
                let any = fields
                    .get("additionalProperties")
                    .filter(|any| any.is_object())
                    .cloned();
                made.insert(
                    name.to_owned(),
                    self.make(&any.unwrap_or_else(|| json!({})), depth + 1, name),
                );
            }
        }
        Value::Object(made)
    }

    fn array(&mut self, fields: &Map<String, Value>, depth: usize, name: &str) -> Value {
        let bound = |name: &str| fields.get(name).and_then(Value::as_u64);
        let least = bound("minItems").unwrap_or(0).min(MOST);
        let wanted = if depth < SHALLOW {
            u64::from(self.dice.between(1, 3))
        } else {
            0
        };
        let count = wanted.max(least).min(bound("maxItems").unwrap_or(u64::MAX));
        let first: Vec<Value> = fields
            .get("prefixItems")
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default();
        let rest = fields.get("items").cloned().unwrap_or_else(|| json!({}));
        let count = if rest.is_boolean() {
            count.min(first.len() as u64)
        } else {
            count
        };
        let mut made: Vec<Value> = Vec::new();
        let unique = fields.get("uniqueItems") == Some(&Value::Bool(true));
        for at in 0..count as usize {
            let schema = first.get(at).unwrap_or(&rest);
            let mut item = self.make(schema, depth + 1, name);
            for _ in 0..if unique { 20 } else { 0 } {
                if !made.contains(&item) {
                    break;
                }
                item = self.make(schema, depth + 1, name);
            }
            if unique && made.contains(&item) && made.len() as u64 >= least {
                break;
            }
            made.push(item);
        }
        Value::Array(made)
    }

    fn number(&mut self, fields: &Map<String, Value>, whole: bool) -> Value {
        let bound = |name: &str| fields.get(name).and_then(Value::as_f64);
        let step = bound("multipleOf").filter(|step| *step > 0.0);
        let step = step.unwrap_or(if whole { 1.0 } else { 0.5 });
        // An excluded bound is left by one step.
        let low = bound("minimum").or_else(|| bound("exclusiveMinimum").map(|low| low + step));
        let high = bound("maximum").or_else(|| bound("exclusiveMaximum").map(|high| high - step));
        let (low, high) = match (low, high) {
            (Some(low), Some(high)) => (low, high),
            (Some(low), None) => (low, low + 100.0 * step),
            (None, Some(high)) => (high.min(0.0), high),
            (None, None) => (0.0, 100.0 * step),
        };
        let first = (low / step).ceil();
        let steps = ((high / step).floor() - first).clamp(0.0, 1_000_000.0) as u32;
        let mut made = (first + f64::from(self.dice.between(0, steps))) * step;
        if !whole && (made < low || made > high) {
            // No multiple lies between the bounds.
            made = low;
        }
        if whole || made.fract() == 0.0 && made.abs() < 1e15 {
            return Value::from(made as i64);
        }
        Number::from_f64(made).map_or(Value::Null, Value::Number)
    }

    fn text(&mut self, fields: &Map<String, Value>, name: &str) -> String {
        let dice = &mut *self.dice;
        if let Some(wanted) = fields.get("pattern").and_then(Value::as_str) {
            let bound = |name: &str| fields.get(name).and_then(Value::as_u64);
            let bound = |name: &str, other: u64| bound(name).unwrap_or(other).min(MOST) as usize;
            let (shortest, longest) = (bound("minLength", 0), bound("maxLength", MOST));
            if let Some(made) = pattern::matching(wanted, shortest, longest, dice, &mut self.steps) {
                return made;
            }
        }
        let made = match fields.get("format").and_then(Value::as_str) {
            Some("date") => format!("2026-{:02}-{:02}", dice.between(1, 12), dice.between(1, 28)),
            Some("date-time") => format!(
                "2026-{:02}-{:02}T12:00:00Z",
                dice.between(1, 12),
                dice.between(1, 28)
            ),
            Some("time") => format!("{:02}:{:02}:00Z", dice.between(0, 23), dice.between(0, 59)),
            Some("duration") => format!("PT{}M", dice.between(1, 59)),
            Some("email") => format!("{}@example.com", words::name(dice)),
            Some("hostname") => format!("{}.example.com", words::name(dice)),
            Some("ipv4") => format!("192.0.2.{}", dice.between(1, 254)),
            Some("ipv6") => format!("2001:db8::{:x}", dice.between(1, 65_535)),
            Some("uri" | "url") => format!("https://example.com/{}", words::name(dice)),
            Some("uuid") => {
                let mut hex = |digits: u32| {
                    format!(
                        "{:0width$x}",
                        dice.below(1 << (4 * digits)),
                        width = digits as usize
                    )
                };
                format!(
                    "{}{}-{}-4{}-8{}-{}{}{}",
                    hex(4),
                    hex(4),
                    hex(4),
                    hex(3),
                    hex(3),
                    hex(4),
                    hex(4),
                    hex(4)
                )
            }
            _ => match name.to_ascii_lowercase().as_str() {
                "text" | "summary" | "description" | "content" | "message" | "reason" => {
                    words::sentence(dice)
                }
                _ => words::name(dice).to_owned(),
            },
        };
        let bound = |name: &str| {
            fields
                .get(name)
                .and_then(Value::as_u64)
                .map(|bound| bound.min(MOST) as usize)
        };
        let length = made.chars().count();
        if let Some(most) = bound("maxLength").filter(|most| length > *most) {
            return made.chars().take(most).collect();
        }
        match bound("minLength") {
            Some(least) if length < least => made
                .chars()
                .chain(std::iter::repeat_n('x', least - length))
                .collect(),
            _ => made,
        }
    }
}

/// Adds one schema's words to another's: properties and requirements together, otherwise the first word stays.
fn merge(into: &mut Map<String, Value>, part: Value) {
    let Value::Object(part) = part else { return };
    for (name, value) in part {
        match (into.get_mut(&name), value) {
            (Some(Value::Object(there)), Value::Object(more)) => {
                for (name, value) in more {
                    there.entry(name).or_insert(value);
                }
            }
            (Some(Value::Array(there)), Value::Array(more)) if name == "required" => there.extend(more),
            (Some(_), _) => {}
            (None, value) => {
                into.insert(name, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn make(schema: &Value, seed: u64) -> Value {
        value(schema, &mut Dice::new(seed, "schema", &[]))
    }

    /// Says whether a value fits, written from the meaning of the words and not from the maker.
    fn fits(schema: &Value, value: &Value) -> bool {
        let one = |kind: &str| match kind {
            "object" => value.is_object(),
            "array" => value.is_array(),
            "integer" => value.is_i64() || value.is_u64(),
            "number" => value.is_number(),
            "string" => value.is_string(),
            "boolean" => value.is_boolean(),
            _ => value.is_null(),
        };
        let kind = match &schema["type"] {
            Value::String(kind) => one(kind),
            Value::Array(kinds) => kinds.iter().any(|kind| one(kind.as_str().unwrap())),
            _ => true,
        };
        let number = value.as_f64().is_none_or(|number| {
            schema["minimum"].as_f64().is_none_or(|low| number >= low)
                && schema["maximum"].as_f64().is_none_or(|high| number <= high)
        });
        let text = value.as_str().is_none_or(|text| {
            let length = text.chars().count() as u64;
            schema["minLength"].as_u64().is_none_or(|low| length >= low)
                && schema["maxLength"].as_u64().is_none_or(|high| length <= high)
        });
        let list = value.as_array().is_none_or(|list| {
            let length = list.len() as u64;
            schema["minItems"].as_u64().is_none_or(|low| length >= low)
                && schema["maxItems"].as_u64().is_none_or(|high| length <= high)
                && (schema["items"].is_null() || list.iter().all(|item| fits(&schema["items"], item)))
        });
        let object = value.as_object().is_none_or(|object| {
            schema["required"].as_array().is_none_or(|names| {
                names
                    .iter()
                    .all(|name| object.contains_key(name.as_str().unwrap()))
            }) && schema["properties"].as_object().is_none_or(|described| {
                described
                    .iter()
                    .all(|(name, schema)| object.get(name).is_none_or(|value| fits(schema, value)))
            })
        });
        let listed = schema["enum"]
            .as_array()
            .is_none_or(|options| options.contains(value));
        kind && number && text && list && object && listed
    }

    fn schemas() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            (-50i64..50, 0i64..60)
                .prop_map(|(low, span)| json!({ "type": "integer", "minimum": low, "maximum": low + span })),
            (-50i64..50).prop_map(|low| json!({ "type": "number", "minimum": low })),
            (0u64..20, 0u64..20).prop_map(
                |(low, span)| json!({ "type": "string", "minLength": low, "maxLength": low + span })
            ),
            Just(json!({ "type": "boolean" })),
            Just(json!({ "type": ["null", "string"] })),
            Just(json!({ "enum": ["a", 1, null] })),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                (inner.clone(), 0u64..3, 0u64..3).prop_map(|(items, low, span)| {
                    json!({ "type": "array", "items": items, "minItems": low, "maxItems": low + span })
                }),
                proptest::collection::vec(inner, 0..4).prop_map(|list| {
                    let names: Vec<String> = (0..list.len()).map(|at| format!("p{at}")).collect();
                    let properties: Map<String, Value> = names.iter().cloned().zip(list).collect();
                    json!({ "type": "object", "properties": properties, "required": names })
                }),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_made_fits_and_follows_from_the_seed(schema in schemas(), seed: u64) {
            let made = make(&schema, seed);
            prop_assert!(fits(&schema, &made), "{schema} gave {made}");
            prop_assert_eq!(make(&schema, seed), made);
        }

        #[test]
        fn any_json_is_survived(text in "\\PC{0,20}", kind in "object|array|number|string|odd", number in any::<f64>()) {
            for schema in [
                json!({ "type": kind, "minimum": number, "maximum": -number, "minItems": 3, "maxItems": 1, "pattern": text }),
                json!({ "type": kind, "multipleOf": number, "$ref": text, "format": text }),
                json!([text]), json!(text), json!(true), json!(null),
            ] {
                make(&schema, 1);
            }
        }
    }

    #[test]
    fn references_alternatives_and_merges_are_followed() {
        let schema = json!({
            "$defs": { "node": { "type": "object", "required": ["name"], "properties": {
                "name": { "type": "string" }, "children": { "type": "array", "items": { "$ref": "#/$defs/node" } },
                "next": { "anyOf": [{ "$ref": "#/$defs/node" }, { "type": "null" }] },
            } } },
            "allOf": [{ "$ref": "#/$defs/node" }, { "type": "object", "required": ["id"], "properties": { "id": { "type": "integer" } } }],
        });
        for seed in 0..30 {
            let made = make(&schema, seed);
            assert!(made["name"].is_string() && made["id"].is_i64(), "{made}");
        }
        assert_eq!(make(&json!({ "const": 4 }), 1), json!(4));
        // A reference to itself says nothing of the value; what matters is that it ends.
        assert!(make(&json!({ "$ref": "#" }), 1).is_string());
        assert_eq!(make(&json!({ "oneOf": [{ "type": "null" }] }), 1), Value::Null);
        assert!(make(&json!({ "type": "array", "prefixItems": [{ "type": "integer" }], "items": false, "minItems": 1 }), 1)[0].is_i64());
        let unique = make(
            &json!({ "type": "array", "uniqueItems": true, "minItems": 3, "items": { "enum": [1, 2, 3] } }),
            4,
        );
        let list = unique.as_array().unwrap();
        assert!(
            list.iter()
                .enumerate()
                .all(|(at, item)| !list[..at].contains(item)),
            "{unique}"
        );
        assert_eq!(
            make(&json!({ "type": "object", "required": ["x"] }), 1)
                .as_object()
                .unwrap()
                .len(),
            1
        );
    }

    #[test]
    fn a_schema_without_an_end_comes_to_one() {
        let schema = json!({ "type": "object", "required": ["a", "b"], "properties": {
            "a": { "$ref": "#" }, "b": { "type": "array", "minItems": 5, "items": { "$ref": "#" } },
        } });
        assert!(make(&schema, 1).to_string().len() < 1_000_000);
    }

    #[test]
    fn formats_look_like_what_they_are() {
        for (format, part) in [
            ("date", "2026-"),
            ("date-time", "T12:00:00Z"),
            ("time", ":"),
            ("duration", "PT"),
            ("email", "@example.com"),
            ("hostname", ".example.com"),
            ("ipv4", "192.0.2."),
            ("ipv6", "2001:db8::"),
            ("uri", "https://"),
            ("uuid", "-4"),
        ] {
            let made = make(&json!({ "type": "string", "format": format }), 9);
            assert!(made.as_str().unwrap().contains(part), "{format}: {made}");
        }
        assert_eq!(make(&json!({ "format": "uuid" }), 2).as_str().unwrap().len(), 36);
        let multiple = make(
            &json!({ "type": "number", "multipleOf": 0.25, "exclusiveMinimum": 1, "maximum": 2 }),
            3,
        );
        assert!((1.25..=2.0).contains(&multiple.as_f64().unwrap()), "{multiple}");
        assert_eq!(
            free_object("what?", &mut Dice::new(1, "x", &[]))["simulated"],
            true
        );
    }
}
