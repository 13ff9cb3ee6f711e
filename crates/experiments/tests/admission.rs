//! Who gets into an experiment, and why not: status, unit, forced units, targeting, holdouts, sets of experiments.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use experiments::{
    Arm, Attribute, Condition, Context, Experiment, ExperimentError, Experiments, Forced, Holdout, LayerSlot,
    Reason, Status, UnitKey,
};
use proptest::prelude::*;

fn two_arms(key: &str) -> Experiment {
    Experiment::new(key, [Arm::new("a", 5_000), Arm::new("b", 5_000)]).unwrap()
}

fn users(n: u32) -> impl Iterator<Item = String> {
    (0..n).map(|i| format!("user-{i}"))
}

#[test]
fn a_draft_lets_in_the_forced_and_a_stopped_experiment_nobody() {
    let experiment = two_arms("e").with_forced([Forced::new("tester", "b")]).unwrap();
    let seen = |status: Status, unit: &str| {
        let experiment = experiment.clone().with_status(status);
        let assignment = experiment.assign(unit);
        (
            assignment.reason,
            assignment.arm.map(str::to_owned),
            assignment.analysed,
        )
    };
    let out = (Reason::Disabled, None, false);
    let forced = (Reason::Forced, Some("b".to_owned()), false);
    assert_eq!(seen(Status::Draft, "tester"), forced);
    assert_eq!(seen(Status::Draft, "other"), out);
    assert_eq!(seen(Status::Running, "tester"), forced);
    let (reason, arm, analysed) = seen(Status::Running, "other");
    assert!(reason == Reason::Split && arm.is_some() && analysed);
    assert_eq!(seen(Status::Stopped, "tester"), out);
    assert_eq!(seen(Status::Stopped, "other"), out);
}

#[test]
fn the_unit_is_of_the_kind_chosen_and_nothing_stands_in_for_it() {
    let all = Context::new()
        .with_tenant("t")
        .with_user("u")
        .with_conversation("c")
        .with_request("r");
    for (kind, name) in [
        (UnitKey::Tenant, "t"),
        (UnitKey::User, "u"),
        (UnitKey::Conversation, "c"),
        (UnitKey::Request, "r"),
    ] {
        let experiment = two_arms("e").with_unit(kind);
        assert_eq!(all.unit(kind), Some(name));
        assert_eq!(experiment.assign_for(&all), experiment.assign(name));
        for other in [
            UnitKey::Tenant,
            UnitKey::User,
            UnitKey::Conversation,
            UnitKey::Request,
        ] {
            let reason = experiment.assign_for(&Context::of(other, name)).reason;
            let expected = if other == kind {
                Reason::Split
            } else {
                Reason::NoUnit
            };
            assert_eq!(reason, expected, "{kind:?} {other:?}");
        }
        assert_eq!(experiment.assign("").reason, Reason::NoUnit);
        assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
    }
}

#[test]
fn every_condition_must_hold_and_what_is_unknown_meets_none() {
    let experiment = two_arms("e").with_targeting([
        Condition::equals(Attribute::Team, "search"),
        Condition::one_of(Attribute::Task, ["code", "chat"]),
        Condition::not(Attribute::Model, "big"),
    ]);
    let good = Context::new()
        .with_user("u")
        .with_team("search")
        .with_task("chat")
        .with_model("small");
    assert_eq!(experiment.assign_for(&good).reason, Reason::Split);
    for bad in [
        good.with_team("Search"),
        good.with_task("summary"),
        good.with_model("big"),
        Context::new()
            .with_user("u")
            .with_team("search")
            .with_task("chat"),
        Context::of(UnitKey::User, "u"),
    ] {
        assert_eq!(experiment.assign_for(&bad).reason, Reason::Targeting, "{bad:?}");
    }
    assert_eq!(experiment.assign("u").reason, Reason::Targeting);
    let nobody = two_arms("e").with_targeting([Condition::one_of(Attribute::Team, [""; 0])]);
    assert_eq!(nobody.assign_for(&good).reason, Reason::Targeting);
    let each = [
        (Attribute::Tenant, Context::new().with_tenant("x")),
        (Attribute::User, Context::new().with_user("x")),
        (Attribute::Key, Context::new().with_key("x")),
        (Attribute::Team, Context::new().with_team("x")),
        (Attribute::Task, Context::new().with_task("x")),
        (Attribute::Model, Context::new().with_model("x")),
    ];
    for (attribute, context) in each {
        assert!(Condition::equals(attribute, "x").holds(&context));
        assert_eq!(
            each.iter()
                .filter(|(_, c)| c.attribute(attribute).is_some())
                .count(),
            1
        );
    }
}

