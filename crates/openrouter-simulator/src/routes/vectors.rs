//! Vectors of texts, and documents in the order of a question.

use std::collections::BTreeSet;
use std::time::Duration;

use model_catalogue::ModelRecord;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use crate::account::Weight;
use crate::bill::{Bill, Counts};
use crate::dice::Dice;
use crate::endpoint::{Endpoint, NORMAL};
use crate::generations::Generation;
use crate::moment::Moment;
use crate::preferences::{Preferences, preferences};
use crate::problem::Problem;
use crate::refusals::{Wanted, no_route};
use crate::routes::money::Money;
use crate::routes::more_models::{OtherModel, other};
use crate::routes::page::{Call, Page, Refusal, Subject};
use crate::routing::{Candidate, Need, filter, order};
use crate::simulation::Simulation;
use crate::underway::Underway;
use crate::words::tokens;

/// What one part that is no text counts for.
const TOKENS_PER_ATTACHMENT: u64 = 256;
/// How often white space comes before the body.
const BLANKS_FIRST: f64 = 0.25;

/// Something to be turned into a vector.
struct Input {
    /// Its words, or the numbers of its tokens.
    words: Vec<String>,
    tokens: u64,
}

impl Input {
    fn text(text: &str) -> Self {
        Self {
            words: words(text),
            tokens: tokens(text.len()).max(1),
        }
    }
}

/// The words of a text, in lower case.
fn words(text: &str) -> Vec<String> {
    text.split(|letter: char| !letter.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect()
}

fn wrong(path: &str, expected: &str) -> Problem {
    Problem::invalid(format!("{path}: Invalid input: expected {expected}"))
}

fn whole(value: &Value) -> Option<String> {
    value.as_u64().map(|number| number.to_string())
}

fn token_list(list: &[Value], path: &str) -> Result<Input, Problem> {
    let words: Option<Vec<String>> = list.iter().map(whole).collect();
    let words = words
        .filter(|words| !words.is_empty())
        .ok_or_else(|| wrong(path, "whole numbers"))?;
    let tokens = words.len() as u64;
    Ok(Input { words, tokens })
}

fn parts(item: &Value, path: &str) -> Result<Input, Problem> {
    let content = item.get("content").and_then(Value::as_array);
    let content = content
        .filter(|content| !content.is_empty())
        .ok_or_else(|| wrong(path, "content that is not empty"))?;
    let mut input = Input {
        words: Vec::new(),
        tokens: 0,
    };
    for part in content {
        let kind = part.get("type").and_then(Value::as_str);
        match (kind, part.get("text").and_then(Value::as_str)) {
            (Some("text"), Some(text)) if !text.is_empty() => {
                input.words.extend(words(text));
                input.tokens += tokens(text.len());
            }
            (Some("image_url" | "input_audio" | "input_video" | "input_file"), _) => {
                input.words.push(part.to_string());
                input.tokens += TOKENS_PER_ATTACHMENT;
            }
            _ => return Err(wrong(path, "parts of a known kind")),
        }
    }
    Ok(input)
}

fn inputs(value: &Value) -> Result<Vec<Input>, Problem> {
    let list = match value {
        Value::String(text) if !text.is_empty() => return Ok(vec![Input::text(text)]),
        Value::Array(list) if !list.is_empty() => list,
        _ => return Err(wrong("input", "a string or an array that is not empty")),
    };
    // A list of numbers is one text in tokens.
    if list.iter().all(Value::is_number) {
        return Ok(vec![token_list(list, "input")?]);
    }
    let read = |(at, item): (usize, &Value)| {
        let path = format!("input.{at}");
        match (item, list.first()) {
            (Value::String(text), Some(Value::String(_))) if !text.is_empty() => Ok(Input::text(text)),
            (Value::Array(numbers), Some(Value::Array(_))) => token_list(numbers, &path),
            (Value::Object(_), Some(Value::Object(_))) => parts(item, &path),
            _ => Err(wrong(&path, "the kind of the first item, and not empty")),
        }
    };
    list.iter().enumerate().map(read).collect()
}

/// A unit vector that follows from the seed, the model and the words. Texts that share words point the same way, so that
/// near things are found near each other.
fn vector(seed: u64, model: &str, words: &[String], dimensions: u32, kept: u32) -> Vec<f32> {
    /// How many numbers one word moves.
    const TOUCHED: u32 = 24;
    let mut sum = vec![0.0_f64; dimensions as usize];
    for word in words {
        let mut dice = Dice::new(seed, "word", &[model.as_bytes(), word.as_bytes()]);
        for _ in 0..TOUCHED {
            let at = dice.below(dimensions) as usize;
            let step = dice.unit() - 0.5;
            if let Some(place) = sum.get_mut(at) {
                *place += step;
            }
        }
    }
    // A little of the text as a whole, so that no number is nothing and no two texts are quite the same.
    let whole: Vec<&[u8]> = words.iter().map(String::as_bytes).collect();
    let mut dice = Dice::new(seed, "text", &[model.as_bytes(), &whole.join(&b' ')]);
    for place in &mut sum {
        *place += (dice.unit() - 0.5) / 50.0;
    }
    sum.truncate(kept as usize);
    let length = sum.iter().map(|number| number * number).sum::<f64>().sqrt();
    sum.iter().map(|number| (number / length) as f32).collect()
}

/// The bytes in letters, digits, `+` and `/`, padded with `=`.
pub(crate) fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |at: usize| u32::from(chunk.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for at in 0..4 {
            let letter = LETTERS[(bits >> (18 - 6 * at)) as usize & 63];
            text.push(if at <= chunk.len() {
                char::from(letter)
            } else {
                '='
            });
        }
    }
    text
}

