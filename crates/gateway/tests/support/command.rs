//! The binary as a person runs it.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

pub fn waypost(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_waypost"));
    command.current_dir(dir).env_clear().stdin(Stdio::null());
    // Coverage runs tell each process where to write through this variable.
    #[allow(clippy::disallowed_methods)]
    if let Ok(profile) = std::env::var("LLVM_PROFILE_FILE") {
        command.env("LLVM_PROFILE_FILE", profile);
    }
    command
}

pub fn run(dir: &Path, args: &[&str]) -> (i32, String, String) {
    ended(waypost(dir).args(args).output().unwrap())
}

/// What a command answers with `--json` and this code, without a word on standard error.
pub fn json_of(dir: &Path, args: &[&str], expected: i32) -> serde_json::Value {
    let (code, out, err) = run(dir, &[args, &["--json"]].concat());
    assert_eq!((code, err.as_str()), (expected, ""), "{args:?}");
    serde_json::from_str(&out).unwrap()
}

pub fn ended(output: Output) -> (i32, String, String) {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (
        output.status.code().unwrap(),
        text(output.stdout),
        text(output.stderr),
    )
}

pub struct Serving {
    pub child: Child,
    pub address: String,
}

pub fn serve(dir: &Path, args: &[&str]) -> Serving {
    let mut child = waypost(dir)
        .arg("serve")
        .args(args)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let address = lines.by_ref().find_map(|line| {
        let line = line.unwrap();
        let (_, rest) = line.split_once("listens on http://")?;
        Some(rest.split_whitespace().next().unwrap().to_owned())
    });
    std::thread::spawn(move || lines.for_each(drop));
    Serving {
        child,
        address: address.expect("it says where it listens"),
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a request as it stands; the whole answer, headers included.
pub fn send(address: &str, request: &str) -> String {
    let mut socket = std::net::TcpStream::connect(address).unwrap();
    socket.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    answer
}

pub fn get(address: &str, path: &str) -> String {
    send(
        address,
        &format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"),
    )
}

/// One call that is answered at once, as a program would make it.
pub fn chat(address: &str, body: &str) -> String {
    let length = body.len();
    send(
        address,
        &format!(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: \
             {length}\r\nconnection: close\r\n\r\n{body}"
        ),
    )
}
