use super::*;

fn uses(name: &str, kind: DependencyKind) -> Use {
    Use {
        name: name.to_owned(),
        kind,
        optional: false,
        default_features: false,
        features: Vec::new(),
    }
}

fn house(extra: Vec<(&str, Vec<Use>)>) -> Vec<Member> {
    let mut members: Vec<Member> = [
        "integration-core",
        "model-catalogue",
        "costing",
        "routing",
        "http-transport",
        "openrouter-simulator",
        "rate-limits",
        "gateway",
    ]
    .into_iter()
    .map(|name| Member {
        name: name.to_owned(),
        uses: Vec::new(),
    })
    .collect();
    for (name, uses) in extra {
        members.retain(|member| member.name != name);
        members.push(Member {
            name: name.to_owned(),
            uses,
        });
    }
    members
}

fn problems(name: &str, used: Use) -> Vec<String> {
    violations(&house(vec![(name, vec![used])]))
}

#[test]
fn the_arrows_of_the_architecture_are_allowed() {
    use DependencyKind::{Development, Normal};
    let allowed = [
        ("costing", uses("model-catalogue", Normal)),
        ("other-client", uses("http-transport", Normal)),
        ("store-other", uses("routing", Normal)),
        ("gateway", uses("openrouter-simulator", Normal)),
        ("gateway", uses("axum", Normal)),
        ("http-transport", uses("hyper", Normal)),
        ("costing", uses("rust_decimal", Normal)),
        ("other-client", uses("openrouter-simulator", Development)),
        ("other-client", uses("reqwest", Development)),
        (
            "integration-core",
            Use {
                features: vec!["testing".to_owned()],
                ..uses("integration-core", Development)
            },
        ),
        (
            "costing",
            Use {
                default_features: true,
                ..uses("model-catalogue", Development)
            },
        ),
        (
            "routing",
            Use {
                optional: true,
                ..uses("rate-limits", Normal)
            },
        ),
    ];
    for (name, used) in allowed {
        let text = format!("{name} -> {used:?}");
        assert_eq!(problems(name, used), Vec::<String>::new(), "{text}");
    }
}

#[test]
fn other_arrows_are_refused_with_the_reason() {
    use DependencyKind::{Build, Development, Normal};
    let refused = [
        (
            "costing",
            uses("routing", Normal),
            "costing may not depend on routing: allowed are integration-core, model-catalogue",
        ),
        (
            "costing",
            uses("routing", Development),
            "costing may not depend on routing",
        ),
        (
            "costing",
            uses("routing", Build),
            "costing may not depend on routing",
        ),
        (
            "integration-core",
            uses("costing", Normal),
            "allowed are no other member",
        ),
        (
            "costing",
            Use {
                default_features: true,
                ..uses("model-catalogue", Normal)
            },
            "default-features = false",
        ),
        (
            "routing",
            uses("rate-limits", Normal),
            "only as an optional dependency",
        ),
        (
            "routing",
            uses("gateway", Normal),
            "routing may not depend on gateway: nothing does",
        ),
        ("routing", uses("gateway", Development), "nothing does"),
        (
            "other-client",
            uses("openrouter-simulator", Normal),
            "may not depend on openrouter-simulator",
        ),
        ("other-client", uses("reqwest", Normal), "only the gateway may"),
        ("other-client", uses("hyper", Normal), "only http-transport"),
        ("costing", uses("dotenvy", Normal), "only the gateway may"),
        (
            "surprise",
            uses("integration-core", Normal),
            "add its line to RULES in xtask/src/layering/arrows.rs",
        ),
        (
            "gateway",
            Use {
                features: vec!["testing".to_owned()],
                ..uses("integration-core", Normal)
            },
            "gateway turns on integration-core/testing",
        ),
    ];
    for (name, used, why) in refused {
        let text = format!("{name} -> {used:?}");
        let found = problems(name, used);
        assert!(found.len() == 1 && found[0].contains(why), "{text}: {found:?}");
    }
}

#[test]
fn mocks_in_the_shipped_tree_are_found() {
    let clean = "gateway v0.1.0\nintegration-core feature \"default\"\nmockall_double v1\n";
    assert!(shipped_mocks(clean).is_empty());
    let bad =
        "integration-core feature \"testing\"\nmockall v0.15.0\nintegration-core feature \"testing\" (*)\n";
    assert_eq!(shipped_mocks(bad).len(), 2);
}

#[test]
fn packages_are_read_from_a_tree() {
    let tree =
        "costing v0.1.0 (crates/costing)\nserde v1.0.0\nserde v1.0.0 (*)\nsyn v2.0.0 (proc-macro) (*)\n";
    assert_eq!(
        packages_of(tree).into_iter().collect::<Vec<_>>(),
        ["costing", "serde", "syn"]
    );
    assert_eq!(line_of_package("serde v1.0.0 (*)"), "serde v1.0.0");
}

#[test]
fn names_match_patterns() {
    assert!(matches("*-client", "acme-client") && !matches("*-client", "client"));
    assert!(matches("store-*", "store-sqlite") && !matches("store-*", "restore-x"));
    assert!(matches("routing", "routing") && !matches("routing", "routing-learned"));
}
