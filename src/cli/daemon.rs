//! `daemon`: the background service.

use super::Env;
use crate::daemon;

pub(super) async fn run(env: &Env) -> anyhow::Result<()> {
    let ctx = env.ctx().await?;
    daemon::run(ctx).await?;
    Ok(())
}
