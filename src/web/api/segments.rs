//! Named audiences.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;

use super::problem::{ApiProblem, Problems};
use super::request::{Asked, Body, Caller, Page, PageOf, Read, Submit};
use crate::model::ids::Name;
use crate::work::Ctx;
use crate::work::segments::{self, Segment, SegmentCount, SegmentError};

impl From<SegmentError> for ApiProblem {
    fn from(error: SegmentError) -> Self {
        match error {
            SegmentError::Store(error) => error.into(),
            SegmentError::Learn(error) => error.into(),
            SegmentError::Absent(..) => Self::new(StatusCode::NOT_FOUND, error),
            SegmentError::Expression { .. } | SegmentError::NoEvent { .. } => {
                Self::wrong("/where", error)
            }
        }
    }
}

/// Who is of an audience.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SegmentText {
    /// An expression in CEL.
    #[serde(rename = "where")]
    expression: String,
}

fn named(name: &str) -> Result<Name, ApiProblem> {
    name.parse().map_err(|_| ApiProblem::absent("such segment"))
}

/// Every named audience, by name.
#[utoipa::path(get, path = "/segments", params(PageOf), security(("token" = ["read"])),
    responses((status = 200, body = Page<Segment>), Problems))]
pub(super) async fn list(
    _caller: Caller<Read>,
    Asked(page): Asked<PageOf>,
    State(ctx): State<Ctx>,
) -> Result<Json<Page<Segment>>, ApiProblem> {
    Ok(Json(Page::cut(segments::list(&ctx).await?, &page)?))
}

/// A named audience, and how many people are of it.
#[utoipa::path(get, path = "/segments/{segment}", params(("segment" = String, Path)),
    security(("token" = ["read"])), responses((status = 200, body = SegmentCount), Problems))]
pub(super) async fn count(
    _caller: Caller<Read>,
    Path(name): Path<String>,
    State(ctx): State<Ctx>,
) -> Result<Json<SegmentCount>, ApiProblem> {
    Ok(Json(segments::count(&ctx, &named(&name)?).await?))
}

/// Saves a named audience, over one of the same name.
#[utoipa::path(put, path = "/segments/{segment}", params(("segment" = String, Path)),
    request_body(content = SegmentText,
        example = json!({ "where": "country == \"BR\" && days_since(last_read) > 30" })),
    security(("token" = ["submit"])), responses((status = 200, body = Segment), Problems))]
pub(super) async fn save(
    caller: Caller<Submit>,
    Path(name): Path<String>,
    State(ctx): State<Ctx>,
    Body(text): Body<SegmentText>,
) -> Result<Json<Segment>, ApiProblem> {
    let name: Name = name.parse().map_err(|error| ApiProblem::wrong("", error))?;
    Ok(Json(segments::save(&ctx, name, &text.expression, &caller.actor()).await?))
}

/// Deletes a named audience.
#[utoipa::path(delete, path = "/segments/{segment}", params(("segment" = String, Path)),
    security(("token" = ["submit"])), responses((status = 200, body = Segment), Problems))]
pub(super) async fn delete(
    caller: Caller<Submit>,
    Path(name): Path<String>,
    State(ctx): State<Ctx>,
) -> Result<Json<Segment>, ApiProblem> {
    Ok(Json(segments::delete(&ctx, &named(&name)?, &caller.actor()).await?))
}