#[test]
fn a_holdout_keeps_its_share_out_of_all_experiments_and_says_nothing_about_the_arm() {
    let holdout = Holdout::new("2026", 1_000);
    let set = Experiments::new([two_arms("one"), two_arms("two")], [holdout.clone()]).unwrap();
    let (mut held, mut a) = (0u32, 0u32);
    for user in users(100_000) {
        let context = Context::of(UnitKey::User, &user);
        let out = set
            .assign_all(&context)
            .filter(|assignment| assignment.reason == Reason::Holdout)
            .count();
        assert!(
            out == 0 || out == 2,
            "in one held-out experiment and not in another"
        );
        assert_eq!(out == 2, holdout.holds(&user));
        held += u32::from(out == 2);
        a += u32::from(set.get("one").unwrap().assign_for(&context).arm == Some("a"));
    }
    assert!(
        (f64::from(held) - 10_000.0).abs() < 4.0 * 9_000f64.sqrt(),
        "{held}"
    );
    assert!((f64::from(a) - 45_000.0).abs() < 4.0 * 24_750f64.sqrt(), "{a}");
}

#[test]
fn a_holdout_of_a_layer_leaves_other_experiments_alone_and_comes_before_the_layer() {
    let inside = two_arms("inside")
        .with_layer(LayerSlot::new("models", 0, 1))
        .unwrap();
    let set = Experiments::new(
        [inside, two_arms("outside")],
        [Holdout::new("h", 10_000).in_layer("models")],
    )
    .unwrap();
    for user in users(100) {
        let context = Context::of(UnitKey::User, &user);
        let reasons: Vec<_> = set.assign_all(&context).map(|a| a.reason).collect();
        assert_eq!(reasons, [Reason::Holdout, Reason::Split]);
    }
}

#[test]
fn a_set_is_refused_if_its_experiments_get_in_each_others_way() {
    let slot = |start, end| LayerSlot::new("models", start, end);
    let layered = |key: &str, start, end| two_arms(key).with_layer(slot(start, end)).unwrap();
    let set = |experiments: Vec<Experiment>| Experiments::new(experiments, []);
    assert!(matches!(
        set(vec![two_arms("e"), two_arms("e")]),
        Err(ExperimentError::DuplicateExperiment { .. })
    ));
    assert!(matches!(
        set(vec![layered("e", 0, 10), layered("f", 9, 20)]),
        Err(ExperimentError::LayerOverlap { .. })
    ));
    assert!(set(vec![layered("e", 0, 10), layered("f", 10, 20)]).is_ok());
    let stopped = layered("e", 0, 10).with_status(Status::Stopped);
    assert!(set(vec![stopped, layered("f", 9, 20)]).is_ok());
    let salted = |e: Experiment| e.with_salt("s").unwrap();
    assert!(matches!(
        set(vec![salted(two_arms("e")), salted(two_arms("f"))]),
        Err(ExperimentError::SharedSalt { .. })
    ));
    assert!(
        set(vec![salted(layered("e", 0, 10)), salted(layered("f", 10, 20))]).is_ok(),
        "they share no unit"
    );
    let held = |holdouts: Vec<Holdout>| Experiments::new([two_arms("e")], holdouts);
    for bad in [
        vec![Holdout::new("", 1)],
        vec![Holdout::new("h", 10_001)],
        vec![Holdout::new("h", 1), Holdout::new("h", 2).in_layer("l")],
    ] {
        assert!(matches!(held(bad), Err(ExperimentError::Holdout { .. })));
    }
    let other_share = two_arms("e").with_holdouts([Holdout::new("h", 2)]).unwrap();
    assert!(Experiments::new([other_share.clone()], [Holdout::new("h", 1)]).is_err());
    let third = two_arms("f").with_holdouts([Holdout::new("h", 3)]).unwrap();
    assert!(Experiments::new([other_share, third], []).is_err());
}

