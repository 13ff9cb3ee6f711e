//! The list of models.

use costing::PriceSheet;
use integration_core::ProviderId;
use model_catalogue::Catalogue;
use model_catalogue::openrouter::{Problem, import, read_models};
use serde_json::Value;

/// The reader is total: any JSON with a list in `data` gives records, and each entry is either a record or reported. What it
/// read can be written and read back.
pub(crate) fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let read = read_models(text);
    let entries = serde_json::from_str::<Value>(text)
        .ok()
        .and_then(|list| Some(list.get("data")?.as_array()?.len()));
    let Ok((records, unknown)) = read else {
        assert!(
            entries.is_none_or(|entries| entries == 0),
            "a list was refused as a whole"
        );
        return;
    };
    // serde_json's own map keeps the last of two `data` fields, which the reader refuses or takes by its own rule.
    if entries.is_some() && text.matches("\"data\"").count() == 1 {
        let left_out: usize = unknown
            .iter()
            .filter(|field| field.problem == Problem::NoModel)
            .map(|field| field.count)
            .sum();
        assert_eq!(Some(records.len() + left_out), entries, "an entry is lost");
    }
    for record in &records {
        assert!(!record.id.as_str().is_empty());
        // Priced or refused, in words that fit a line.
        if let Err(error) = PriceSheet::parse(&record.prices) {
            assert!(!error.to_string().is_empty());
        }
        let _ = record.capabilities();
    }
    let Ok(provider) = ProviderId::new("fuzz") else {
        return;
    };
    if let Ok((catalogue, report)) = import(text, "2026-10-29", provider) {
        assert_eq!(report.models_out, catalogue.records().len());
        let reread = Catalogue::read(&catalogue.write());
        assert!(reread.is_ok(), "what was written cannot be read: {reread:?}");
        if let Ok(reread) = reread {
            assert_eq!(reread.id(), catalogue.id());
            assert_eq!(reread.records(), catalogue.records());
        }
    }
}
