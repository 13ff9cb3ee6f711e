use experiments::analysis::analyse;

use super::{cheaper, fill, timeline, two_arms};

const CENT: i128 = 10_000_000_000;

#[test]
fn the_text_says_what_to_do_first() {
    let report = two_arms(
        &cheaper("least_days = 7"),
        (10_000, 8_000, CENT),
        (10_000, 8_010, CENT / 2),
        14,
    );
    let text = report.to_text("cheaper-chat, version 1");
    let first: Vec<&str> = text.lines().take(2).collect();
    assert_eq!(first[0], "cheaper-chat, version 1: ship");
    assert!(
        first[1]
            .starts_with("Ship 'cheap': against 'strong', cost is lower (50 % lower, 90 % interval -0.005"),
        "{}",
        first[1]
    );
    for part in [
        "strong (control)",
        "10,000",
        "50 %",
        "80 %",
        "80.1 %",
        "+0.1 points",
        "not worse",
        "better",
        "guardrail",
        "<0.0001",
    ] {
        assert!(text.contains(part), "{part}:\n{text}");
    }
    assert!(
        text.lines()
            .all(|line| !line.ends_with(' ') || line.contains("stands") || line.trim().len() > 10),
        "{text}"
    );
}

#[test]
fn the_page_shows_every_look_and_lets_no_name_out() {
    let plan = cheaper("");
    let hostile = "<script>alert(1)</script>";
    let mut timeline = timeline(&plan, &["strong", hostile]);
    fill(&mut timeline, "strong", 2_000, 1_600, CENT, 10);
    fill(&mut timeline, hostile, 2_000, 1_600, CENT, 10);
    let report = analyse(&plan, &timeline, &[]).unwrap();
    let page = report.to_html("a & b", &["<b>simulated</b>".to_owned()]);
    assert!(
        !page.contains("<script") && !page.contains("<b>simulated"),
        "{page}"
    );
    assert!(page.contains("<h1>a &amp; b</h1>") && page.contains("&lt;b&gt;simulated"));
    // A plot for each metric, with a band over ten looks and the dashed limit of the guardrail.
    assert_eq!(page.matches("<svg").count(), 2);
    assert_eq!(page.matches("class=\"band\"").count(), 2);
    assert_eq!(page.matches("class=\"limit\"").count(), 1);
    assert!(!page.contains("NaN") && !page.contains("inf"), "{page}");
    let band = page
        .split("class=\"band\" points=\"")
        .nth(1)
        .unwrap()
        .split('"')
        .next()
        .unwrap();
    assert_eq!(band.split_whitespace().count(), 20);
}

#[test]
fn a_name_cannot_command_the_terminal() {
    let plan = cheaper("");
    let hostile = "cheap\u{1b}[2J";
    let mut timeline = timeline(&plan, &["strong", hostile]);
    fill(&mut timeline, "strong", 200, 160, CENT, 2);
    fill(&mut timeline, hostile, 200, 160, CENT, 2);
    let text = analyse(&plan, &timeline, &[]).unwrap().to_text("t");
    assert!(text.contains("cheap") && !text.contains('\u{1b}'), "{text:?}");
}
