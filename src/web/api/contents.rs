//! What campaigns say: each variant as it will read, and sent to addresses of one's own.

use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::campaigns::campaign_text;
use super::problem::{ApiProblem, Problems};
use super::request::{Asked, Body, Caller, NamedCampaign, Read, Submit};
use crate::model::campaign::{Campaign, RawCampaign};
use crate::model::ids::RecipientKey;
use crate::model::recipient::{Address, Recipient};
use crate::work::preview::{self, Preview};
use crate::work::tokens::Scope;
use crate::work::trial::{self, TrialError, Tried};
use crate::work::{Ctx, templates};

/// With whose attributes a campaign is read.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ReadAs {
    /// This person's, for whom the token needs the scope people; else what would be filled in stays as
    /// the file has it.
    #[param(value_type = Option<String>)]
    recipient: Option<RecipientKey>,
}

/// The person with whose attributes something is read: a matter of whoever may see people.
async fn person<S>(
    ctx: &Ctx,
    caller: &Caller<S>,
    key: Option<&RecipientKey>,
) -> Result<Option<Recipient>, ApiProblem> {
    match key {
        Some(_) if !caller.may(Scope::People) => {
            let lacks = "recipient: the token lacks the scope people";
            Err(ApiProblem::new(StatusCode::FORBIDDEN, lacks))
        }
        Some(key) => Ok(Some(super::people::find(ctx, key).await?)),
        None => Ok(None),
    }
}

async fn read<S>(
    ctx: &Ctx,
    caller: &Caller<S>,
    campaign: &Campaign,
    read_as: &ReadAs,
) -> Result<Json<Vec<Preview>>, ApiProblem> {
    let person = person(ctx, caller, read_as.recipient.as_ref()).await?;
    // what cannot be read is told by a check; here it is shown as far as it is known
    let _ = templates::read(ctx, &campaign.provider).await?;
    Ok(Json(preview::of(ctx, campaign, person.as_ref()).await?))
}

/// Each variant and translation of a campaign as it will read.
#[utoipa::path(get, path = "/campaigns/{name}/preview", params(("name" = String, Path), ReadAs),
    security(("token" = ["read"])), responses((status = 200, body = Vec<Preview>), Problems))]
pub(super) async fn preview(
    caller: Caller<Read>,
    NamedCampaign(row): NamedCampaign,
    Asked(read_as): Asked<ReadAs>,
    State(ctx): State<Ctx>,
) -> Result<Json<Vec<Preview>>, ApiProblem> {
    read(&ctx, &caller, &row.campaign, &read_as).await
}

/// Each variant and translation of a campaign file as it will read; nothing is stored.
#[utoipa::path(post, path = "/campaigns/preview", params(ReadAs), security(("token" = ["submit"])),
    request_body(description = "A campaign file", content(
        (RawCampaign = "application/json", example = json!({ "name": "first", "provider": "console",
            "window": { "start": "2030-03-01T09:00:00", "end": "2030-03-07T21:00:00" },
            "variant": [{ "name": "words", "media": "text", "text": "Hello {{name}}" }] })),
        (String = "application/toml"))),
    responses((status = 200, body = Vec<Preview>), Problems))]
pub(super) async fn preview_file(
    caller: Caller<Submit>,
    Asked(read_as): Asked<ReadAs>,
    State(ctx): State<Ctx>,
    request: Request,
) -> Result<Json<Vec<Preview>>, ApiProblem> {
    let campaign = Campaign::from_toml(&campaign_text(request).await?)?;
    read(&ctx, &caller, &campaign, &read_as).await
}

/// Where a campaign is tried out.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TestAddresses {
    /// Addresses of your own, up to 20.
    #[schema(value_type = Vec<String>, max_items = 20)]
    to: Vec<Address>,
    /// With the attributes of this person.
    #[schema(value_type = Option<String>)]
    recipient: Option<RecipientKey>,
}

/// Sends each variant and translation to addresses of your own, outside all statistics.
#[utoipa::path(post, path = "/campaigns/{name}/test",
    params(("name" = String, Path), ("Idempotency-Key" = Option<String>, Header)),
    request_body(content = TestAddresses, example = json!({ "to": ["+5511987654321"] })),
    security(("token" = ["submit"])),
    responses((status = 200, body = Vec<Tried>), Problems))]
pub(super) async fn test(
    caller: Caller<Submit>,
    NamedCampaign(row): NamedCampaign,
    State(ctx): State<Ctx>,
    Body(trial): Body<TestAddresses>,
) -> Result<Json<Vec<Tried>>, ApiProblem> {
    let person = person(&ctx, &caller, trial.recipient.as_ref()).await?;
    let tried = trial::run(&ctx, &row.campaign, &trial.to, person.as_ref()).await;
    tried.map(Json).map_err(|error| match error {
        TrialError::Store(error) => error.into(),
        error => ApiProblem::wrong("/to", error),
    })
}
