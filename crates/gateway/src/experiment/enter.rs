//! Which arms a request is in, and what they make of it.

use std::sync::Arc;
use std::time::Instant;

use costing::Caller;
use experiments::{Attribute, Context, Experiment, Exposure, Units};
use integration_core::{ModelId, RequestId};
use serde_json::{Value, json};

use super::arm::Fields;
use super::config::ExperimentSettings;
use super::results::stored_key;
use crate::app::App;
use crate::call::Body;
use crate::config::AUTO;
use crate::warm::conversation;

/// An experiment that takes no request with this model.
const OTHER_MODEL: &str = "other_model";
/// The caller has set what the experiment may set.
const OWN_OPTION: &str = "own_option";
/// An experiment before it, which the request is in, may set the same.
const OTHER_EXPERIMENT: &str = "other_experiment";

/// A request that has been held against the experiments.
#[derive(Debug)]
pub(crate) struct Entered {
    settings: Arc<ExperimentSettings>,
    /// One for each experiment, in their order.
    seats: Vec<Seat>,
    arms: Option<String>,
    /// The model that the caller asked for.
    pub(crate) asked: ModelId,
    /// Whose request it is.
    pub(super) units: Units,
    /// When it was, in milliseconds since 1970-01-01 UTC and by the clock of durations.
    pub(super) began_ms: i64,
    pub(super) began: Instant,
    explain: bool,
}

/// Where a request stands in an experiment.
#[derive(Debug)]
struct Seat {
    version: u32,
    /// Its place among the arms of the experiment.
    arm: Option<usize>,
    reason: &'static str,
}

impl Entered {
    /// Holds a request against the experiments, and makes of it what its arms say. Who met an arm is on its way into the store then.
    /// `None` without experiments.
    pub(crate) fn of(app: &App, request: &RequestId, caller: &Caller, body: &mut Body) -> Option<Self> {
        let settings = &app.settings.experiments;
        if settings.is_empty() {
            return None;
        }
        let tenant = caller.project.as_deref().unwrap_or(&caller.key);
        let user = body.options.user.as_ref().or(body.request.user.as_ref());
        // Two tenants' users of the same name are two.
        let user = user.filter(|user| !user.is_empty());
        let user = user.map(|user| format!("{tenant}/{user}"));
        let conversation = format!("{:016x}", conversation(&caller.key, &body.request));
        let (asked, task) = (body.request.model.clone(), body.options.task.clone());
        let mut context = Context::new()
            .with_tenant(tenant)
            .with_conversation(&conversation)
            .with_request(request.as_str())
            .with_key(&caller.key)
            .with_model(asked.as_str());
        if let Some(user) = &user {
            context = context.with_user(user);
        }
        if let Some(team) = &caller.team {
            context = context.with_team(team);
        }
        if let Some(task) = &task {
            context = context.with_task(task);
        }
        let began_ms = app.outcomes.now_ms();
        let (seats, exposures) = seats(
            app,
            settings,
            &context,
            Fields::of_request(&body.options),
            began_ms,
        );
        let mut arms = Vec::new();
        for ((experiment, of_gateway), seat) in settings.iter().zip(&seats) {
            let Some(place) = seat.arm else { continue };
            if let (Some(arm), Some(does)) = (experiment.arms().get(place), of_gateway.arms.get(place)) {
                does.apply(body);
                arms.push(format!("{}={}", experiment.key(), arm.key));
            }
        }
        app.outcomes.expose(exposures);
        let units = Units::from(&context);
        Some(Self {
            settings: Arc::clone(settings),
            seats,
            arms: (!arms.is_empty()).then(|| arms.join(", ")),
            asked,
            units,
            began_ms,
            began: app.clock.now(),
            explain: body.options.explain,
        })
    }

    /// The arms it is in, as `experiment=arm, experiment=arm`; `None` if it is in none.
    pub(crate) fn arms(&self) -> Option<&str> {
        self.arms.as_deref()
    }

    /// The experiments it is in an arm of, and for who wants to know the others too, with the reason. `None` if there is nothing to
    /// tell.
    pub(crate) fn json(&self) -> Option<Value> {
        let told = self.settings.set().iter().zip(&self.seats);
        let told: Vec<_> = told
            .filter(|(_, seat)| self.explain || seat.arm.is_some())
            .map(|(experiment, seat)| {
                let arm = seat.arm.and_then(|place| experiment.arms().get(place));
                json!({
                    "experiment": experiment.key(),
                    "version": seat.version,
                    "arm": arm.map(|arm| &arm.key),
                    "reason": seat.reason,
                })
            })
            .collect();
        (!told.is_empty()).then_some(Value::Array(told))
    }
}

/// Where a request stands in each experiment, and the exposures that are new. `own`: what the caller has decided.
///
/// Who is in an experiment must not depend on the arm. So whether it takes a request goes by what any of its arms may do: an experiment
/// whose arms cannot all have their way with a request does not take it.
fn seats(
    app: &App,
    settings: &ExperimentSettings,
    context: &Context<'_>,
    own: Fields,
    now_ms: i64,
) -> (Vec<Seat>, Vec<Exposure>) {
    let (mut seats, mut exposures) = (Vec::new(), Vec::new());
    let mut decided = Fields::default();
    for (experiment, of_gateway) in settings.iter() {
        let mut seat = Seat {
            version: experiment.version(),
            arm: None,
            reason: OTHER_MODEL,
        };
        if takes_model(experiment, of_gateway.is_by_model, context) {
            if of_gateway.fields.meet(own) {
                seat.reason = OWN_OPTION;
            } else if of_gateway.fields.meet(decided) {
                seat.reason = OTHER_EXPERIMENT;
            } else {
                let assignment = experiment.assign_for(context);
                let place = |key| experiment.arms().iter().position(|arm| arm.key == key);
                seat.version = assignment.version;
                seat.arm = assignment.arm.and_then(place);
                seat.reason = assignment.reason.as_str();
                if seat.arm.is_some() {
                    decided = decided.and(of_gateway.fields);
                }
                if app.outcomes.is_new(&assignment, context, now_ms) {
                    exposures.extend(Exposure::of(&assignment, context, now_ms).map(|mut exposure| {
                        exposure.experiment = stored_key(experiment.key(), app.upstreams.simulates());
                        exposure
                    }));
                }
            }
        }
        seats.push(seat);
    }
    (seats, exposures)
}

/// Whether a request for such a model is for an experiment. Who names a model gets no other, unless the experiment is aimed at that
/// model; this holds for units that are forced into an arm as well.
fn takes_model(experiment: &Experiment, is_by_model: bool, context: &Context<'_>) -> bool {
    let mut of_model = experiment
        .targeting()
        .iter()
        .filter(|condition| condition.attribute() == Attribute::Model);
    if is_by_model {
        of_model.all(|condition| condition.holds(context))
    } else {
        context.attribute(Attribute::Model) == Some(AUTO)
    }
}
