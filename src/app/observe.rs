//! What an operator can see of the running site: gauges and counters for Prometheus, and how the read models do.
//! How that is written, and who may see it, is for others.

use std::{sync::Arc, time::Duration};

use countersign_events::{authorization::TokenRefusal, recorded::Position};

pub mod operations;
mod process;

use super::{App, AppError, tokens::BearerError};
use crate::{
    metrics::{Family, Value},
    projector::Progress,
    store::{Head, ReviewFilter},
    token_state::{Bearer, TokenError},
};

/// Whoever asks whether the site is ready is answered within this.
const SOON: Duration = Duration::from_secs(1);

/// The databases of a data directory that grow with use, with their write-ahead logs.
const FILES: [&str; 4] = ["log.db", "log.db-wal", "vault.db", "vault.db-wal"];

/// How a trailing read model follows the log.
#[derive(Debug, Clone, PartialEq)]
pub struct Following {
    /// Its name.
    pub name: &'static str,
    /// How far it came, and what stopped it.
    pub progress: Progress,
    /// Events that it has not applied.
    pub behind_events: u64,
    /// The age of the oldest event that it has not applied.
    pub behind_seconds: f64,
    /// Streams that are parked.
    pub parked: u64,
}

/// The one place where parked streams are counted.
const fn parked(progress: &Progress) -> u64 {
    progress.parked as u64
}

impl App {
    /// Whether the last append that failed for the store's sake was followed by one that did not.
    #[must_use]
    pub fn writes(&self) -> bool {
        self.writer.is_well()
    }

    /// The same, and a node among others tries it after a failure, without appending anything: nobody sends requests to
    /// one that is not ready, so no append would tell that it takes them again.
    pub async fn takes_appends(&self) -> bool {
        if self.writer.is_well() || !self.is_one_of_many() {
            return self.writer.is_well();
        }
        // Behind a commit of which it is not known what became of it, this waits as well.
        tokio::time::timeout(SOON, self.writer.try_again()).await.unwrap_or(false)
    }

    /// How each trailing read model follows the log, whose end is `head`.
    ///
    /// # Errors
    /// [`AppError::Store`].
    #[expect(clippy::cast_precision_loss, reason = "seconds are floating point")]
    pub async fn following(&self, head: Head) -> Result<Vec<Following>, AppError> {
        let now = self.now();
        let mut following = vec![];
        for (name, progress) in self.progress() {
            let at = progress.cursor.position;
            let behind_events = head.position.0.saturating_sub(at.0);
            // One look-up, and none when it is with the log.
            let next = if behind_events == 0 { vec![] } else { self.log.read_at(&[Position(at.0 + 1)]).await? };
            let age = next.first().map(|next| now - next.envelope.recorded_at);
            let behind_seconds = age.map_or(0.0, |age| age.num_milliseconds().max(0) as f64 / 1e3);
            let parked = parked(&progress);
            following.push(Following { name, progress, behind_events, behind_seconds, parked });
        }
        Ok(following)
    }

    /// Everything there is to measure, for Prometheus.
    #[expect(clippy::cast_precision_loss, reason = "metrics are floating point")]
    pub async fn families(self: &Arc<Self>) -> Vec<Family> {
        // While the log is away, what needs no log is told all the same, or no alert could tell that it is away.
        let head = tokio::time::timeout(SOON, self.log.head()).await.ok().and_then(Result::ok);
        let following = match head {
            Some(head) => self.following(head).await.unwrap_or_default(),
            None => vec![],
        };
        let each = |name, help, of: fn(&Following) -> f64| {
            let samples = following.iter().map(|one| (one.name, Value::Gauge(of(one))));
            Family::by(name, help, "projection", samples)
        };
        let mut families = self.metrics.families();
        families.extend(self.clock_families());
        families.extend(self.whole_families());
        families.extend(self.writer.families());
        families.extend([
            Family::single(
                "countersign_connections",
                "Connections that are open",
                Value::Gauge(self.connections.open() as f64),
            ),
            Family::by(
                "countersign_connections_ended",
                "Connections that were ended before their time, by why",
                "why",
                self.connections.ended.values(),
            ),
            Family::by(
                "countersign_rate_limited",
                "Requests that were refused because they came too often, by limit",
                "limit",
                self.limits.refused.values(),
            ),
            Family::single(
                "countersign_untrusted_forwarded_requests",
                "Requests with X-Forwarded-For from peers that trusted_proxies does not name",
                Value::Counter(self.forwarders.requests()),
            ),
            Family::single(
                "countersign_log_answers",
                "1 while the log answers; without it nothing is known of its end and of the read models",
                Value::Gauge(f64::from(u8::from(head.is_some()))),
            ),
            each(
                "countersign_projection_position",
                "Position of the last event that a read model has applied",
                |one| one.progress.cursor.position.0 as f64,
            ),
            each("countersign_projection_lag_events", "Events that a read model has not applied", |one| {
                one.behind_events as f64
            }),
            each(
                "countersign_projection_lag_seconds",
                "Age of the oldest event that a read model has not applied; 0 when it is with the log",
                |one| one.behind_seconds,
            ),
            each("countersign_projection_stopped", "1 while a read model cannot follow the log", |one| {
                f64::from(u8::from(one.progress.error.is_some()))
            }),
            each("countersign_projection_parked_streams", "Streams whose events a read model has put aside", |one| {
                one.parked as f64
            }),
        ]);
        families.extend(process::families());
        families.extend(self.place_families());
        if head.is_some() {
            families.extend(self.queue_families().await);
        }
        families.extend(head.into_iter().flat_map(|head| {
            [
                Family::single(
                    "countersign_log_head_position",
                    "Position of the last event in the log",
                    Value::Gauge(head.position.0 as f64),
                ),
                Family::single(
                    "countersign_log_epoch",
                    "Raised by whatever may have cut the log, such as a restore",
                    Value::Gauge(f64::from(head.epoch)),
                ),
            ]
        }));
        families.sort_by_key(|family| family.name);
        families
    }

