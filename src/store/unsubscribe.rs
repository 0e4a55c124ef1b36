//! The way out that mails carry: whose a token is.

use super::{Store, StoreError, Tx, number_token};
use crate::model::ids::RecipientId;

/// The workspace's key for tokens of ways out; another than that of links, so that a link is none.
#[derive(Clone)]
pub struct UnsubscribeKey(Vec<u8>);

impl UnsubscribeKey {
    /// The token of a person who got a message of a campaign or run.
    pub fn token(&self, campaign: i64, person: RecipientId) -> String {
        number_token::make(&self.0, [campaign, person.0])
    }

    /// Whose a token is, and the campaign or run; `None` for one that was not made with this key.
    pub fn read(&self, token: &str) -> Option<(i64, RecipientId)> {
        let [campaign, person] = number_token::read(&self.0, token)?;
        Some((campaign, RecipientId(person)))
    }
}

impl Store {
    /// The key for tokens of ways out; made once.
    pub async fn unsubscribe_key(&self) -> Result<UnsubscribeKey, StoreError> {
        let mut tx = self.begin().await?;
        let key = tx.unsubscribe_key().await?;
        tx.commit().await?;
        Ok(key)
    }
}

impl Tx {
    /// The key for tokens of ways out; made once.
    pub async fn unsubscribe_key(&mut self) -> Result<UnsubscribeKey, StoreError> {
        Ok(UnsubscribeKey(self.made_key("unsubscribe_key").await?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_by_its_key_and_no_link_is_one() {
        let (key, other) = (UnsubscribeKey(vec![1; 32]), UnsubscribeKey(vec![2; 32]));
        let token = key.token(7, RecipientId(1_000_000));
        assert_eq!(key.read(&token), Some((7, RecipientId(1_000_000))));
        assert_eq!(other.read(&token), None);
        for forged in ["", "AAAA", &token[1..], &token.to_uppercase(), &"A".repeat(5000)] {
            assert_eq!(key.read(forged), None, "{forged}");
        }
        // what was made of other numbers with the same key is none either
        assert_eq!(key.read(&number_token::make(&[1; 32], [3, 7, 1])), None);
    }
}
