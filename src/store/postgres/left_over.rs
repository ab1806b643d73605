//! Generations that nothing points at: a rebuild that was cut off leaves what it filled, and one whose process ended with
//! it leaves what was read before; an upgrade leaves what the release before it read. Texts of erased members are made null
//! in what is followed alone, so these have to go.

use countersign_events::recorded::Timestamp;
use countersign_projections::TRAILING;
use sqlx::{PgConnection, query, query_scalar, raw_sql};

use super::{
    super::{StoreError, convert},
    PostgresStore,
    build::right_to_build,
    failed,
    generations::{self, ONE_AT_A_TIME},
    schema,
};

/// Forgets what nodes of another release read, when nobody has moved it for so long.
pub(super) const GIVE_UP: &str = "delete from generations\nwhere not exists (\n    \
    select from unnest($1::text[], $2::bigint[]) as ours (name, revision)\n    \
    where ours.name = generations.name and ours.revision = generations.revision\n) and exists (\n    \
    select from cursors\n    join events on events.position = cursors.position + 1\n    \
    where cursors.name = generations.name and cursors.generation = generations.generation\n    \
    and events.recorded_at < $3\n)\nreturning name, revision";
/// Their schemas.
pub(super) const LEFT_OVER: &str = "select nspname::text as name\nfrom pg_namespace\n\
    where nspname ~ '^countersign_[a-z_]+_[0-9]+$' and not exists (\n    \
    select from generations where format('countersign_%s_%s', name, generation) = nspname\n)\norder by nspname";
/// The right to build, for one transaction.
pub(super) const NOBODY_BUILDS: &str = "select pg_try_advisory_xact_lock(hashtext('countersign build'), hashtext($1))";

async fn left_over(connection: &mut PgConnection) -> Result<Vec<String>, StoreError> {
    let rows = query(LEFT_OVER).fetch_all(connection).await.map_err(failed)?;
    rows.iter().map(|row| convert::text(row, "name").map(ToOwned::to_owned)).collect()
}

/// The read model and the number of a generation, from the name of its schema.
fn generation_of(schema: &str) -> Option<(&str, u64)> {
    let (name, number) = schema.strip_prefix("countersign_")?.rsplit_once('_')?;
    Some((name, number.parse().ok()?))
}

impl PostgresStore {
    /// Removes those of `seen` that are left over still and that nobody is building; what is left over now. Among that is
    /// what other releases read that lacks an event from before `followed_since`: no node of theirs is left to follow it.
    pub(super) async fn remove_left_over(
        &self,
        seen: &[String],
        followed_since: Timestamp,
    ) -> Result<Vec<String>, StoreError> {
        let mut connection = self.servers.connect(schema::LOG).await?;
        give_up(&mut connection, followed_since).await?;
        let mut found = left_over(&mut connection).await?;
        for schema in found.clone() {
            let Some((name, generation)) = generation_of(&schema).filter(|_| seen.contains(&schema)) else { continue };
            raw_sql("begin").execute(&mut connection).await.map_err(failed)?;
            if remove_one(&mut connection, &schema, name, generation).await? {
                raw_sql("commit").execute(&mut connection).await.map_err(failed)?;
                tracing::info!(schema, "a generation that nothing reads was removed");
                found.retain(|left| *left != schema);
            } else {
                raw_sql("rollback").execute(&mut connection).await.map_err(failed)?;
            }
        }
        Ok(found)
    }
}

async fn give_up(connection: &mut PgConnection, followed_since: Timestamp) -> Result<(), StoreError> {
    let (names, revisions): (Vec<_>, Vec<_>) =
        TRAILING.iter().map(|ours| (ours.name.to_owned(), i64::from(ours.revision))).unzip();
    let statement = query(GIVE_UP).bind(names).bind(revisions).bind(followed_since.timestamp_micros());
    for row in statement.fetch_all(connection).await.map_err(failed)? {
        let (name, revision) = (convert::text(&row, "name")?, convert::number::<u64>(&row, "revision")?);
        tracing::info!(name, revision, "a read model that no node of its release has followed for long is given up");
    }
    Ok(())
}

async fn remove_one(
    connection: &mut PgConnection,
    schema: &str,
    name: &str,
    generation: u64,
) -> Result<bool, StoreError> {
    // Whoever builds it may be about to point at it.
    let nobody_builds: bool = query_scalar(NOBODY_BUILDS)
        .bind(right_to_build(name, generation))
        .fetch_one(&mut *connection)
        .await
        .map_err(failed)?;
    if !nobody_builds {
        return Ok(false);
    }
    query(ONE_AT_A_TIME).bind(name.to_owned()).execute(&mut *connection).await.map_err(failed)?;
    if !left_over(connection).await?.iter().any(|left| left == schema) {
        return Ok(false);
    }
    generations::remove(connection, name, generation).await?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_names_its_read_model_and_its_number() {
        assert_eq!(generation_of("countersign_front_page_12"), Some(("front_page", 12)));
        assert_eq!(generation_of("countersign_vault"), None);
        assert_eq!(generation_of("public_1"), None);
    }
}
