//! What the process takes, under the names that Prometheus uses for every program.

use std::fs;

use rustix::{
    process::{Resource, getrlimit},
    time::{ClockId, clock_gettime},
};

use crate::metrics::{Family, Value};

/// Processor time, memory and files; on a system that does not say, without what it does not say.
#[expect(clippy::cast_precision_loss, reason = "metrics are floating point")]
pub(super) fn families() -> Vec<Family> {
    let gauge = |name, help, value: Option<u64>| Some(Family::single(name, help, Value::Gauge(value? as f64)));
    let worked = clock_gettime(ClockId::ProcessCPUTime);
    let seconds = u64::try_from(worked.tv_sec).unwrap_or_default();
    let files = fs::read_dir("/proc/self/fd").ok().map(|open| open.count() as u64);
    [
        Some(Family::single("process_cpu_seconds", "Processor time that it has had", Value::Counter(seconds))),
        gauge("process_resident_memory_bytes", "Memory that it takes", resident()),
        gauge("process_open_fds", "Files and connections that are open", files),
        gauge("process_max_fds", "Files and connections that it may open", getrlimit(Resource::Nofile).current),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn resident() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}
