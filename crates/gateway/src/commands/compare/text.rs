//! A comparison for people.

use std::time::Duration;

use costing::{Charge, Pico};
use integration_core::ModelId;
use routing::{
    ComparedModel, ComparisonReport, PairVerdict, QualityMeasure, Spread, TokenFigures, Trial, Unranked,
};

use super::super::number::Number;
use super::super::{say, table};
use super::calls::sum_of;
use super::paired::{Difference, LEAST_PAIRS, Measure, NoInterval, Tally};
use super::{Answered, Judged, Results};
use crate::upstream::Mode;

const UNKNOWN: &str = "–";

/// What it was on standard output; how much it was in all on standard error.
pub(super) fn print(results: &Results<'_>) -> anyhow::Result<()> {
    if results.app.mode() == Mode::Simulated {
        say("SIMULATED: no model was asked, and nothing was paid")?;
        say("")?;
    }
    match (results.prompts.len(), results.answers.first()) {
        (1, Some(answers)) => one(results, answers)?,
        _ => several(results)?,
    }
    failures(results);
    sums(results);
    Ok(())
}

/// One prompt: the answers, then their figures.
fn one(results: &Results<'_>, answers: &[Option<Answered>]) -> anyhow::Result<()> {
    let mut rows = table(&[
        "model",
        "cost",
        "charge",
        "latency",
        "first content",
        "tokens in/out",
        "checks",
    ]);
    for (model, answered) in results.models.iter().zip(answers) {
        let name = model.target.model.as_str();
        let Some(Answered { asked, checks }) = answered else {
            continue;
        };
        say(format_args!("== {name}"))?;
        match &asked.result {
            Ok(_) => say(super::said(
                &results.answers,
                0,
                results.place(&model.target.model).unwrap_or(0),
            ))?,
            Err(failure) => say(format_args!("(no answer: {})", failure.message))?,
        }
        for check in checks {
            if let Some(failure) = &check.failure {
                say(format_args!("(check `{}` failed: {failure})", check.name))?;
            }
        }
        say("")?;
        let trial = asked.trial(checks);
        let charge = asked.charge();
        rows.add_row([
            name.to_owned(),
            amount(trial.cost),
            amount(charge.charge.filter(|_| trial.cost.is_some())),
            time(trial.latency),
            time(trial.first_content),
            format!(
                "{}/{}",
                number(trial.prompt_tokens),
                number(trial.completion_tokens)
            ),
            passed(&trial),
        ]);
    }
    say(rows)?;
    for pair in &results.judged {
        say(verdict(results, pair))?;
    }
    say("")?;
    say(unranked(Unranked::OnePrompt))?;
    say(format_args!(
        "Nor are there intervals of how far they differ: these take {LEAST_PAIRS} prompts that two models answered."
    ))
}

/// A file of prompts: the models with their figures, the best first.
fn several(results: &Results<'_>) -> anyhow::Result<()> {
    let report = &results.report;
    let mut rows = table(&[
        "rank",
        "model",
        "quality (95 %)",
        "won/even/lost",
        "answered",
        "checks",
        "cost per answer",
        "latency, p90",
        "first content",
        "tokens in/out",
    ]);
    for model in &report.models {
        rows.add_row(row(model));
    }
    say(rows)?;
    say("")?;
    if let Some(measure) = report.measure {
        say(match measure {
            QualityMeasure::Judge => {
                "Quality is the share of prompts won before the judge, of those not even; n is how many were not."
            }
            QualityMeasure::Checks => {
                "Quality is the share of answers that passed all their checks; n is how many were checked."
            }
        })?;
        say(
            "A rank is one more than the number of models that are better beyond doubt (sign test, Holm, 5 %).",
        )?;
        for pair in report.pairs.iter().filter(|pair| !pair.is_distinct) {
            say(format_args!(
                "Not told apart: {} and {} ({} to {}, {} even, p = {:.3})",
                pair.first, pair.second, pair.first_better, pair.second_better, pair.even, pair.corrected_p
            ))?;
        }
    }
    if let Some(why) = report.unranked {
        say(unranked(why))?;
    }
    if results.judge.is_some() {
        say(order_dependence(report))?;
    }
    differences(results)
}

