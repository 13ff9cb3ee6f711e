//! The page as a browser shows it: on a desk and on a phone, by day and by night. Without Chromium these are skipped, and say so.
#![allow(clippy::unwrap_used, clippy::print_stderr, clippy::panic, missing_docs)]

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use costing::report::{Grouping, Report, ReportFormat};
use costing::{CostStatus, RollupRow};
use serde_json::Value;

#[path = "common/rollups.rs"]
mod rollups;

use rollups::{context, query, row, unknown, with};

/// Looks at the page in a frame of a given width, and writes what it finds as the frame's only text.
const LOOK: &str = r#"
const frame = document.querySelector('iframe');
frame.addEventListener('load', () => {
  const page = frame.contentDocument, view = frame.contentWindow;
  const numbers = (text) => (text.match(/[\d.]+/g) || []).map(Number);
  const light = (colour) => { const [r, g, b] = numbers(colour).map((part) => part / 255)
    .map((part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const ground = (element) => { for (; element; element = element.parentElement) {
    const colour = view.getComputedStyle(element).backgroundColor;
    if (numbers(colour).length === 3) return colour; } return 'rgb(255, 255, 255)'; };
  let contrast = 21, cut = 0;
  for (const element of page.body.querySelectorAll('*')) {
    if (element.closest('svg') || ![...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim())) continue;
    const pair = [light(view.getComputedStyle(element).color), light(ground(element))];
    contrast = Math.min(contrast, (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05));
    if (element.getBoundingClientRect().right > page.documentElement.clientWidth + 0.5 && !element.closest('thead')) cut += 1;
  }
  const found = { width: page.documentElement.clientWidth, needed: page.documentElement.scrollWidth, contrast, cut,
    styled: view.getComputedStyle(page.body).fontSize + ' ' + view.getComputedStyle(page.querySelector('h1')).fontWeight,
    card: view.getComputedStyle(page.querySelector('td')).display,
    bars: page.querySelectorAll('svg').length, ground: view.getComputedStyle(page.body).backgroundColor,
    total: page.querySelector('.sums div:nth-child(7) b').textContent,
    facts: page.querySelector('dl').textContent };
  document.body.append(Object.assign(document.createElement('pre'), { id: 'found', textContent: JSON.stringify(found) }));
});
frame.srcdoc = document.querySelector('textarea').value;
"#;

fn rows() -> Vec<RollupRow> {
    let long = "a-task-with-a-name-that-is-far-too-long-for-the-screen-of-any-telephone-there-ever-was-and-has-no-space-in-it";
    (0..40_i64)
        .map(|hour| {
            let row = row(
                hour * 7,
                "openai/gpt-4o",
                3,
                5_564_900_000 + i128::from(hour) * 123_456_789_012,
            );
            let row = if hour % 9 == 4 {
                unknown(row, CostStatus::Pending)
            } else {
                row
            };
            with(row, |row| {
                row.key.task =
                    [None, Some(long.to_owned()), Some("<b>bold</b>".to_owned())][hour as usize % 3].clone();
                row.key.simulated = hour % 11 == 5;
            })
        })
        .collect()
}

fn target() -> PathBuf {
    let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("report-page");
    fs::create_dir_all(&dir).unwrap();
    dir
}

/// What the browser finds; `None` where there is no browser.
fn look(name: &str, page: &str, width: u32, dark: bool) -> Option<Value> {
    let escaped = page.replace('&', "&amp;").replace('<', "&lt;");
    let file = target().join(format!("{name}.html"));
    // `<meta name=color-scheme>` of the outer page is what a frame's reader is taken to want.
    let wrapper = format!(
        "<!doctype html><meta charset=utf-8><body><textarea hidden>{escaped}</textarea>\
         <iframe style=\"width:{width}px;height:900px;border:0\"></iframe><script>{LOOK}</script>"
    );
    fs::write(&file, wrapper).unwrap();
    fs::write(target().join(format!("{name}-page.html")), page).unwrap();
    let run = |arguments: &[String], file: &PathBuf| {
        let profile = target().join(format!("{name}-profile"));
        let mut command = Command::new("chromium");
        command.args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--hide-scrollbars",
            "--disable-background-networking",
        ]);
        command.args([
            "--enable-logging=stderr",
            "--virtual-time-budget=2000",
            &format!("--user-data-dir={}", profile.display()),
        ]);
        if dark {
            command.args(["--force-dark-mode", "--blink-settings=preferredColorScheme=0"]);
        } else {
            command.arg("--blink-settings=preferredColorScheme=1");
        }
        command.args(arguments).arg(file);
        let done = command.output();
        let _ = fs::remove_dir_all(profile);
        done
    };
    let output = match run(
        &["--window-size=1400,1000".to_owned(), "--dump-dom".to_owned()],
        &file,
    ) {
        Ok(output) => output,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            eprintln!("skipped: {name}: there is no chromium");
            return None;
        }
        Err(error) => panic!("{error}"),
    };
    let said = String::from_utf8_lossy(&output.stderr);
    let console: Vec<&str> = said.lines().filter(|line| line.contains("CONSOLE")).collect();
    assert!(console.is_empty(), "{console:#?}");
    let dom = String::from_utf8_lossy(&output.stdout);
    let found = dom
        .split("id=\"found\">")
        .nth(1)
        .unwrap_or_else(|| panic!("{name}: {dom}\n{said}"));
    let found = found
        .split("</pre>")
        .next()
        .unwrap()
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&amp;", "&");
    let shot = target().join(format!("{name}.png"));
    let picture = [
        format!("--window-size={},1600", width.max(500)),
        format!("--screenshot={}", shot.display()),
    ];
    run(&picture, &target().join(format!("{name}-page.html"))).unwrap();
    Some(serde_json::from_str(&found).unwrap())
}

