//! What is odd about a usage record that was priced all the same.

use std::fmt;

/// Something about the counts that a reader of the cost should know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Remark {
    /// Tokens that were written to a cache were counted as read from it, too.
    CacheCountsOverlap,
    /// A part of prompt or completion was counted larger than the whole, and was cut to it.
    PartsCut,
    /// The total is not the sum of prompt and completion.
    TotalDiffers,
    /// Tokens were written to a cache and the usage does not say for how long, while the prices differ. They are priced as kept
    /// for the provider's usual time.
    CacheTermNotSaid,
}

impl Remark {
    /// Every remark.
    pub const ALL: [Self; 4] = [
        Self::CacheCountsOverlap,
        Self::PartsCut,
        Self::TotalDiffers,
        Self::CacheTermNotSaid,
    ];

    /// The word for it in records and reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CacheCountsOverlap => "cache_counts_overlap",
            Self::PartsCut => "parts_cut",
            Self::TotalDiffers => "total_differs",
            Self::CacheTermNotSaid => "cache_term_not_said",
        }
    }
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A set of remarks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Remarks(u8);

impl Remarks {
    /// Whether a remark is among them.
    pub const fn contains(self, remark: Remark) -> bool {
        self.0 >> remark as u8 & 1 == 1
    }

    /// Whether there is nothing to remark.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The remarks, in the order of [`Remark::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Remark> {
        Remark::ALL
            .into_iter()
            .filter(move |remark| self.contains(*remark))
    }

    pub(crate) const fn add(&mut self, remark: Remark) {
        self.0 |= 1 << remark as u8;
    }
}
