//! What came of a mirror: its pairs out of the store, and how the two models differ.

use costing::Pico;
use experiments::fixed::means::paired_t;
use experiments::fixed::paired::{Pairs, mcnemar_mid_p, tango_interval};
use experiments::statistics::{Alternative, Interval, Level, Moments, StatisticsError};
use experiments::{Attribution, OutcomeStore, UnitRow};
use serde::Serialize;

use super::{Mirror, MirrorSettings};

/// Whether the answer that the caller got is sound: 1 or 0.
pub(super) const SERVED_OK: &str = "served.ok";
/// The same of the second model's; 0 if it gave none.
pub(super) const MIRROR_OK: &str = "mirror.ok";
/// What the caller's call cost at the provider, in US dollars.
pub(super) const SERVED_COST: &str = "served.cost";
/// The same of the second model's answer.
pub(super) const MIRROR_COST: &str = "mirror.cost";
/// How long the caller waited, in milliseconds.
pub(super) const SERVED_LATENCY: &str = "served.latency_ms";
/// How long the second model's answer took.
pub(super) const MIRROR_LATENCY: &str = "mirror.latency_ms";

/// Below so many pairs no interval is given: one unusual answer would decide it.
const LEAST_PAIRS: u64 = 30;

/// The share of intervals that may miss.
const ALPHA: f64 = 0.05;

/// What came of a mirror so far. Differences are the second model's value minus that of the one that answered.
#[derive(Debug, Serialize)]
pub(crate) struct MirrorResults {
    pub(crate) mirror: String,
    pub(crate) model: String,
    pub(crate) of: Option<String>,
    pub(crate) sample_bps: u16,
    pub(crate) concurrency: u32,
    pub(crate) timeout_ms: i64,
    pub(crate) max_usd_per_day: Pico,
    /// Of the day of UTC.
    pub(crate) spent_today_usd: Pico,
    /// Pairs in the store.
    pub(crate) units: u64,
    pub(crate) ok: Shares,
    pub(crate) cost_usd: Means,
    pub(crate) latency_ms: Means,
    /// `None` where no gateway runs.
    pub(crate) since_start: Option<SinceStart>,
}

/// How often both gave a sound answer.
#[derive(Debug, Serialize)]
pub(crate) struct Shares {
    pub(crate) pairs: u64,
    /// Units of which it is not known of both.
    pub(crate) left_out: u64,
    pub(crate) both: u64,
    pub(crate) mirror_only: u64,
    pub(crate) served_only: u64,
    pub(crate) neither: u64,
    pub(crate) served: Option<f64>,
    pub(crate) mirror: Option<f64>,
    #[serde(flatten)]
    pub(crate) difference: Difference,
}

/// What something was on average, over pairs that the second model answered.
#[derive(Debug, Serialize)]
pub(crate) struct Means {
    pub(crate) pairs: u64,
    pub(crate) left_out: u64,
    pub(crate) served: Option<f64>,
    pub(crate) mirror: Option<f64>,
    #[serde(flatten)]
    pub(crate) difference: Difference,
}

/// A difference, and where it may lie.
#[derive(Debug, Serialize)]
pub(crate) struct Difference {
    pub(crate) difference: Option<f64>,
    pub(crate) p_value: Option<f64>,
    /// 95 %, two-sided, for one look.
    pub(crate) interval: Option<Interval>,
    /// Why there is none.
    pub(crate) no_interval: Option<String>,
}

/// What became of the calls that were answered since the gateway started.
#[derive(Debug, Serialize)]
pub(crate) struct SinceStart {
    pub(crate) mirrored: u64,
    pub(crate) in_flight: u32,
    /// What was spent today, and what calls under way may yet cost.
    pub(crate) committed_usd: Pico,
    /// By the reason.
    pub(crate) not_mirrored: std::collections::BTreeMap<&'static str, u64>,
}

/// Two means and the mean of differences.
#[derive(Debug, Default)]
struct Paired {
    served: Moments,
    mirror: Moments,
    differences: Moments,
}

/// What is added up over all pairs.
#[derive(Debug, Default)]
struct Sums {
    units: u64,
    ok: Pairs,
    cost: Paired,
    latency: Paired,
}

