//! What an operator sees of the running site at one look: the end of the log and how fast it grows, the writer, the
//! read models with what rests in them, files and free space. It changes nothing.

use std::path::{Path, PathBuf};

use chrono::TimeDelta;

use crate::{
    app::{
        App, AppError,
        projections::{ParkedId, ProjectionStatus},
    },
    metrics::Value,
    store::{Head, Parked},
};

/// Everything at one look.
#[derive(Debug)]
pub struct Operations {
    /// The end of the log.
    pub head: Head,
    /// How fast it grows, over spans that get longer.
    pub rates: Vec<Rate>,
    /// The writer.
    pub writer: WriterFacts,
    /// Databases.
    pub files: Vec<FileFacts>,
    /// Bytes that are free where they lie; `None` when the file system does not say.
    pub free_bytes: Option<u64>,
    /// The read models, inline ones first.
    pub projections: Vec<ProjectionStatus>,
    /// What rests in them.
    pub parked: Vec<(ParkedId, Parked)>,
}

/// How many events were appended in the last so many seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// The span.
    pub seconds: i64,
    /// How many.
    pub events: u64,
}

/// The writer since it was started.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct WriterFacts {
    /// Whether the log takes appends.
    pub well: bool,
    /// Commands that wait now.
    pub waiting: f64,
    /// Commits that were made.
    pub commits: u64,
    /// Events in them.
    pub events: f64,
}

/// A database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileFacts {
    /// Its file's name.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// The size of its write-ahead log.
    pub wal_bytes: u64,
}

const SPANS: [i64; 3] = [60, 3_600, 86_400];

impl App {
    /// Everything at one look.
    ///
    /// # Errors
    /// [`AppError::Store`].
    pub async fn operations(&self) -> Result<Operations, AppError> {
        let head = self.log.head().await?;
        let mut rates = vec![];
        for seconds in SPANS {
            let before = self.log.recorded_before(self.now() - TimeDelta::seconds(seconds)).await?;
            rates.push(Rate { seconds, events: head.position.0.saturating_sub(before.0) });
        }
        let data_dir = &self.config.data_dir;
        Ok(Operations {
            head,
            rates,
            writer: self.writer_facts(),
            files: files(data_dir).await,
            free_bytes: free(data_dir),
            projections: self.projections().await?,
            parked: self.parked().await?,
        })
    }

    fn writer_facts(&self) -> WriterFacts {
        let mut facts = WriterFacts { well: self.writes(), ..WriterFacts::default() };
        for family in self.writer.families() {
            match (family.name, family.samples.into_iter().next()) {
                ("countersign_writer_queue_depth", Some((_, Value::Gauge(waiting)))) => facts.waiting = waiting,
                ("countersign_commit_events", Some((_, Value::Histogram { sum, buckets }))) => {
                    facts.events = sum;
                    facts.commits = buckets.iter().map(|(_, count)| count).sum();
                }
                _ => {}
            }
        }
        facts
    }
}

/// The databases in a data directory and its read models, by name.
async fn files(data_dir: &Path) -> Vec<FileFacts> {
    let mut paths = vec![];
    for directory in [data_dir.to_owned(), data_dir.join("models")] {
        let Ok(mut entries) = tokio::fs::read_dir(directory).await else { continue };
        while let Ok(Some(entry)) = entries.next_entry().await {
            paths.push(entry.path());
        }
    }
    paths.sort();
    let mut files = vec![];
    for path in paths.iter().filter(|path| path.extension().is_some_and(|extension| extension == "db")) {
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        let wal = path.with_file_name(format!("{name}-wal"));
        files.push(FileFacts { name: name.to_owned(), bytes: size(path).await, wal_bytes: size(&wal).await });
    }
    files
}

/// 0 for what is not there.
async fn size(path: &PathBuf) -> u64 {
    tokio::fs::metadata(path).await.map_or(0, |about| about.len())
}

/// Room on the disk of a directory, in bytes.
pub(super) fn free(directory: &Path) -> Option<u64> {
    let about = rustix::fs::statvfs(directory).ok()?;
    Some(about.f_bavail.saturating_mul(about.f_frsize))
}
