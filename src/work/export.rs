//! The people of a campaign, a row each, with what became of them.

use serde::Serialize;
use utoipa::ToSchema;

use super::Ctx;
use crate::model::delivery::{Arm, Reason, State, message_key};
use crate::model::ids::{Name, RecipientId};
use crate::model::time::Instant;
use crate::store::{CampaignRow, ExportRow, StoreError};

/// A person of a campaign's audience, with the columns of `campaign export`.
#[derive(Debug, Serialize, ToSchema)]
pub struct CampaignPerson {
    /// The message's id.
    pub message: String,
    /// The caller's id of the person.
    pub recipient: String,
    /// Where it goes.
    pub address: Option<String>,
    /// Where it stands.
    pub state: State,
    /// Why.
    pub reason: Reason,
    /// The variant's name.
    pub variant: Option<String>,
    /// The experiment's arm.
    pub arm: Option<Arm>,
    /// When it is to be sent.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub planned_at: Option<Instant>,
    /// When it was sent.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub sent_at: Option<Instant>,
    /// When it reached the person.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub delivered_at: Option<Instant>,
    /// When it was read.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub read_at: Option<Instant>,
    /// When it was answered.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub replied_at: Option<Instant>,
    /// How often it was tried.
    pub attempts: u64,
    /// How the provider calls it.
    pub provider_message: Option<String>,
    /// When it was clicked.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub clicked_at: Option<Instant>,
    /// When it brought what was asked.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub converted_at: Option<Instant>,
    /// When the channel gave up.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub failed_at: Option<Instant>,
    /// The channel's code for it.
    pub failure_code: Option<String>,
    /// Its words for it.
    pub failure_text: Option<String>,
    /// What it charged.
    pub price: Option<f64>,
}

impl CampaignPerson {
    fn of(campaign: &Name, row: ExportRow) -> Result<Self, StoreError> {
        let corrupt = |cause| StoreError::Corrupt { table: "delivery", cause };
        let at = |micros: Option<i64>| micros.and_then(chrono::DateTime::from_timestamp_micros);
        Ok(Self {
            message: message_key(campaign, RecipientId(row.recipient)).to_string(),
            recipient: row.key,
            address: row.address,
            state: row.state.parse().map_err(corrupt)?,
            reason: row.reason.parse().map_err(corrupt)?,
            variant: row.variant,
            arm: row.arm.map(|arm| arm.parse().map_err(corrupt)).transpose()?,
            planned_at: at(row.send_at),
            sent_at: at(row.sent_at),
            delivered_at: at(row.delivered_at),
            read_at: at(row.read_at),
            replied_at: at(row.replied_at),
            attempts: row.attempts as u64,
            provider_message: row.provider_message,
            clicked_at: at(row.clicked_at),
            converted_at: at(row.converted_at),
            failed_at: at(row.failed_at),
            failure_code: row.failure_code,
            failure_text: row.failure_text,
            price: row.price,
        })
    }
}

/// Which people of a campaign are meant.
#[derive(Debug, Clone, Copy, Default)]
pub struct PeopleFilter {
    /// Only those in this state.
    pub state: Option<State>,
    /// Only those for this reason.
    pub reason: Option<Reason>,
}

/// Up to `limit` people of a campaign after the one with the number `after`, and the number to go on
/// from, where there may be more.
pub async fn people(
    ctx: &Ctx,
    row: &CampaignRow,
    filter: PeopleFilter,
    after: RecipientId,
    limit: usize,
) -> Result<(Vec<CampaignPerson>, Option<RecipientId>), StoreError> {
    let PeopleFilter { state, reason } = filter;
    let mut reader = ctx.store.read().await?;
    let rows = reader.export_rows(row.id, (state, reason), after, limit).await?;
    let next = rows.last().filter(|_| rows.len() == limit).map(|row| RecipientId(row.recipient));
    let person = |found: ExportRow| CampaignPerson::of(&row.campaign.name, found);
    let people = rows.into_iter().map(person).collect::<Result<_, _>>()?;
    Ok((people, next))
}
