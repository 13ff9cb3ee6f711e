//! A page as Chromium shows it: in a frame of a given width, by day or by night. Shared by the tests of several crates.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    missing_docs
)]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// Looks at the page in the frame, and writes what it finds as the frame's only text.
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
    cards: [...page.querySelectorAll('.sums div')].map((card) => card.textContent),
    total: page.querySelector('.sums div:nth-child(7) b')?.textContent,
    links: [...page.querySelectorAll('a')].map((link) => link.getAttribute('href')),
    warning: [...page.querySelectorAll('.warn')].map((warning) => warning.textContent),
    text: page.querySelector('main').innerText,
    facts: page.querySelector('dl').textContent };
  document.body.append(Object.assign(document.createElement('pre'), { id: 'found', textContent: JSON.stringify(found) }));
});
const text = document.querySelector('textarea').value;
if (text) frame.srcdoc = text; else frame.src = frame.dataset.src;
"#;

/// What the frame shows.
pub enum Page<'a> {
    /// This text.
    Text(&'a str),
    /// What is at this address of the same server.
    Address(&'a str),
}

/// One look at a page.
pub struct Look {
    pub name: &'static str,
    /// In CSS pixels.
    pub width: u32,
    pub dark: bool,
    pub folder: PathBuf,
}

impl Look {
    /// A look whose files and pictures are in this folder, below the one for the files of tests.
    pub fn new(name: &'static str, width: u32, dark: bool, folder: &Path) -> Self {
        fs::create_dir_all(folder).unwrap();
        let folder = folder.to_owned();
        Self {
            name,
            width,
            dark,
            folder,
        }
    }

    /// The outer page, with the frame and the script that looks into it. A frame is as narrow as a telephone, which no window is.
    pub fn outer(&self, page: &Page<'_>) -> String {
        let (text, address) = match page {
            Page::Text(text) => (text.replace('&', "&amp;").replace('<', "&lt;"), ""),
            Page::Address(address) => (String::new(), *address),
        };
        format!(
            "<!doctype html><meta charset=utf-8><link rel=icon href=data:,><style>#found{{display:none}}</style><body style=\"margin:0\"><textarea \
             hidden>{text}</textarea><iframe data-src=\"{address}\" \
             style=\"width:{}px;height:1500px;border:0\"></iframe><script>{LOOK}</script>",
            self.width
        )
    }

    /// What the browser finds in the outer page at an address; `None` where there is no browser, and then the test is named as
    /// skipped.
    pub fn at(&self, address: &str) -> Option<Value> {
        let output = match self.run(address, &["--window-size=1400,1600", "--dump-dom"]) {
            Ok(output) => output,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                skip(self.name, "there is no chromium");
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
            .unwrap_or_else(|| panic!("{}: {dom}\n{said}", self.name));
        let found = found
            .split("</pre>")
            .next()
            .unwrap()
            .replace("&lt;", "<")
            .replace("&gt;", ">")
            .replace("&amp;", "&");
        Some(serde_json::from_str(&found).unwrap())
    }

    /// A picture of what is at an address, for people.
    pub fn picture(&self, address: &str) {
        let shot = self.folder.join(format!("{}.png", self.name));
        let size = format!("--window-size={},1600", self.width.max(500));
        let shot = format!("--screenshot={}", shot.display());
        self.run(address, &[&size, &shot]).unwrap();
    }

    fn run(&self, address: &str, arguments: &[&str]) -> std::io::Result<Output> {
        let profile = self.folder.join(format!("{}-profile", self.name));
        let mut command = Command::new("chromium");
        command.args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--hide-scrollbars",
            "--disable-background-networking",
            "--no-proxy-server",
            "--enable-logging=stderr",
            "--virtual-time-budget=2000",
        ]);
        command.arg(format!("--user-data-dir={}", profile.display()));
        if self.dark {
            command.args(["--force-dark-mode", "--blink-settings=preferredColorScheme=0"]);
        } else {
            command.arg("--blink-settings=preferredColorScheme=1");
        }
        command.args(arguments).arg(address);
        let done = command.output();
        let _ = fs::remove_dir_all(profile);
        done
    }
}

/// What holds for every page of ours, whatever is on it.
pub fn is_well_shown(found: &Value, look: &Look) {
    assert_eq!(found["width"], look.width, "{found}");
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
    let card = if look.width < 960 { "block" } else { "table-cell" };
    assert_eq!(found["card"], card, "{found}");
    let ground = if look.dark {
        "rgb(18, 22, 27)"
    } else {
        "rgb(255, 255, 255)"
    };
    assert_eq!(found["ground"], ground, "{found}");
}

/// Names a test as skipped: to whoever runs it alone, and in the list that `cargo xtask test` prints. Where everything must run,
/// that is a failure.
#[allow(clippy::disallowed_methods)]
fn skip(test: &str, reason: &str) {
    assert!(
        std::env::var("CI").is_err(),
        "{test}: {reason}, and CI is set, where it must run"
    );
    eprintln!("skipped {test}: {reason}");
    if let Ok(list) = std::env::var("WAYPOST_SKIPPED") {
        let file = fs::OpenOptions::new().create(true).append(true).open(list);
        // One short write, so that lines of tests that run at the same time do not mix.
        let _ = file.and_then(|mut file| file.write_all(format!("{test}: {reason}\n").as_bytes()));
    }
}