/// Each other model against the baseline, and the prompts that are not in it.
fn differences(results: &Results<'_>) -> anyhow::Result<()> {
    let paired = &results.paired;
    say(format_args!(
        "\nAgainst {}, over the prompts both answered: the other's figure less the baseline's.",
        paired.baseline
    ))?;
    let mut rows = table(&[
        "model",
        "measure",
        "pairs",
        "difference",
        "95 % interval",
        "better/even/worse",
        "p",
    ]);
    let all = || paired.models.iter().flat_map(|model| &model.differences);
    for model in &paired.models {
        for own in &model.differences {
            rows.add_row(difference(&model.model, own));
        }
    }
    say(rows)?;
    say("p is corrected for the number of models (Holm); each interval stands for itself.")?;
    if all().any(|own| own.tested == Err(NoInterval::FewPairs)) {
        say(format_args!(
            "Below {LEAST_PAIRS} pairs there is no interval: one prompt of fewer moves a share by more than ten points, and the \
             spread of so few costs and times says little of the next."
        ))?;
    }
    for model in &paired.models {
        for (who, other, places) in [
            (&paired.baseline, &model.model, &model.only_baseline),
            (&model.model, &paired.baseline, &model.only_model),
        ] {
            if !places.is_empty() {
                say(format_args!(
                    "Only {who} answered, and not {other}: {}",
                    named(results, places)
                ))?;
            }
        }
    }
    Ok(())
}

/// The first prompts by name, and how many there are beside them.
fn named(results: &Results<'_>, places: &[usize]) -> String {
    const MOST: usize = 10;
    let prompts = places.iter().filter_map(|place| results.prompts.get(*place));
    let ids: Vec<&str> = prompts.take(MOST).map(|prompt| prompt.id.as_str()).collect();
    let rest = places.len().saturating_sub(MOST);
    if rest > 0 {
        format!("{}, and {rest} more", ids.join(", "))
    } else {
        ids.join(", ")
    }
}

fn difference(model: &ModelId, own: &Difference) -> [String; 7] {
    let measure = own.measure;
    let show = |number| signed(number, measure);
    [
        model.to_string(),
        match measure {
            Measure::Checks => "passed".to_owned(),
            other => other.as_str().to_owned(),
        },
        own.pairs.to_string(),
        own.mean.map_or_else(|| UNKNOWN.to_owned(), show),
        match &own.tested {
            Ok(tested) => format!("{} to {}", show(tested.low), show(tested.high)),
            Err(NoInterval::OnePrompt | NoInterval::FewPairs) => format!("– (below {LEAST_PAIRS} pairs)"),
            Err(NoInterval::Alike) => "– (the same in every pair)".to_owned(),
            Err(NoInterval::BeyondNumbers) => "– (beyond what can be computed)".to_owned(),
        },
        own.tally.map_or_else(
            || UNKNOWN.to_owned(),
            |Tally { better, even, worse }| format!("{better}/{even}/{worse}"),
        ),
        match &own.tested {
            Ok(tested) if tested.corrected_p < 0.001 => "< 0.001".to_owned(),
            Ok(tested) => format!("{:.3}", tested.corrected_p),
            Err(_) => UNKNOWN.to_owned(),
        },
    ]
}

/// With its sign, and its unit.
fn signed(number: Number, measure: Measure) -> String {
    match number {
        Number::Usd(amount) => {
            let sign = if amount.is_sign_negative() { '-' } else { '+' };
            format!("{sign}${}", amount.abs().normalize())
        }
        Number::Plain(value) if measure == Measure::Latency => format!("{value:+.0} ms"),
        Number::Plain(value) => format!("{:+.1} points", value * 100.0),
    }
}

fn row(model: &ComparedModel) -> [String; 10] {
    let quality = model.quality;
    let share =
        quality.and_then(|quality| Some((quality.rate?, quality.interval?, quality.won + quality.lost)));
    [
        model
            .rank
            .map_or_else(|| UNKNOWN.to_owned(), |rank| rank.to_string()),
        model.model.to_string(),
        share.map_or_else(
            || UNKNOWN.to_owned(),
            |(rate, (low, high), n)| {
                format!(
                    "{:.0} % ({:.0}–{:.0}), n={n}",
                    rate * 100.0,
                    low * 100.0,
                    high * 100.0
                )
            },
        ),
        quality.map_or_else(
            || UNKNOWN.to_owned(),
            |quality| format!("{}/{}/{}", quality.won, quality.even, quality.lost),
        ),
        format!("{} of {}", model.answered, model.asked),
        if model.checks > 0 {
            format!("{} of {}", model.checks_passed, model.checks)
        } else {
            UNKNOWN.to_owned()
        },
        cost(model),
        model.latency.map_or_else(|| UNKNOWN.to_owned(), spread),
        time(model.first_content.map(|times| times.median)),
        format!("{}/{}", mean(model.prompt_tokens), mean(model.completion_tokens)),
    ]
}

fn cost(model: &ComparedModel) -> String {
    let cost = model.cost;
    let mut text = amount(cost.mean);
    if let Some(deviation) = cost.deviation {
        text.push_str(&format!(" ± {deviation}"));
    }
    if cost.unknown > 0 {
        text.push_str(&format!(" ({} unknown)", cost.unknown));
    }
    text
}

fn spread(spread: Spread) -> String {
    format!("{}, {}", time(Some(spread.median)), time(Some(spread.p90)))
}

