//! What texts are taken for, by a classifier that learned from the workspace's own labels too.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

use crate::learn::{LabelledText, ReplyClassifier};
use crate::model::reply::JudgedText;
use crate::provider::Incoming;
use crate::store::StoreError;
use crate::work::Ctx;

/// The last labels, which are learned from: more would make each training slower, and old ones tell
/// less of how people write today.
const LABELS_MAX: usize = 2_000;

/// What texts are taken for, by the provider's id of the message.
pub(in crate::work) type JudgedReplies = HashMap<String, JudgedText>;

/// Judges every text of a post; where there is none, nothing is read.
pub(in crate::work) async fn judge(
    ctx: &Ctx,
    told: &[Incoming],
) -> Result<JudgedReplies, StoreError> {
    let text = |told: &Incoming| match told {
        Incoming::Message(word) => {
            Some((word.id.to_string(), word.text.as_ref()?.as_str().to_owned()))
        }
        _ => None,
    };
    let texts: Vec<(String, String)> = told.iter().filter_map(text).collect();
    if texts.is_empty() {
        return Ok(JudgedReplies::new());
    }
    let classifier = classifier(ctx).await?;
    Ok(texts.into_iter().map(|(id, text)| (id, classifier.judge(&text))).collect())
}

/// The classifier that learned from the workspace's labels.
async fn classifier(ctx: &Ctx) -> Result<Arc<ReplyClassifier>, StoreError> {
    let labels = ctx.store.read().await?.labelled_texts(LABELS_MAX).await?;
    let label = |(text, intent)| LabelledText { text, intent };
    let labels: Vec<LabelledText> = labels.into_iter().map(label).collect();
    let train = move || trained(&labels);
    let done = tokio::task::spawn_blocking(train).await;
    Ok(done.expect("training ends, whatever the labels are"))
}

/// Trains, unless the last training had the same labels.
fn trained(labels: &[LabelledText]) -> Arc<ReplyClassifier> {
    static LAST: Mutex<Option<(u64, Arc<ReplyClassifier>)>> = Mutex::new(None);
    let mut hasher = DefaultHasher::new();
    labels.hash(&mut hasher);
    let hash = hasher.finish();
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    match &*last {
        Some((known, classifier)) if *known == hash => Arc::clone(classifier),
        _ => {
            let classifier = ReplyClassifier::with_labels(labels);
            *last = Some((hash, Arc::clone(&classifier)));
            classifier
        }
    }
}
