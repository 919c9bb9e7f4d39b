//! What the agent keeps per process, safe against reused pids.

use std::collections::HashMap;

use super::read::same_start;

/// Processes kept, unless told otherwise: twice the usual `pid_max`.
pub const PROCESSES_MAX: usize = 65_536;

/// Values by process. A process is its number and its start: the number alone is used again.
#[derive(Debug)]
pub struct ProcessTable<T> {
    entries: HashMap<u32, (u64, T)>,
    max: usize,
    refused: u64,
}

impl<T> Default for ProcessTable<T> {
    fn default() -> Self {
        Self::new(PROCESSES_MAX)
    }
}

impl<T> ProcessTable<T> {
    /// A table of at most `max` processes.
    pub fn new(max: usize) -> Self {
        Self {
            entries: HashMap::new(),
            max,
            refused: 0,
        }
    }

    /// The value of `tgid`, whoever that is now: for records that carry no start time.
    pub fn get(&self, tgid: u32) -> Option<&T> {
        self.entries.get(&tgid).map(|(_, value)| value)
    }

    /// The same, to change it.
    pub fn get_mut(&mut self, tgid: u32) -> Option<&mut T> {
        self.entries.get_mut(&tgid).map(|(_, value)| value)
    }

    /// The value of the process that started then; that of an earlier owner of the number is
    /// removed.
    pub fn get_started(&mut self, tgid: u32, start_ns: u64) -> Option<&T> {
        let (start, _) = self.entries.get(&tgid)?;
        if !same_start(*start, start_ns) {
            self.entries.remove(&tgid);
            return None;
        }
        self.get(tgid)
    }

    /// Puts a value, instead of any that `tgid` had. When the table is full it is given back and
    /// counted: call [`Self::sweep`] from time to time.
    pub fn insert(&mut self, tgid: u32, start_ns: u64, value: T) -> Result<(), T> {
        if self.entries.len() >= self.max && !self.entries.contains_key(&tgid) {
            self.refused += 1;
            return Err(value);
        }
        self.entries.insert(tgid, (start_ns, value));
        Ok(())
    }

    /// Forgets a process: it ended, or runs another program now.
    pub fn remove(&mut self, tgid: u32) -> Option<T> {
        self.entries.remove(&tgid).map(|(_, value)| value)
    }

    /// Forgets processes whose end was not seen: `start_now` tells the start of whoever has the
    /// number now. Returns the forgotten ones.
    pub fn sweep(&mut self, start_now: impl Fn(u32) -> Option<u64>) -> Vec<(u32, T)> {
        self.entries
            .extract_if(|&tgid, (start, _)| {
                !start_now(tgid).is_some_and(|now| same_start(*start, now))
            })
            .map(|(tgid, (_, value))| (tgid, value))
            .collect()
    }

    /// All processes, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        self.entries.iter().map(|(&tgid, (_, value))| (tgid, value))
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// None.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Processes that found no room.
    pub fn refused(&self) -> u64 {
        self.refused
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn a_reused_number_is_another_process() {
        let mut table = ProcessTable::default();
        table.insert(7, 5 * SECOND, "old").expect("room");
        assert_eq!(
            table.get_started(7, 5 * SECOND + 3),
            Some(&"old"),
            "exact and ticks agree"
        );
        assert_eq!(table.get_started(7, 9 * SECOND), None);
        assert_eq!(table.get(7), None, "the old one is gone");
    }

    #[test]
    fn a_full_table_refuses_and_counts() {
        let mut table = ProcessTable::new(2);
        table.insert(1, 0, 'a').expect("room");
        table.insert(2, 0, 'b').expect("room");
        assert_eq!(table.insert(3, 0, 'c'), Err('c'));
        assert_eq!(table.insert(2, 1, 'd'), Ok(()), "a known one is replaced");
        assert_eq!((table.len(), table.refused()), (2, 1));
        table.remove(1);
        assert_eq!(table.insert(3, 0, 'c'), Ok(()));
    }

    #[test]
    fn the_sweep_forgets_the_dead_and_the_reused() {
        let mut table = ProcessTable::default();
        for tgid in 1..=3 {
            table.insert(tgid, SECOND, tgid).expect("room");
        }
        let mut gone = table.sweep(|tgid| match tgid {
            1 => Some(SECOND),
            2 => Some(2 * SECOND),
            _ => None,
        });
        gone.sort_unstable();
        assert_eq!(gone, [(2, 2), (3, 3)]);
        assert_eq!(table.iter().collect::<Vec<_>>(), [(1, &1)]);
    }
}
