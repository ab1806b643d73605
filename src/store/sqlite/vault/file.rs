//! The vault's file: there, its owner's alone, and with the tables of this version. What is in them is
//! for the vault.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::Path,
};

use sqlx::{
    SqlSafeStr, SqliteConnection,
    migrate::{Migration, MigrationType, Migrator},
};

use super::super::{expected, schema::Step};
use crate::store::StoreError;

const OWNERS_ALONE: u32 = 0o600;

/// Makes sure that the file is there and that nobody but its owner reads it; `SQLite` gives the same mode to
/// the files that it puts beside it.
pub fn own(data_dir: &Path, path: &Path) -> Result<(), StoreError> {
    create_or_restrict(data_dir, path)
        .map_err(|error| StoreError::Unavailable(format!("the vault {} cannot be opened: {error}", path.display())))
}

fn create_or_restrict(data_dir: &Path, path: &Path) -> io::Result<()> {
    match OpenOptions::new().write(true).create_new(true).mode(OWNERS_ALONE).open(path) {
        // Synced into its directory, or a crash could take the file with the rows that were synced into it.
        Ok(_) => File::open(data_dir)?.sync_all(),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            fs::set_permissions(path, fs::Permissions::from_mode(OWNERS_ALONE))
        }
        Err(error) => Err(error),
    }
}

/// The steps of the vault's schema.
pub const STEPS: &[Step] = &[
    (1, "vault", include_str!("../../../../migrations/sqlite/vault/0001_vault.sql")),
    (2, "site", include_str!("../../../../migrations/sqlite/vault/0002_site.sql")),
];

/// The schemas that this program knows.
pub fn migrator() -> Migrator {
    let step = |(number, name, sql): &Step| {
        Migration::new(*number, (*name).into(), MigrationType::Simple, sql.into_sql_str(), false)
    };
    Migrator::with_migrations(STEPS.iter().map(step).collect())
}

/// Brings the tables to this version.
pub async fn migrate(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    expected::must_know_its_steps(connection, STEPS).await?;
    migrator()
        .run_direct(None, &mut *connection, false)
        .await
        .map_err(|error| StoreError::Unavailable(format!("the vault cannot be migrated: {error}")))?;
    expected::restore(connection, STEPS).await
}
