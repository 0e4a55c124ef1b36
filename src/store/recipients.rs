//! Who is known.

use std::collections::{BTreeMap, HashMap};

use sqlx::QueryBuilder;

use super::bulk::{List, Sql, numbers, one_of};
use super::row::from_row;
use super::{Doing, ROWS_PER_STATEMENT, Reader, StoreError, Tx, json, on, parsed, to_json};
use crate::model::ids::{RecipientId, RecipientKey};
use crate::model::recipient::{Address, Country, Profile, Recipient, Zone, parse_zone};

/// What became of a recipient's row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddedRecipient {
    /// Not known before.
    New,
    /// Known, and something changed.
    Updated,
    /// Known, and nothing changed.
    Same,
}

from_row! {
    struct RecipientRow {
        id: i64,
        key: String,
        address: Option<String>,
        time_zone: Option<String>,
        zone_inferred: bool,
        locale: Option<String>,
        country: Option<String>,
        tags: String,
        attributes: String,
        wishes: String,
        consented: bool,
    }
}

impl TryFrom<RecipientRow> for Recipient {
    type Error = StoreError;

    fn try_from(row: RecipientRow) -> Result<Self, StoreError> {
        const TABLE: &str = "recipient";
        let zone = row.time_zone.map(|name| {
            let tz = parse_zone(&name).map_err(|cause| StoreError::Corrupt { table: TABLE, cause });
            tz.map(|tz| Zone { tz, inferred: row.zone_inferred })
        });
        Ok(Self {
            id: RecipientId(row.id),
            key: parsed(TABLE, &row.key)?,
            profile: Profile {
                address: row.address.map(|text| parsed(TABLE, &text)).transpose()?,
                zone: zone.transpose()?,
                locale: row.locale.map(|text| parsed(TABLE, &text)).transpose()?,
                country: row.country.map(|text| parsed(TABLE, &text)).transpose()?,
                tags: json(TABLE, &row.tags)?,
                attributes: json(TABLE, &row.attributes)?,
                wishes: json(TABLE, &row.wishes)?,
            },
            consented: row.consented,
        })
    }
}

/// Rows that are read at once.
const PAGE: usize = 10_000;

macro_rules! select {
    ($end:expr) => {
        concat!(
            "SELECT id, key, address, time_zone, zone_inferred, locale, country, tags, attributes,
            wishes, consented FROM recipient ",
            $end
        )
    };
}

const AFTER: &str = select!("WHERE id > $1 ORDER BY id LIMIT $2");

const BY_KEY: &str = select!("WHERE key = $1");

/// They are read to be written again: locked, and in one order by everybody.
const BY_KEYS: Sql = [
    one_of!(select!("WHERE key"), "$1", " ORDER BY id")[0],
    one_of!(select!("WHERE key"), "$1", " ORDER BY id FOR NO KEY UPDATE")[1],
];

const BY_NUMBER: Sql = one_of!(select!("WHERE id"), "$1", "");

const PUT: &str = "INSERT INTO recipient (id, key, address, time_zone, zone_inferred, locale,
    country, tags, attributes, wishes, consented) ";

const PUT_END: &str = " ON CONFLICT (id) DO UPDATE SET address = excluded.address,
    time_zone = excluded.time_zone, zone_inferred = excluded.zone_inferred,
    locale = excluded.locale, country = excluded.country, tags = excluded.tags,
    attributes = excluded.attributes, wishes = excluded.wishes";

impl Reader {
    /// Up to `limit` recipients after `after`, in the order of their numbers.
    pub async fn recipients_after(
        &mut self,
        after: RecipientId,
        limit: usize,
    ) -> Result<Vec<Recipient>, StoreError> {
        let rows: Vec<RecipientRow> = on!(self, |db| sqlx::query_as(AFTER)
            .bind(after.0)
            .bind(limit as i64)
            .fetch_all(db)
            .await)
        .doing("read recipients")?;
        rows.into_iter().map(Recipient::try_from).collect()
    }