impl MirrorResults {
    /// Reads the pairs of a mirror. `spent`: what was spent today.
    ///
    /// # Errors
    /// The store's own trouble, or one sentence about a figure that no mean can be made of.
    pub(crate) async fn read(
        settings: &MirrorSettings,
        store: &dyn OutcomeStore,
        spent: Pico,
    ) -> anyhow::Result<Self> {
        let experiment = settings.experiment()?;
        let attribution = Attribution::new(
            experiment.key(),
            experiment.version(),
            experiment.unit(),
            // A pair is one record, kept when it is known: there is nothing to wait for.
            i64::MAX,
        )?;
        let (mut sums, mut failed) = (Sums::default(), None);
        store
            .for_each_unit(&attribution, &mut |row| {
                if let Err(error) = sums.add(&row) {
                    failed = Some(error);
                }
            })
            .await?;
        if let Some(error) = failed {
            return Err(error.into());
        }
        let policy = &settings.policy;
        Ok(Self {
            mirror: settings.key.clone(),
            model: settings.model.clone(),
            of: settings.of.clone(),
            sample_bps: settings.sample_bps,
            concurrency: policy.max_in_flight(),
            timeout_ms: policy.timeout_ms(),
            max_usd_per_day: settings.budget(),
            spent_today_usd: spent,
            units: sums.units,
            ok: Shares::of(&sums.ok, sums.units),
            cost_usd: sums.cost.means(sums.units),
            latency_ms: sums.latency.means(sums.units),
            since_start: None,
        })
    }

    /// The same of a mirror that runs here.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub(crate) async fn of_running(
        mirror: &Mirror,
        store: &dyn OutcomeStore,
        now_ms: i64,
    ) -> anyhow::Result<Self> {
        let mut results = Self::read(&mirror.settings, store, Pico::ZERO).await?;
        let counts = mirror.counts().clone();
        let mut gate = mirror.gate();
        gate.see(now_ms);
        results.spent_today_usd = Pico::new(gate.spent_pico());
        results.since_start = Some(SinceStart {
            mirrored: counts.mirrored,
            in_flight: gate.in_flight(),
            committed_usd: Pico::new(gate.committed_pico()),
            not_mirrored: counts.not_mirrored,
        });
        Ok(results)
    }
}

impl Sums {
    fn add(&mut self, row: &UnitRow) -> Result<(), StatisticsError> {
        self.units += 1;
        let one = |name: &str| {
            let values = row.sums.named.get(name).filter(|values| values.n == 1);
            values.map(|values| values.sum)
        };
        let both = |served, mirror| one(served).zip(one(mirror));
        if let Some((served, mirror)) = both(SERVED_OK, MIRROR_OK) {
            self.ok.push(served > 0.5, mirror > 0.5);
        }
        if let Some((served, mirror)) = both(SERVED_COST, MIRROR_COST) {
            self.cost.push(served, mirror)?;
        }
        if let Some((served, mirror)) = both(SERVED_LATENCY, MIRROR_LATENCY) {
            self.latency.push(served, mirror)?;
        }
        Ok(())
    }
}

impl Paired {
    fn push(&mut self, served: f64, mirror: f64) -> Result<(), StatisticsError> {
        self.served.push(served)?;
        self.mirror.push(mirror)?;
        self.differences.push(mirror - served)
    }

    fn means(&self, units: u64) -> Means {
        let pairs = self.differences.n();
        let level = Level::new(ALPHA);
        let effect = enough(pairs).and_then(|()| {
            let effect = level.and_then(|level| paired_t(&self.differences, level, Alternative::TwoSided));
            effect.map_err(|error| error.to_string())
        });
        Means {
            pairs,
            left_out: units.saturating_sub(pairs),
            served: self.served.mean(),
            mirror: self.mirror.mean(),
            difference: Difference {
                difference: self.differences.mean(),
                p_value: effect.as_ref().ok().map(|effect| effect.p_value),
                interval: effect.as_ref().ok().map(|effect| effect.interval),
                no_interval: effect.err(),
            },
        }
    }
}

impl Shares {
    fn of(pairs: &Pairs, units: u64) -> Self {
        let n = pairs.n();
        let share = |count: u64| (n > 0).then(|| count as f64 / n as f64);
        let interval = enough(n).and_then(|()| {
            let interval = Level::new(ALPHA).and_then(|level| tango_interval(pairs, level));
            interval.map_err(|error| error.to_string())
        });
        Self {
            pairs: n,
            left_out: units.saturating_sub(n),
            both: pairs.both,
            mirror_only: pairs.treatment_only,
            served_only: pairs.control_only,
            neither: pairs.neither,
            served: share(pairs.both + pairs.control_only),
            mirror: share(pairs.both + pairs.treatment_only),
            difference: Difference {
                difference: pairs.difference(),
                p_value: mcnemar_mid_p(pairs, Alternative::TwoSided)
                    .ok()
                    .filter(|_| interval.is_ok()),
                interval: interval.as_ref().ok().copied(),
                no_interval: interval.err(),
            },
        }
    }
}

fn enough(pairs: u64) -> Result<(), String> {
    if pairs >= LEAST_PAIRS {
        return Ok(());
    }
    Err(format!(
        "there are {pairs} pairs; an interval needs {LEAST_PAIRS}"
    ))
}