fn check(name: &str, grouping: Grouping, width: u32, dark: bool) {
    let rows = rows();
    let report = Report::new(&rows, query(grouping), context());
    let Some(found) = look(name, &report.to_text(ReportFormat::Html), width, dark) else {
        return;
    };
    assert_eq!(found["width"], width, "{found}");
    assert_eq!(
        found["needed"], found["width"],
        "it is wider than the screen: {found}"
    );
    assert_eq!(found["cut"], 0, "{found}");
    assert!(found["contrast"].as_f64().unwrap() >= 4.5, "{found}");
    assert_eq!(
        found["styled"], "16px 700",
        "the policy lets the style in: {found}"
    );
    assert_eq!(
        found["card"],
        if width < 960 { "block" } else { "table-cell" },
        "{found}"
    );
    assert!(found["bars"].as_u64().unwrap() > 0, "{found}");
    assert_eq!(
        found["ground"],
        if dark {
            "rgb(18, 22, 27)"
        } else {
            "rgb(255, 255, 255)"
        },
        "{found}"
    );
    // The total is the ledger's, to the last digit.
    let exact: i128 = rows
        .iter()
        .filter(|row| !row.key.simulated)
        .map(|row| row.sums.charge.get())
        .sum();
    assert_eq!(exact, report.real.total.charge.get());
    let exact = format!("{} charge", report.real.total.charge);
    assert!(
        found["facts"].as_str().unwrap().contains(&exact),
        "{exact} in {found}"
    );
    assert!(
        found["total"].as_str().unwrap().starts_with("at least "),
        "{found}"
    );
}

#[test]
fn on_a_desk_by_day() {
    check("desk-day", Grouping::Task, 1_280, false);
}

#[test]
fn on_a_phone_by_day() {
    check("phone-day", Grouping::Task, 390, false);
}

#[test]
fn on_a_desk_by_night() {
    check("desk-night", Grouping::Day, 1_280, true);
}

#[test]
fn on_a_phone_by_night() {
    check("phone-night", Grouping::Day, 390, true);
}
