//! `waypost report`.

use std::io::Write as _;
use std::sync::Arc;
use std::time::SystemTime;

use costing::UtcTime;
use costing::report::ReportFormat;
use routing::Snapshot;

use super::{Outcome, busy, read_ledger};
use crate::app::bundled;
use crate::cli::ReportArgs;
use crate::config::Settings;
use crate::costs::{self, CostFormat, CostQuery, CostSources};
use crate::environment::Environment;
use crate::out_file::OutFile;

pub(super) async fn run(args: &ReportArgs, env: &Environment) -> anyhow::Result<Outcome> {
    let settings = Settings::resolve(&args.place.overrides(), env)?;
    let (catalogue, prices) = bundled()?;
    #[expect(clippy::disallowed_methods, reason = "a command reads the time once, here")]
    let now = UtcTime::from(SystemTime::now());
    let format = if args.json {
        ReportFormat::Json
    } else {
        ReportFormat::Table
    };
    let query = CostQuery::read(args.words(), now, CostFormat::Report(format), &catalogue)?;
    // What cannot be written is not worked out.
    let file = args.out.as_deref().map(OutFile::new).transpose()?;
    let store = read_ledger(&settings)?;
    let snapshot = Arc::new(Snapshot::new(&catalogue, &prices));
    let sources = CostSources::new(&prices, snapshot, &settings, now);
    let bar = busy("adding up the ledger");
    let report = costs::report(&store, &query, sources).await;
    bar.finish_and_clear();
    let report = report?;
    match (&file, &args.out) {
        (Some(file), Some(path)) => {
            file.write(&report.body)?;
            eprintln!("waypost: the report is in {}", path.display());
        }
        _ => {
            let mut out = std::io::stdout().lock();
            out.write_all(report.body.as_bytes())?;
            out.flush()?;
        }
    }
    if let Some(note) = report.note {
        eprintln!("waypost: {note}");
    }
    Ok(Outcome::Done)
}
