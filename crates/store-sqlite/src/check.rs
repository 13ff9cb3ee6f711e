//! The check of everything against everything else, as of one moment.

use costing::{LedgerError, Verification, Verifier};
use rusqlite::Connection;

use crate::error::ledger_error;
use crate::{entry, feedback, rollup, row};

pub(crate) fn verify(connection: &Connection) -> Result<Verification, LedgerError> {
    // A read transaction: what is written meanwhile is not seen.
    let snapshot = connection
        .unchecked_transaction()
        .map_err(|error| ledger_error(&error))?;
    let mut verifier = Verifier::new();
    row::for_each(&snapshot, |row| {
        let entries = entry::of_attempt(&snapshot, &row.intent.request, row.intent.attempt)?;
        verifier.attempt(&row, &entries);
        Ok(())
    })?;
    for stray in entry::strays(&snapshot)? {
        verifier.stray_entry(&stray);
    }
    rollup::for_each(&snapshot, |row| verifier.rollup(row))?;
    feedback::check(&snapshot, &mut verifier)?;
    Ok(verifier.finish())
}
