//! A map with a limit: what was stored longest ago makes room. Order and content depend on the
//! calls alone, never on a hash seed.

use std::collections::{BTreeMap, VecDeque};

/// Slack of the queue that remembers the order, before it is swept.
const STALE_MIN: usize = 64;

/// At most `capacity` entries; an entry's age counts from its last [`Bounded::insert`] or
/// [`Bounded::touch`].
#[derive(Debug)]
pub struct Bounded<K, V> {
    entries: BTreeMap<K, Entry<V>>,
    // Oldest first; an item whose stamp is not its entry's is stale.
    order: VecDeque<(u64, K)>,
    capacity: usize,
    stamps: u64,
}

#[derive(Debug)]
struct Entry<V> {
    stamp: u64,
    at_ns: u64,
    value: V,
}

impl<K: Ord + Copy, V> Bounded<K, V> {
    /// An empty map.
    pub fn new(capacity: usize) -> Self {
        Self {
            entries: BTreeMap::new(),
            order: VecDeque::new(),
            capacity,
            stamps: 0,
        }
    }

    /// Stores `value`; gives what had to go for it.
    pub fn insert(&mut self, key: K, value: V, at_ns: u64) -> Option<(K, V)> {
        let stamp = self.stamp(key);
        let entry = Entry {
            stamp,
            at_ns,
            value,
        };
        self.entries.insert(key, entry);
        if self.entries.len() > self.capacity {
            return self.pop_oldest();
        }
        None
    }

    /// The value of `key`, made where it is missing; its age counts anew either way. Call
    /// [`Bounded::make_room`] first.
    pub fn get_or_insert_with(&mut self, key: K, at_ns: u64, make: impl FnOnce() -> V) -> &mut V {
        let stamp = self.stamp(key);
        let entry = self.entries.entry(key).or_insert_with(|| Entry {
            stamp,
            at_ns,
            value: make(),
        });
        entry.stamp = stamp;
        entry.at_ns = at_ns;
        &mut entry.value
    }

    /// Makes room for `key`: gives what had to go so that storing it keeps to the capacity.
    pub fn make_room(&mut self, key: &K) -> Option<(K, V)> {
        if self.entries.len() < self.capacity || self.entries.contains_key(key) {
            return None;
        }
        self.pop_oldest()
    }

    /// Counts the entry's age anew.
    pub fn touch(&mut self, key: K, at_ns: u64) {
        if !self.entries.contains_key(&key) {
            return;
        }
        let stamp = self.stamp(key);
        if let Some(entry) = self.entries.get_mut(&key) {
            entry.stamp = stamp;
            entry.at_ns = at_ns;
        }
    }

    /// The value of `key`.
    pub fn get(&self, key: &K) -> Option<&V> {
        self.entries.get(key).map(|entry| &entry.value)
    }

    /// The value of `key`, to change.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.entries.get_mut(key).map(|entry| &mut entry.value)
    }

    /// Takes `key` out.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        self.entries.remove(key).map(|entry| entry.value)
    }

    /// Drops what was stored before `before_ns` and is not to be kept; gives how many.
    pub fn expire(&mut self, before_ns: u64, now_ns: u64, keep: impl Fn(&K, &V) -> bool) -> usize {
        let mut dropped = 0;
        while let Some(&(stamp, key)) = self.order.front() {
            let Some(entry) = self.entries.get(&key).filter(|entry| entry.stamp == stamp) else {
                self.order.pop_front();
                continue;
            };
            if entry.at_ns >= before_ns {
                break;
            }
            if keep(&key, &entry.value) {
                self.touch(key, now_ns);
            } else {
                self.entries.remove(&key);
                dropped += 1;
            }
            self.order.pop_front();
        }
        dropped
    }

    /// Entries.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    fn stamp(&mut self, key: K) -> u64 {
        self.stamps += 1;
        self.order.push_back((self.stamps, key));
        if self.order.len() > 2 * self.entries.len() + STALE_MIN {
            let entries = &self.entries;
            let newest = self.stamps;
            self.order.retain(|(stamp, key)| {
                *stamp == newest || entries.get(key).is_some_and(|entry| entry.stamp == *stamp)
            });
        }
        self.stamps
    }

    fn pop_oldest(&mut self) -> Option<(K, V)> {
        while let Some((stamp, key)) = self.order.pop_front() {
            if self
                .entries
                .get(&key)
                .is_some_and(|entry| entry.stamp == stamp)
            {
                return self.remove(&key).map(|value| (key, value));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_oldest_makes_room() {
        let mut map = Bounded::new(2);
        assert!(map.insert(1, 'a', 10).is_none() && map.insert(2, 'b', 20).is_none());
        map.touch(1, 30);
        assert_eq!(map.insert(3, 'c', 40), Some((2, 'b')));
        assert_eq!(map.get(&1), Some(&'a'));
    }

    #[test]
    fn what_is_old_goes_unless_kept() {
        let mut map = Bounded::new(8);
        for key in 0..4 {
            map.insert(key, key, key * 10);
        }
        assert_eq!(map.expire(25, 100, |key, _| *key == 1), 2);
        assert_eq!(
            (map.get(&0), map.get(&1), map.get(&3)),
            (None, Some(&1), Some(&3))
        );
        assert_eq!(map.expire(101, 100, |_, _| false), 2);
        assert_eq!(map.len(), 0);
    }

    proptest! {
        #[test]
        fn neither_entries_nor_order_grow_beyond_their_bounds(
            steps in prop::collection::vec((0u8..4, 0u16..40), 0..400),
        ) {
            let mut map = Bounded::new(10);
            for (at, (step, key)) in steps.into_iter().enumerate() {
                match step {
                    0 | 1 => drop(map.insert(key, key, at as u64)),
                    2 => map.touch(key, at as u64),
                    _ => drop(map.remove(&key)),
                }
                prop_assert!(map.len() <= 10);
                prop_assert!(map.order.len() <= 2 * map.len() + STALE_MIN + 22);
                prop_assert!(map.entries.iter().all(|(key, entry)| *key == entry.value));
            }
        }
    }
}