/// What a call came to, for the books and for the body.
struct Booked {
    id: String,
    provider: &'static str,
    bill: Bill,
    blanks: u32,
    /// The number of the call.
    call: u64,
}

#[derive(Serialize)]
struct Embedding {
    object: &'static str,
    index: usize,
    embedding: Box<RawValue>,
}

#[derive(Serialize)]
struct EmbeddingUsage {
    prompt_tokens: u64,
    total_tokens: u64,
    cost: Option<Money>,
    is_byok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    cost_details: Option<EmbeddingCost>,
}

#[derive(Serialize)]
struct EmbeddingCost {
    upstream_inference_cost: Money,
    upstream_inference_prompt_cost: Money,
    upstream_inference_completions_cost: u8,
}

#[derive(Serialize)]
struct Embeddings<'a> {
    object: &'static str,
    data: Vec<Embedding>,
    model: &'a str,
    usage: EmbeddingUsage,
    provider: &'a str,
    id: &'a str,
}

/// A name without its author.
fn bare(model: &str) -> &str {
    model.rsplit('/').next().unwrap_or(model)
}

impl Simulation {
    /// What a request of this kind is about, as far as it says.
    pub(crate) fn subject(&self, call: &Call<'_>) -> Subject {
        let name = call
            .object()
            .ok()
            .and_then(|fields| fields.get("model").and_then(Value::as_str).map(str::to_owned));
        let Some(name) = name else {
            return Subject::default();
        };
        let found = self
            .listing
            .find(&name)
            .map(|record| record.id.as_str().to_owned());
        let upstream = found.as_deref().and_then(other).map(|other| other.upstream);
        Subject {
            models: [Some(name), found].into_iter().flatten().collect(),
            upstream: upstream.map(|upstream| [upstream.name, upstream.slug]),
        }
    }

    /// The model that a request means, if it is of the kind that gives what is asked for.
    fn other_model(
        &self,
        fields: &Map<String, Value>,
        output: &str,
    ) -> Result<(&ModelRecord, &'static OtherModel), Problem> {
        let name = fields
            .get("model")
            .and_then(Value::as_str)
            .ok_or_else(|| wrong("model", "string"))?;
        let record = self.listing.find(name);
        let Some(record) = record else {
            return Err(Problem::invalid(format!("Model {name} does not exist")));
        };
        let gives = record.output_modalities.iter().any(|one| one == output);
        let other = other(record.id.as_str()).filter(|_| gives);
        let other = other.ok_or_else(|| {
            Problem::new(
                404,
                format!("No endpoints found that support {output} for {name}."),
            )
            .with("error_type", "not_found")
        })?;
        Ok((record, other))
    }

