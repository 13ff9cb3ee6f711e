//! What only a socket shows: resets, breaks, limits, shutdown, and the program.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use integration_core::ManualClock;
use openrouter_simulator::{Simulator, SimulatorConfig, SimulatorError, Timing};
use serde_json::{Value, json};
use support::{KEY, PLAIN, body, events};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

async fn start() -> Simulator {
    Simulator::start(support::config(1)).await.unwrap()
}

/// Sends a chat request on a connection of its own and reads until its end.
async fn raw(simulator: &Simulator, body: &str, fault: &str) -> (Vec<u8>, Result<(), ErrorKind>) {
    let mut socket = send(simulator, body, fault).await;
    let mut bytes = Vec::new();
    let end = socket
        .read_to_end(&mut bytes)
        .await
        .map(|_| ())
        .map_err(|error| error.kind());
    (bytes, end)
}

async fn send(simulator: &Simulator, body: &str, fault: &str) -> TcpStream {
    let mut socket = TcpStream::connect(simulator.local_addr()).await.unwrap();
    let request = format!(
        "POST /api/v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: {KEY}\r\nx-simulator-fault: {fault}\r\n\
         connection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    socket.write_all(request.as_bytes()).await.unwrap();
    socket
}

#[tokio::test]
async fn a_client_gets_a_stream_and_a_list() {
    let simulator = start().await;
    let client = reqwest::Client::new();
    let url = format!("{}/chat/completions", simulator.base_url());
    let sent = client
        .post(url)
        .header("authorization", KEY)
        .body(body(PLAIN, json!({ "stream": true })))
        .send();
    let answer = sent.await.unwrap();
    assert_eq!(
        (answer.status(), answer.headers()["content-type"].as_bytes()),
        (reqwest::StatusCode::OK, &b"text/event-stream"[..])
    );
    let (events, done) = events(&answer.bytes().await.unwrap());
    assert!(done && events.len() > 5);
    let list = client
        .get(format!("{}/models", simulator.base_url()))
        .send()
        .await
        .unwrap();
    let list: Value = serde_json::from_slice(&list.bytes().await.unwrap()).unwrap();
    assert!(list["total_count"].as_u64().unwrap() > 100);
    drop(client);
    simulator.shutdown().await;
}

#[tokio::test]
async fn a_reset_is_a_reset_and_not_an_end() {
    let simulator = start().await;
    let (bytes, end) = raw(&simulator, &body(PLAIN, json!({})), "reset").await;
    assert_eq!((bytes.len(), end), (0, Err(ErrorKind::ConnectionReset)));
}

#[tokio::test]
async fn a_cut_body_arrives_in_part_and_is_not_complete() {
    let simulator = start().await;
    for stream in [true, false] {
        let (bytes, _) = raw(&simulator, &body(PLAIN, json!({ "stream": stream })), "cut").await;
        let text = String::from_utf8_lossy(&bytes);
        assert!(
            text.starts_with("HTTP/1.1 200") && text.contains("gen-1787"),
            "{text}"
        );
        assert!(!text.ends_with("\r\n0\r\n\r\n") && !text.contains("[DONE]"));
        // The same without the fault ends as it should.
        let (bytes, _) = raw(&simulator, &body(PLAIN, json!({ "stream": stream })), "truncate").await;
        let text = String::from_utf8_lossy(&bytes);
        assert!(
            text.ends_with("\r\n0\r\n\r\n") || text.contains("content-length"),
            "{text}"
        );
    }
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused() {
    let simulator = Simulator::start(support::config(1).with_body_limit(100))
        .await
        .unwrap();
    let (bytes, _) = raw(
        &simulator,
        &body(PLAIN, json!({ "user": "x".repeat(200) })),
        "503",
    )
    .await;
    let text = String::from_utf8_lossy(&bytes);
    assert!(
        text.starts_with("HTTP/1.1 413") && text.contains("larger than 100 bytes"),
        "{text}"
    );
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let first = start().await;
    let error = Simulator::start(SimulatorConfig::new(1).with_listen(first.local_addr()))
        .await
        .unwrap_err();
    assert!(matches!(error, SimulatorError::AddressInUse { address } if address == first.local_addr()));
    let elsewhere = SimulatorConfig::new(1).with_listen("192.0.2.1:1".parse().unwrap());
    let error = Simulator::start(elsewhere).await.unwrap_err().to_string();
    assert!(error.contains("cannot listen on 192.0.2.1:1"), "{error}");
}

#[tokio::test]
async fn shutdown_ends_what_hangs_and_frees_the_port() {
    let simulator = start().await;
    let address = simulator.local_addr();
    let mut hanging = send(&simulator, &body(PLAIN, json!({})), "hang").await;
    // Another answer shows that the hanging request has been read by then.
    let _ = raw(&simulator, &body(PLAIN, json!({})), "503").await;
    simulator.shutdown().await;
    let mut bytes = Vec::new();
    let _ = hanging.read_to_end(&mut bytes).await;
    assert!(bytes.is_empty());
    assert!(TcpStream::connect(address).await.is_err());
    let again = Simulator::start(SimulatorConfig::new(1).with_listen(address))
        .await
        .unwrap();
    drop(again);
}

#[tokio::test]
async fn waits_pass_on_the_clock_that_was_given() {
    let clock = ManualClock::new();
    let config = support::config(1)
        .with_clock(Arc::new(clock.clone()))
        .with_timing(Timing::Realistic);
    let simulator = Simulator::start(config).await.unwrap();
    let text = body(PLAIN, json!({ "stream": true }));
    let answer = raw(&simulator, &text, "no-done");
    let advance = async {
        loop {
            if !clock.advance_to_next() {
                tokio::task::yield_now().await;
            }
        }
    };
    let (bytes, _) = tokio::select! { answer = answer => answer, () = advance => unreachable!() };
    assert!(String::from_utf8_lossy(&bytes).contains("simulated"));
    assert!(clock.requested_sleeps().len() > 5);
}

#[tokio::test]
async fn a_delay_is_waited_for_and_given_up_at_shutdown() {
    let clock = ManualClock::new();
    let scenario = "[[rule]]\ndelay_ms = 60000\n".parse().unwrap();
    let config = support::config(1)
        .with_clock(Arc::new(clock.clone()))
        .with_scenario(scenario);
    let simulator = Simulator::start(config).await.unwrap();
    let mut first = send(&simulator, &body(PLAIN, json!({})), "503").await;
    // The header beats the rule, so nothing waits.
    let mut bytes = Vec::new();
    first.read_to_end(&mut bytes).await.unwrap();
    assert!(bytes.starts_with(b"HTTP/1.1 503"));
    let url = format!("{}/chat/completions", simulator.base_url());
    let post = || {
        reqwest::Client::new()
            .post(&url)
            .header("authorization", KEY)
            .body(body(PLAIN, json!({})))
            .send()
    };
    let sleeping = async {
        while clock.pending() == 0 {
            tokio::task::yield_now().await;
        }
        clock.advance(Duration::from_secs(60));
        std::future::pending::<()>().await;
    };
    let answer = tokio::select! { answer = post() => answer.unwrap(), () = sleeping => unreachable!() };
    assert_eq!(answer.status(), 200);
    drop(answer);
    let request = tokio::spawn(post());
    while clock.pending() == 0 {
        tokio::task::yield_now().await;
    }
    simulator.shutdown().await;
    assert!(request.await.unwrap().is_err());
}

fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_openrouter-simulator"))
}

#[test]
fn the_program_prints_its_address_and_stops_on_ctrl_c() {
    let mut child = program()
        .args([
            "--listen",
            "127.0.0.1:0",
            "--seed",
            "3",
            "--timing",
            "instant",
            "--start-time",
            "1787000000",
        ])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    assert!(
        line.contains("simulated OpenRouter at http://127.0.0.1:"),
        "{line}"
    );
    let interrupted = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status()
        .unwrap();
    assert!(interrupted.success() && child.wait().unwrap().success());
}

#[test]
fn the_program_says_in_one_line_what_is_wrong() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "[[rule]]\nfault = 503\nmodell = 'x'").unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let path = file.path().to_str().unwrap();
    for (arguments, part) in [
        (
            vec!["--listen", "127.0.0.1:0", "--scenario", path],
            "line 3, column 1",
        ),
        (vec!["--scenario", "no-such-file.toml"], "no-such-file.toml"),
        (vec!["--listen", &address], "is in use"),
    ] {
        let output = program().args(arguments).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert!(error.contains(part) && error.lines().count() == 1, "{error}");
    }
    assert_eq!(
        program()
            .args(["--timing", "slow"])
            .output()
            .unwrap()
            .status
            .code(),
        Some(2)
    );
}
