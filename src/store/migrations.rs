//! The versions of the schema, each a file of `migrations`, in their order.

use std::sync::LazyLock;

use sqlx::SqlStr;
use sqlx::migrate::{Migration, MigrationType, Migrator};

/// Each file's name with its text.
macro_rules! files {
    ($($name:literal,)*) => {
        [$(($name, include_str!(concat!("../../migrations/", $name, ".sql")))),*]
    };
}

const FILES: [(&str, &str); 28] = files![
    "0001_workspace",
    "0003_plan",
    "0004_dispatch",
    "0006_dispatch",
    "0007_in_doubt",
    "0008_claim",
    "0009_message",
    "0020_one_model",
    "0030_leadership",
    "0040_alert_end",
    "0050_randomized",
    "0060_api",
    "0070_replies",
    "0080_events",
    "0081_occurrences",
    "0082_links",
    "0083_segments",
    "0084_wishes",
    "0085_occurrence_told",
    "0086_charges",
    "0087_account_templates",
    "0090_channels",
    "0091_permits",
    "0092_fallback",
    "0093_consent_scope",
    "0095_retries",
    "0096_delivery_count",
    "0097_service_messages",
];

/// All of them.
pub(super) static MIGRATIONS: LazyLock<Migrator> = LazyLock::new(|| {
    let migration = |(name, sql): (&'static str, &'static str)| {
        let (version, description) = name.split_once('_').expect("a number, then a name");
        let version = version.parse().expect("a number");
        let description = description.replace('_', " ").into();
        let sql = SqlStr::from_static(sql);
        Migration::new(version, description, MigrationType::Simple, sql, false)
    };
    Migrator::with_migrations(FILES.into_iter().map(migration).collect())
});

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[tokio::test]
    async fn every_file_of_the_folder_is_there_as_sqlx_reads_it() {
        let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/migrations"));
        let read = Migrator::new(folder).await.unwrap();
        let told = |migrator: &Migrator| -> Vec<_> {
            let each = migrator.iter();
            each.map(|m| (m.version, m.description.clone(), m.checksum.clone())).collect()
        };
        assert_eq!(told(&read), told(&MIGRATIONS));
    }
}
