//! What a request says besides its path: who asks and with which scope, which page of a list, and a
//! body; parsed once, or refused with a problem.

use std::marker::PhantomData;

use axum::body::Bytes;
use axum::extract::{FromRef, FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::problem::ApiProblem;
use crate::model::ids::{Name, RecipientKey};
use crate::store::CampaignRow;
use crate::work::Ctx;
use crate::work::tokens::{Scope, Token};

/// A scope as a type, so that a handler's signature says what it needs.
pub(in crate::web) trait Needs {
    const SCOPE: Scope;
}

macro_rules! scopes {
    ($($name:ident),+) => {
        $(pub(in crate::web) struct $name;
        impl Needs for $name {
            const SCOPE: Scope = Scope::$name;
        })+
    };
}
scopes!(Read, People, Submit, Operate, Write);

/// Who asks, with a token that has the scope.
pub(in crate::web) struct Caller<S>(Token, PhantomData<S>);

impl<S> Caller<S> {
    /// Whether the token has another scope as well.
    pub(in crate::web) fn may(&self, scope: Scope) -> bool {
        self.0.scopes.contains(&scope)
    }

    /// How the audit trail calls who asks.
    pub(in crate::web) fn actor(&self) -> String {
        self.0.actor()
    }
}

impl<S: Needs, A: Send + Sync> FromRequestParts<A> for Caller<S> {
    type Rejection = ApiProblem;

    async fn from_request_parts(parts: &mut Parts, _: &A) -> Result<Self, ApiProblem> {
        let token = parts.extensions.get::<Token>();
        let token = token.ok_or_else(|| ApiProblem::from(crate::web::access::Denied::Unknown))?;
        if !token.scopes.contains(&S::SCOPE) {
            let lacks = format_args!("the token lacks the scope {}", S::SCOPE);
            return Err(ApiProblem::new(StatusCode::FORBIDDEN, lacks));
        }
        Ok(Self(token.clone(), PhantomData))
    }
}

/// The campaign that the path names.
pub(in crate::web) struct NamedCampaign(pub(in crate::web) CampaignRow);

impl<A: Send + Sync> FromRequestParts<A> for NamedCampaign
where
    Ctx: FromRef<A>,
{
    type Rejection = ApiProblem;

    async fn from_request_parts(parts: &mut Parts, app: &A) -> Result<Self, ApiProblem> {
        #[derive(Deserialize)]
        struct Named {
            name: String,
        }
        let absent = || ApiProblem::absent("such campaign");
        let path = Path::<Named>::from_request_parts(parts, app).await.map_err(|_| absent())?;
        let name: Name = path.0.name.parse().map_err(|_| absent())?;
        let found = Ctx::from_ref(app).store.read().await?.campaign(&name).await?;
        found.map(Self).ok_or_else(|| ApiProblem::absent(format_args!("campaign {name}")))
    }
}

/// The person whom the path names, known or not.
pub(in crate::web) struct NamedPerson(pub(in crate::web) RecipientKey);

impl<A: Send + Sync> FromRequestParts<A> for NamedPerson {
    type Rejection = ApiProblem;

    async fn from_request_parts(parts: &mut Parts, app: &A) -> Result<Self, ApiProblem> {
        #[derive(Deserialize)]
        struct Named {
            recipient: String,
        }
        let absent = || ApiProblem::absent("such recipient");
        let path = Path::<Named>::from_request_parts(parts, app).await.map_err(|_| absent())?;
        path.0.recipient.parse().map(Self).map_err(|_| absent())
    }
}

/// What stands behind the question mark, or what is wrong with it.
pub(in crate::web) struct Asked<T>(pub(in crate::web) T);

impl<T: DeserializeOwned, A: Send + Sync> FromRequestParts<A> for Asked<T> {
    type Rejection = ApiProblem;

    async fn from_request_parts(parts: &mut Parts, app: &A) -> Result<Self, ApiProblem> {
        match Query::<T>::from_request_parts(parts, app).await {
            Ok(Query(asked)) => Ok(Self(asked)),
            Err(refused) => {
                let detail = refused.body_text();
                Err(ApiProblem::new(StatusCode::BAD_REQUEST, detail))
            }
        }
    }
}

/// Entries of a list that are answered at once unless asked for.
const LIMIT: usize = 100;
/// The most of them.
const LIMIT_MAX: usize = 1000;

/// Which page of a list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::web) struct PageOf {
    /// How many entries; 100 unless given.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
    /// Where to go on: the `next` of the page before.
    cursor: Option<String>,
}