    /// What lies in the data directory, and how much room there is; nothing of a database.
    #[expect(clippy::cast_precision_loss, reason = "metrics are floating point")]
    fn place_families(&self) -> Vec<Family> {
        let leads = Value::Gauge(f64::from(u8::from(self.leads())));
        let mut families =
            vec![Family::single("countersign_leads", "1 while this node does what one node does for all", leads)];
        if self.is_one_of_many() {
            return families;
        }
        let directory = &self.config.data_dir;
        let sizes = FILES.into_iter().filter_map(|file| {
            let bytes = std::fs::metadata(directory.join(file)).ok()?.len();
            Some((file, Value::Gauge(bytes as f64)))
        });
        let help = "Sizes of the databases and their write-ahead logs";
        families.push(Family::by("countersign_file_bytes", help, "file", sizes));
        families.extend(operations::free(directory).map(|bytes| {
            let help = "Room on the disk of the data directory";
            Family::single("countersign_disk_free_bytes", help, Value::Gauge(bytes as f64))
        }));
        families
    }

    /// What waits for reviewers; nothing when the log does not say.
    #[expect(clippy::cast_precision_loss, reason = "metrics are floating point")]
    async fn queue_families(&self) -> Vec<Family> {
        let waiting = ReviewFilter { waiting: true, ..self.review_filter(0) };
        let counted = (self.review_count(&waiting).await, self.overdue_count().await);
        let (Ok(waiting), Ok(overdue)) = counted else { return vec![] };
        let gauge = |name, help, count: u64| Family::single(name, help, Value::Gauge(count as f64));
        vec![
            gauge("countersign_review_waiting", "Applications and changes that wait for a reviewer", waiting),
            gauge("countersign_review_overdue", "Those that wait longer than they should", overdue),
        ]
    }

    /// Whether log and vault are those of this site, and the newest.
    #[expect(clippy::cast_precision_loss, reason = "metrics are floating point")]
    fn whole_families(&self) -> [Family; 2] {
        [
            Family::single(
                "countersign_log_refused",
                "1 while nothing is appended because vault or read models know a newer log",
                Value::Gauge(f64::from(u8::from(self.refusal().is_some()))),
            ),
            Family::single(
                "countersign_vault_lacks_members",
                "Members whose key or password was found missing in the vault since the start",
                Value::Gauge(self.keyring.lacking() as f64),
            ),
        ]
    }

    /// What the clock says and what the site makes of it.
    #[expect(clippy::cast_precision_loss, reason = "seconds are floating point")]
    fn clock_families(&self) -> Vec<Family> {
        let now = self.world.judgement();
        let gauge = |name, help, value| Family::single(name, help, Value::Gauge(value));
        let seconds = |span: chrono::TimeDelta| span.num_milliseconds() as f64 / 1e3;
        let ahead = self.world.ahead_seconds().unwrap_or_default();
        vec![
            gauge(
                "countersign_clock_ahead_seconds",
                "How far the clock is ahead of the time that the site goes by; beyond 300 either way it is in doubt",
                seconds(now.wall - now.judged),
            ),
            gauge(
                "countersign_clock_destroying_behind_seconds",
                "How far the time by which things are destroyed is behind the time that the site goes by",
                seconds(now.judged - now.destroying),
            ),
            gauge(
                "countersign_clock_node_ahead_seconds",
                "How far this machine's clock is ahead of the database's, where that one counts",
                ahead as f64,
            ),
        ]
    }

    /// Counts what came of a token check.
    pub(super) fn count_check(&self, checked: &Result<Bearer, BearerError>) {
        self.metrics.token_checked(match checked {
            Ok(_) => "valid",
            Err(BearerError::Malformed(_)) => "malformed",
            Err(BearerError::Invalid(TokenError::Unknown)) => "unknown",
            Err(BearerError::Invalid(TokenError::InDoubt)) => "in_doubt",
            Err(BearerError::Invalid(TokenError::Refused(refusal))) => match refusal {
                TokenRefusal::Expired => "expired",
                TokenRefusal::Revoked => "revoked",
                TokenRefusal::ApplicationSuspended => "application_suspended",
                TokenRefusal::UserSuspended => "user_suspended",
            },
        });
    }
}
