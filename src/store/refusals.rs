//! Refusals in a row, by which a fault of a template or campaign is told from one person's.

use super::{Doing, Reader, StoreError, Tx, on, run};

/// People in a row whom a provider refused alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusalRun {
    /// What they have in common.
    pub subject: String,
    /// How many.
    pub people: u32,
}

impl Reader {
    /// People in a row whom a campaign's provider refused alike.
    pub async fn refusal_runs(&mut self, campaign: i64) -> Result<Vec<RefusalRun>, StoreError> {
        const SQL: &str =
            "SELECT subject, people FROM refusal_run WHERE campaign = $1 ORDER BY subject";
        let rows: Vec<(String, i64)> =
            on!(self, |db| sqlx::query_as(SQL).bind(campaign).fetch_all(db).await)
                .doing("count refusals in a row")?;
        let run = |(subject, people)| RefusalRun { subject, people: people as u32 };
        Ok(rows.into_iter().map(run).collect())
    }
}

impl Tx {
    /// Counts people in a row whom a campaign's provider refused alike, in place of what was counted.
    pub async fn put_refusal_runs(
        &mut self,
        campaign: i64,
        runs: &[RefusalRun],
    ) -> Result<(), StoreError> {
        const CLEAR: &str = "DELETE FROM refusal_run WHERE campaign = $1";
        const PUT: &str = "INSERT INTO refusal_run (campaign, subject, people) VALUES ($1, $2, $3)";
        const DOING: &str = "count refusals in a row";
        run!(self, CLEAR, campaign).doing(DOING)?;
        for refusals in runs {
            let people = i64::from(refusals.people);
            run!(self, PUT, campaign, &refusals.subject, people).doing(DOING)?;
        }
        Ok(())
    }
}