#[test]
fn what_is_refused_in_an_experiment_names_the_reason() {
    let holdouts = |holdouts: Vec<Holdout>| two_arms("e").with_holdouts(holdouts).unwrap_err();
    assert!(matches!(
        holdouts(vec![Holdout::new("h", 10_001)]),
        ExperimentError::Holdout { .. }
    ));
    assert!(matches!(
        holdouts(vec![Holdout::new("h", 1), Holdout::new("h", 1)]),
        ExperimentError::Holdout { .. }
    ));
    assert!(matches!(
        holdouts(vec![Holdout::new("h", 1).in_layer("l")]),
        ExperimentError::Holdout { .. }
    ));
    assert!(matches!(
        holdouts(vec![Holdout::new("", 1)]),
        ExperimentError::InvalidSalt { .. }
    ));
    let forced = |forced: Vec<Forced>| two_arms("e").with_forced(forced).unwrap_err();
    for bad in [
        vec![Forced::new("", "a")],
        vec![Forced::new("u", "c")],
        vec![Forced::new("u", "a"), Forced::new("u", "b")],
    ] {
        assert!(matches!(forced(bad), ExperimentError::Forced { .. }));
    }
    assert!(matches!(
        two_arms("e").with_version(2).with_min_version(3),
        Err(ExperimentError::MinVersion {
            min_version: 3,
            version: 2,
            ..
        })
    ));
}

#[test]
fn what_takes_people_out_or_in_needs_a_higher_version() {
    let running = two_arms("e")
        .with_version(3)
        .with_holdouts([Holdout::new("h", 500)])
        .unwrap();
    let holdouts = |holdouts: Vec<Holdout>| running.clone().with_holdouts(holdouts).unwrap();
    for (what, next) in [
        ("unit", running.clone().with_unit(UnitKey::Tenant)),
        (
            "targeting",
            running
                .clone()
                .with_targeting([Condition::equals(Attribute::Team, "t")]),
        ),
        ("holdouts", holdouts(vec![Holdout::new("h", 501)])),
        ("holdouts", holdouts(vec![Holdout::new("i", 500)])),
        ("min_version", running.clone().with_min_version(3).unwrap()),
    ] {
        match running.check_change(&next) {
            Err(ExperimentError::VersionNotRaised { what: seen, .. }) => assert_eq!(seen, what),
            other => panic!("{what}: {other:?}"),
        }
        assert_eq!(running.check_change(&next.clone().with_version(4)), Ok(()));
        let set = |e: &Experiment| Experiments::new([e.clone(), two_arms("other")], []).unwrap();
        assert!(set(&running).check_change(&set(&next)).is_err());
    }
    for next in [
        holdouts(vec![Holdout::new("h", 499)]),
        holdouts(vec![]),
        running.clone().with_status(Status::Stopped),
        running.clone().with_forced([Forced::new("u", "a")]).unwrap(),
    ] {
        assert_eq!(running.check_change(&next), Ok(()));
    }
}

