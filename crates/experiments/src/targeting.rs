//! Whom an experiment is for.

use serde::{Deserialize, Serialize};

use crate::context::{Attribute, Context};

/// One thing that must hold of a request. What is not known of a request meets no condition, not even [`Condition::not`]: a
/// request of which the team is unknown may well be of that team.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Form", into = "Form")]
pub struct Condition {
    attribute: Attribute,
    test: Test,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Test {
    Equals(String),
    OneOf(Vec<String>),
    Not(String),
}

/// The form in configuration files.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    attribute: Attribute,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    equals: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    one_of: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    not: Option<String>,
}

impl TryFrom<Form> for Condition {
    type Error = &'static str;

    fn try_from(form: Form) -> Result<Self, Self::Error> {
        let test = match (form.equals, form.one_of, form.not) {
            (Some(value), None, None) => Test::Equals(value),
            (None, Some(values), None) => Test::OneOf(values),
            (None, None, Some(value)) => Test::Not(value),
            _ => return Err("a condition needs exactly one of `equals`, `one_of` and `not`"),
        };
        Ok(Self {
            attribute: form.attribute,
            test,
        })
    }
}

impl From<Condition> for Form {
    fn from(condition: Condition) -> Self {
        let mut form = Self {
            attribute: condition.attribute,
            equals: None,
            one_of: None,
            not: None,
        };
        match condition.test {
            Test::Equals(value) => form.equals = Some(value),
            Test::OneOf(values) => form.one_of = Some(values),
            Test::Not(value) => form.not = Some(value),
        }
        form
    }
}

impl Condition {
    /// The attribute is known and is this.
    pub fn equals(attribute: Attribute, value: impl Into<String>) -> Self {
        Self {
            attribute,
            test: Test::Equals(value.into()),
        }
    }

    /// The attribute is known and is one of these; of none, nobody meets it.
    pub fn one_of<V: Into<String>>(attribute: Attribute, values: impl IntoIterator<Item = V>) -> Self {
        Self {
            attribute,
            test: Test::OneOf(values.into_iter().map(Into::into).collect()),
        }
    }

    /// The attribute is known and is not this.
    pub fn not(attribute: Attribute, value: impl Into<String>) -> Self {
        Self {
            attribute,
            test: Test::Not(value.into()),
        }
    }

    /// What it asks about.
    pub const fn attribute(&self) -> Attribute {
        self.attribute
    }

    /// Whether a request meets it. Values are compared byte by byte.
    pub fn holds(&self, context: &Context<'_>) -> bool {
        context
            .attribute(self.attribute)
            .is_some_and(|known| match &self.test {
                Test::Equals(value) => value == known,
                Test::OneOf(values) => values.iter().any(|value| value == known),
                Test::Not(value) => value != known,
            })
    }
}
