use std::str::FromStr;

use model_catalogue::openrouter::read_models;

use super::*;

fn listing() -> Listing {
    Listing::new(1, &Catalogue::bundled().unwrap())
}

fn ids(listing: &Listing, query: &str) -> Vec<String> {
    let filter = Filter::read(&Query::parse(query)).unwrap();
    let kept = listing.select(&filter, 20_700);
    kept.into_iter()
        .map(|at| listing.records()[at].id.as_str().to_owned())
        .collect()
}

#[test]
fn the_list_reads_back_as_the_catalogue() {
    let catalogue = Catalogue::bundled().unwrap();
    let listing = listing();
    let filter = Filter::read(&Query::default()).unwrap();
    let kept = listing.select(&filter, 0);
    let page = listing.page(&kept, &filter, "/models", &Query::default());
    assert_eq!(page["links"]["next"], Value::Null);
    let (records, unknown) = read_models(&page.to_string()).unwrap();
    assert!(unknown.is_empty(), "{unknown:?}");
    let read = Catalogue::new(catalogue.captured(), catalogue.provider().clone(), records).unwrap();
    for (read, kept) in read.records().iter().zip(catalogue.records()) {
        assert_eq!(read, kept);
    }
    assert_eq!(read.id(), catalogue.id());
}

#[test]
fn the_list_comes_in_pages_that_add_up() {
    let listing = listing();
    let whole = ids(&listing, "q=claude");
    let mut found = Vec::new();
    let mut next = Some("offset=0&limit=3&q=claude".to_owned());
    while let Some(text) = next {
        let query = Query::parse(&text);
        let filter = Filter::read(&query).unwrap();
        let kept = listing.select(&filter, 0);
        let page = listing.page(&kept, &filter, "/models", &query);
        assert_eq!(page["total_count"], whole.len());
        let data = page["data"].as_array().unwrap();
        found.extend(data.iter().map(|one| one["id"].as_str().unwrap().to_owned()));
        next = page["links"]["next"]
            .as_str()
            .map(|next| next.strip_prefix("/api/v1/models?").unwrap().to_owned());
    }
    assert!(whole.len() > 6);
    assert_eq!(found, whole);
}

#[test]
fn only_models_that_write_text_are_listed_unless_others_are_asked_for() {
    let listing = listing();
    let text = ids(&listing, "");
    assert!(!text.iter().any(|id| other(id).is_some()));
    assert_eq!(
        ids(&listing, "output_modalities=all").len(),
        text.len() + OTHERS.len()
    );
    let vectors = ids(&listing, "output_modalities=embeddings");
    assert!(vectors.contains(&"openai/text-embedding-3-small".to_owned()));
    let both = ids(&listing, "output_modalities=embeddings,rerank");
    assert_eq!(both.len(), OTHERS.len());
    assert!(ids(&listing, "output_modalities=video").is_empty());
}

#[test]
fn every_filter_keeps_what_it_says_and_drops_the_rest() {
    let listing = listing();
    let all = ids(&listing, "");
    let record = |id: &str| listing.all.get(id).unwrap();
    type Check<'a> = (&'a str, &'a dyn Fn(&str) -> bool);
    let checks: &[Check<'_>] = &[
        ("q=GPT-4o", &|id| id.contains("gpt-4o")),
        ("input_modalities=image,text", &|id| {
            record(id).input_modalities.iter().any(|one| one == "image")
        }),
        ("supported_parameters=tools,seed", &|id| {
            let has = |name: &str| record(id).supported_parameters.iter().any(|one| one == name);
            has("tools") && has("seed")
        }),
        ("context=500000", &|id| record(id).context_length >= Some(500_000)),
        ("min_price=1&max_price=3", &|id| {
            let price =
                Decimal::from_str(&record(id).prices.rates["prompt"]).unwrap_or(Decimal::NEGATIVE_ONE);
            price >= Decimal::new(1, 6) && price <= Decimal::new(3, 6)
        }),
        ("min_output_price=50", &|id| {
            let price = Decimal::from_str(&record(id).prices.rates["completion"]).unwrap_or_default();
            price >= Decimal::new(50, 6)
        }),
        ("arch=claude", &|id| {
            record(id).tokenizer.as_deref() == Some("Claude")
        }),
        ("model_authors=x-ai,cohere", &|id| {
            matches!(
                record(id).id.author(),
                Some("x-ai" | "~x-ai" | "cohere" | "~cohere")
            )
        }),
        ("max_age_days=30", &|id| {
            record(id).created.unwrap() >= (20_700 - 30) * 86_400
        }),
        ("min_age_days=31", &|id| {
            record(id).created.unwrap() < (20_700 - 30) * 86_400
        }),
        ("min_coding_index=40&max_coding_index=60", &|id| {
            let index = record(id).benchmarks.coding_index;
            index >= Some(40.0) && index <= Some(60.0)
        }),
        ("providers=Amazon%20Bedrock", &|id| {
            let all = endpoints_of(1, record(id));
            all.iter().any(|one| one.upstream.slug == "amazon-bedrock")
        }),
        ("zdr=true", &|id| {
            endpoints_of(1, record(id)).iter().any(|one| one.zdr)
        }),
        ("distillable=false", &|id| {
            endpoints_of(1, record(id)).iter().all(|one| !one.distillable)
        }),
    ];
    for (query, expected) in checks {
        let kept = ids(&listing, query);
        let wanted: Vec<String> = all.iter().filter(|id| expected(id)).cloned().collect();
        assert_eq!(kept, wanted, "{query}");
        assert!(
            !kept.is_empty() && kept.len() < all.len(),
            "{query}: {}",
            kept.len()
        );
    }
    let yes = ids(&listing, "distillable=true").len();
    assert_eq!(yes + ids(&listing, "distillable=false").len(), all.len());
    for some in [
        "category=programming",
        "region=eu",
        "min_tool_success_rate=0.9",
        "min_intelligence_index=20",
        "max_agentic_index=40",
    ] {
        let kept = ids(&listing, some);
        assert!(!kept.is_empty() && kept.len() < all.len(), "{some}");
    }
}

