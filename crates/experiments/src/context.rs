//! Who asks: what may be randomised, and what an experiment may be aimed at.

use serde::{Deserialize, Serialize};

/// What an experiment randomises: all requests of one such unit get the same arm, and its outcomes are summed before they are
/// compared.
///
/// The coarser the unit, the fewer of them there are, and the less can be seen; the finer, the more one caller's requests meet
/// both arms (in caches, in a conversation, in what people get used to).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnitKey {
    /// A customer.
    Tenant,
    /// A person, or whatever an application calls its user.
    #[default]
    User,
    /// A conversation, so that its turns stay with one arm.
    Conversation,
    /// A single request.
    Request,
}

impl UnitKey {
    /// A stable word for records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tenant => "tenant",
            Self::User => "user",
            Self::Conversation => "conversation",
            Self::Request => "request",
        }
    }
}

/// What a condition can ask about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Attribute {
    /// The tenant.
    Tenant,
    /// The user.
    User,
    /// The name of the key the caller came with; never the key itself.
    Key,
    /// The team.
    Team,
    /// What is to be done, as the caller or a classifier named it.
    Task,
    /// The model asked for.
    Model,
}

/// What is known of a request when it is assigned. Everything is optional, and nothing stands in for what is absent.
///
/// ```
/// use experiments::{Context, UnitKey};
///
/// let context = Context::new().with_user("user-1").with_team("search");
/// assert_eq!(context.unit(UnitKey::User), Some("user-1"));
/// assert_eq!(context.unit(UnitKey::Tenant), None);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Context<'a> {
    tenant: Option<&'a str>,
    user: Option<&'a str>,
    conversation: Option<&'a str>,
    request: Option<&'a str>,
    key: Option<&'a str>,
    team: Option<&'a str>,
    task: Option<&'a str>,
    model: Option<&'a str>,
}

impl<'a> Context<'a> {
    /// Of which nothing is known.
    pub const fn new() -> Self {
        Self {
            tenant: None,
            user: None,
            conversation: None,
            request: None,
            key: None,
            team: None,
            task: None,
            model: None,
        }
    }

    /// A unit, of which nothing else is known.
    pub const fn of(unit_key: UnitKey, unit: &'a str) -> Self {
        let unit = Some(unit);
        let mut context = Self::new();
        match unit_key {
            UnitKey::Tenant => context.tenant = unit,
            UnitKey::User => context.user = unit,
            UnitKey::Conversation => context.conversation = unit,
            UnitKey::Request => context.request = unit,
        }
        context
    }

    /// Names the tenant.
    #[must_use]
    pub const fn with_tenant(mut self, tenant: &'a str) -> Self {
        self.tenant = Some(tenant);
        self
    }

    /// Names the user. Two tenants' users of the same name are the same unit: put the tenant into the name where that is wrong.
    #[must_use]
    pub const fn with_user(mut self, user: &'a str) -> Self {
        self.user = Some(user);
        self
    }

    /// Names the conversation.
    #[must_use]
    pub const fn with_conversation(mut self, conversation: &'a str) -> Self {
        self.conversation = Some(conversation);
        self
    }

    /// Names the request.
    #[must_use]
    pub const fn with_request(mut self, request: &'a str) -> Self {
        self.request = Some(request);
        self
    }

    /// Names the caller's key; not the key itself.
    #[must_use]
    pub const fn with_key(mut self, key: &'a str) -> Self {
        self.key = Some(key);
        self
    }

    /// Names the team.
    #[must_use]
    pub const fn with_team(mut self, team: &'a str) -> Self {
        self.team = Some(team);
        self
    }

    /// Names the task.
    #[must_use]
    pub const fn with_task(mut self, task: &'a str) -> Self {
        self.task = Some(task);
        self
    }

    /// Names the model asked for.
    #[must_use]
    pub const fn with_model(mut self, model: &'a str) -> Self {
        self.model = Some(model);
        self
    }

    /// The unit of a kind; `None` if it is absent or empty.
    pub const fn unit(&self, unit_key: UnitKey) -> Option<&'a str> {
        let unit = match unit_key {
            UnitKey::Tenant => self.tenant,
            UnitKey::User => self.user,
            UnitKey::Conversation => self.conversation,
            UnitKey::Request => self.request,
        };
        match unit {
            Some(name) if !name.is_empty() => Some(name),
            _ => None,
        }
    }

    /// What is known of an attribute.
    pub const fn attribute(&self, attribute: Attribute) -> Option<&'a str> {
        match attribute {
            Attribute::Tenant => self.tenant,
            Attribute::User => self.user,
            Attribute::Key => self.key,
            Attribute::Team => self.team,
            Attribute::Task => self.task,
            Attribute::Model => self.model,
        }
    }
}
