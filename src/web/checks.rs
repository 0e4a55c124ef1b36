//! Campaigns that are looked at before their launch: few at once, the newest kept, in memory.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant as Stopwatch;

use tokio::sync::{Semaphore, watch};

use crate::work::check::CheckError;
use crate::work::launch::{self, Launch, WhatIf};
use crate::work::{Ctx, campaigns};

/// Checks that are kept, the newest.
const KEPT_MAX: usize = 50;
/// Checks that are planned at once.
const AT_ONCE: usize = 2;
/// The checks of this daemon.
pub(super) struct Checks {
    kept: Mutex<VecDeque<(String, Arc<LaunchCheck>)>>,
    room: Arc<Semaphore>,
}

impl Default for Checks {
    fn default() -> Self {
        Self { kept: Mutex::default(), room: Arc::new(Semaphore::new(AT_ONCE)) }
    }
}

/// A campaign that is looked at.
pub(super) struct LaunchCheck {
    /// The campaign file.
    pub(super) source: String,
    /// What is tried beside it.
    pub(super) tried: WhatIf,
    /// Whose attributes the previews show.
    pub(super) person: String,
    /// Since when.
    pub(super) begun: Stopwatch,
    /// How far it is.
    pub(super) stands: watch::Sender<Progress>,
}

/// How far a check is.
#[derive(Clone)]
pub(super) enum Progress {
    /// It does this.
    Doing(&'static str),
    /// The campaign, and what was tried beside it.
    Done(Arc<(Looked, Option<Looked>)>),
}

/// What was found, or why nothing was.
pub(super) type Looked = Result<Launch, String>;

impl Checks {
    /// The check with an id, while it is kept.
    pub(super) fn find(&self, id: &str) -> Option<Arc<LaunchCheck>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().find(|(of, _)| of == id).map(|(_, check)| Arc::clone(check))
    }

    /// Begins a check; its id.
    pub(super) fn begin(&self, ctx: &Ctx, source: String, tried: WhatIf, person: String) -> String {
        let id = format!("{:016x}", rand::random::<u64>());
        let (stands, _) = watch::channel(Progress::Doing("waiting for its turn"));
        let check = LaunchCheck { source, tried, person, begun: Stopwatch::now(), stands };
        let check = Arc::new(check);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= KEPT_MAX {
            kept.pop_front();
        }
        kept.push_back((id.clone(), Arc::clone(&check)));
        let (ctx, room) = (ctx.clone(), Arc::clone(&self.room));
        tokio::spawn(async move {
            let _turn = room.acquire_owned().await;
            let told = |what| drop(check.stands.send_replace(Progress::Doing(what)));
            let looked = look(&ctx, &check.source, told).await;
            let tried = if check.tried.is_empty() {
                None
            } else {
                Some(match check.tried.apply(&check.source) {
                    Ok(source) => look(&ctx, &source, |_| told("planning what is tried")).await,
                    Err(problem) => Err(problem),
                })
            };
            check.stands.send_replace(Progress::Done(Arc::new((looked, tried))));
        });
        id
    }
}

async fn look(ctx: &Ctx, source: &str, told: impl Fn(&'static str)) -> Looked {
    launch::look_at(ctx, source, told).await.map_err(|error| match error {
        CheckError::Submit(campaigns::SubmitError::Store(error)) => {
            tracing::error!(error = error.outline(), "a campaign could not be checked");
            "the database does not answer, try again".to_owned()
        }
        CheckError::Submit(error) => error.to_string(),
        CheckError::Plan(error) => {
            tracing::error!(error = error.outline(), "a campaign could not be planned");
            "it could not be planned, try again".to_owned()
        }
    })
}
