//! What channels call people: their addresses, other names for them, and addresses that they have
//! left.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::bulk::{Column, List, Rows, Sql, numbers, one_of};
use super::{Doing, Reader, StoreError, Tx, micros, on, parsed, run};
use crate::model::ids::{Name, RecipientId};
use crate::model::phone::alternatives;
use crate::model::recipient::Address;
use crate::model::time::Instant;

const BY_ADDRESS: Sql =
    one_of!("SELECT address, id FROM recipient WHERE address", "$1", " ORDER BY address, id");

const BY_ALIAS: Sql =
    one_of!("SELECT alias, recipient FROM alias WHERE provider = $1 AND alias", "$2", "");

const PUT_ALIASES: &str = "INSERT INTO alias (provider, alias, recipient)";

const OVER_ALIASES: &str = " ON CONFLICT (provider, alias) DO UPDATE
    SET recipient = excluded.recipient WHERE alias.recipient <> excluded.recipient";

const DROP_ALIAS: &str = "DELETE FROM alias WHERE provider = $1 AND alias = $2 AND recipient = $3";

const FORMER: Sql =
    one_of!("SELECT recipient, address FROM former_address WHERE recipient", "$1", "");

const LAST_LEFT: &str = "SELECT MAX(left_at) FROM former_address WHERE recipient = $1";

const LEAVE: &str = "INSERT INTO former_address (recipient, address, left_at) VALUES ($1, $2, $3)
    ON CONFLICT (recipient, address) DO UPDATE SET left_at = excluded.left_at";

const COME_BACK: &str = "DELETE FROM former_address WHERE recipient = $1 AND address = $2";

/// What else is known of a person's names.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct Names {
    /// Other names with channels.
    pub aliases: Vec<String>,
    /// Addresses that were left.
    pub former_addresses: Vec<String>,
}

impl Reader {
    /// A person's other names, sorted.
    pub async fn names(&mut self, person: RecipientId) -> Result<Names, StoreError> {
        const ALIASES: &str = "SELECT alias FROM alias WHERE recipient = $1 ORDER BY alias";
        const FORMER: &str =
            "SELECT address FROM former_address WHERE recipient = $1 ORDER BY address";
        let mut read = async |sql: &'static str| {
            on!(self, |db| sqlx::query_scalar(sql).bind(person.0).fetch_all(db).await)
                .doing("read a person's names")
        };
        Ok(Names { aliases: read(ALIASES).await?, former_addresses: read(FORMER).await? })
    }
}

impl Reader {
    /// Pairs of a person and another who has the same address, in any of its forms.
    pub async fn sharing_addresses(
        &mut self,
        people: &[RecipientId],
    ) -> Result<Vec<(RecipientId, RecipientId)>, StoreError> {
        const ADDRESSES: Sql =
            one_of!("SELECT id, address FROM recipient WHERE address IS NOT NULL AND id", "$1", "");
        let (sql, by_address) = (self.text(ADDRESSES), self.text(BY_ADDRESS));
        let rows: Vec<(i64, String)> =
            on!(self, |db| sqlx::query_as(sql).bind(numbers(people)).fetch_all(db).await)
                .doing("read addresses")?;
        let mut forms: Vec<(String, RecipientId)> = Vec::with_capacity(rows.len());
        for (id, text) in rows {
            let address: Address = parsed("recipient", &text)?;
            let others = alternatives(&address);
            forms.push((text, RecipientId(id)));
            forms.extend(others.iter().map(|form| (form.to_string(), RecipientId(id))));
        }
        let list = List(forms.iter().map(|(form, _)| form.as_str()).collect());
        let found: Vec<(String, i64)> =
            on!(self, |db| sqlx::query_as(by_address).bind(list).fetch_all(db).await)
                .doing("look up addresses")?;
        let mut by_form: HashMap<&str, Vec<RecipientId>> = HashMap::new();
        for (form, id) in &forms {
            by_form.entry(form).or_default().push(*id);
        }
        let mut pairs = Vec::new();
        for (form, other) in &found {
            let of = by_form.get(form.as_str()).into_iter().flatten();
            pairs.extend(of.filter(|id| id.0 != *other).map(|id| (*id, RecipientId(*other))));
        }
        pairs.sort_unstable();
        pairs.dedup();
        Ok(pairs)
    }
}

impl Reader {
    /// Pairs of a person and another who has the same address in an attribute.
    pub async fn sharing_attribute(
        &mut self,
        attribute: &str,
        people: &[RecipientId],
    ) -> Result<Vec<(RecipientId, RecipientId)>, StoreError> {
        const ATTRIBUTES: Sql = one_of!("SELECT id, attributes FROM recipient WHERE id", "$1", "");
        // nobody asks often: it is who withdraws
        const LIKE: &str =
            "SELECT id, attributes FROM recipient WHERE attributes LIKE $1 ESCAPE '!'";
        type Held = Vec<(i64, String)>;
        let sql = self.text(ATTRIBUTES);
        let held: Held =
            on!(self, |db| sqlx::query_as(sql).bind(numbers(people)).fetch_all(db).await)
                .doing("read addresses")?;
        let told = |text: &str| {
            let attributes: HashMap<String, String> = super::json("recipient", text)?;
            Ok::<_, StoreError>(attributes.get(attribute).cloned())
        };
        let mut pairs = Vec::new();
        for (person, text) in held {
            let Some(address) = told(&text)? else { continue };
            let part = format!("{}:{}", super::to_json(&attribute), super::to_json(&address));
            let part = part.replace('!', "!!").replace('%', "!%").replace('_', "!_");
            let like = format!("%{part}%");
            let found: Held = on!(self, |db| sqlx::query_as(LIKE).bind(&like).fetch_all(db).await)
                .doing("look up addresses")?;
            for (other, text) in found {
                if other != person && told(&text)?.as_deref() == Some(address.as_str()) {
                    pairs.push((RecipientId(person), RecipientId(other)));
                }
            }
        }
        Ok(pairs)
    }
}