    /// Finds who serves a call, prices it, and remembers it until it has been read. `longest` is the largest part of it that
    /// goes to the model at once, `used` is all of it.
    fn book(
        &self,
        call: &Call<'_>,
        prefix: &str,
        fields: &Map<String, Value>,
        record: &ModelRecord,
        (longest, used): (u64, u64),
    ) -> Result<Booked, Problem> {
        let wanted = preferences(fields)?;
        let shape = &self.config.scenario.account;
        let (number, now) = self.next_call();
        let mut dice = Dice::new(self.config.seed, "call", &[&number.to_le_bytes()]);
        let created = u64::try_from(now.utc().unix()).unwrap_or_default();
        let id = format!("{prefix}-{created}-{}", dice.alphanumeric(20));
        let endpoints = self.endpoints_of(record);
        let endpoint = self.choose(record, &endpoints, &wanted, longest, (number, now))?;
        let own_key = shape.has_own_key(endpoint);
        let sheet = endpoint.sheet.as_ref().filter(|_| !own_key);
        let mut hold = None;
        if let Some(weight) = sheet.and_then(|sheet| Weight::new(sheet, used, Some(0), now.utc())) {
            let mut state = self.state();
            let state = &mut *state;
            hold = state
                .account
                .afford(shape, &state.memory.spending, &weight, now)?;
        }
        let counts = Counts {
            prompt: used,
            ..Counts::default()
        };
        let (charge, bill) = self.charge(now, endpoint, counts, own_key, false);
        let provider = endpoint.upstream.name;
        let generation = Generation {
            created,
            model: record.canonical_slug.clone(),
            provider,
            streamed: false,
            finish: Some("stop"),
            native_finish: Some("stop"),
            cancelled: false,
            bill,
            more: Map::new(),
            visible: Duration::MAX,
        };
        let underway = Underway {
            id: id.clone(),
            key: call.key(),
            started: now,
            generation,
            charge: Some(charge),
            fails: false,
            stops: false,
            all: 0,
            hold,
            own_key: own_key.then(|| bill.list_price()),
        };
        self.state().underway.insert(number, underway);
        let blanks = if dice.chance(BLANKS_FIRST) {
            dice.between(1, 3)
        } else {
            0
        };
        Ok(Booked {
            id,
            provider,
            bill,
            blanks,
            call: number,
        })
    }

    /// The endpoint that serves, chosen as for any other model.
    fn choose<'e>(
        &self,
        record: &ModelRecord,
        endpoints: &'e [Endpoint],
        wanted: &Preferences,
        longest: u64,
        (number, now): (u64, Moment),
    ) -> Result<&'e Endpoint, Problem> {
        let shape = &self.config.scenario.account;
        let narrowed = shape.narrowed(wanted);
        let need = Need {
            preferences: &narrowed,
            sort: narrowed.sort,
            only_tier: None,
            with_tier: None,
            sent: &[],
            inputs: &[],
            prompt_tokens: longest,
            max_tokens: None,
            own_keys: &shape.byok,
            at: now.utc(),
        };
        let candidates = endpoints
            .iter()
            .filter(|endpoint| shape.allows(endpoint))
            .map(|endpoint| Candidate {
                model: 0,
                endpoint,
                down: self.status_of(record, endpoint, now) != NORMAL,
                sticky: false,
            })
            .collect();
        let (left, funnel) = filter(candidates, &need);
        let mut dice = Dice::new(self.config.seed, "route", &[&number.to_le_bytes()]);
        let first = order(left, &need, &mut dice).into_iter().next();
        first.map(|candidate| candidate.endpoint).ok_or_else(|| {
            let wanted = Wanted {
                name: record.id.as_str(),
                prompt_tokens: longest,
                max_tokens: None,
                inputs: &[],
                provider: wanted,
            };
            no_route(&wanted, endpoints, &funnel)
        })
    }
}

fn too_long(record: &ModelRecord, needed: u64) -> Result<(), Problem> {
    let context = record.context_length.unwrap_or(u64::MAX);
    if needed <= context {
        return Ok(());
    }
    Err(Problem::new(
        400,
        format!(
            "This endpoint's maximum context length is {context} tokens. However, you requested about {needed} tokens \
             ({needed} of text input)."
        ),
    )
    .with("error_type", "context_length_exceeded"))
}

