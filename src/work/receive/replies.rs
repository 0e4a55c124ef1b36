//! What people wrote, kept with what it is taken for, and what follows from that.

use std::collections::{BTreeSet, HashMap};

use chrono::TimeDelta;

use crate::learn::{Consequence, consequence};
use crate::model::consent::ConsentEntry;
use crate::model::ids::{Name, ProviderMessage, RecipientId};
use crate::model::reply::{Intent, JudgedText};
use crate::model::time::Instant;
use crate::provider::InboundMessage;
use crate::store::{NewReply, StoreError, Tx};
use crate::work::StepEnv;
use crate::work::replies::{JudgedReplies, paused_until, withdrawal};

/// A word that names no message answers the last one that was sent within this time.
const ANSWERS_WITHIN: TimeDelta = TimeDelta::hours(72);

/// Whether a text surely asks for no more messages, where no stop word decides.
pub(super) fn is_sure_stop(word: &InboundMessage, judged: &JudgedReplies) -> bool {
    let judged = judged.get(word.id.as_str());
    word.stop.is_none() && judged.is_some_and(|text| consequence(text) == Consequence::Withdraw)
}

/// The texts of one post.
#[derive(Default)]
pub(super) struct ReplyBatch {
    replies: Vec<Written>,
}

struct Written {
    reply: NewReply,
    answers: Option<ProviderMessage>,
    /// Everybody who is called by the sender's name.
    people: Vec<RecipientId>,
    consequence: Consequence,
}

impl ReplyBatch {
    /// Takes up a text of people who are known. `is_stop`: a stop word has withdrawn their consent.
    pub(super) fn add(
        &mut self,
        word: &InboundMessage,
        judged: &JudgedReplies,
        (people, at): (&[RecipientId], Instant),
        is_stop: bool,
    ) {
        let judged = judged.get(word.id.as_str()).copied();
        let (Some(text), Some(judged), Some(first)) = (&word.text, judged, people.first()) else {
            return;
        };
        let (judged, consequence) = match (is_stop, consequence(&judged)) {
            (true, _) => {
                let sure =
                    JudgedText { intent: Intent::Stop, probability: 1.0, stop: 1.0, ..judged };
                (sure, Consequence::Nothing)
            }
            // a word that is a stop elsewhere, but not from this person
            (false, Consequence::Withdraw) if word.stop.is_some() => {
                (judged, Consequence::NeedsHuman)
            }
            (false, consequence) => (judged, consequence),
        };
        let reply = NewReply {
            message: word.id.to_string(),
            recipient: *first,
            campaign: None,
            received_at: at,
            text: text.as_str().to_owned(),
            judged,
            needs_human: consequence == Consequence::NeedsHuman,
        };
        let (answers, people) = (word.answers.clone(), people.to_vec());
        self.replies.push(Written { reply, answers, people, consequence });
    }

    /// Keeps the texts and pauses people; returns the withdrawals that texts surely ask for. What was
    /// kept before has no consequence again.
    pub(super) async fn keep(
        mut self,
        env: &StepEnv,
        tx: &mut Tx,
        provider: &Name,
    ) -> Result<Vec<(RecipientId, ConsentEntry)>, StoreError> {
        let mut withdrawn = Vec::new();
        if self.replies.is_empty() {
            return Ok(withdrawn);
        }
        self.find_campaigns(tx, provider).await?;
        let replies: Vec<NewReply> = self.replies.iter().map(|w| w.reply.clone()).collect();
        let new = tx.add_replies(provider, &replies).await?;
        let (now, mut pauses) = (env.clock.now(), Vec::new());
        for Written { reply, people, consequence, .. } in &self.replies {
            let Some(id) = new.get(&reply.message) else { continue };
            match consequence {
                Consequence::Withdraw => {
                    let entry = withdrawal(provider, &reply.message, (reply.received_at, now));
                    withdrawn.extend(people.iter().map(|person| (*person, entry.clone())));
                }
                Consequence::Pause(intent) => {
                    let until = paused_until(env, *intent, reply.received_at);
                    let until =
                        until.into_iter().flat_map(|until| people.iter().map(move |p| (*p, until)));
                    pauses.extend(until.map(|(person, until)| (person, *id, until)));
                }
                Consequence::NeedsHuman | Consequence::Nothing => {}
            }
        }
        tx.pause_people(&pauses).await?;
        Ok(withdrawn)
    }

    /// The campaign of the message that a text names, else of the last that the person was sent.
    async fn find_campaigns(&mut self, tx: &mut Tx, provider: &Name) -> Result<(), StoreError> {
        let named = self.replies.iter().filter_map(|w| w.answers.as_ref().map(ToString::to_string));
        let named = tx.campaigns_of_messages(provider, named.collect()).await?;
        let open = self.replies.iter().filter(|written| written.answers.is_none());
        let people: BTreeSet<RecipientId> = open.clone().map(|w| w.reply.recipient).collect();
        let since = open.map(|written| written.reply.received_at - ANSWERS_WITHIN).min();
        let people = Vec::from_iter(people);
        let sent = match since {
            Some(since) => tx.last_sent(provider, &people, since).await?,
            None => HashMap::new(),
        };
        for Written { reply, answers, .. } in &mut self.replies {
            let at = reply.received_at;
            reply.campaign = match answers {
                Some(answers) => named.get(answers.as_str()).copied(),
                None => (sent.get(&reply.recipient).into_iter().flatten())
                    .find(|(_, sent_at)| *sent_at <= at && at - *sent_at <= ANSWERS_WITHIN)
                    .map(|(campaign, _)| *campaign),
            };
        }
        Ok(())
    }
}
