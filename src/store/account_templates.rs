//! Templates as providers' accounts have them.

use super::bulk::{Column, Rows};
use super::{Doing, ROWS_PER_STATEMENT, Reader, StoreError, Tx, json, on, run, to_json};
use crate::model::ids::Name;
use crate::model::template::AccountTemplate;

const TABLE: &str = "account_template";
const HEAD: &str = "INSERT INTO account_template (provider, name, language, template)";
const OVER: &str =
    " ON CONFLICT (provider, name, language) DO UPDATE SET template = excluded.template";

impl Reader {
    /// The templates of a provider's account, by name and language.
    pub async fn account_templates(
        &mut self,
        provider: &Name,
    ) -> Result<Vec<AccountTemplate>, StoreError> {
        const SQL: &str = "SELECT template FROM account_template WHERE provider = $1
            ORDER BY name, language LIMIT 20000";
        let rows: Vec<String> =
            on!(self, |db| sqlx::query_scalar(SQL).bind(provider.as_str()).fetch_all(db).await)
                .doing("read an account's templates")?;
        rows.iter().map(|text| json(TABLE, text)).collect()
    }
}

impl Tx {
    /// Puts what a provider's account has now in the place of what was known of it.
    pub async fn put_account_templates(
        &mut self,
        provider: &Name,
        templates: &[AccountTemplate],
    ) -> Result<(), StoreError> {
        const SQL: &str = "DELETE FROM account_template WHERE provider = $1";
        run!(self, SQL, provider.as_str()).doing("forget an account's templates")?;
        for chunk in templates.chunks(ROWS_PER_STATEMENT) {
            let languages: Vec<String> = chunk.iter().map(|t| t.language.to_string()).collect();
            let texts: Vec<String> = chunk.iter().map(to_json).collect();
            let columns = vec![
                Column::Text(vec![Some(provider.as_str()); chunk.len()]),
                Column::Text(chunk.iter().map(|template| Some(template.name.as_str())).collect()),
                Column::Text(languages.iter().map(|text| Some(text.as_str())).collect()),
                Column::Text(texts.iter().map(|text| Some(text.as_str())).collect()),
            ];
            on!(self, |db| Rows::insert(HEAD, columns, OVER).build().execute(db).await.map(drop))
                .doing("write an account's templates")?;
        }
        Ok(())
    }
}