/// `POST /embeddings`.
pub(crate) fn embeddings(simulation: &Simulation, call: &Call<'_>) -> Result<Page, Refusal> {
    let fields = call.object()?;
    let (record, other) = simulation.other_model(&fields, "embeddings")?;
    let inputs = inputs(fields.get("input").unwrap_or(&Value::Null))?;
    let in_base64 = match fields.get("encoding_format") {
        None => false,
        Some(Value::String(format)) if format == "float" => false,
        Some(Value::String(format)) if format == "base64" => true,
        Some(_) => return Err(wrong("encoding_format", "one of \"float\"|\"base64\"").into()),
    };
    let kept = match fields.get("dimensions") {
        None => other.dimensions,
        Some(value) => {
            let asked = value.as_u64().and_then(|number| u32::try_from(number).ok());
            let fits =
                |asked: &u32| *asked == other.dimensions || other.shortens && *asked < other.dimensions;
            asked.filter(|asked| *asked > 0 && fits(asked)).ok_or_else(|| {
                Problem::invalid(format!(
                    "dimensions: expected a whole number that {} has, at most {}",
                    other.id, other.dimensions
                ))
            })?
        }
    };
    for input in &inputs {
        too_long(record, input.tokens)?;
    }
    let used = inputs.iter().map(|input| input.tokens).sum();
    let seed = simulation.config.seed;
    let model = record.id.as_str();
    let data = inputs.iter().enumerate().map(|(index, input)| {
        let numbers = vector(seed, model, &input.words, other.dimensions, kept);
        let text = if in_base64 {
            let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
            serde_json::value::to_raw_value(&base64(&bytes))
        } else {
            serde_json::value::to_raw_value(&numbers)
        };
        text.map(|embedding| Embedding {
            object: "embedding",
            index,
            embedding,
        })
    });
    let data: Result<Vec<Embedding>, _> = data.collect();
    let data = data.map_err(|_| Problem::new(500, "Internal Server Error"))?;
    let longest = inputs.iter().map(|input| input.tokens).max().unwrap_or(0);
    let booked = simulation.book(call, "gen-emb", &fields, record, (longest, used))?;
    let upstream = booked.bill.upstream().map(Money);
    let body = Embeddings {
        object: "list",
        data,
        model: bare(model),
        usage: EmbeddingUsage {
            prompt_tokens: used,
            total_tokens: used,
            cost: booked.bill.total().map(Money),
            is_byok: booked.bill.byok,
            cost_details: upstream.map(|amount| EmbeddingCost {
                upstream_inference_cost: amount,
                upstream_inference_prompt_cost: amount,
                upstream_inference_completions_cost: 0,
            }),
        },
        provider: booked.provider,
        id: &booked.id,
    };
    let mut page = Page::json(&body).with_header("x-generation-id", booked.id.clone());
    page.blanks = booked.blanks;
    page.call = Some(booked.call);
    Ok(page)
}

/// How well a document answers a question, from 0 to 1, in steps of 1/1024.
fn relevance(seed: u64, model: &str, question: &[String], document: &[String]) -> f64 {
    let wanted: BTreeSet<&String> = question.iter().collect();
    let has: BTreeSet<&String> = document.iter().collect();
    let shared = wanted.intersection(&has).count();
    let share = shared as f64 / wanted.len().max(1) as f64;
    let text = |words: &[String]| words.join(" ").into_bytes();
    let mut dice = Dice::new(
        seed,
        "relevance",
        &[model.as_bytes(), &text(question), &text(document)],
    );
    let score = 0.05 + 0.8 * share + 0.14 * dice.unit();
    (score * 1024.0).floor() / 1024.0
}

#[derive(Serialize)]
struct RerankUsage {
    total_tokens: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    search_units: Option<u64>,
    cost: Option<Money>,
}

#[derive(Serialize)]
struct Reranked<'a> {
    model: &'a str,
    results: Vec<Value>,
    usage: RerankUsage,
    provider: &'a str,
    id: &'a str,
}

