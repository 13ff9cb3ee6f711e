//! Every route the simulator serves: one table, from which requests are dispatched and against which tests check.

pub(crate) mod access;
pub(crate) mod account;
pub(crate) mod accounts;
pub(crate) mod answers;
mod completions;
pub(crate) mod dates;
mod endpoints;
mod entries;
mod generation;
mod keys;
mod messages;
mod messages_stream;
pub(crate) mod models;
pub(crate) mod money;
mod more_models;
mod page;
mod pkce;
mod query;
mod responses;
mod responses_stream;
mod skin;
pub(crate) mod spending;
mod vectors;

use crate::fault::FaultPlan;
use crate::problem::Problem;
use crate::scenario::Route;
use crate::simulation::{SimulatedReply, SimulatedRequest, Simulation};
use access::Caller;
use page::Call;
use skin::Skin;

/// Which key an operation wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Access {
    /// None; a key that comes with the request may still add something to the answer.
    Public,
    /// An ordinary key. A management key is refused.
    Key,
    /// Either kind of key.
    AnyKey,
    /// A management key. An ordinary key is refused.
    Management,
}

/// An operation that the simulator serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServedRoute {
    method: &'static str,
    path: &'static str,
    access: Access,
    route: Route,
}

impl ServedRoute {
    const fn new(method: &'static str, path: &'static str, access: Access, route: Route) -> Self {
        Self {
            method,
            path,
            access,
            route,
        }
    }

    /// The HTTP method, in capitals.
    pub fn method(&self) -> &'static str {
        self.method
    }

    /// The path below `/api/v1`, with a name in braces for each part that varies: `/keys/{hash}`.
    pub fn path(&self) -> &'static str {
        self.path
    }

    /// Which key it wants.
    pub fn access(&self) -> Access {
        self.access
    }
}

/// The one list of operations. Paths without placeholders come before those that would take them for a value.
const TABLE: &[ServedRoute] = &[
    ServedRoute::new("POST", "/chat/completions", Access::Key, Route::Chat),
    ServedRoute::new("POST", "/completions", Access::Key, Route::Completions),
    ServedRoute::new("POST", "/responses", Access::Key, Route::Responses),
    ServedRoute::new("POST", "/messages", Access::Key, Route::Messages),
    ServedRoute::new("POST", "/embeddings", Access::Key, Route::Embeddings),
    ServedRoute::new("POST", "/rerank", Access::Key, Route::Rerank),
    ServedRoute::new("GET", "/models", Access::Public, Route::Models),
    ServedRoute::new("GET", "/models/count", Access::Public, Route::ModelsCount),
    ServedRoute::new("GET", "/models/user", Access::Key, Route::ModelsUser),
    ServedRoute::new("GET", "/model/{author}/{slug}", Access::Public, Route::Model),
    ServedRoute::new(
        "GET",
        "/models/{author}/{slug}/endpoints",
        Access::Public,
        Route::Endpoints,
    ),
    ServedRoute::new("GET", "/endpoints/zdr", Access::Public, Route::EndpointsZdr),
    ServedRoute::new("GET", "/providers", Access::Public, Route::Providers),
    ServedRoute::new("GET", "/generation", Access::Key, Route::Generation),
    ServedRoute::new(
        "GET",
        "/generation/content",
        Access::Key,
        Route::GenerationContent,
    ),
    ServedRoute::new(
        "POST",
        "/generation/feedback",
        Access::AnyKey,
        Route::GenerationFeedback,
    ),
    ServedRoute::new("GET", "/key", Access::AnyKey, Route::Key),
    ServedRoute::new("GET", "/credits", Access::AnyKey, Route::Credits),
    ServedRoute::new("GET", "/keys", Access::Management, Route::Keys),
    ServedRoute::new("POST", "/keys", Access::Management, Route::Keys),
    ServedRoute::new("GET", "/keys/{hash}", Access::Management, Route::Keys),
    ServedRoute::new("PATCH", "/keys/{hash}", Access::Management, Route::Keys),
    ServedRoute::new("DELETE", "/keys/{hash}", Access::Management, Route::Keys),
    ServedRoute::new("GET", "/activity", Access::Management, Route::Activity),
    ServedRoute::new("POST", "/auth/keys", Access::Public, Route::AuthKeys),
    ServedRoute::new("POST", "/auth/keys/code", Access::AnyKey, Route::AuthKeysCode),
    ServedRoute::new(
        "POST",
        "/credits/coinbase",
        Access::Public,
        Route::CreditsCoinbase,
    ),
];

/// Every operation that the simulator serves, in no particular order. Requests are dispatched by this very list; any other
/// path is answered with 404, another method with 405.
pub fn served_routes() -> &'static [ServedRoute] {
    TABLE
}

