//! Errors as RFC 9457 has them: `application/problem+json` with status, title and detail, and for bad
//! input a list of what is wrong where.

use std::fmt::Display;

use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::openapi::{Content, RefOr, Response as Described, ResponseBuilder};
use utoipa::{IntoResponses, ToSchema};

use crate::model::campaign::CampaignError;
use crate::store::StoreError;
use crate::web::access::Denied;
use crate::work::campaigns::SubmitError;
use crate::work::check::CheckError;
use crate::work::learn::LearnError;
use crate::work::plan::PlanError;

/// The media type of problems.
pub(in crate::web) const MEDIA_TYPE: &str = "application/problem+json";
/// Seconds after which to try again what the database did not take.
const RETRY_SECONDS: &str = "1";

/// What is wrong with a request, or why it could not be answered.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub(in crate::web) struct ApiProblem {
    /// The status of HTTP.
    status: u16,
    /// The status in words.
    title: String,
    /// What is wrong here, and what would be right.
    detail: String,
    /// Of bad input: what is wrong where.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<Wrong>,
}

/// One thing that is wrong with the input.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::web) struct Wrong {
    /// A JSON pointer (RFC 6901) to it; empty for all of it.
    pub(in crate::web) pointer: String,
    /// What is wrong with it, and what would be right.
    pub(in crate::web) detail: String,
}

impl ApiProblem {
    pub(in crate::web) fn new(status: StatusCode, detail: impl Display) -> Self {
        Self {
            status: status.as_u16(),
            title: status.canonical_reason().unwrap_or("Error").to_owned(),
            detail: detail.to_string(),
            errors: Vec::new(),
        }
    }

    pub(in crate::web) fn absent(what: impl Display) -> Self {
        Self::new(StatusCode::NOT_FOUND, format_args!("there is no {what}"))
    }

    /// Input that is wrong in one place.
    pub(in crate::web) fn wrong(pointer: impl Into<String>, detail: impl Display) -> Self {
        let wrong = Wrong { pointer: pointer.into(), detail: detail.to_string() };
        Self { errors: vec![wrong], ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, detail) }
    }

    fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// Something that is not the caller's fault, which is logged and not told.
    fn failed(outline: &str, told: &str) -> Self {
        tracing::error!(error = outline, "a request could not be answered");
        Self::new(StatusCode::SERVICE_UNAVAILABLE, told)
    }
}

impl IntoResponse for ApiProblem {
    fn into_response(self) -> Response {
        let status = self.status();
        let body = serde_json::to_string(&self).unwrap_or_default();
        let mut response = (status, [(CONTENT_TYPE, MEDIA_TYPE)], body).into_response();
        let headers = response.headers_mut();
        match status {
            StatusCode::UNAUTHORIZED => {
                headers.insert(WWW_AUTHENTICATE, axum::http::HeaderValue::from_static("Bearer"));
            }
            StatusCode::SERVICE_UNAVAILABLE => {
                headers.insert(RETRY_AFTER, axum::http::HeaderValue::from_static(RETRY_SECONDS));
            }
            _ => {}
        }
        response
    }
}

/// Every route may answer with a problem.
pub(in crate::web) struct Problems;

impl IntoResponses for Problems {
    fn responses() -> std::collections::BTreeMap<String, RefOr<Described>> {
        let reference = utoipa::openapi::Ref::from_schema_name(ApiProblem::name());
        let content = Content::new(Some(RefOr::<utoipa::openapi::Schema>::Ref(reference)));
        let described = ResponseBuilder::new()
            .description("What is wrong, or why it could not be answered (RFC 9457)")
            .content(MEDIA_TYPE, content)
            .build();
        [("default".to_owned(), described.into())].into()
    }
}

impl From<StoreError> for ApiProblem {
    fn from(error: StoreError) -> Self {
        Self::failed(&error.outline(), "the database does not answer, try again")
    }
}

impl From<Denied> for ApiProblem {
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::Unknown => Self::new(
                StatusCode::UNAUTHORIZED,
                "a valid token is needed; `opportune token` makes one",
            ),
            Denied::TooMany(wait) => Self::new(
                StatusCode::TOO_MANY_REQUESTS,
                format_args!("too many wrong tokens, wait {} seconds", wait.as_secs() + 1),
            ),
            Denied::Store(error) => error.into(),
        }
    }
}

impl From<CampaignError> for ApiProblem {
    fn from(error: CampaignError) -> Self {
        let detail = error.to_string();
        match error {
            CampaignError::Syntax(_) => Self::wrong("", detail),
            CampaignError::Values(values) => {
                let errors = values.iter().map(|value| located(value)).collect();
                Self { errors, ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, detail) }
            }
        }
    }
}

/// `window.start: …` as a pointer and what is wrong there.
fn located(text: &str) -> Wrong {
    let key = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '[' | ']' | ' ');
    match text.split_once(": ").filter(|(path, _)| !path.is_empty() && path.chars().all(key)) {
        Some((path, problem)) => {
            let path = path.replace(['.', '[', ' '], "/").replace(']', "");
            Wrong { pointer: format!("/{path}"), detail: problem.to_owned() }
        }
        None => Wrong { pointer: String::new(), detail: text.to_owned() },
    }
}

impl From<SubmitError> for ApiProblem {
    fn from(error: SubmitError) -> Self {
        match error {
            SubmitError::File(error) => error.into(),
            SubmitError::Unfit(problem) => {
                let detail = problem.clone();
                let errors = vec![located(&problem)];
                Self { errors, ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, detail) }
            }
            SubmitError::Store(error) => error.into(),
        }
    }
}

impl From<LearnError> for ApiProblem {
    fn from(error: LearnError) -> Self {
        Self::failed(&error.outline(), "what was learned could not be read, try again")
    }
}

impl From<PlanError> for ApiProblem {
    fn from(error: PlanError) -> Self {
        match error {
            PlanError::Store(error) => error.into(),
            error @ PlanError::NoProvider { .. } => Self::new(StatusCode::CONFLICT, error),
            error => Self::failed(&error.outline(), "it could not be planned, try again"),
        }
    }
}

impl From<CheckError> for ApiProblem {
    fn from(error: CheckError) -> Self {
        match error {
            CheckError::Submit(error) => error.into(),
            CheckError::Plan(error) => error.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_pointed_to() {
        let wrong = located("window.end: it is not after window.start");
        assert_eq!(
            (wrong.pointer.as_str(), wrong.detail.as_str()),
            ("/window/end", "it is not after window.start")
        );
        assert_eq!(located("variant[1].media: unknown").pointer, "/variant/1/media");
        assert_eq!(located("there is nothing").pointer, "");
    }
}
