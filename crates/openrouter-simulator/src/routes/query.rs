//! The query of a request, and the answer to a wrong one.

use serde_json::{Value, json};

/// The pairs of a query, decoded.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Query(Vec<(String, String)>);

/// Undoes percent-encoding. What is no encoding stays as it is.
pub(crate) fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let hex = |at: usize| after.get(at).and_then(|digit| char::from(*digit).to_digit(16));
        match (byte, hex(0), hex(1)) {
            (b'%', Some(high), Some(low)) => {
                bytes.push(u8::try_from(high * 16 + low).unwrap_or_default());
                rest = &after[2..];
            }
            _ => {
                bytes.push(byte);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

impl Query {
    pub(crate) fn parse(text: &str) -> Self {
        let pairs = text.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let plus = |text: &str| decode(&text.replace('+', " "));
            (plus(name), plus(value))
        });
        Self(pairs.collect())
    }

    /// The last value of a name.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .rev()
            .find(|(one, _)| one == name)
            .map(|(_, value)| value.as_str())
    }

    /// The values of a comma separated list, without empty ones.
    pub(crate) fn list(&self, name: &str) -> Vec<&str> {
        let values = self.get(name).unwrap_or_default().split(',');
        values.map(str::trim).filter(|value| !value.is_empty()).collect()
    }

    /// The pairs but those of these names, encoded again.
    pub(crate) fn without(&self, names: &[&str]) -> String {
        let encode = |text: &str| -> String {
            text.bytes()
                .map(|byte| match byte {
                    b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b',' => {
                        char::from(byte).to_string()
                    }
                    other => format!("%{other:02X}"),
                })
                .collect()
        };
        self.0
            .iter()
            .filter(|(name, _)| !names.contains(&name.as_str()))
            .map(|(name, value)| format!("{}={}&", encode(name), encode(value)))
            .collect()
    }
}

/// The wrong parameters of a request that the original's routes check before anything else. Its answer has another shape than
/// every other error.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Issues(Vec<Value>);

impl Issues {
    /// One of several words is expected.
    pub(crate) fn option(&mut self, name: &str, options: &[&str]) {
        let quoted: Vec<String> = options.iter().map(|option| format!("{option:?}")).collect();
        self.0.push(json!({
            "code": "invalid_value", "values": options, "path": [name],
            "message": format!("Invalid option: expected one of {}", quoted.join("|")),
        }));
    }

    /// A number is expected, not smaller or larger than some bound.
    pub(crate) fn number(&mut self, name: &str, message: &str) {
        self.0.push(
            json!({ "code": "invalid_type", "expected": "number", "path": [name], "message": message }),
        );
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The body: the list of issues is a text inside it.
    pub(crate) fn body(&self) -> Value {
        let list = serde_json::to_string_pretty(&self.0).unwrap_or_default();
        json!({ "success": false, "error": { "name": "ZodError", "message": list } })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_query_is_decoded_and_written_again() {
        let query = Query::parse("q=a%20b+c&sort=x&list=a,,b&flag&q=last%zz");
        assert_eq!(query.get("q"), Some("last%zz"));
        assert_eq!(query.get("flag"), Some(""));
        assert_eq!(query.get("none"), None);
        assert_eq!(query.list("list"), ["a", "b"]);
        assert_eq!(Query::parse("q=a%26b&offset=3").without(&["offset"]), "q=a%26b&");
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(name in "[a-z]{1,5}", value in "\\PC{0,20}") {
            let pairs = Query(vec![(name.clone(), value.clone())]);
            let again = Query::parse(&pairs.without(&[]));
            prop_assert_eq!(again.get(&name), Some(value.as_str()));
        }

        #[test]
        fn nothing_breaks_the_decoder(text in "[%a-f0-9é]{0,20}") {
            let _ = decode(&text);
        }
    }
}
