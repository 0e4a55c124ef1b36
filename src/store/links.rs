//! Links of each person's own: where they lead, whose a token is, and who came by.

use super::{Doing, Reader, Store, StoreError, Tx, micros, number_token, on, parsed, run};
use crate::model::ids::{Name, RecipientId};
use crate::model::link::Uncounted;
use crate::model::time::Instant;

/// Whose way to which address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PersonLink {
    /// Number of the link.
    pub link: i64,
    /// The campaign or run that sent it.
    pub campaign: i64,
    /// To whom.
    pub recipient: RecipientId,
}

/// The workspace's key for tokens of links.
#[derive(Clone)]
pub struct LinkKey(Vec<u8>);

impl LinkKey {
    /// The token of a person's link.
    pub fn token(&self, of: PersonLink) -> String {
        number_token::make(&self.0, [of.link, of.campaign, of.recipient.0])
    }

    /// Whose link a token is; `None` for one that was not made with this key.
    pub fn read(&self, token: &str) -> Option<PersonLink> {
        let [link, campaign, recipient] = number_token::read(&self.0, token)?;
        Some(PersonLink { link, campaign, recipient: RecipientId(recipient) })
    }
}

/// Where a link leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkTarget {
    /// The address, as the campaign has it.
    pub url: String,
    /// The campaign's name.
    pub campaign: Name,
    /// Its provider.
    pub provider: Name,
}

/// Somebody came by a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkVisit {
    /// Whose, and which.
    pub of: PersonLink,
    /// When.
    pub at: Instant,
    /// Why it is no click, if it is none.
    pub uncounted: Option<Uncounted>,
}

impl Store {
    /// The key for tokens of links; made once.
    pub async fn link_key(&self) -> Result<LinkKey, StoreError> {
        let mut tx = self.begin().await?;
        let key = tx.link_key().await?;
        tx.commit().await?;
        Ok(key)
    }
}

impl Reader {
    /// The numbers of a campaign's links, by address.
    pub async fn links_of(&mut self, campaign: i64) -> Result<Vec<(String, i64)>, StoreError> {
        const SQL: &str = "SELECT url, id FROM link WHERE campaign = $1";
        on!(self, |db| sqlx::query_as(SQL).bind(campaign).fetch_all(db).await)
            .doing("read a campaign's links")
    }

    /// Where a link leads.
    pub async fn link_target(&mut self, link: i64) -> Result<Option<LinkTarget>, StoreError> {
        const SQL: &str = "SELECT l.url, c.name, c.provider FROM link l
            JOIN campaign c ON c.id = l.campaign WHERE l.id = $1";
        let row: Option<(String, String, String)> =
            on!(self, |db| sqlx::query_as(SQL).bind(link).fetch_optional(db).await)
                .doing("find where a link leads")?;
        let target = |(url, campaign, provider): (String, String, String)| {
            let (campaign, provider) =
                (parsed("campaign", &campaign)?, parsed("campaign", &provider)?);
            Ok(LinkTarget { url, campaign, provider })
        };
        row.map(target).transpose()
    }
}

impl Tx {
    /// The key for tokens of links.
    pub async fn link_key(&mut self) -> Result<LinkKey, StoreError> {
        Ok(LinkKey(self.made_key("link_key").await?))
    }

    /// Stores where a campaign's links lead, each once.
    pub async fn add_links(&mut self, campaign: i64, urls: &[&str]) -> Result<(), StoreError> {
        const SQL: &str =
            "INSERT INTO link (id, campaign, url) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
        if urls.is_empty() {
            return Ok(());
        }
        let first = self.take_numbers("link", urls.len()).await?;
        for (id, url) in (first..).zip(urls) {
            run!(self, SQL, id, campaign, *url).doing("store a link")?;
        }
        Ok(())
    }

    /// Notes who came by, of people whom the campaign wrote to.
    pub async fn note_visit(&mut self, visit: &LinkVisit) -> Result<(), StoreError> {
        const SQL: &str = "INSERT INTO link_visit
                (link, campaign, recipient, uncounted, first_at, last_at, visits)
            SELECT $1, campaign, recipient, $4, $5, $5, 1 FROM delivery
                WHERE campaign = $2 AND recipient = $3
            ON CONFLICT (campaign, recipient, link, uncounted) DO UPDATE
                SET visits = link_visit.visits + 1, last_at = excluded.last_at";
        let PersonLink { link, campaign, recipient } = visit.of;
        let why = visit.uncounted.map_or("", Uncounted::as_str);
        run!(self, SQL, link, campaign, recipient.0, why, micros(visit.at))
            .doing("note who came by a link")
            .map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_token_is_read_by_its_key_alone(
            link in 0..i64::MAX, campaign in 0..1_000_000_i64, person in 0..i64::MAX, flip in 0..400_usize,
        ) {
            let (key, other) = (LinkKey(vec![1; 32]), LinkKey(vec![2; 32]));
            let of = PersonLink { link, campaign, recipient: RecipientId(person) };
            let token = key.token(of);
            prop_assert_eq!(key.read(&token), Some(of));
            prop_assert_eq!(other.read(&token), None);
            let mut forged = URL_SAFE_NO_PAD.decode(&token).unwrap();
            let bit = flip % (forged.len() * 8);
            forged[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(key.read(&URL_SAFE_NO_PAD.encode(forged)), None);
        }
    }

    #[test]
    fn what_is_no_token_is_none() {
        let key = LinkKey(vec![1; 32]);
        for token in
            ["", "a", "AAAAAAAAAAA", "../../etc/passwd", &"A".repeat(64), &"A".repeat(5000)]
        {
            assert_eq!(key.read(token), None, "{token}");
        }
        let of = PersonLink { link: 3, campaign: 7, recipient: RecipientId(1_000_000) };
        assert!(key.token(of).len() <= 20);
    }
}
