//! The allowed arrows, as ARCHITECTURE.md draws them.

/// One room of the house. A name may begin or end with `*`; the first rule that matches counts.
pub(super) struct Rule {
    pub(super) member: &'static str,
    pub(super) may_use: &'static [Arrow],
}

/// A normal dependency that is allowed, with its condition.
pub(super) struct Arrow {
    pub(super) to: &'static str,
    pub(super) condition: Condition,
}

#[derive(PartialEq, Eq)]
pub(super) enum Condition {
    None,
    NoDefaultFeatures,
    Optional,
}

const fn to(to: &'static str) -> Arrow {
    Arrow {
        to,
        condition: Condition::None,
    }
}

const fn slim(to: &'static str) -> Arrow {
    Arrow {
        to,
        condition: Condition::NoDefaultFeatures,
    }
}

const fn optional(to: &'static str) -> Arrow {
    Arrow {
        to,
        condition: Condition::Optional,
    }
}

/// The arrows of ARCHITECTURE.md. A new member gets its line here and there.
pub(super) const RULES: &[Rule] = &[
    Rule {
        member: "integration-core",
        may_use: &[],
    },
    Rule {
        member: "model-catalogue",
        may_use: &[to("integration-core")],
    },
    Rule {
        member: "http-transport",
        may_use: &[to("integration-core")],
    },
    Rule {
        member: "rate-limits",
        may_use: &[to("integration-core")],
    },
    Rule {
        member: "costing",
        may_use: &[to("integration-core"), slim("model-catalogue")],
    },
    Rule {
        member: "experiments",
        may_use: &[to("integration-core")],
    },
    Rule {
        member: "routing",
        may_use: &[
            to("integration-core"),
            to("model-catalogue"),
            to("costing"),
            optional("rate-limits"),
        ],
    },
    Rule {
        member: "routing-learned",
        may_use: &[
            to("integration-core"),
            to("model-catalogue"),
            to("costing"),
            slim("routing"),
            to("experiments"),
        ],
    },
    Rule {
        member: "*-client",
        may_use: &[
            to("integration-core"),
            slim("model-catalogue"),
            to("http-transport"),
        ],
    },
    Rule {
        member: "store-*",
        may_use: &[
            to("integration-core"),
            to("costing"),
            to("experiments"),
            slim("routing"),
        ],
    },
    Rule {
        member: "provider-testkit",
        may_use: &[to("integration-core")],
    },
    Rule {
        member: "openrouter-simulator",
        may_use: &[to("integration-core"), to("model-catalogue"), to("costing")],
    },
    Rule {
        member: "waypost-fuzz-bodies",
        may_use: &[
            to("integration-core"),
            to("model-catalogue"),
            to("http-transport"),
            to("costing"),
            to("experiments"),
            slim("routing"),
            to("routing-learned"),
            to("openrouter-client"),
        ],
    },
];

/// Where everything comes together: they may use all, and nothing uses them.
pub(super) const ROOTS: &[&str] = &["gateway", "xtask", "waypost-benches"];

/// What dev-dependencies may use besides the arrows. Also, every member may use itself, to turn on its own features.
pub(super) const FOR_TESTS: &[&str] = &["provider-testkit", "openrouter-simulator"];

/// Packages of other people that only some members may name as a normal dependency. The roots may name all.
pub(super) const OWNED: &[(&str, &[&str])] = &[
    // What providers are called with. The simulator's is the server.
    ("reqwest", &[]),
    ("hyper", &["http-transport", "openrouter-simulator"]),
    ("hyper-util", &["http-transport", "openrouter-simulator"]),
    ("rusqlite", &["store-sqlite"]),
    ("axum", &["openrouter-simulator"]),
    ("dotenvy", &[]),
    ("tracing-subscriber", &[]),
];
