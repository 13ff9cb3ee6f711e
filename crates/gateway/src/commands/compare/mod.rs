//! `waypost compare`.

mod calls;
mod json;
mod outcomes;
mod paired;
mod prompts;
mod text;

use std::collections::BTreeSet;

use costing::Charge;
use futures_util::{StreamExt, stream};
use integration_core::{Capability, ModelId};
use routing::{
    Comparison, ComparisonReport, JudgeChoice, PairVerdict, Target, judge_messages, read_judgement,
};

use super::{Outcome, Progress, print_json};
use crate::app::App;
use crate::call::resolve;
use crate::checks::Check;
use crate::cli::{CompareArgs, WrongUsage};
use crate::config::Settings;
use crate::environment::Environment;
use calls::{Asked, Calls, Purpose};
use paired::{Column, Paired};
use prompts::Prompt;

/// A model that is compared.
#[derive(Debug)]
struct Contestant {
    /// As it was named.
    named: ModelId,
    /// Whom that means.
    target: Target,
}

/// The model that judges.
#[derive(Debug)]
struct Judge {
    named: ModelId,
    model: ModelId,
    /// Whether it can be held to the form of its answer.
    is_formed: bool,
}

/// What came of one model and one prompt.
#[derive(Debug)]
struct Answered {
    asked: Asked,
    checks: Vec<Check>,
}

/// Two answers to one prompt before the judge, in both orders.
#[derive(Debug)]
struct Judged {
    prompt: usize,
    /// Whose answer was A at first, by its place among the models.
    first: usize,
    second: usize,
    verdict: PairVerdict,
    /// What was said in each order, or why nothing was.
    choices: [Result<JudgeChoice, String>; 2],
}

/// Everything that came of a comparison.
#[derive(Debug)]
struct Results<'a> {
    app: &'a App,
    prompts: &'a [Prompt],
    models: &'a [Contestant],
    judge: Option<&'a Judge>,
    /// By prompt, then by model; `None` where an interruption came first.
    answers: Vec<Vec<Option<Answered>>>,
    judged: Vec<Judged>,
    report: ComparisonReport,
    /// Each other model against the baseline.
    paired: Paired,
    /// What each attempt cost, those cut off included.
    charges: Vec<Charge>,
    /// The same for the judge's.
    judge_charges: Vec<Charge>,
    is_interrupted: bool,
}

pub(super) async fn run(args: &CompareArgs, env: &Environment) -> anyhow::Result<Outcome> {
    let prompts = match (&args.prompts, &args.prompt) {
        (Some(path), _) => prompts::read(path)?,
        (None, prompt) => vec![Prompt::text(prompt.as_deref().unwrap_or_default())],
    };
    let outcomes = args
        .outcomes
        .as_deref()
        .map(|path| outcomes::file(path, &prompts))
        .transpose()?;
    let app = App::start_beside(Settings::resolve(&args.place.overrides(), env)?).await?;
    let models = contestants(&app, &args.models)?;
    let baseline = args.baseline.as_deref();
    let baseline = baseline.map_or(Ok(0), |name| baseline_of(&app, name, &models))?;
    let judge = args
        .judge
        .as_deref()
        .map(|name| judge(&app, name, &models))
        .transpose()?;
    let calls = Calls::new(
        &app,
        args.max_cost,
        args.max_tokens,
        usize::from(args.concurrency),
    );
    let results = compare(&calls, &prompts, &models, baseline, judge.as_ref()).await;
    if args.json {
        print_json(&json::object(&results))?;
    } else {
        text::print(&results)?;
    }
    if let Some(file) = &outcomes {
        file.write(&results)?;
    }
    let outcome = if results.is_answered() && !results.is_interrupted {
        Outcome::Done
    } else {
        Outcome::Failed
    };
    drop((results, calls));
    app.upstreams.shutdown().await;
    Ok(outcome)
}

impl Results<'_> {
    /// Whether there is any answer.
    fn is_answered(&self) -> bool {
        let mut answers = self.answers.iter().flatten().flatten();
        answers.any(|answered| answered.asked.result.is_ok())
    }

    /// Which of the models it is.
    fn place(&self, model: &ModelId) -> Option<usize> {
        self.models.iter().position(|own| own.target.model == *model)
    }

    /// What each attempt at a model cost, but for those that were cut off.
    fn charges_of(&self, model: usize) -> Vec<Charge> {
        let answers = self
            .answers
            .iter()
            .filter_map(|models| models.get(model)?.as_ref());
        answers.flat_map(|answered| answered.asked.charges()).collect()
    }
}

/// Finds the models that are compared.
fn contestants(app: &App, names: &[String]) -> anyhow::Result<Vec<Contestant>> {
    let mut seen = BTreeSet::new();
    let mut models = Vec::new();
    for name in names {
        let (_, target) = resolve(app, name)?;
        if !seen.insert(target.clone()) {
            let twice = format!("'{name}' is {}, which is among the models already", target.model);
            return Err(WrongUsage(twice).into());
        }
        let named = ModelId::new(name.as_str()).map_err(|error| WrongUsage(error.to_string()))?;
        models.push(Contestant { named, target });
    }
    if models.len() < 2 {
        return Err(WrongUsage("--models needs two models at least".to_owned()).into());
    }
    Ok(models)
}

