//! Charts without any text in them, so that they stretch to whatever width there is: labels stand beside them, as text.

use std::fmt::{self, Write};

use integration_core::Html;

use crate::rollup::PicoSum;

/// Of a thousand, how long an amount is beside the largest.
fn length(amount: PicoSum, largest: PicoSum) -> i128 {
    match largest.get() {
        largest if largest > 0 => (amount.get().max(0).saturating_mul(1_000) / largest).min(1_000),
        _ => 0,
    }
}

/// One bar, lying.
pub(crate) fn bar(amount: PicoSum, largest: PicoSum, out: &mut dyn Write) -> fmt::Result {
    let length = length(amount, largest);
    write!(
        out,
        r#"<svg class="bar" viewBox="0 0 1000 8" preserveAspectRatio="none" aria-hidden="true"><rect class="track" width="1000" height="8"/><rect class="fill" width="{length}" height="8"/></svg>"#
    )
}

/// One of several columns.
pub(crate) struct Column<'a> {
    /// Where it stands, from 0.
    pub(crate) place: usize,
    pub(crate) name: &'a str,
    /// The amount in words.
    pub(crate) shown: &'a str,
    pub(crate) amount: PicoSum,
}

/// Columns side by side, in order of their places, of which there are so many, each with its name and amount as its title.
pub(crate) fn columns(
    columns: &[Column<'_>],
    places: usize,
    title: &str,
    out: &mut dyn Write,
) -> fmt::Result {
    let largest = columns
        .iter()
        .map(|column| column.amount)
        .max()
        .unwrap_or_default();
    let width = places.max(1) * 10;
    write!(
        out,
        r#"<svg class="columns" viewBox="0 0 {width} 1000" preserveAspectRatio="none" role="img"><title>{}</title>"#,
        Html(title)
    )?;
    for column in columns {
        let height = length(column.amount, largest);
        write!(
            out,
            r#"<rect class="fill" x="{}" y="{}" width="8" height="{height}"><title>{}: {}</title></rect>"#,
            column.place * 10 + 1,
            1_000 - height,
            Html(column.name),
            Html(column.shown)
        )?;
    }
    out.write_str("</svg>")
}
