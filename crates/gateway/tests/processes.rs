//! The binary dies in the midst of its work, and what it left is found; costs are asked for by hand.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;

use provider_testkit::upstream::{Script, ScriptedUpstream};
use serde_json::Value;

#[path = "support/command.rs"]
mod command;

use command::{ended, run, serve, waypost};

const STREAM: &str =
    r#"{"model":"openai/gpt-4o-mini","stream":true,"messages":[{"role":"user","content":"Hello"}]}"#;

fn number(dir: &Path, sql: &str) -> i64 {
    let path = dir.join("waypost-data/waypost.db");
    let db = rusqlite::Connection::open_with_flags(path, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    db.query_row(sql, [], |row| row.get(0)).unwrap()
}

/// An answer that has begun and not ended.
fn begun(address: &str) -> TcpStream {
    let mut socket = TcpStream::connect(address).unwrap();
    let length = STREAM.len();
    let head = "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json";
    write!(socket, "{head}\r\ncontent-length: {length}\r\n\r\n{STREAM}").unwrap();
    let mut first = [0; 64];
    assert!(socket.read(&mut first).unwrap() > 0);
    socket
}

/// Killed while it streams: the next start says what became of each call, and everything adds up.
#[test]
fn f34_a_gateway_that_is_killed_leaves_nothing_unclear() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("waypost.toml"), "listen = \"127.0.0.1:0\"\n").unwrap();
    let mut dead = serve(dir.path(), &[]);
    let streams = [(); 3].map(|()| begun(&dead.address));
    dead.child.kill().unwrap();
    dead.child.wait().unwrap();
    drop(streams);
    let open = number(dir.path(), "SELECT count(*) FROM attempts WHERE outcome IS NULL");
    assert!(open > 0, "it died in the midst of them");
    let (code, out, err) = run(dir.path(), &["verify"]);
    assert_eq!(code, 0, "{out}{err}");

    let living = serve(dir.path(), &[]);
    assert_eq!(
        number(dir.path(), "SELECT count(*) FROM attempts WHERE outcome IS NULL"),
        0
    );
    let abandoned = "SELECT count(*) FROM attempts WHERE error_kind = 'abandoned' AND cost_pico = 0 AND cost_status = 'exact'";
    assert_eq!(
        number(dir.path(), abandoned),
        open,
        "a simulation dies with its process"
    );
    let (code, out, err) = run(dir.path(), &["verify", "--json"]);
    assert_eq!(code, 0, "{out}{err}");
    drop(living);
}

/// `/generation` and `/activity` of an account, as a management key and an ordinary one may see them.
async fn account() -> ScriptedUpstream {
    ScriptedUpstream::start(move |received| {
        let management = received
            .header("authorization")
            .is_some_and(|key| key.contains("management"));
        if received.path.ends_with("/chat/completions") {
            Script::json(
                200,
                r#"{"id":"gen-7","model":"openai/gpt-4o-mini","choices":[{"index":0,"message":{"role":"assistant",
                    "content":"Hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":8,"completion_tokens":2}}"#,
            )
        } else if received.path.contains("/generation") {
            Script::json(200, r#"{"data":{"id":"gen-7","total_cost":0.25,"is_byok":false}}"#)
        } else if received.path.contains("/activity") && management {
            Script::json(
                200,
                r#"{"data":[{"date":"2026-01-01","model":"openai/gpt-4o-mini","usage":0.5,"requests":2}]}"#,
            )
        } else if received.path.contains("/activity") {
            Script::json(403, r#"{"error":{"code":403,"message":"Only management keys can see this"}}"#)
        } else {
            Script::json(200, r#"{"data":{"label":"test","simulated":false}}"#)
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn reconcile_asks_corrects_and_compares() {
    let upstream = account().await;
    let dir = tempfile::tempdir().unwrap();
    let base = format!("{}/api/v1", upstream.url());
    let live = |args: &[&str], management: bool| {
        let mut command = waypost(dir.path());
        command
            .args(args)
            .env("OPENROUTER_API_KEY", "sk-or-v1-test")
            .env("OPENROUTER_BASE_URL", &base);
        if management {
            command.env("OPENROUTER_MANAGEMENT_KEY", "sk-or-v1-management");
        }
        ended(command.output().unwrap())
    };
    // Nothing to ask for in a simulation.
    let (code, out, _) = run(dir.path(), &["reconcile"]);
    assert!(code == 0 && out.contains("there is no provider to ask"), "{out}");
    let (code, _, err) = live(&["chat", "Hello", "--model", "openai/gpt-4o-mini"], false);
    assert_eq!(code, 0, "{err}");
    assert_eq!(
        number(
            dir.path(),
            "SELECT count(*) FROM attempts WHERE cost_status = 'computed'"
        ),
        1
    );

    let (code, out, err) = live(&["reconcile"], false);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("asked for 1 attempts: 1 found"), "{out}");
    assert!(
        out.contains("OPENROUTER_MANAGEMENT_KEY"),
        "an ordinary key may not see the days: {out}"
    );
    assert_eq!(
        number(dir.path(), "SELECT charge_pico FROM corrections"),
        275_000_000_000
    );
    let (_, out, _) = live(&["reconcile", "--json"], true);
    let json: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        (&json["asked"], &json["found"]),
        (&0.into(), &0.into()),
        "it is certain now: {json}"
    );
    // Yesterday is in their books and not in ours: somebody else has called.
    let cell = &json["days"][0]["cells"][0];
    assert_eq!(
        (&cell["ours_usd"], &cell["theirs_usd"]),
        (&"0".into(), &"0.5".into()),
        "{json}"
    );
    assert_eq!(cell["findings"][0]["class"], "missing");

    for (args, says) in [
        (["reconcile", "--since", "yesterday"], "--since"),
        (["reconcile", "--since", "2999-01-01"], "lies in the future"),
        (["reconcile", "--since", "2026-02-30"], "--since"),
    ] {
        let (code, _, err) = live(&args, false);
        assert!(code == 2 && err.contains(says), "{args:?}: {code} {err}");
    }
    let (code, out, err) = run(dir.path(), &["verify"]);
    assert_eq!(code, 0, "{out}{err}");
}