impl PageOf {
    pub(in crate::web) fn limit(&self) -> Result<usize, ApiProblem> {
        match self.limit.unwrap_or(LIMIT) {
            limit @ 1..=LIMIT_MAX => Ok(limit),
            limit => Err(ApiProblem::new(
                StatusCode::BAD_REQUEST,
                format_args!("limit: {limit} is not between 1 and {LIMIT_MAX}"),
            )),
        }
    }

    /// Where to go on, as a list wrote it.
    pub(in crate::web) fn after<T: DeserializeOwned>(&self) -> Result<Option<T>, ApiProblem> {
        let Some(cursor) = &self.cursor else { return Ok(None) };
        let wrong = || {
            ApiProblem::new(
                StatusCode::BAD_REQUEST,
                "cursor: it is none that a page gave as its next",
            )
        };
        serde_json::from_str(cursor).map(Some).map_err(|_| wrong())
    }
}

/// A page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::web) struct Page<T> {
    /// Its entries.
    items: Vec<T>,
    /// The cursor of the next page; null on the last one.
    next: Option<String>,
}

impl<T> Page<T> {
    pub(in crate::web) fn new(items: Vec<T>, next: Option<impl Serialize>) -> Self {
        let next = next.and_then(|next| serde_json::to_string(&next).ok());
        Self { items, next }
    }

    /// A list that is held in memory in any case, cut to a page.
    pub(in crate::web) fn cut(all: Vec<T>, asked: &PageOf) -> Result<Self, ApiProblem> {
        let (limit, from) = (asked.limit()?, asked.after::<usize>()?.unwrap_or(0));
        let next = (all.len() > from.saturating_add(limit)).then(|| from + limit);
        Ok(Self::new(all.into_iter().skip(from).take(limit).collect(), next))
    }
}

/// A body in JSON, or what is wrong with it and where.
pub(in crate::web) struct Body<T>(pub(in crate::web) T);

impl<T: DeserializeOwned, A: Send + Sync> FromRequest<A> for Body<T> {
    type Rejection = ApiProblem;

    async fn from_request(request: Request, app: &A) -> Result<Self, ApiProblem> {
        let told = content_type(&request);
        if !told.is_empty() && told != "application/json" {
            let wanted = format_args!("the body is {told}; application/json is wanted");
            return Err(ApiProblem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, wanted));
        }
        let bytes = Bytes::from_request(request, app).await;
        let bytes =
            bytes.map_err(|refused| ApiProblem::new(refused.status(), refused.body_text()))?;
        parse(&bytes).map(Self)
    }
}

/// The media type of a body, without its parameters.
pub(in crate::web) fn content_type(request: &Request) -> String {
    let told = request.headers().get(CONTENT_TYPE).and_then(|told| told.to_str().ok());
    let told = told.unwrap_or_default().split(';').next().unwrap_or_default();
    told.trim().to_ascii_lowercase()
}

/// Reads JSON; what is wrong is pointed to.
pub(in crate::web) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiProblem> {
    use serde_path_to_error::Segment;
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let read = serde_path_to_error::deserialize(&mut reader);
    let read: T = read.map_err(|error| {
        let segment = |segment: &Segment| match segment {
            Segment::Seq { index } => format!("/{index}"),
            Segment::Map { key } => format!("/{}", key.replace('~', "~0").replace('/', "~1")),
            Segment::Enum { .. } | Segment::Unknown => String::new(),
        };
        let pointer: String = error.path().iter().map(segment).collect();
        let cause = error.into_inner();
        if cause.is_data() {
            ApiProblem::wrong(pointer, cause)
        } else {
            ApiProblem::new(StatusCode::BAD_REQUEST, format_args!("the body is no JSON: {cause}"))
        }
    })?;
    reader.end().map_err(|cause| {
        ApiProblem::new(StatusCode::BAD_REQUEST, format_args!("the body is no JSON: {cause}"))
    })?;
    Ok(read)
}
