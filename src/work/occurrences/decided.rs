//! What is decided about some people, and what their runs lose by it.

use std::collections::BTreeMap;

use crate::model::delivery::Reason;
use crate::model::ids::RecipientId;
use crate::plan::occurrence::Change;
use crate::store::Occurrence;
use crate::work::recall::Recall;

/// What became of decisions about some people.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct StoredChanges {
    /// Occurrences that are new, moved or refused.
    pub(super) changed: u64,
    /// Whether a message was under way, so that it has to be looked at again.
    pub(super) waits: bool,
}

/// What a run loses.
pub(super) enum Withdrawn {
    Refused(Box<Occurrence>),
    PutBack(String),
    ToAnotherDay(Box<Occurrence>),
}

/// What is decided about some people.
#[derive(Default)]
pub(super) struct Decided {
    pub(super) planned: Vec<Occurrence>,
    /// Occurrences of which more is known.
    pub(super) described: Vec<Occurrence>,
    pub(super) refused: Vec<Occurrence>,
    pub(super) withdrawn: Vec<(Withdrawn, Reason, i64, RecipientId)>,
    /// What the fallbacks of a run are not to send as it is.
    pub(super) recalled: BTreeMap<(i64, Recall), Vec<RecipientId>>,
}

impl Decided {
    /// Notes a change; `run` is the one that carried it before.
    pub(super) fn note(&mut self, change: Change, occurrence: Occurrence, run: Option<i64>) {
        let person = occurrence.recipient;
        let moved = Reason::EventMoved;
        if let Some(run) = run {
            let how = match change {
                Change::Refuse(reason) | Change::Recall(reason) => Recall::Refuse(reason),
                // the next message is of another run
                Change::Plan if occurrence.told_at.is_some() => Recall::Refuse(moved),
                Change::Plan | Change::Move | Change::PutBack => Recall::Forget,
            };
            self.recalled.entry((run, how)).or_default().push(person);
        }
        match (change, run) {
            (Change::Plan | Change::Move, None) | (Change::Plan, Some(_)) => {
                self.planned.push(occurrence);
            }
            (Change::Move, Some(run)) => {
                let there = Withdrawn::ToAnotherDay(Box::new(occurrence));
                self.withdrawn.push((there, moved, run, person));
            }
            (Change::PutBack, Some(run)) if occurrence.told_at.is_some() => {
                // it is remembered until it comes back: what was said of it counts
                let gone = Withdrawn::Refused(Box::new(occurrence));
                self.withdrawn.push((gone, moved, run, person));
            }
            (Change::PutBack, Some(run)) => {
                self.withdrawn.push((Withdrawn::PutBack(occurrence.key), moved, run, person));
            }
            (Change::Recall(_), _) | (Change::PutBack, None) => {}
            (Change::Refuse(reason), None) => {
                self.refused.push(Occurrence { refused: Some(reason), ..occurrence });
            }
            (Change::Refuse(reason), Some(run)) => {
                let gone = Withdrawn::Refused(Box::new(occurrence));
                self.withdrawn.push((gone, reason, run, person));
            }
        }
    }
}