/// Finds the model the others are held against, by its place among them.
fn baseline_of(app: &App, name: &str, models: &[Contestant]) -> anyhow::Result<usize> {
    let (_, target) = resolve(app, name)?;
    let place = models.iter().position(|model| model.target == target);
    place.ok_or_else(|| {
        WrongUsage(format!(
            "--baseline '{name}' is not among the models that are compared"
        ))
        .into()
    })
}

/// Finds the judge. A model does not judge its own answers, nor does a variant of it.
fn judge(app: &App, name: &str, models: &[Contestant]) -> anyhow::Result<Judge> {
    let (listed, target) = resolve(app, name)?;
    let base = |model: &ModelId| model.as_str().split(':').next().map(str::to_owned);
    if let Some(own) = models
        .iter()
        .find(|model| base(&model.target.model) == base(&listed))
    {
        let own = format!(
            "'{name}' cannot judge: {} is among the models that are compared, and a judge favours its own answers",
            own.target.model
        );
        return Err(WrongUsage(own).into());
    }
    let record = app.catalogue.resolve(listed.as_str());
    Ok(Judge {
        named: ModelId::new(name).map_err(|error| WrongUsage(error.to_string()))?,
        model: target.model,
        is_formed: record.is_some_and(|record| record.capabilities().contains(Capability::JsonSchema)),
    })
}

async fn compare<'a>(
    calls: &Calls<'a>,
    prompts: &'a [Prompt],
    models: &'a [Contestant],
    baseline: usize,
    judge: Option<&'a Judge>,
) -> Results<'a> {
    let mut interrupted = std::pin::pin!(interruption());
    let mut answers: Vec<Vec<Option<Answered>>> = prompts
        .iter()
        .map(|_| models.iter().map(|_| None).collect())
        .collect();
    let jobs = prompts.iter().enumerate().flat_map(|(at, prompt)| {
        models
            .iter()
            .enumerate()
            .map(move |(of, model)| (at, prompt, of, model))
    });
    let jobs = jobs.map(|(at, prompt, of, model)| async move {
        let asked = calls.answer(prompt, &model.named).await;
        let checks = asked
            .result
            .as_ref()
            .map_or_else(|_| Vec::new(), |response| prompt.checks.of(response));
        (at, of, Answered { asked, checks })
    });
    let progress = Progress::new(prompts.len() * models.len(), "answers");
    let mut is_interrupted = drive(jobs, calls.at_once, &mut interrupted, |(at, of, answered)| {
        progress.step();
        if let Some(slot) = answers.get_mut(at).and_then(|models| models.get_mut(of)) {
            *slot = Some(answered);
        }
    })
    .await;
    drop(progress);

    let mut judged = Vec::new();
    if let Some(judge) = judge.filter(|_| !is_interrupted) {
        let pairs = pairs(&answers);
        let jobs = pairs.into_iter().map(|(prompt, first, second)| {
            let conversation = prompts.get(prompt).map_or(&[][..], |prompt| &prompt.messages);
            let answers = [first, second].map(|of| said(&answers, prompt, of));
            async move {
                let [one, other] = &answers;
                let straight = ask_judge(calls, judge, judge_messages(conversation, one, other)).await;
                let swapped = ask_judge(calls, judge, judge_messages(conversation, other, one)).await;
                Judged {
                    prompt,
                    first,
                    second,
                    verdict: PairVerdict::of(straight.as_ref().ok().copied(), swapped.as_ref().ok().copied()),
                    choices: [straight, swapped],
                }
            }
        });
        let progress = Progress::new(jobs.len(), "pairs judged");
        is_interrupted = drive(jobs, calls.at_once, &mut interrupted, |pair| {
            progress.step();
            judged.push(pair);
        })
        .await;
        judged.sort_by_key(|pair| (pair.prompt, pair.first, pair.second));
    }
    let charges = calls.written(Purpose::Answer).await;
    let judge_charges = calls.written(Purpose::Judgement).await;
    Results {
        app: calls.app,
        prompts,
        models,
        judge,
        report: report(models, &answers, &judged),
        paired: paired(models, baseline, &answers, judge.map(|_| judged.as_slice())),
        answers,
        judged,
        charges,
        judge_charges,
        is_interrupted,
    }
}

/// Runs jobs, so many at once; whether it was interrupted. What still ran is cut off then.
async fn drive<T>(
    jobs: impl Iterator<Item = impl Future<Output = T>>,
    at_once: usize,
    interrupted: &mut (impl Future<Output = ()> + Unpin),
    mut done: impl FnMut(T),
) -> bool {
    let mut running = std::pin::pin!(stream::iter(jobs).buffer_unordered(at_once));
    loop {
        tokio::select! {
            biased;
            () = &mut *interrupted => return true,
            next = running.next() => match next {
                Some(result) => done(result),
                None => return false,
            },
        }
    }
}

