//! What every request is answered with.

use std::sync::Arc;

use axum::extract::FromRef;
use tokio::sync::watch;

use super::access::Access;
use super::checks::Checks;
use super::links::LinkResolver;
use super::metrics::Metrics;
use super::shared::Shared;
use super::unsubscribe::WayOut;
use crate::model::time::{Instant, format_instant};
use crate::store::{CampaignRow, StoreError};
use crate::work::evaluate::LastEvaluation;
use crate::work::holdout::{self, HoldoutResult};
use crate::work::replies::{self, ReplyDigest};
use crate::work::results::{self, Results};
use crate::work::tasks::Tasks;
use crate::work::{Ctx, insights};

/// What requests are answered with.
#[derive(Clone)]
pub(super) struct App {
    pub(super) ctx: Ctx,
    pub(super) tasks: Tasks,
    pub(super) metrics: Arc<Metrics>,
    pub(super) access: Arc<Access>,
    pub(super) insights: Arc<insights::Cached>,
    pub(super) evaluations: Arc<LastEvaluation>,
    /// Parts of pages.
    pub(super) fragments: Arc<Shared<Arc<str>>>,
    /// What campaigns brought, by name. This and what follows says itself when it was summed up.
    pub(super) results: Arc<Shared<Arc<Results>>>,
    /// What the standing holdout shows.
    pub(super) holdout: Arc<Shared<Arc<HoldoutResult>>>,
    /// Replies since a time.
    pub(super) digests: Arc<Shared<Arc<ReplyDigest>>>,
    pub(super) checks: Arc<Checks>,
    pub(super) links: Arc<LinkResolver>,
    pub(super) way_out: WayOut,
    pub(super) stop: watch::Receiver<bool>,
}

impl App {
    /// What a campaign brought: now, or a moment ago where that takes long to sum up.
    pub(super) async fn results(&self, row: &CampaignRow) -> Result<Arc<Results>, StoreError> {
        let (ctx, row) = (self.ctx.clone(), row.clone());
        let name = row.campaign.name.to_string();
        self.results
            .get(&name, async move { results::results(&ctx, &row).await.map(Arc::new) })
            .await
    }

    /// What all messages together bring: now, or a moment ago in a large workspace.
    pub(super) async fn holdout(&self) -> Result<Arc<HoldoutResult>, StoreError> {
        let ctx = self.ctx.clone();
        self.holdout.get("", async move { holdout::show(&ctx).await.map(Arc::new) }).await
    }

    /// Replies summed up: now, or a moment ago where they are many.
    pub(super) async fn digest(
        &self,
        since: Option<Instant>,
    ) -> Result<Arc<ReplyDigest>, StoreError> {
        let (ctx, name) = (self.ctx.clone(), since.map(format_instant).unwrap_or_default());
        self.digests
            .get(&name, async move { replies::digest(&ctx, since).await.map(Arc::new) })
            .await
    }

    /// Has what pages and answers say of a campaign made anew.
    pub(super) fn campaign_changed(&self, name: &str) {
        self.fragments.forget("home");
        self.fragments.forget(&format!("campaign {name}"));
        self.results.forget(name);
    }
}

impl FromRef<App> for Arc<LinkResolver> {
    fn from_ref(app: &App) -> Self {
        Self::clone(&app.links)
    }
}

impl FromRef<App> for WayOut {
    fn from_ref(app: &App) -> Self {
        app.way_out.clone()
    }
}

impl FromRef<App> for Ctx {
    fn from_ref(app: &App) -> Self {
        app.ctx.clone()
    }
}
