use experiments::analysis::{AnalysisPlan, Correction, Engine};
use experiments::{Direction, Kind, Measure, MetricSpec, Metrics, Role};

use super::{cheaper, plan};

#[test]
fn a_plan_reads_back_what_it_writes() {
    for engine in [
        "",
        "horizon_units = 4000",
        "engine = { sequential = { mixing = { effect_scale = { tau = 0.02 } } } }",
        "engine = \"fixed_horizon\"\nhorizon_units = 4000\nleast_days = 14",
        "engine = { group_sequential = { looks = 5 } }\nhorizon_units = 4000\ncorrection = \"none\"",
        "engine = { bayesian = {} }\nhorizon_units = 4000\nalpha = 0.01",
    ] {
        let plan = cheaper(engine);
        let json = serde_json::to_string(&plan).unwrap();
        assert_eq!(
            serde_json::from_str::<AnalysisPlan>(&json).unwrap(),
            plan,
            "{json}"
        );
    }
    assert_eq!(cheaper("").engine(), Engine::Sequential { mixing: None });
    assert_eq!(cheaper("").correction(), Correction::Holm);
}

#[test]
fn what_cannot_be_planned_is_refused_with_what_to_do() {
    let metric = "[[metrics]]\nkey = \"cost\"\nrole = \"goal\"\nkind = { mean = { of = \"cost\" } }\ndirection = \"lower_is_better\"";
    for (head, why) in [
        ("control = \"\"", "names no arm"),
        (
            "control = \"a\"\nengine = \"fixed_horizon\"",
            "needs `horizon_units`",
        ),
        (
            "control = \"a\"\nengine = { group_sequential = { looks = 21 } }\nhorizon_units = 9",
            "from 1 to 20",
        ),
        (
            "control = \"a\"\nengine = { group_sequential = { looks = 0 } }\nhorizon_units = 9",
            "from 1 to 20",
        ),
        (
            "control = \"a\"\nengine = { bayesian = { prior = 0.0 } }\nhorizon_units = 9",
            "above 0",
        ),
        (
            "control = \"a\"\nengine = { sequential = { mixing = { tuned_for = { units = 0 } } } }",
            "1 unit at least",
        ),
        (
            "control = \"a\"\nengine = { sequential = { mixing = { effect_scale = { tau = 0.0 } } } }",
            "`tau`",
        ),
        ("control = \"a\"\nhorizon_units = 0", "above 0"),
        ("control = \"a\"\nalpha = 0.3", "below 0.25"),
        ("control = \"a\"\nalpha = 0.0", "alpha"),
        ("control = \"a\"\npower = 0.5", "`power`"),
        ("control = \"a\"\nunits_per_day = 0.0", "`units_per_day`"),
        ("control = \"a\"\nlook_hours = 0", "`look_hours`"),
        ("control = \"a\"\nhorizon = 5", "unknown field"),
    ] {
        let error = toml::from_str::<AnalysisPlan>(&format!("{head}\n{metric}"))
            .unwrap_err()
            .to_string();
        assert!(error.contains(why), "{head}: {error}");
    }
    let secondary = MetricSpec::new(
        "calls",
        Role::Secondary,
        Kind::Mean { of: Measure::Calls },
        Direction::LowerIsBetter,
    );
    let error = AnalysisPlan::new("a", Metrics::new([secondary]).unwrap())
        .unwrap_err()
        .to_string();
    assert!(error.contains("nothing to decide"), "{error}");
}

#[test]
fn an_exact_test_is_for_proportions_with_an_absolute_margin() {
    let refused = |change: fn(&mut MetricSpec)| {
        let mut spec = MetricSpec::new(
            "success",
            Role::Goal,
            Kind::Proportion { of: Measure::Success },
            Direction::HigherIsBetter,
        );
        spec.exact = true;
        assert!(Metrics::new([spec.clone()]).is_ok());
        change(&mut spec);
        Metrics::new([spec]).unwrap_err().to_string()
    };
    assert!(refused(|spec| spec.kind = Kind::Mean { of: Measure::Cost }).contains("only a proportion"));
    assert!(refused(|spec| spec.covariate = Some("before".to_owned())).contains("without a covariate"));
    assert!(
        refused(|spec| spec.margin = Some(experiments::Margin::Relative(0.1))).contains("absolute margin")
    );
    assert!(refused(|spec| spec.margin = Some(experiments::Margin::Absolute(1.5))).contains("below 1"));
}

fn one_proportion(head: &str, margin: &str, expected: &str) -> AnalysisPlan {
    plan(&format!(
        "control = \"a\"\n{head}\n[[metrics]]\nkey = \"success\"\nrole = \"goal\"\nkind = {{ proportion = {{ of = \"success\" }} }}\n\
         direction = \"higher_is_better\"\n{margin}\nexpected = {expected}"
    ))
}

/// Non-inferiority of p = .8 at one-sided .05 with power .8 needs 792, 2,199, 4,947 and 19,785 units per arm for margins of .05, .03,
/// .02 and .01 (n = 2pq(z_α + z_β)²/m²).
#[test]
fn units_are_forecast_as_published() {
    for (margin, per_arm) in [(0.05, 792), (0.03, 2_199), (0.02, 4_947), (0.01, 19_785)] {
        let plan = one_proportion(
            "engine = \"fixed_horizon\"\nhorizon_units = 9894\nunits_per_day = 1000.0",
            &format!("margin = {{ absolute = {margin} }}"),
            "{ control = 0.8 }",
        );
        let forecast = &plan.forecast().unwrap()[0];
        let units = forecast.units.unwrap();
        assert!(units.abs_diff(2 * per_arm) <= 2, "margin {margin}: {units} units");
        let weeks = units.div_ceil(1_000).div_ceil(7).max(1);
        assert_eq!(forecast.runtime.unwrap().weeks, weeks);
        // At the horizon for two points, the smallest gain that is found is what is left of the margin.
        let left = forecast.smallest_effect.unwrap() - (0.02 - margin);
        assert!(left.abs() < 2e-5, "{left}");
    }
}

#[test]
fn looking_at_any_time_is_paid_for_in_units() {
    let of = |head: &str| {
        let plan = one_proportion(head, "margin = { absolute = 0.02 }", "{ control = 0.8 }");
        plan.forecast().unwrap()[0].units.unwrap() as f64
    };
    let fixed = of("engine = \"fixed_horizon\"\nhorizon_units = 10000");
    let sequential = of("horizon_units = 10000");
    assert!(
        (1.3..2.2).contains(&(sequential / fixed)),
        "{sequential} beside {fixed}"
    );
}

#[test]
fn what_no_number_of_units_shows_has_no_forecast() {
    let plan = one_proportion(
        "",
        "margin = { absolute = 0.02 }",
        "{ control = 0.8, effect = -0.02 }",
    );
    let forecast = &plan.forecast().unwrap()[0];
    assert_eq!(
        (forecast.units, forecast.smallest_effect, forecast.runtime),
        (None, None, None)
    );
    // Of what nothing is expected, nothing is forecast.
    assert!(cheaper("").forecast().unwrap().is_empty());
}
