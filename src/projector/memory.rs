//! How much memory building and checking read models may take, in the whole process at once. Each that folds the log has a
//! share, which grows while there is more; one that comes later waits for its share.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The least that can be set: below it a fold would write out its rows all the time.
pub const LEAST_MIB: u32 = 64;
/// What a fold takes beside its rows: pages that are read and decoded ahead, rows on their way into a database, and that
/// database's cache. Its indexes are sorted when the rows are gone.
const BESIDE_KIB: u32 = 40 << 10;
/// The memory of an event in a read model, at a guess: a fold begins with a share for the log it is to read.
const AN_EVENT: u64 = 400;
/// A share grows by so much.
const GROWTH_KIB: u32 = 16 << 10;

/// The memory that all who fold have together.
#[derive(Debug)]
pub struct Budget {
    kib: Arc<Semaphore>,
    all_kib: u32,
}

impl Budget {
    /// Of so many MiB; of less than [`LEAST_MIB`], of those.
    #[must_use]
    pub fn of_mib(mib: u32) -> Self {
        Self::of_kib(mib.max(LEAST_MIB).saturating_mul(1 << 10))
    }

    fn of_kib(all_kib: u32) -> Self {
        Self { kib: Arc::new(Semaphore::new(all_kib as usize)), all_kib }
    }

    /// One with room for so many bytes of rows of one fold.
    #[cfg(test)]
    pub(super) fn with_room_for(bytes: usize) -> Self {
        Self::of_kib(BESIDE_KIB + u32::try_from(bytes >> 10).expect("it is small"))
    }

    /// A share for folding so many events, once there is one.
    pub(super) async fn share(&self, events: u64) -> Share {
        let wanted = u32::try_from(events.saturating_mul(AN_EVENT) >> 10).unwrap_or(u32::MAX);
        let wanted = wanted.saturating_add(BESIDE_KIB + GROWTH_KIB).min(self.all_kib);
        let permit = self.kib.clone().acquire_many_owned(wanted).await;
        Share { permit: permit.expect("it is never closed") }
    }
}

/// A part of the budget, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Share {
    permit: OwnedSemaphorePermit,
}

impl Share {
    /// Whether rows of so many bytes have room; it grows for them where it can.
    pub(super) fn holds(&mut self, bytes: usize) -> bool {
        while bytes > self.bytes() {
            let all = self.permit.semaphore().clone();
            let growth = u32::try_from(all.available_permits()).unwrap_or(u32::MAX).min(GROWTH_KIB);
            match all.try_acquire_many_owned(growth) {
                Ok(more) if growth > 0 => self.permit.merge(more),
                _ => return false,
            }
        }
        true
    }

    /// How many bytes of rows it has room for.
    pub(super) fn bytes(&self) -> usize {
        self.permit.num_permits().saturating_sub(BESIDE_KIB as usize) << 10
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn shares_grow_within_the_budget_and_one_that_comes_later_waits() {
        let budget = Arc::new(Budget::of_mib(128));
        let mut first = budget.share(10).await;
        let mut second = budget.share(10).await;
        assert!(first.holds(30 << 20), "16 MiB of the budget were nobody's");
        assert!(!first.holds(40 << 20) && !second.holds(20 << 20));
        assert!(first.bytes() + second.bytes() <= (128 << 20) - 2 * (BESIDE_KIB as usize) * 1024);
        let waiting = tokio::spawn({
            let budget = budget.clone();
            async move { budget.share(1_000_000_000).await.bytes() }
        });
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(!waiting.is_finished(), "all of it is given away");
        drop((first, second));
        let all = (128 << 20) - (BESIDE_KIB as usize) * 1024;
        assert_eq!(tokio::time::timeout(Duration::from_secs(5), waiting).await.unwrap().unwrap(), all);
    }

    #[tokio::test]
    async fn a_budget_has_room_for_a_fold_however_little_is_asked_for() {
        let share = Budget::of_mib(0).share(u64::MAX).await;
        assert_eq!(share.bytes(), ((LEAST_MIB << 10) - BESIDE_KIB) as usize * 1024);
    }
}
