//! What texts are taken for, by a classifier that learned from the workspace's own labels too.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::learn::{LabelledText, ReplyClassifier};
use crate::model::reply::{Intent, JudgedText};
use crate::provider::Incoming;
use crate::store::StoreError;
use crate::work::Ctx;

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
    let labels = ctx.store.read().await?.labelled_texts().await?;
    if let Some(classifier) = last_trained(&labels) {
        return Ok(classifier);
    }
    let train = move || trained(&labels);
    let done = tokio::task::spawn_blocking(train).await;
    Ok(done.expect("training ends, whatever the labels are"))
}

type Labels = Arc<Vec<(String, Intent)>>;

/// The last labels that were learned from, and what learned from them.
static LAST: Mutex<Option<(Labels, Arc<ReplyClassifier>)>> = Mutex::new(None);

/// The last classifier, where it learned from the same labels. Labels that did not change are the same
/// list in memory, which is quick to see.
fn last_trained(labels: &Labels) -> Option<Arc<ReplyClassifier>> {
    let last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    let same = |known: &Labels| Arc::ptr_eq(known, labels) || known == labels;
    last.as_ref().filter(|(known, _)| same(known)).map(|(_, classifier)| Arc::clone(classifier))
}

/// Trains, unless another post has just done so.
fn trained(labels: &Labels) -> Arc<ReplyClassifier> {
    static TRAINING: Mutex<()> = Mutex::new(());
    let _one = TRAINING.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(classifier) = last_trained(labels) {
        return classifier;
    }
    let label =
        |(text, intent): &(String, Intent)| LabelledText { text: text.clone(), intent: *intent };
    let texts: Vec<LabelledText> = labels.iter().map(label).collect();
    let classifier = ReplyClassifier::with_labels(&texts);
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    *last = Some((Arc::clone(labels), Arc::clone(&classifier)));
    classifier
}