#[test]
fn a_set_can_be_written_and_read_and_refuses_what_it_does_not_know() {
    let text = r#"
        holdouts = [{ salt = "2026", share_bps = 500 }, { salt = "m", share_bps = 100, layer = "models" }]

        [[experiments]]
        key = "cheaper"
        status = "draft"
        unit = "conversation"
        version = 3
        min_version = 2
        layer = { salt = "models", start = 0, end = 5000 }
        targeting = [
            { attribute = "team", equals = "search" },
            { attribute = "task", one_of = ["code", "chat"] },
            { attribute = "model", not = "big" },
        ]
        forced = [{ unit = "conversation-1", arm = "b" }]
        arms = [{ key = "a", weight_bps = 5000 }, { key = "b", weight_bps = 5000 }]
    "#;
    let set: Experiments = toml::from_str(text).unwrap();
    let experiment = set.get("cheaper").unwrap();
    assert_eq!(
        (experiment.status(), experiment.unit(), experiment.min_version()),
        (Status::Draft, UnitKey::Conversation, 2)
    );
    assert_eq!(experiment.holdouts().len(), 2);
    assert_eq!(experiment.targeting().len(), 3);
    assert_eq!(experiment.forced(), [Forced::new("conversation-1", "b")]);
    assert_eq!(set.holdouts().len(), 2);
    let again: Experiments = serde_json::from_str(&serde_json::to_string(&set).unwrap()).unwrap();
    assert_eq!(again, set);
    assert_eq!(set.into_iter().count(), 1);
    let broken = |from: &str, to: &str| {
        assert!(text.contains(from), "{from}");
        toml::from_str::<Experiments>(&text.replace(from, to))
            .unwrap_err()
            .to_string()
    };
    for (from, to, says) in [
        ("status = \"draft\"", "status = \"live\"", "unknown variant"),
        ("equals = ", "equal = ", "unknown field"),
        (
            "{ attribute = \"team\", equals = \"search\" }",
            "{ attribute = \"team\" }",
            "exactly one",
        ),
        (
            "not = \"big\"",
            "not = \"big\", equals = \"small\"",
            "exactly one",
        ),
        (
            "attribute = \"team\"",
            "attribute = \"country\"",
            "unknown variant",
        ),
        ("arm = \"b\"", "arm = \"c\"", "none of the experiment's"),
        ("min_version = 2", "min_version = 4", "below its min_version"),
        ("holdouts = ", "holdout = ", "unknown field"),
        ("share_bps = 500", "share_bps = 50000", "above 10000"),
    ] {
        let error = broken(from, to);
        assert!(error.contains(says), "{error}");
    }
}

#[test]
fn reasons_are_the_same_word_everywhere() {
    for reason in [
        Reason::Split,
        Reason::Sticky,
        Reason::Forced,
        Reason::Disabled,
        Reason::Targeting,
        Reason::Holdout,
        Reason::NotInLayer,
        Reason::NotInCoverage,
        Reason::NoUnit,
    ] {
        let word = serde_json::to_value(reason).unwrap();
        assert_eq!(word, reason.as_str());
        assert_eq!(serde_json::from_value::<Reason>(word).unwrap(), reason);
    }
}

proptest! {
    #[test]
    fn raising_a_holdout_only_takes_more_out(unit in ".{1,30}", low in 0u16..=10_000, more in 0u16..=10_000) {
        let high = low.saturating_add(more).min(10_000);
        let (small, large) = (Holdout::new("h", low), Holdout::new("h", high));
        prop_assert!(!small.holds(&unit) || large.holds(&unit));
        prop_assert!(Holdout::new("h", 10_000).holds(&unit) && !Holdout::new("h", 0).holds(&unit));
    }

    #[test]
    fn being_in_an_arm_and_the_reason_say_the_same(
        unit in ".{0,20}", team in prop::option::of("[ab]"), coverage in 0u16..=10_000, held in 0u16..=10_000, stopped: bool,
    ) {
        let mut experiment = two_arms("e").with_coverage(coverage).unwrap()
            .with_holdouts([Holdout::new("h", held)]).unwrap()
            .with_targeting([Condition::equals(Attribute::Team, "a")])
            .with_forced([Forced::new("x", "a")]).unwrap();
        if stopped {
            experiment = experiment.with_status(Status::Stopped);
        }
        let mut context = Context::of(UnitKey::User, &unit);
        if let Some(team) = &team {
            context = context.with_team(team);
        }
        let assignment = experiment.assign_for(&context);
        let inside = matches!(assignment.reason, Reason::Split | Reason::Forced);
        prop_assert_eq!(assignment.arm.is_some(), inside);
        prop_assert_eq!(assignment.analysed, assignment.reason == Reason::Split);
        prop_assert_eq!(assignment.bucket.is_some(), assignment.reason == Reason::Split);
        prop_assert_eq!(assignment, experiment.assign_for(&context));
    }
}