#[test]
fn every_sort_orders_and_loses_nothing() {
    let listing = listing();
    let mut all = ids(&listing, "");
    all.sort();
    let figures = |query: &str, figure: &dyn Fn(&ModelRecord) -> Option<f64>| {
        let ids = ids(&listing, query);
        ids.iter()
            .filter_map(|id| figure(listing.all.get(id).unwrap()))
            .collect::<Vec<f64>>()
    };
    for sort in SORTS {
        let mut sorted = ids(&listing, &format!("sort={sort}"));
        assert_eq!(sorted, ids(&listing, &format!("sort={sort}")));
        sorted.sort();
        assert_eq!(sorted, all, "{sort}");
    }
    let means = |sort: &str| {
        let ids = ids(&listing, &format!("sort={sort}"));
        let mean = |id: &String| {
            let price = |key: &str| {
                let price = Decimal::from_str(&listing.all.get(id)?.prices.rates[key]).ok()?;
                (!price.is_sign_negative()).then_some(price)
            };
            Some(price("prompt")? + price("completion")?)
        };
        ids.iter().filter_map(mean).collect::<Vec<Decimal>>()
    };
    assert!(means("pricing-low-to-high").is_sorted());
    assert!(means("pricing-high-to-low").is_sorted_by(|a, b| a >= b));
    assert!(means("pricing-low-to-high").len() > 300);
    let newest = figures("sort=newest", &|record| record.created.map(|at| at as f64));
    assert!(newest.is_sorted_by(|a, b| a >= b));
    let coding = figures("sort=coding-high-to-low", &|record| {
        record.benchmarks.coding_index
    });
    assert!(coding.is_sorted_by(|a, b| a >= b) && coding.len() > 10);
    // Those without a price come last, whichever way.
    for sort in ["pricing-low-to-high", "pricing-high-to-low"] {
        let last = ids(&listing, &format!("sort={sort}")).pop().unwrap();
        assert!(last.starts_with("openrouter/"), "{last}");
    }
}

#[test]
fn wrong_parameters_are_named() {
    for bad in [
        "limit=0",
        "limit=1001",
        "offset=x",
        "offset=-1",
        "output_modalities=smell",
        "output_modalities=text,smell",
        "sort=best",
        "category=x",
        "context=0",
        "min_price=-1",
        "max_price=cheap",
        "zdr=false",
        "distillable=maybe",
        "region=mars",
        "min_tool_success_rate=1.5",
        "input_modalities=smell",
    ] {
        let issues = Filter::read(&Query::parse(bad)).unwrap_err();
        let body = issues.body();
        assert_eq!(
            (&body["success"], &body["error"]["name"]),
            (&json!(false), &json!("ZodError")),
            "{bad}"
        );
        let list: Value = serde_json::from_str(body["error"]["message"].as_str().unwrap()).unwrap();
        assert_eq!(list[0]["path"][0], bad.split('=').next().unwrap(), "{bad}");
    }
    // What nobody knows is ignored.
    assert!(Filter::read(&Query::parse("flag&other=1")).is_ok());
    assert!(Filter::read_of_user(&Query::parse("client=vim")).is_err());
}

#[test]
fn names_are_found_in_every_spelling() {
    let listing = listing();
    let id = |name: &str| listing.find(name).map(|record| record.id.as_str());
    let base = listing
        .records()
        .iter()
        .find(|record| record.id.as_str().contains('.') && record.id.variant().is_none())
        .unwrap();
    let name = base.id.as_str();
    for spelling in [
        name.to_owned(),
        name.replace('.', "-"),
        format!("{name}:nitro"),
        base.canonical_slug.clone(),
    ] {
        assert_eq!(id(&spelling), Some(name), "{spelling}");
    }
    assert_eq!(id(&format!("{name}:none")), None);
    assert_eq!(id("no/body"), None);
    let alias = listing.records().iter().find(|record| record.is_alias()).unwrap();
    let target = listing.follow(alias.id.as_str()).unwrap();
    assert_eq!(Some(&target.id), alias.alias_target.as_ref());
}
