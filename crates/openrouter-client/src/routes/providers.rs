//! `GET /providers`, and the way between the three names of a provider.

use std::collections::BTreeMap;

use integration_core::Result;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::chat::ProviderSlug;
use super::endpoints::Endpoint;
use super::query::{Data, LIST_TIMEOUT, Query};
use crate::OpenRouterClient;

/// Someone who serves models.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct Provider {
    /// The display name, as answers carry it (`Amazon Bedrock`).
    pub name: String,
    /// What requests name it by (`amazon-bedrock`).
    pub slug: String,
    /// Where its privacy policy is.
    #[serde(default)]
    pub privacy_policy_url: Option<String>,
    /// Where its terms are.
    #[serde(default)]
    pub terms_of_service_url: Option<String>,
    /// Where it tells of outages.
    #[serde(default)]
    pub status_page_url: Option<String>,
    /// The country it is based in, by two letters.
    #[serde(default)]
    pub headquarters: Option<String>,
    /// The countries it computes in, by two letters; `None` if it does not say.
    #[serde(default)]
    pub datacenters: Option<Vec<String>>,
    /// Fields this crate does not name.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// The way between the three names of a provider: answers carry the display name (`Amazon Bedrock`), requests take the slug
/// (`amazon-bedrock`) or the tag of one endpoint (`amazon-bedrock/us-east-1`). A display name in a request matches nothing.
///
/// ```
/// use openrouter_client::routes::ProviderDirectory;
/// let directory = ProviderDirectory::of_names([("Amazon Bedrock", "amazon-bedrock")]);
/// let slug = directory.slug("Amazon Bedrock").unwrap();
/// assert_eq!(slug.as_str(), "amazon-bedrock");
/// assert_eq!(directory.name("amazon-bedrock/us-east-1"), Some("Amazon Bedrock"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProviderDirectory {
    slugs: BTreeMap<String, ProviderSlug>,
    names: BTreeMap<String, String>,
    tags: BTreeMap<String, Vec<ProviderSlug>>,
}

impl ProviderDirectory {
    /// A directory of what `GET /providers` answered.
    pub fn new(providers: &[Provider]) -> Self {
        Self::of_names(providers.iter().map(|p| (p.name.as_str(), p.slug.as_str())))
    }

    /// A directory of pairs of a display name and a slug. A pair whose slug is none is left out.
    pub fn of_names<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut out = Self::default();
        for (name, slug) in pairs {
            if let Ok(slug) = ProviderSlug::new(slug) {
                out.names.insert(slug.as_str().to_owned(), name.to_owned());
                out.slugs.insert(key(name), slug);
            }
        }
        out
    }

    /// Adds what lists of endpoints tell: the tags, and providers that `GET /providers` does not have.
    #[must_use]
    pub fn with_endpoints(mut self, endpoints: &[Endpoint]) -> Self {
        for endpoint in endpoints {
            let (Some(name), Some(tag)) = (&endpoint.provider_name, &endpoint.tag) else {
                continue;
            };
            let Ok(tag) = ProviderSlug::new(tag) else { continue };
            let tags = self.tags.entry(key(name)).or_default();
            if !tags.contains(&tag) {
                tags.push(tag.clone());
            }
            if !self.slugs.contains_key(&key(name))
                && let Ok(base) = ProviderSlug::new(tag.base())
            {
                self.names.entry(base.as_str().to_owned()).or_insert(name.clone());
                self.slugs.insert(key(name), base);
            }
        }
        self
    }

    /// The slug of a display name, to be sent in [`ProviderPreferences`](super::ProviderPreferences). Case does not matter.
    pub fn slug(&self, display_name: &str) -> Option<&ProviderSlug> {
        self.slugs.get(&key(display_name))
    }

    /// The display name of a slug or of an endpoint's tag, as answers carry it.
    pub fn name(&self, slug_or_tag: &str) -> Option<&str> {
        // A slug may hold a slash itself, so the longest one that fits counts.
        let mut candidate = slug_or_tag;
        loop {
            if let Some(name) = self.names.get(candidate) {
                return Some(name);
            }
            candidate = candidate.rsplit_once('/')?.0;
        }
    }

    /// The tags of the endpoints that a display name is known to have, in the order they were added.
    pub fn tags(&self, display_name: &str) -> &[ProviderSlug] {
        self.tags.get(&key(display_name)).map_or(&[], Vec::as_slice)
    }

    /// What to send for any of the three names: the slug of a display name; a slug or a tag as it is, if its provider is known.
    pub fn resolve(&self, any: &str) -> Option<ProviderSlug> {
        if let Some(slug) = self.slug(any) {
            return Some(slug.clone());
        }
        self.name(any)?;
        ProviderSlug::new(any).ok()
    }

    /// How many providers it knows.
    pub fn len(&self) -> usize {
        self.slugs.len()
    }

    /// Whether it knows none.
    pub fn is_empty(&self) -> bool {
        self.slugs.is_empty()
    }
}

fn key(display_name: &str) -> String {
    display_name.trim().to_lowercase()
}

impl OpenRouterClient {
    /// `GET /providers`: everyone who serves models. Needs no key.
    ///
    /// # Errors
    /// As for every call.
    pub async fn providers(&self) -> Result<Vec<Provider>> {
        let found: Data<Vec<Provider>> = self
            .get(
                "providers",
                Query::default(),
                LIST_TIMEOUT,
                "the list of providers",
            )
            .await?;
        Ok(found.data)
    }
}
