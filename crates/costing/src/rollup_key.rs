//! The key of an hourly sum, borrowed from the attempt it is of: whether a sum is there already is asked for every attempt, and a
//! dozen texts need not be copied for the answer.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::time::SystemTime;

use integration_core::{ModelId, ProviderId, UpstreamName};

use crate::caller::Caller;
use crate::charge::{Charge, CostStatus};
use crate::ledger::{AttemptIntent, AttemptSettlement, Outcome};
use crate::ledger_entry::hour_of;
use crate::rollup::RollupKey;

/// The fields of a [`RollupKey`], in the same order, so that both are ordered alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct KeyParts<'a> {
    pub(crate) hour: SystemTime,
    simulated: bool,
    provider: &'a ProviderId,
    model: &'a ModelId,
    upstream: Option<&'a UpstreamName>,
    price_snapshot: &'a str,
    caller: &'a Caller,
    task: Option<&'a str>,
    tag: Option<&'a str>,
    arm: Option<&'a str>,
    outcome: Option<Outcome>,
    status: CostStatus,
    first: bool,
}

impl<'a> KeyParts<'a> {
    /// The row over all labels of an attempt that is open.
    pub(crate) fn open(intent: &'a AttemptIntent) -> Self {
        Self {
            hour: hour_of(intent.started),
            simulated: intent.simulated,
            provider: &intent.provider,
            model: &intent.model,
            upstream: None,
            price_snapshot: &intent.price_snapshot,
            caller: &intent.caller,
            task: intent.task.as_deref(),
            tag: None,
            arm: intent.arm.as_deref(),
            outcome: None,
            status: CostStatus::Pending,
            first: intent.attempt == 1,
        }
    }

    /// The same once it ended so.
    pub(crate) fn ended(self, settlement: Option<&'a AttemptSettlement>, charge: Option<Charge>) -> Self {
        Self {
            upstream: settlement.and_then(|settlement| settlement.upstream.as_ref()),
            outcome: settlement.map(|settlement| settlement.outcome),
            status: charge.map_or(CostStatus::Pending, |charge| charge.status),
            ..self
        }
    }

    /// The row of a label, or the one over all of them.
    pub(crate) fn with_tag(self, tag: Option<&'a str>) -> Self {
        Self { tag, ..self }
    }

    /// The row of another hour.
    pub(crate) fn in_hour(self, hour: SystemTime) -> Self {
        Self { hour, ..self }
    }

    pub(crate) fn to_key(self) -> RollupKey {
        RollupKey {
            hour: self.hour,
            simulated: self.simulated,
            provider: self.provider.clone(),
            model: self.model.clone(),
            upstream: self.upstream.cloned(),
            price_snapshot: self.price_snapshot.to_owned(),
            caller: self.caller.clone(),
            task: self.task.map(str::to_owned),
            tag: self.tag.map(str::to_owned),
            arm: self.arm.map(str::to_owned),
            outcome: self.outcome,
            status: self.status,
            first: self.first,
        }
    }
}

/// What a map by [`RollupKey`] can be asked with.
pub(crate) trait HasKeyParts {
    fn parts(&self) -> KeyParts<'_>;
}

impl HasKeyParts for KeyParts<'_> {
    fn parts(&self) -> KeyParts<'_> {
        *self
    }
}

impl HasKeyParts for RollupKey {
    fn parts(&self) -> KeyParts<'_> {
        KeyParts {
            hour: self.hour,
            simulated: self.simulated,
            provider: &self.provider,
            model: &self.model,
            upstream: self.upstream.as_ref(),
            price_snapshot: &self.price_snapshot,
            caller: &self.caller,
            task: self.task.as_deref(),
            tag: self.tag.as_deref(),
            arm: self.arm.as_deref(),
            outcome: self.outcome,
            status: self.status,
            first: self.first,
        }
    }
}

impl<'a> Borrow<dyn HasKeyParts + 'a> for RollupKey {
    fn borrow(&self) -> &(dyn HasKeyParts + 'a) {
        self
    }
}

impl PartialEq for dyn HasKeyParts + '_ {
    fn eq(&self, other: &Self) -> bool {
        self.parts() == other.parts()
    }
}

impl Eq for dyn HasKeyParts + '_ {}

impl PartialOrd for dyn HasKeyParts + '_ {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for dyn HasKeyParts + '_ {
    fn cmp(&self, other: &Self) -> Ordering {
        self.parts().cmp(&other.parts())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    prop_compose! {
        fn key()(
            hour in 0u64..3, flags in any::<(bool, bool)>(), names in ("[ab]", "[ab]", proptest::option::of("[AB]")),
            texts in ("[ab]{0,2}", "[ab]{0,1}"), words in proptest::collection::vec(proptest::option::of("[ab]{0,1}"), 5),
            outcome in proptest::option::of(proptest::sample::select(vec![Outcome::Succeeded, Outcome::Failed])),
            status in proptest::sample::select(CostStatus::ALL.to_vec()),
        ) -> RollupKey {
            let mut words = words.into_iter();
            let mut word = move || words.next().flatten();
            RollupKey {
                hour: SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(hour * 3_600),
                simulated: flags.0,
                provider: names.0.parse().unwrap(),
                model: format!("a/{}", names.1).parse().unwrap(),
                upstream: names.2.map(|name| name.parse().unwrap()),
                price_snapshot: texts.0,
                caller: Caller { key: texts.1, project: word(), team: word() },
                task: word(),
                tag: word(),
                arm: word(),
                outcome,
                status,
                first: flags.1,
            }
        }
    }

    proptest! {
        /// A map of keys finds by its parts what it holds only if both are ordered alike.
        #[test]
        fn a_key_and_its_parts_are_ordered_alike(a in key(), b in key()) {
            prop_assert_eq!(a.cmp(&b), a.parts().cmp(&b.parts()));
            prop_assert_eq!(a == b, a.parts() == b.parts());
            prop_assert_eq!(&a.parts().to_key(), &a);
        }
    }
}