/// What a path and a method lead to.
enum Found {
    Served(ServedRoute, Vec<String>),
    OtherMethod(Vec<&'static str>),
    Nothing,
}

/// The values of the placeholders, decoded, if the path fits the template.
fn parameters(template: &str, path: &str) -> Option<Vec<String>> {
    let (mut wanted, mut given) = (template.split('/'), path.split('/'));
    let mut values = Vec::new();
    loop {
        match (wanted.next(), given.next()) {
            (None, None) => return Some(values),
            (Some(name), Some(value)) if name.starts_with('{') && !value.is_empty() => {
                values.push(query::decode(value));
            }
            (Some(name), Some(value)) if name == value => {}
            _ => return None,
        }
    }
}

fn find(method: &str, path: &str) -> Found {
    let mut others = Vec::new();
    for entry in TABLE {
        if let Some(values) = parameters(entry.path, path) {
            if entry.method == method {
                return Found::Served(*entry, values);
            }
            others.push(entry.method);
        }
    }
    if others.is_empty() {
        Found::Nothing
    } else {
        Found::OtherMethod(others)
    }
}

/// The route that a request for text came by.
pub(crate) fn text_route(request: &SimulatedRequest<'_>) -> Route {
    let path = request.path().split('?').next().unwrap_or_default();
    let below = path.strip_prefix("/api/v1").unwrap_or_default();
    let entry = TABLE.iter().find(|entry| entry.path == below);
    entry
        .map(|entry| entry.route)
        .filter(|route| route.generates())
        .unwrap_or_default()
}

impl Simulation {
    /// Answers a request, whatever it is.
    pub(crate) fn dispatch(&self, request: &SimulatedRequest<'_>) -> SimulatedReply {
        let (path, query) = request.path().split_once('?').unwrap_or((request.path(), ""));
        let below = path.strip_prefix("/api/v1").unwrap_or_default();
        let (entry, values) = match find(request.method(), below) {
            Found::Served(entry, values) => (entry, values),
            Found::OtherMethod(methods) => {
                let message = format!("Method Not Allowed: use {}", methods.join(" or "));
                let mut reply = SimulatedReply::from(&Problem::new(405, message));
                reply.push_header("allow", methods.join(", "));
                return reply;
            }
            Found::Nothing => {
                return (&Problem::new(404, "Not Found").with("error_type", "not_found")).into();
            }
        };
        let skin = Skin::of(entry.route);
        let caller = match self.admit(entry, request) {
            Ok(caller) => caller,
            Err(problem) => return skin.reply(&problem),
        };
        let plan = match request
            .header("x-simulator-fault")
            .map(str::parse::<FaultPlan>)
            .transpose()
        {
            Ok(plan) => plan.unwrap_or_default(),
            Err(error) => return skin.reply(&Problem::invalid(format!("x-simulator-fault: {error}"))),
        };
        if entry.route.generates() {
            return self.generate(request, entry.route, skin, &plan, caller.unwrap_or_default());
        }
        let call = Call {
            entry,
            values,
            query: query::Query::parse(query),
            body: request.body(),
            caller,
        };
        self.page(&call, &plan)
    }

    /// The answer to a request whose body nobody wants to read to its end.
    pub(crate) fn too_large(&self, request: &SimulatedRequest<'_>) -> SimulatedReply {
        let limit = self.config.body_limit;
        let problem = Problem::new(413, format!("The request body is larger than {limit} bytes"))
            .with("error_type", "payload_too_large");
        Skin::of(text_route(request)).reply(&problem)
    }

    /// Lets the request in, or says why not.
    fn admit(&self, entry: ServedRoute, request: &SimulatedRequest<'_>) -> Result<Option<Caller>, Problem> {
        let caller = match (self.authorize(request), entry.access) {
            (Ok(caller), _) => Some(caller),
            // A public route ignores a wrong key.
            (Err(_), Access::Public) => None,
            (Err(problem), _) => return Err(problem),
        };
        let management = caller.is_some_and(|caller| caller.management);
        match entry.access {
            Access::Key if management => {
                return Err(Problem::new(
                    403,
                    "Management keys cannot be used for this operation, only for administration",
                )
                .with("error_type", "permission_denied"));
            }
            Access::Management if !management => return Err(access::only_management(entry.route)),
            _ => {}
        }
        if let (true, Some(caller)) = (entry.route.has_model(), caller) {
            let moment = self.moment();
            if !entry.route.generates() {
                // Chat looks at the account itself, after it has read the request.
                self.may_ask(caller.key, moment)?;
            }
            self.state().accounts.used(caller.key, moment.utc());
        }
        Ok(caller)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_to_their_routes() {
        let route = |method, path| match find(method, path) {
            Found::Served(entry, values) => Ok((entry.path, values)),
            Found::OtherMethod(methods) => Err(methods),
            Found::Nothing => Err(Vec::new()),
        };
        assert_eq!(route("GET", "/models/count"), Ok(("/models/count", vec![])));
        assert_eq!(
            route("GET", "/models/~a/b%3Afree/endpoints"),
            Ok((
                "/models/{author}/{slug}/endpoints",
                vec!["~a".to_owned(), "b:free".to_owned()]
            ))
        );
        assert_eq!(route("PUT", "/keys/x"), Err(vec!["GET", "PATCH", "DELETE"]));
        for nothing in [
            "",
            "/",
            "/models/",
            "/model/a",
            "/model//b",
            "/model/a/b/c",
            "/key/",
        ] {
            assert_eq!(route("GET", nothing), Err(vec![]), "{nothing}");
        }
    }

    #[test]
    fn no_operation_is_listed_twice() {
        for (at, one) in TABLE.iter().enumerate() {
            let again = TABLE[at + 1..]
                .iter()
                .any(|other| (other.method, other.path) == (one.method, one.path));
            assert!(!again, "{one:?}");
        }
    }
}