impl Tx {
    /// Keeps other names by which a channel calls people. Who had one loses it; who was forgotten
    /// gets none.
    pub async fn put_aliases(
        &mut self,
        provider: &Name,
        aliases: &BTreeMap<Address, RecipientId>,
    ) -> Result<(), StoreError> {
        let people: Vec<RecipientId> = aliases.values().copied().collect();
        let known = self.keep_people(&people).await?;
        let aliases: Vec<(&Address, &RecipientId)> =
            aliases.iter().filter(|(_, id)| known.contains(id)).collect();
        if aliases.is_empty() {
            return Ok(());
        }
        let columns = vec![
            Column::Text(vec![Some(provider.as_str()); aliases.len()]),
            Column::Text(aliases.iter().map(|(alias, _)| Some(alias.as_str())).collect()),
            Column::Number(aliases.iter().map(|(_, id)| Some(id.0)).collect()),
        ];
        on!(self, |db| Rows::insert(PUT_ALIASES, columns, OVER_ALIASES)
            .build()
            .execute(db)
            .await
            .map(drop))
        .doing("note what people are called")
    }

    /// Who has an address, by import or by a channel's word; several may share one. They are not
    /// forgotten before this transaction ends.
    pub async fn people_at(
        &mut self,
        provider: &Name,
        addresses: &[&str],
    ) -> Result<Vec<(String, RecipientId)>, StoreError> {
        let addresses = List(addresses.to_vec());
        let (by_address, by_alias) = (self.text(BY_ADDRESS), self.text(BY_ALIAS));
        let mut found: Vec<(String, i64)> =
            on!(self, |db| sqlx::query_as(by_address).bind(addresses.clone()).fetch_all(db).await)
                .doing("look up addresses")?;
        let aliases: Vec<(String, i64)> = on!(self, |db| sqlx::query_as(by_alias)
            .bind(provider.as_str())
            .bind(addresses)
            .fetch_all(db)
            .await)
        .doing("look up other names")?;
        found.extend(aliases);
        self.kept(found).await
    }

    /// Those who are still known; none of them is forgotten before this transaction ends, so that
    /// rows about them may be written.
    async fn kept(
        &mut self,
        mut found: Vec<(String, i64)>,
    ) -> Result<Vec<(String, RecipientId)>, StoreError> {
        found.sort();
        found.dedup();
        let people: Vec<RecipientId> = found.iter().map(|(_, id)| RecipientId(*id)).collect();
        let known = self.keep_people(&people).await?;
        let found = found.into_iter().map(|(address, id)| (address, RecipientId(id)));
        Ok(found.filter(|(_, id)| known.contains(id)).collect())
    }

    /// Who has an address, by import or by any channel's word; several may share one. They are not
    /// forgotten before this transaction ends.
    pub async fn people_called(
        &mut self,
        addresses: &[&str],
    ) -> Result<Vec<(String, RecipientId)>, StoreError> {
        const ANY_ALIAS: Sql = one_of!("SELECT alias, recipient FROM alias WHERE alias", "$1", "");
        let addresses = List(addresses.to_vec());
        let (by_address, by_alias) = (self.text(BY_ADDRESS), self.text(ANY_ALIAS));
        let mut found: Vec<(String, i64)> =
            on!(self, |db| sqlx::query_as(by_address).bind(addresses.clone()).fetch_all(db).await)
                .doing("look up addresses")?;
        let aliases: Vec<(String, i64)> =
            on!(self, |db| sqlx::query_as(by_alias).bind(addresses).fetch_all(db).await)
                .doing("look up other names")?;
        found.extend(aliases);
        self.kept(found).await
    }

    /// Notes that a person left addresses for a new one at `at`, and that the channel no longer calls
    /// the person by them; false when the person has moved later than that already.
    pub async fn leave_addresses(
        &mut self,
        provider: &Name,
        person: RecipientId,
        left: &[&Address],
        new: &Address,
        at: Instant,
    ) -> Result<bool, StoreError> {
        const DOING: &str = "note a person's new address";
        let last: Option<i64> =
            on!(self, |db| sqlx::query_scalar(LAST_LEFT).bind(person.0).fetch_one(db).await)
                .doing(DOING)?;
        if last.is_some_and(|last| last >= micros(at)) {
            return Ok(false);
        }
        for old in left {
            run!(self, LEAVE, person.0, old.as_str(), micros(at)).doing(DOING)?;
            run!(self, DROP_ALIAS, provider.as_str(), old.as_str(), person.0).doing(DOING)?;
        }
        run!(self, COME_BACK, person.0, new.as_str()).doing(DOING)?;
        Ok(true)
    }

    /// The addresses that the people have left.
    pub(super) async fn former_addresses(
        &mut self,
        people: &[RecipientId],
    ) -> Result<HashSet<(RecipientId, Address)>, StoreError> {
        let sql = self.text(FORMER);
        let rows: Vec<(i64, String)> =
            on!(self, |db| sqlx::query_as(sql).bind(numbers(people)).fetch_all(db).await)
                .doing("read addresses that were left")?;
        let former = |(id, address): (i64, String)| {
            Ok((RecipientId(id), parsed("former_address", &address)?))
        };
        rows.into_iter().map(former).collect()
    }
}
