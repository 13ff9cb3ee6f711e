//! A snapshot laid out by column, so that a decision looks at the few deployments that can win and not at all of them.
//!
//! Rows are in the order of their prices and come in blocks of 64. Of each block it is known, a bit a row, which deployments can be
//! chosen at all, which are no free variants, and which have each ability; and the least prices and highest qualities in it. Most
//! blocks are done with by a few words.

use costing::LinearPrice;
use integration_core::{Capability, CapabilitySet};

use crate::{Deployment, Task};

/// How many rows a block has: the bits of a word.
const BLOCK: usize = 64;

/// The columns.
#[derive(Debug, Clone)]
pub(crate) struct Index {
    /// The deployment of each row, by its place in the snapshot.
    pub(crate) rows: Box<[Row]>,
    /// Which deployments can be chosen by anybody.
    eligible: Box<[u64]>,
    /// Which are no free variants.
    paid: Box<[u64]>,
    /// Which have an ability, for those abilities that some have.
    abilities: Vec<(Capability, Box<[u64]>)>,
    blocks: Box<[Block]>,
}

/// What a decision reads of one deployment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row {
    /// Its place in the snapshot.
    pub(crate) at: u32,
    /// Its prices, where they are simple.
    pub(crate) price: Option<LinearPrice>,
    /// Its quality for each task; NaN where it is not known.
    pub(crate) quality: [f64; Task::ALL.len()],
}

#[derive(Debug, Clone, Copy)]
struct Block {
    /// The least of the block's simple prices; zeroes if one of its rows has others.
    least: Least,
    /// The highest quality of the block for each task; minus infinity where none is known.
    best: [f64; Task::ALL.len()],
}

impl Index {
    pub(crate) fn new(deployments: &[Deployment]) -> Self {
        let mut rows: Vec<Row> = (0_u32..).zip(deployments).map(row).collect();
        // Nearly the order of expected costs, whatever the sizes; the exact cost is worked out for each row that is looked at.
        rows.sort_by_key(|row| {
            let price = row.price.map(|price| {
                u128::from(price.prompt) * 2 + u128::from(price.completion) + u128::from(price.request)
            });
            (price.is_none(), price, row.at)
        });
        let words = rows.len().div_ceil(BLOCK);
        let bits = |holds: &dyn Fn(&Deployment) -> bool| {
            let mut bits = vec![0_u64; words].into_boxed_slice();
            for (place, row) in rows.iter().enumerate() {
                if deployments.get(row.at as usize).is_some_and(holds)
                    && let Some(word) = bits.get_mut(place / BLOCK)
                {
                    *word |= 1 << (place % BLOCK);
                }
            }
            bits
        };
        let eligible = bits(&|d| {
            !d.is_batch
                && !d.is_alias
                && d.capabilities.contains(Capability::TextOutput)
                && d.prices.as_ref().is_some_and(|prices| !prices.is_dynamic())
        });
        let abilities = Capability::all()
            .map(|ability| (ability, bits(&|d| d.capabilities.contains(ability))))
            .filter(|(_, bits)| bits.iter().any(|word| *word != 0))
            .collect();
        let paid = bits(&|d| !d.is_free_variant);
        let blocks = rows.chunks(BLOCK).map(block).collect();
        Self {
            eligible,
            paid,
            abilities,
            blocks,
            rows: rows.into_boxed_slice(),
        }
    }

    /// Shows a visitor every row that could be chosen, in the blocks it wants.
    pub(crate) fn visit(&self, ask: Ask, visitor: &mut impl Visitor) {
        let mut needed: [&[u64]; 32] = [&[]; 32];
        let mut count = 0;
        for ability in ask.needs.iter() {
            // Nobody has it.
            let Some((_, bits)) = self.abilities.iter().find(|(has, _)| *has == ability) else {
                return;
            };
            if let Some(slot) = needed.get_mut(count) {
                *slot = bits;
                count += 1;
            }
        }
        let needed = needed.get(..count).unwrap_or_default();
        let task = ask.task.index();
        let flags = self.eligible.iter().zip(&self.paid);
        for ((number, block), (eligible, paid)) in self.blocks.iter().enumerate().zip(flags) {
            // Where nothing is known the best is minus infinity, which must not pass for "no threshold".
            if block.best[task] < ask.min_quality || block.best[task] == f64::NEG_INFINITY {
                continue;
            }
            let mut mask = if ask.allow_free {
                *eligible
            } else {
                *eligible & *paid
            };
            for bits in needed {
                mask &= bits.get(number).copied().unwrap_or_default();
            }
            if mask == 0 || !visitor.wants(block.least) {
                continue;
            }
            let rows = self.rows.get(number * BLOCK..).unwrap_or_default();
            while mask != 0 {
                let place = mask.trailing_zeros() as usize;
                mask &= mask - 1;
                // Unknown is not a number, which passes no comparison.
                if let Some(row) = rows.get(place)
                    && row.quality[task] >= ask.min_quality
                {
                    visitor.look(row);
                }
            }
        }
    }
}

/// Who looks at rows.
pub(crate) trait Visitor {
    /// Whether a block in which no price is below these is worth looking at.
    fn wants(&self, least: Least) -> bool;

    /// Looks at a row.
    fn look(&mut self, row: &Row);
}

/// What is asked of every row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ask {
    pub(crate) task: Task,
    pub(crate) needs: CapabilitySet,
    pub(crate) allow_free: bool,
    /// Minus infinity without a threshold.
    pub(crate) min_quality: f64,
}

/// The least prices of a block, in pico-dollars a token.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Least {
    pub(crate) prompt: u64,
    pub(crate) completion: u64,
}

fn row((at, deployment): (u32, &Deployment)) -> Row {
    Row {
        at,
        price: deployment.prices.as_ref().and_then(costing::PriceSheet::linear),
        quality: Task::ALL.map(|task| deployment.belief(task).map_or(f64::NAN, |belief| belief.mean)),
    }
}

fn block(rows: &[Row]) -> Block {
    let most = Least {
        prompt: u64::MAX,
        completion: u64::MAX,
    };
    let least = rows.iter().try_fold(most, |least, row| {
        let price = row.price?;
        Some(Least {
            prompt: least.prompt.min(price.prompt),
            completion: least.completion.min(price.completion),
        })
    });
    let best = Task::ALL.map(|task| {
        rows.iter()
            .map(|row| row.quality[task.index()])
            .filter(|quality| !quality.is_nan())
            .fold(f64::NEG_INFINITY, f64::max)
    });
    Block {
        least: least.unwrap_or_default(),
        best,
    }
}
