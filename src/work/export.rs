//! The people of a campaign, a row each, with what became of them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Ctx;
use crate::files::csv_text;
use crate::model::delivery::{Arm, Reason, State, message_key};
use crate::model::ids::{Name, RecipientId};
use crate::model::time::{Instant, format_instant};
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
    fn of(campaign: &Name, attribute: Option<&str>, row: ExportRow) -> Result<Self, StoreError> {
        let own = attribute.and_then(|name| {
            let mut told: BTreeMap<String, String> = serde_json::from_str(&row.attributes).ok()?;
            told.remove(name)
        });
        let corrupt = |cause| StoreError::Corrupt { table: "delivery", cause };
        let at = |micros: Option<i64>| micros.and_then(chrono::DateTime::from_timestamp_micros);
        Ok(Self {
            message: message_key(campaign, RecipientId(row.recipient)).to_string(),
            recipient: row.key,
            address: own.or(row.address),
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

/// The columns of `campaign export`.
pub const COLUMNS: [&str; 20] = [
    "message",
    "recipient",
    "address",
    "state",
    "reason",
    "variant",
    "arm",
    "planned_at",
    "sent_at",
    "delivered_at",
    "read_at",
    "replied_at",
    "attempts",
    "provider_message",
    "clicked_at",
    "converted_at",
    "failed_at",
    "failure_code",
    "failure_text",
    "price",
];

impl CampaignPerson {
    /// The cells of [`COLUMNS`].
    pub fn cells(self) -> [String; 20] {
        let time = |at: Option<Instant>| at.map(format_instant).unwrap_or_default();
        [
            self.message,
            self.recipient,
            self.address.unwrap_or_default(),
            self.state.to_string(),
            self.reason.to_string(),
            self.variant.unwrap_or_default(),
            self.arm.map(|arm| arm.to_string()).unwrap_or_default(),
            time(self.planned_at),
            time(self.sent_at),
            time(self.delivered_at),
            time(self.read_at),
            time(self.replied_at),
            self.attempts.to_string(),
            self.provider_message.unwrap_or_default(),
            time(self.clicked_at),
            time(self.converted_at),
            time(self.failed_at),
            self.failure_code.unwrap_or_default(),
            self.failure_text.unwrap_or_default(),
            self.price.map(|price| price.to_string()).unwrap_or_default(),
        ]
    }
}

/// A piece of the file that `campaign export` writes: the next `limit` people, the header before the
/// first; and the place to go on from, where there may be more.
pub async fn csv_piece(
    ctx: &Ctx,
    row: &CampaignRow,
    after: PeopleCursor,
    limit: usize,
) -> Result<(String, Option<PeopleCursor>), StoreError> {
    let (people, next) = self::people(ctx, row, PeopleFilter::default(), after, limit).await?;
    let is_first = after == PeopleCursor::default();
    let header = is_first.then(|| COLUMNS.map(str::to_owned));
    let rows = header.into_iter().chain(people.into_iter().map(CampaignPerson::cells));
    Ok((csv_text(rows), next))
}

/// Which people of a campaign are meant.
#[derive(Debug, Clone, Copy, Default)]
pub struct PeopleFilter {
    /// Only those in this state.
    pub state: Option<State>,
    /// Only those for this reason.
    pub reason: Option<Reason>,
}

/// Where a list of a campaign's people goes on: after a person of it, or of one of its runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PeopleCursor {
    campaign: i64,
    person: i64,
}

impl std::fmt::Display for PeopleCursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.campaign, self.person)
    }
}

impl From<PeopleCursor> for String {
    fn from(cursor: PeopleCursor) -> Self {
        cursor.to_string()
    }
}

impl TryFrom<String> for PeopleCursor {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let parts = text.split_once('.');
        let parts = parts.and_then(|(c, p)| Some((c.parse().ok()?, p.parse().ok()?)));
        let (campaign, person) = parts.ok_or("none that a page gave")?;
        Ok(Self { campaign, person })
    }
}

/// Up to `limit` people of a campaign, or of all runs of a standing one, after a place in the list; and
/// the place to go on from, where there may be more.
pub async fn people(
    ctx: &Ctx,
    row: &CampaignRow,
    filter: PeopleFilter,
    after: PeopleCursor,
    limit: usize,
) -> Result<(Vec<CampaignPerson>, Option<PeopleCursor>), StoreError> {
    let PeopleFilter { state, reason } = filter;
    let mut reader = ctx.store.read().await?;
    let campaigns = if row.is_standing() { reader.runs_of(row.id).await? } else { vec![row.id] };
    let mut people = Vec::new();
    for id in campaigns.into_iter().filter(|id| *id >= after.campaign) {
        let Some(of) = reader.campaign_by_id(id).await? else { continue };
        let from = RecipientId(if id == after.campaign { after.person } else { 0 });
        let config = ctx.config.providers.get(&of.campaign.provider);
        let attribute = config.and_then(|config| config.address_attribute.as_deref());
        let room = limit - people.len();
        let rows = reader.export_rows(id, (state, reason), from, room).await?;
        let last = rows.last().map(|row| PeopleCursor { campaign: id, person: row.recipient });
        for found in rows {
            people.push(CampaignPerson::of(&of.campaign.name, attribute, found)?);
        }
        if people.len() == limit {
            return Ok((people, last));
        }
    }
    Ok((people, None))
}