    /// All recipients, in the order of their numbers.
    pub async fn everybody(&mut self) -> Result<Vec<Recipient>, StoreError> {
        let mut people: Vec<Recipient> = Vec::new();
        loop {
            let after = people.last().map_or(RecipientId(0), |last| last.id);
            let page = self.recipients_after(after, PAGE).await?;
            if page.is_empty() {
                return Ok(people);
            }
            people.extend(page);
        }
    }

    /// The recipient with the caller's id.
    pub async fn recipient(&mut self, key: &RecipientKey) -> Result<Option<Recipient>, StoreError> {
        let row: Option<RecipientRow> =
            on!(self, |db| sqlx::query_as(BY_KEY).bind(key.as_str()).fetch_optional(db).await)
                .doing("read a recipient")?;
        row.map(Recipient::try_from).transpose()
    }

    /// The highest number of a person; 0 where nobody is known.
    pub async fn last_recipient(&mut self) -> Result<RecipientId, StoreError> {
        const SQL: &str = "SELECT COALESCE(MAX(id), 0) FROM recipient";
        let id: i64 = on!(self, |db| sqlx::query_scalar(SQL).fetch_one(db).await)
            .doing("find the last recipient")?;
        Ok(RecipientId(id))
    }

    /// How many are known.
    pub async fn recipient_count(&mut self) -> Result<u64, StoreError> {
        let count: i64 = on!(self, |db| sqlx::query_scalar("SELECT COUNT(*) FROM recipient")
            .fetch_one(db)
            .await)
        .doing("count recipients")?;
        Ok(count as u64)
    }

    /// The recipients with an address; there may be several.
    pub async fn recipients_at(
        &mut self,
        address: &Address,
    ) -> Result<Vec<RecipientId>, StoreError> {
        const SQL: &str = "SELECT id FROM recipient WHERE address = $1 ORDER BY id";
        let ids: Vec<i64> =
            on!(self, |db| sqlx::query_scalar(SQL).bind(address.as_str()).fetch_all(db).await)
                .doing("look up an address")?;
        Ok(ids.into_iter().map(RecipientId).collect())
    }
}

impl Tx {
    /// The recipients with the numbers; who was forgotten is absent.
    pub async fn recipients(
        &mut self,
        ids: &[RecipientId],
    ) -> Result<HashMap<RecipientId, Recipient>, StoreError> {
        let sql = self.text(BY_NUMBER);
        let rows: Vec<RecipientRow> =
            on!(self, |db| sqlx::query_as(sql).bind(numbers(ids)).fetch_all(db).await)
                .doing("read recipients")?;
        rows.into_iter().map(|row| Ok((RecipientId(row.id), row.try_into()?))).collect()
    }

