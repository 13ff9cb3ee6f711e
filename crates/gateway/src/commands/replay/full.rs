//! Full information: what came of the policy's choice is looked up. Nothing grows with the number of rows.

use costing::PicoSum;
use routing::OutcomeRow;

use super::super::number::Unit;
use super::super::outcome_file::Rows;
use super::figures::{Columns, Compared};
use super::policy::Policy;
use super::report::{Report, Tally, TotalCost};
use crate::cli::WrongUsage;

/// What the policy is held against.
enum Baseline {
    Nothing,
    /// What was chosen when it was logged.
    Logged,
    /// One model, and whether a row had it.
    Model {
        name: String,
        is_there: bool,
    },
}

impl Baseline {
    /// The model it has in a row, if the row has an outcome of that.
    fn choice<'r>(&mut self, row: &'r OutcomeRow) -> Option<&'r str> {
        match self {
            Self::Nothing => None,
            Self::Logged => row.chosen.as_deref(),
            Self::Model { name, is_there } => {
                let (found, _) = row.outcomes.get_key_value(name.as_str())?;
                *is_there = true;
                Some(found)
            }
        }
    }

    fn name(&self) -> Option<String> {
        match self {
            Self::Nothing => None,
            Self::Logged => Some("logged".to_owned()),
            Self::Model { name, .. } => Some(name.clone()),
        }
    }
}

/// Replays a file from its first row.
pub(super) fn replay(
    first: OutcomeRow,
    rows: &mut Rows,
    policy: &mut Policy,
    baseline: Option<&str>,
    report: &mut Report,
) -> anyhow::Result<()> {
    let mut baseline = match baseline {
        Some(name) => Baseline::Model {
            name: name.to_owned(),
            is_there: false,
        },
        None if first.chosen.is_some() => Baseline::Logged,
        None => Baseline::Nothing,
    };
    let mut tally = Tally::default();
    let (mut own, mut others, mut differences) = (Columns::default(), Columns::default(), Columns::default());
    let mut is_alone = true;
    let mut next = Some(first);
    while let Some(row) = next {
        is_alone &= row.outcomes.len() == 1;
        let ask = policy.ask(&row)?;
        let choice = policy.choose(ask, tally.rows(), row.outcomes.keys());
        let chosen = choice.and_then(|place| row.outcomes.iter().nth(place).ok_or("unknown_model"));
        tally.seen(row.outcomes.keys(), policy)?;
        tally.asked(ask);
        tally.chosen(chosen.map(|(name, _)| name.as_str()));
        if let Ok((_, outcome)) = chosen {
            own.push(outcome)?;
        }
        if let Some(other) = baseline.choice(&row).and_then(|name| row.outcomes.get(name)) {
            others.push(other)?;
            if let Ok((_, outcome)) = chosen {
                differences.push_difference(outcome, other)?;
            }
        }
        next = rows.next()?;
    }
    let nobody = |name: &str| WrongUsage(format!("{}: no row has an outcome of '{name}'", rows.name()));
    if let Policy::Always(name) = policy
        && !tally.has(name)
    {
        return Err(nobody(name).into());
    }
    if let Baseline::Model {
        name,
        is_there: false,
    } = &baseline
    {
        return Err(nobody(name).into());
    }
    if is_alone {
        // As of a choice without its probability.
        let why = "each row has the outcome of one model alone, so nothing can be told of another policy; it takes the outcomes of \
                   several models on the same prompts, or `chosen` with its `propensity`";
        report.refused = Some(why.to_owned());
        tally.report(report);
        return Ok(());
    }
    report.baseline = baseline.name();
    report.score = Some(compared(
        &own.score,
        &others.score,
        &differences.score,
        Unit::Plain,
    )?);
    report.cost_usd = Some(compared(&own.cost, &others.cost, &differences.cost, Unit::Pico)?);
    report.latency_ms = Some(compared(
        &own.latency,
        &others.latency,
        &differences.latency,
        Unit::Plain,
    )?);
    let total = |columns: &Columns, is_there: bool| -> Option<PicoSum> {
        (is_there && columns.cost.figure(Unit::Pico).ok()?.is_some()).then(|| columns.cost.total())
    };
    report.total_cost_usd = Some(TotalCost {
        policy: total(&own, true),
        baseline: total(&others, report.baseline.is_some()),
    });
    if tally.chosen_rows() == 0 {
        report.refused = Some("the policy could choose a model in no row".to_owned());
    }
    tally.report(report);
    Ok(())
}

fn compared(
    policy: &super::figures::Column,
    baseline: &super::figures::Column,
    difference: &super::figures::Column,
    unit: Unit,
) -> anyhow::Result<Compared> {
    Ok(Compared {
        policy: policy.figure(unit)?,
        baseline: baseline.figure(unit)?,
        difference: difference.figure(unit)?,
        ..Compared::default()
    })
}
