//! `daemon`: the background service.

use std::sync::Arc;

use super::Env;
use crate::store::Create;
use crate::{daemon, provider};

pub(super) async fn run(env: &Env) -> anyhow::Result<()> {
    let mut ctx = env.ctx_of(Create::Schema).await?;
    let providers = provider::from_config(&ctx.config.providers, &ctx.config.outbound)?;
    ctx.providers = Arc::new(providers);
    daemon::run(ctx).await?;
    Ok(())
}