    /// The numbers of those recipients among `keys` that are known; none of them is forgotten before
    /// this transaction ends.
    pub async fn recipient_ids<'k>(
        &mut self,
        keys: impl Iterator<Item = &'k RecipientKey>,
    ) -> Result<HashMap<RecipientKey, RecipientId>, StoreError> {
        const SQL: Sql = [
            one_of!("SELECT id, key FROM recipient WHERE key", "$1", "")[0],
            one_of!("SELECT id, key FROM recipient WHERE key", "$1", " ORDER BY id FOR KEY SHARE")
                [1],
        ];
        let (sql, keys) = (self.text(SQL), List(keys.map(RecipientKey::as_str).collect()));
        let rows: Vec<(i64, String)> =
            on!(self, |db| sqlx::query_as(sql).bind(keys).fetch_all(db).await)
                .doing("look up recipients")?;
        rows.into_iter()
            .map(|(id, key)| Ok((parsed("recipient", &key)?, RecipientId(id))))
            .collect()
    }

    /// Adds recipients or updates their profiles. What a file leaves empty stays as it was.
    /// Returns their numbers and what became of each, in order; keys must differ.
    pub async fn put_recipients(
        &mut self,
        given: &[(RecipientKey, Profile)],
    ) -> Result<Vec<(RecipientId, AddedRecipient)>, StoreError> {
        let mut known = self.profiles(given.iter().map(|(key, _)| key)).await?;
        let new = given.iter().filter(|(key, _)| !known.contains_key(key)).count();
        let mut next = 0;
        if new > 0 {
            next = self.take_numbers("recipient", new).await?;
            // others who take numbers have waited for each other: what they added is there now
            let unknown: Vec<_> =
                given.iter().map(|(key, _)| key).filter(|key| !known.contains_key(key)).collect();
            known.extend(self.profiles(unknown.into_iter()).await?);
        }
        // a file that is older than a person's move changes nothing about it
        let moves = |(key, profile): &(RecipientKey, Profile)| {
            let (id, stored) = known.get(key)?;
            (profile.address.is_some() && profile.address != stored.address).then_some(*id)
        };
        let moving: Vec<RecipientId> = given.iter().filter_map(moves).collect();
        let former = self.former_addresses(&moving).await?;
        let mut outcome = Vec::with_capacity(given.len());
        let mut rows = Vec::new();
        for (key, profile) in given {
            let (id, became, profile) = match known.get(key) {
                None => {
                    next += 1;
                    (
                        RecipientId(next - 1),
                        AddedRecipient::New,
                        updated(&Profile::default(), profile, false),
                    )
                }
                Some((id, stored)) => {
                    let address = profile.address.clone();
                    let left = address.is_some_and(|at| former.contains(&(*id, at)));
                    let merged = updated(stored, profile, left);
                    let same = merged == *stored;
                    let became = if same { AddedRecipient::Same } else { AddedRecipient::Updated };
                    (*id, became, merged)
                }
            };
            outcome.push((id, became));
            if became != AddedRecipient::Same {
                rows.push((id, key, profile));
            }
        }
        for chunk in rows.chunks(ROWS_PER_STATEMENT) {
            on!(self, |db| {
                let mut query = QueryBuilder::new(PUT);
                query.push_values(chunk, |mut row, (id, key, profile)| {
                    row.push_bind(id.0)
                        .push_bind(key.as_str())
                        .push_bind(profile.address.as_ref().map(Address::as_str))
                        .push_bind(profile.zone.map(|zone| zone.tz.name()))
                        .push_bind(profile.zone.is_some_and(|zone| zone.inferred))
                        .push_bind(profile.locale.as_ref().map(ToString::to_string))
                        .push_bind(profile.country.as_ref().map(Country::as_str))
                        .push_bind(to_json(&profile.tags))
                        .push_bind(to_json(&profile.attributes))
                        .push_bind(to_json(&profile.wishes))
                        .push_bind(false);
                });
                query.push(PUT_END);
                query.build().execute(db).await.map(drop)
            })
            .doing("write recipients")?;
        }
        Ok(outcome)
    }

    async fn profiles<'k>(
        &mut self,
        keys: impl Iterator<Item = &'k RecipientKey>,
    ) -> Result<BTreeMap<RecipientKey, (RecipientId, Profile)>, StoreError> {
        let (sql, keys) = (self.text(BY_KEYS), List(keys.map(RecipientKey::as_str).collect()));
        let rows: Vec<RecipientRow> =
            on!(self, |db| sqlx::query_as(sql).bind(keys).fetch_all(db).await)
                .doing("look up recipients")?;
        let known = |row| {
            let recipient = Recipient::try_from(row)?;
            Ok((recipient.key, (recipient.id, recipient.profile)))
        };
        rows.into_iter().map(known).collect()
    }
}

/// The stored profile with everything that was given put over it. An inferred zone never replaces
/// one that was given. An address that was left does not come back, nor what it tells of the zone.
fn updated(stored: &Profile, given: &Profile, left: bool) -> Profile {
    let zone = match (stored.zone, given.zone) {
        (Some(stored), Some(given)) if given.inferred && (left || !stored.inferred) => Some(stored),
        (stored, given) => given.or(stored),
    };
    let mut attributes = stored.attributes.clone();
    attributes.extend(given.attributes.clone());
    Profile {
        address: given.address.clone().filter(|_| !left).or_else(|| stored.address.clone()),
        zone,
        locale: given.locale.clone().or_else(|| stored.locale.clone()),
        country: given.country.clone().or_else(|| stored.country.clone()),
        tags: if given.tags.is_empty() { stored.tags.clone() } else { given.tags.clone() },
        attributes,
        wishes: stored.wishes.updated(&given.wishes),
    }
}
