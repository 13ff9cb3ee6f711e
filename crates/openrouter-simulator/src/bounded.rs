//! A map that does not grow without end.

use std::borrow::Borrow;
use std::collections::BTreeMap;

/// A map of at most so many entries. When one more comes, the entry that was written longest ago goes. Every operation takes
/// logarithmic time, however full the map is.
#[derive(Debug, Clone)]
pub(crate) struct Bounded<K, V> {
    most: usize,
    entries: BTreeMap<K, (u64, V)>,
    /// The keys by when they were written last.
    order: BTreeMap<u64, K>,
    /// Counts what is written.
    turn: u64,
}

impl<K: Ord + Clone, V> Bounded<K, V> {
    /// An empty map for `most` entries; at least one.
    pub(crate) const fn new(most: usize) -> Self {
        Self {
            most,
            entries: BTreeMap::new(),
            order: BTreeMap::new(),
            turn: 0,
        }
    }

    pub(crate) fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.entries.get(key).map(|(_, value)| value)
    }

    /// The value to be changed, without its entry becoming younger.
    pub(crate) fn get_mut<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        self.entries.get_mut(key).map(|(_, value)| value)
    }

    pub(crate) fn contains(&self, key: &K) -> bool {
        self.entries.contains_key(key)
    }

    /// The value, made if it is not there; its entry is the youngest now. The other value is what had to go for it.
    pub(crate) fn write(&mut self, key: K, make: impl FnOnce() -> V) -> (&mut V, Option<(K, V)>) {
        self.turn += 1;
        let turn = self.turn;
        let mut gone = None;
        match self.entries.get(&key) {
            Some((before, _)) => {
                self.order.remove(before);
            }
            None if self.entries.len() >= self.most => {
                let oldest = self.order.pop_first();
                gone = oldest.and_then(|(_, key)| self.entries.remove(&key).map(|(_, value)| (key, value)));
            }
            None => {}
        }
        self.order.insert(turn, key.clone());
        let (at, value) = self.entries.entry(key).or_insert_with(|| (turn, make()));
        *at = turn;
        (value, gone)
    }

    /// Puts a value in; says what had to go for it.
    pub(crate) fn insert(&mut self, key: K, value: V) -> Option<(K, V)> {
        // What was there under the same key goes unsaid, and its place in the order with it.
        self.remove(&key);
        self.write(key, || value).1
    }

    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        let (turn, value) = self.entries.remove(key)?;
        self.order.remove(&turn);
        Some(value)
    }

    /// By the order of the keys.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.entries.iter().map(|(key, (_, value))| (key, value))
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_holds_what_was_written_last(steps in proptest::collection::vec((0u8..4, 0u8..9), 0..60), most in 1usize..6) {
            let mut map = Bounded::new(most);
            // The youngest last.
            let mut naive: Vec<(u8, usize)> = Vec::new();
            for (at, (kind, key)) in steps.into_iter().enumerate() {
                let before = naive.iter().position(|(one, _)| *one == key).map(|place| naive.remove(place));
                let gone = match kind {
                    0 => {
                        prop_assert_eq!(map.remove(&key), before.map(|(_, value)| value));
                        continue;
                    }
                    1 => {
                        let (value, gone) = map.write(key, || at);
                        prop_assert_eq!(*value, before.map_or(at, |(_, value)| value));
                        naive.push((key, *value));
                        gone
                    }
                    _ => {
                        naive.push((key, at));
                        map.insert(key, at)
                    }
                };
                let over = (naive.len() > most).then(|| naive.remove(0));
                prop_assert_eq!(gone, over);
                prop_assert_eq!((map.len(), map.order.len()), (naive.len(), naive.len()));
                for (key, value) in &naive {
                    prop_assert!(map.contains(key) && map.get(key) == Some(value));
                }
            }
            naive.sort_unstable();
            prop_assert_eq!(map.iter().map(|(key, value)| (*key, *value)).collect::<Vec<_>>(), naive);
        }
    }
}