async fn interruption() {
    if tokio::signal::ctrl_c().await.is_err() {
        // It cannot be watched for: then the system ends the process, as it always did.
        std::future::pending::<()>().await;
    }
}

/// Every two models that both answered a prompt.
fn pairs(answers: &[Vec<Option<Answered>>]) -> Vec<(usize, usize, usize)> {
    let mut pairs = Vec::new();
    for (prompt, models) in answers.iter().enumerate() {
        let answered: Vec<usize> = models
            .iter()
            .enumerate()
            .filter(|(_, model)| model.as_ref().is_some_and(|model| model.asked.result.is_ok()))
            .map(|(of, _)| of)
            .collect();
        for (at, first) in answered.iter().enumerate() {
            pairs.extend(
                answered
                    .iter()
                    .skip(at + 1)
                    .map(|second| (prompt, *first, *second)),
            );
        }
    }
    pairs
}

/// What a model said, tool calls included, for the judge to read.
fn said(answers: &[Vec<Option<Answered>>], prompt: usize, model: usize) -> String {
    let answered = answers.get(prompt).and_then(|models| models.get(model)?.as_ref());
    let Some(Ok(response)) = answered.map(|answered| &answered.asked.result) else {
        return String::new();
    };
    let mut text = response.text();
    let message = response.choices.first().map(|choice| &choice.message);
    if let Some(refusal) = message.and_then(|message| message.refusal.as_deref()) {
        text.push_str(refusal);
    }
    for call in message.map_or(&[][..], |message| &message.tool_calls) {
        text.push_str(&format!(
            "\n[calls {}({})]",
            call.function.name, call.function.arguments
        ));
    }
    text
}

async fn ask_judge(
    calls: &Calls<'_>,
    judge: &Judge,
    messages: Vec<integration_core::chat::Message>,
) -> Result<JudgeChoice, String> {
    let asked = calls.judge(&judge.named, messages, judge.is_formed).await;
    let response = asked.result.map_err(|failure| failure.message)?;
    read_judgement(&response.text()).map_err(|error| error.to_string())
}

fn report(models: &[Contestant], answers: &[Vec<Option<Answered>>], judged: &[Judged]) -> ComparisonReport {
    let mut book = Comparison::new(models.iter().map(|model| model.target.model.clone()));
    for (prompt, of_prompt) in answers.iter().enumerate() {
        for (model, answered) in models.iter().zip(of_prompt) {
            if let Some(answered) = answered {
                book.tell(
                    prompt,
                    &model.target.model,
                    answered.asked.trial(&answered.checks),
                );
            }
        }
    }
    for pair in judged {
        if let (Some(first), Some(second)) = (models.get(pair.first), models.get(pair.second)) {
            book.judged(
                pair.prompt,
                &first.target.model,
                &second.target.model,
                pair.verdict,
            );
        }
    }
    book.report()
}

fn paired(
    models: &[Contestant],
    baseline: usize,
    answers: &[Vec<Option<Answered>>],
    judged: Option<&[Judged]>,
) -> Paired {
    let column = |(place, model): (usize, &Contestant)| {
        let trials = answers.iter().map(|models| {
            let answered = models.get(place)?.as_ref()?;
            Some(answered.asked.trial(&answered.checks))
        });
        Column {
            place,
            model: model.target.model.clone(),
            trials: trials.collect(),
        }
    };
    let mut others: Vec<Column> = models.iter().enumerate().map(column).collect();
    let base = others.remove(baseline);
    let verdicts = judged.map(|judged| {
        let both = judged.iter().flat_map(|pair| {
            let (first, second) = (pair.first, pair.second);
            [
                ((pair.prompt, first, second), pair.verdict),
                ((pair.prompt, second, first), pair.verdict.swapped()),
            ]
        });
        both.collect()
    });
    Paired::of(&base, &others, verdicts.as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[tokio::test]
    async fn no_more_calls_run_at_once_than_were_asked_for() {
        for at_once in [1, 3] {
            let (running, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
            let jobs = (0..20).map(|at| {
                let (running, most) = (&running, &most);
                async move {
                    most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    for _ in 0..at % 4 + 1 {
                        tokio::task::yield_now().await;
                    }
                    running.fetch_sub(1, Ordering::SeqCst);
                    at
                }
            });
            let mut done = Vec::new();
            let mut never = std::pin::pin!(std::future::pending());
            assert!(!drive(jobs, at_once, &mut never, |at| done.push(at)).await);
            done.sort_unstable();
            assert_eq!(done, (0..20).collect::<Vec<_>>());
            assert_eq!(most.into_inner(), at_once);
        }
    }

    #[tokio::test]
    async fn an_interruption_begins_nothing_more() {
        let begun = AtomicUsize::new(0);
        let jobs = (0..20).map(|_| async { begun.fetch_add(1, Ordering::SeqCst) });
        let mut now = std::pin::pin!(std::future::ready(()));
        assert!(drive(jobs, 4, &mut now, |_| {}).await);
        assert_eq!(begun.into_inner(), 0);
    }
}
