//! Which prices held when.

use crate::book::PriceBook;
use crate::time::UtcTime;

/// A book that would begin to hold before the ones that are there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("prices from {from} cannot come after prices from {last} (seconds since 1970)")]
#[non_exhaustive]
pub struct EarlierPrices {
    /// From when the new book was to hold, as seconds since 1970.
    pub from: i64,
    /// From when the last book holds, as seconds since 1970.
    pub last: i64,
}

/// Price books in the order of time. Each holds from its instant on until the next one's.
///
/// A call is priced by the book that held when it was admitted, not by the one that holds when it ends.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PriceHistory(Vec<(UtcTime, PriceBook)>);

impl PriceHistory {
    /// No prices at any time.
    pub fn new() -> Self {
        Self::default()
    }

    /// This history and a book that holds from an instant on. The past is not changed: prices that were announced for later may
    /// be given early, none may be given for a time before the last book's.
    ///
    /// # Errors
    /// [`EarlierPrices`] if it does not begin after the last one.
    pub fn with(mut self, from: UtcTime, book: PriceBook) -> Result<Self, EarlierPrices> {
        if let Some((last, _)) = self.0.last().filter(|(last, _)| *last >= from) {
            return Err(EarlierPrices {
                from: from.unix(),
                last: last.unix(),
            });
        }
        self.0.push((from, book));
        Ok(self)
    }

    /// The book that holds at an instant; `None` before the first one.
    pub fn at(&self, instant: UtcTime) -> Option<&PriceBook> {
        let later = self.0.partition_point(|(from, _)| *from <= instant);
        self.0.get(later.checked_sub(1)?).map(|(_, book)| book)
    }

    /// The book of this id.
    pub fn book(&self, id: &str) -> Option<&PriceBook> {
        self.0.iter().map(|(_, book)| book).find(|book| book.id() == id)
    }

    /// Every book and from when it holds, the earliest first.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (UtcTime, &PriceBook)> {
        self.0.iter().map(|(from, book)| (*from, book))
    }
}