fn mean(tokens: TokenFigures) -> String {
    if tokens.known == 0 {
        return UNKNOWN.to_owned();
    }
    format!("{:.0}", tokens.total as f64 / tokens.known as f64)
}

fn unranked(why: Unranked) -> &'static str {
    match why {
        Unranked::OnePrompt => {
            "One prompt does not tell which model is better: there is no ranking of quality. Use --prompts for that."
        }
        Unranked::NoMeasure => {
            "There is no ranking of quality: nothing measures it on two prompts or more. Name a --judge, or put `expect`, a \
             response format or tools into the prompts."
        }
    }
}

fn verdict(results: &Results<'_>, pair: &Judged) -> String {
    let name = |at: usize| {
        let model = results.models.get(at);
        model.map_or("", |model| model.target.model.as_str())
    };
    let (first, second) = (name(pair.first), name(pair.second));
    match pair.verdict {
        PairVerdict::First => format!("judge: {first} is better than {second} here"),
        PairVerdict::Second => format!("judge: {second} is better than {first} here"),
        PairVerdict::Tie => format!("judge: {first} and {second} are alike here"),
        PairVerdict::OrderDependent => {
            format!(
                "judge: {first} and {second} count as alike; what it said hangs on the order they were shown in"
            )
        }
        PairVerdict::Unjudged => {
            let why = pair.choices.iter().find_map(|choice| choice.as_ref().err());
            format!(
                "judge: nothing on {first} and {second}: {}",
                why.map_or("", String::as_str)
            )
        }
    }
}

/// How much of what the judge said hangs on the order. Each pair is counted at both its models.
fn order_dependence(report: &ComparisonReport) -> String {
    let counts = || report.models.iter().map(|model| model.verdicts);
    let dependent: usize = counts().map(|verdicts| verdicts.order_dependent).sum();
    let unjudged: usize = counts().map(|verdicts| verdicts.unjudged).sum();
    let judged: usize = counts()
        .map(|verdicts| verdicts.wins + verdicts.ties + verdicts.order_dependent + verdicts.losses)
        .sum();
    format!(
        "The judge compared {} pairs of answers in both orders: {} verdicts hang on the order and count as ties. Not judged: {}.",
        judged / 2,
        dependent / 2,
        unjudged / 2
    )
}

/// Why answers are missing, each reason once for each model.
fn failures(results: &Results<'_>) {
    let mut seen = std::collections::BTreeSet::new();
    for (prompt, answers) in results.prompts.iter().zip(&results.answers) {
        for (model, answered) in results.models.iter().zip(answers) {
            let failure = answered
                .as_ref()
                .and_then(|answered| answered.asked.result.as_ref().err());
            if let Some(failure) = failure.filter(|failure| seen.insert((&model.target, &failure.message))) {
                eprintln!(
                    "{} failed on prompt {}: {}",
                    model.target.model, prompt.id, failure.message
                );
            }
        }
    }
    if results.is_interrupted {
        eprintln!("waypost: interrupted; what was begun is in the ledger");
    }
}

/// What it cost: the answers, the judge, and both.
fn sums(results: &Results<'_>) {
    let line = |what: &str, charges: &[Charge]| {
        let sum = sum_of(charges);
        let known =
            |amount: Option<Pico>| amount.map_or_else(|| "unknown".to_owned(), |amount| format!("${amount}"));
        let unknown = charges.iter().filter(|charge| charge.cost.is_none()).count();
        let unknown = if unknown > 0 {
            format!(", and {unknown} attempts whose cost is not known")
        } else {
            String::new()
        };
        eprintln!(
            "{what}: cost {} + markup {} = charge {}, {}{unknown}",
            known(sum.cost),
            known(sum.markup),
            known(sum.charge),
            sum.status.as_str(),
        );
    };
    eprintln!();
    line("answers", &results.charges);
    if results.judge.is_some() {
        line("judge", &results.judge_charges);
    }
    let simulated = if results.app.mode() == Mode::Simulated {
        "in all (SIMULATED, nothing was paid)"
    } else {
        "in all"
    };
    line(
        simulated,
        &[results.charges.as_slice(), &results.judge_charges].concat(),
    );
}

fn passed(trial: &Trial) -> String {
    if trial.checks > 0 {
        format!("{} of {}", trial.passed, trial.checks)
    } else {
        UNKNOWN.to_owned()
    }
}

fn amount(amount: Option<Pico>) -> String {
    amount.map_or_else(|| UNKNOWN.to_owned(), |amount| format!("${amount}"))
}

fn number(number: Option<u64>) -> String {
    number.map_or_else(|| UNKNOWN.to_owned(), |number| number.to_string())
}

fn time(time: Option<Duration>) -> String {
    time.map_or_else(|| UNKNOWN.to_owned(), |time| format!("{} ms", time.as_millis()))
}
