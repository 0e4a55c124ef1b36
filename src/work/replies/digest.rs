//! Replies summed up: by intent and campaign, what is asked most, and what is new since yesterday.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use serde::Serialize;
use utoipa::ToSchema;

use crate::learn::clusters;
use crate::model::reply::Intent;
use crate::model::time::Instant;
use crate::store::{ReplyCount, ReplyFilter, StoreError};
use crate::work::Ctx;

/// How far back it looks unless told.
const SPAN: TimeDelta = TimeDelta::days(7);
/// The newest questions that are put together: the work grows with their square.
const QUESTIONS_READ_MAX: usize = 1_000;
/// Questions that are told, those asked most.
const QUESTIONS_MAX: usize = 10;
/// Campaigns that are told, those with most replies.
const CAMPAIGNS_MAX: usize = 100;

/// Replies summed up.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ReplyDigest {
    /// From when on replies count.
    #[schema(value_type = String, format = DateTime)]
    pub since: Instant,
    /// Until when: now.
    #[schema(value_type = String, format = DateTime)]
    pub until: Instant,
    /// All of them.
    pub replies: u64,
    /// Of all that are kept, those at which somebody should look.
    pub needs_human: u64,
    /// By what they mean, most first.
    pub intents: Vec<IntentReplies>,
    /// By the campaign that they answer, most first.
    pub campaigns: Vec<CampaignReplies>,
    /// What is asked most.
    pub questions: Vec<AskedQuestion>,
}

/// Replies of one intent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct IntentReplies {
    /// The intent: the label, else what they are taken for.
    pub intent: Intent,
    /// Since the digest's beginning.
    pub replies: u64,
    /// In the 24 hours up to now.
    pub last_day: u64,
    /// In the 24 hours before those.
    pub day_before: u64,
}

/// Replies to one campaign.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct CampaignReplies {
    /// Its name; null for replies to none that is known.
    pub campaign: Option<String>,
    /// All of them.
    pub replies: u64,
    /// By what they mean, most first.
    pub intents: Vec<IntentCount>,
}

/// How many replies have an intent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct IntentCount {
    /// The intent.
    pub intent: Intent,
    /// How many.
    pub replies: u64,
}

/// A question that people ask, in much the same words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct AskedQuestion {
    /// The text that is most like the others.
    pub text: String,
    /// The number of that reply.
    pub reply: i64,
    /// How often it was asked.
    pub replies: u64,
}

/// Sums up the replies since `since`, seven days ago unless given.
pub async fn digest(ctx: &Ctx, since: Option<Instant>) -> Result<ReplyDigest, StoreError> {
    let now = ctx.clock.now();
    let since = since.unwrap_or(now - SPAN);
    let mut reader = ctx.store.read().await?;
    let counts = reader.reply_counts(since, now).await?;
    let needs_human = reader.waiting_replies().await?;
    let asked = ReplyFilter {
        intent: Some(Intent::Question),
        since: Some(since),
        ..ReplyFilter::default()
    };
    let asked = reader.replies(&asked, None, QUESTIONS_READ_MAX).await?;
    drop(reader);
    let mut by_intent: BTreeMap<Intent, IntentReplies> = BTreeMap::new();
    for count in &counts {
        let nothing =
            IntentReplies { intent: count.intent, replies: 0, last_day: 0, day_before: 0 };
        let sum = by_intent.entry(count.intent).or_insert(nothing);
        sum.replies += count.replies;
        sum.last_day += count.last_day;
        sum.day_before += count.day_before;
    }
    let mut intents: Vec<IntentReplies> = by_intent.into_values().collect();
    intents.sort_by_key(|row| (std::cmp::Reverse(row.replies), row.intent));
    let put_together = move || {
        let texts: Vec<&str> = asked.iter().map(|reply| reply.text.as_str()).collect();
        let told = clusters(&texts).into_iter().take(QUESTIONS_MAX).map(|cluster| AskedQuestion {
            text: asked[cluster.example].text.clone(),
            reply: asked[cluster.example].id,
            replies: cluster.texts.len() as u64,
        });
        told.collect()
    };
    let questions = tokio::task::spawn_blocking(put_together).await;
    Ok(ReplyDigest {
        since,
        until: now,
        replies: intents.iter().map(|of| of.replies).sum(),
        needs_human,
        intents,
        campaigns: by_campaign(counts),
        questions: questions.expect("texts of any kind can be put together"),
    })
}

fn by_campaign(counts: Vec<ReplyCount>) -> Vec<CampaignReplies> {
    let mut found: BTreeMap<Option<String>, Vec<IntentCount>> = BTreeMap::new();
    for ReplyCount { campaign, intent, replies, .. } in
        counts.into_iter().filter(|of| of.replies > 0)
    {
        found.entry(campaign).or_default().push(IntentCount { intent, replies });
    }
    let mut campaigns: Vec<CampaignReplies> = (found.into_iter())
        .map(|(campaign, mut intents)| {
            intents.sort_by_key(|count| (std::cmp::Reverse(count.replies), count.intent));
            let replies = intents.iter().map(|count| count.replies).sum();
            CampaignReplies { campaign, replies, intents }
        })
        .collect();
    campaigns.sort_by_key(|campaign| std::cmp::Reverse(campaign.replies));
    campaigns.truncate(CAMPAIGNS_MAX);
    campaigns
}
