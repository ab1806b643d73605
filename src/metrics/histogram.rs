//! A histogram that is only ever added to: an observation is two atomic additions, no lock and no allocation.

use std::sync::atomic::{AtomicU64, Ordering};

use super::Value;

/// Counts observations by size, and adds them up. Sizes are whole numbers of a small unit, such as nanoseconds.
#[derive(Debug)]
pub struct Histogram {
    /// The upper bounds of the buckets, rising; the last bucket has none.
    bounds: &'static [u64],
    /// So many of the small unit make one of the unit that is shown.
    per_unit: f64,
    counts: Box<[AtomicU64]>,
    sum: AtomicU64,
}

impl Histogram {
    /// An empty one.
    #[must_use]
    pub fn new(bounds: &'static [u64], per_unit: f64) -> Self {
        let counts = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Self { bounds, per_unit, counts, sum: AtomicU64::new(0) }
    }

    /// Counts one observation.
    pub fn observe(&self, size: u64) {
        let bucket = self.bounds.partition_point(|bound| *bound < size);
        self.counts[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(size, Ordering::Relaxed);
    }

    /// What was observed so far. Additions under way may be in one number and not yet in the other.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "metrics are floating point")]
    pub fn value(&self) -> Value {
        let bounds = self.bounds.iter().map(|bound| *bound as f64 / self.per_unit).chain([f64::INFINITY]);
        let counts = self.counts.iter().map(|count| count.load(Ordering::Relaxed));
        Value::Histogram {
            sum: self.sum.load(Ordering::Relaxed) as f64 / self.per_unit,
            buckets: bounds.zip(counts).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_observation_falls_into_the_first_bucket_that_holds_it() {
        let histogram = Histogram::new(&[10, 100], 10.0);
        for size in [0, 10, 11, 100, 101, 5_000] {
            histogram.observe(size);
        }
        let buckets = vec![(1.0, 2), (10.0, 2), (f64::INFINITY, 2)];
        assert_eq!(histogram.value(), Value::Histogram { sum: 522.2, buckets });
    }
}