/// `POST /rerank`.
pub(crate) fn rerank(simulation: &Simulation, call: &Call<'_>) -> Result<Page, Refusal> {
    let fields = call.object()?;
    let (record, _) = simulation.other_model(&fields, "rerank")?;
    let question = fields
        .get("query")
        .and_then(Value::as_str)
        .filter(|query| !query.is_empty())
        .ok_or_else(|| wrong("query", "a string that is not empty"))?;
    let documents = fields
        .get("documents")
        .and_then(Value::as_array)
        .filter(|documents| !documents.is_empty())
        .ok_or_else(|| wrong("documents", "an array that is not empty"))?;
    let top = match fields.get("top_n") {
        None => documents.len(),
        Some(value) => value
            .as_u64()
            .filter(|top| *top > 0)
            .and_then(|top| usize::try_from(top).ok())
            .ok_or_else(|| wrong("top_n", "a whole number from 1 up"))?,
    };
    let seed = simulation.config.seed;
    let (model, asked) = (record.id.as_str(), words(question));
    let (mut longest, mut used) = (0, 0);
    let mut ranked: Vec<(f64, usize, Value)> = Vec::with_capacity(documents.len());
    for (index, document) in documents.iter().enumerate() {
        let text = document
            .as_str()
            .or_else(|| document.get("text").and_then(Value::as_str));
        let image = document.get("image").and_then(Value::as_str);
        let (found, size, shown) = match (text, image) {
            (Some(text), _) => (words(text), tokens(text.len()), json!({ "text": text })),
            (None, Some(image)) => (
                vec![image.to_owned()],
                TOKENS_PER_ATTACHMENT,
                json!({ "image": image }),
            ),
            _ => return Err(wrong(&format!("documents.{index}"), "a string, or a text or an image").into()),
        };
        let needed = tokens(question.len()) + size;
        too_long(record, needed)?;
        used += needed;
        longest = longest.max(needed);
        ranked.push((relevance(seed, model, &asked, &found), index, shown));
    }
    // Equal ones stay in the order they came in.
    ranked.sort_by(|a, b| b.0.total_cmp(&a.0));
    let result = |(score, index, document): (f64, usize, Value)| json!({ "index": index, "relevance_score": score, "document": document });
    let results: Vec<Value> = ranked.into_iter().take(top).map(result).collect();
    let booked = simulation.book(call, "gen-rerank", &fields, record, (longest, used))?;
    let by_search = record.prices.rates.contains_key("request");
    let body = Reranked {
        model: bare(model),
        results,
        usage: RerankUsage {
            total_tokens: used,
            search_units: by_search.then_some(1),
            cost: booked.bill.total().map(Money),
        },
        provider: booked.provider,
        id: &booked.id,
    };
    let mut page = Page::json(&body).with_header("x-generation-id", booked.id.clone());
    page.call = Some(booked.call);
    Ok(page)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(text: &str, dimensions: u32) -> Vec<f32> {
        vector(1, "a/b", &words(text), 256, dimensions)
    }

    fn dot(a: &[f32], b: &[f32]) -> f64 {
        a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    }

    #[test]
    fn texts_that_share_words_are_near_each_other() {
        let one = of("the small boat in the harbour", 256);
        let near = of("a small boat near the harbour", 256);
        let far = of("prices rise every winter", 256);
        assert!(dot(&one, &near) > 0.4 && dot(&one, &far).abs() < 0.3);
        assert!(dot(&one, &near) > dot(&one, &far) + 0.3);
        assert_ne!(
            vector(1, "a/b", &words("x"), 8, 8),
            vector(2, "a/b", &words("x"), 8, 8)
        );
        assert_ne!(
            vector(1, "a/b", &words("x"), 8, 8),
            vector(1, "a/c", &words("x"), 8, 8)
        );
    }

    #[test]
    fn a_document_that_answers_comes_before_one_that_does_not() {
        let question = words("what is ruby");
        let score = |text: &str| relevance(1, "a/b", &question, &words(text));
        assert!(score("Ruby is a language") > score("Paris is a city"));
        assert!(score("Paris is a city") > score("nothing of it"));
    }

    #[test]
    fn bytes_in_letters_are_those_of_the_standard() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
        ] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
        assert_eq!(base64(&[0xfb, 0xff]), "+/8=");
    }

    proptest! {
        #[test]
        fn a_vector_has_length_one_whatever_is_kept_of_it(text in "\\PC{0,40}", kept in 1u32..=256) {
            let numbers = of(&text, kept);
            prop_assert_eq!(numbers.len(), kept as usize);
            prop_assert!((dot(&numbers, &numbers) - 1.0).abs() < 1e-5);
            prop_assert_eq!(numbers, of(&text, kept));
        }

        #[test]
        fn a_score_is_between_nothing_and_one(question in "[a-d ]{0,9}", document in "[a-d ]{0,20}") {
            let score = relevance(1, "a/b", &words(&question), &words(&document));
            prop_assert!((0.0..1.0).contains(&score));
        }
    }
}
