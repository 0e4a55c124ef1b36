//! Uploads of media, beside the batches that want them: whoever asks waits for a bounded time, the
//! upload goes on without them, and a host that failed is not asked again for a while.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, watch};

/// How long a batch waits for an upload. One that takes longer serves the batches after it.
const WAIT_MAX: Duration = Duration::from_secs(5);
/// How long a failure is remembered.
const FAILURE_KEPT: Duration = Duration::from_mins(1);
/// How long a success is kept for a batch that went on without it.
const SUCCESS_KEPT: Duration = Duration::from_hours(1);
/// Uploads at once: each has a file of its own on disk, of up to 100 MiB.
const AT_ONCE_MAX: usize = 4;
/// Uploads that are remembered.
const KNOWN_MAX: usize = 1000;

/// How an upload stands: nothing while it goes on, then the handle, if there is one.
type Stand = Option<(Instant, Option<String>)>;

/// The uploads of one provider.
pub(super) struct Uploads {
    known: Mutex<HashMap<String, Upload>>,
    room: Arc<Semaphore>,
    wait_max: Duration,
}

#[derive(Clone)]
struct Upload {
    begun: Instant,
    stand: watch::Receiver<Stand>,
}

impl Default for Uploads {
    fn default() -> Self {
        let room = Arc::new(Semaphore::new(AT_ONCE_MAX));
        Self { known: Mutex::default(), room, wait_max: WAIT_MAX }
    }
}

impl Uploads {
    /// The handle of the file at `url`, by `upload` if it was not begun before; `None` when it
    /// failed lately or takes longer than a batch waits. A handle is given once: who asks again
    /// wants another.
    pub(super) async fn handle(
        &self,
        url: &str,
        upload: impl Future<Output = Option<String>> + Send + 'static,
    ) -> Option<String> {
        let Upload { begun, mut stand } = self.find_or_begin(url, upload)?;
        // only the first batches wait: those after it would each be held up by a host that hangs
        let wait = self.wait_max.saturating_sub(begun.elapsed());
        let ended = tokio::time::timeout(wait, stand.wait_for(Option::is_some)).await;
        let handle = match ended {
            Ok(Ok(stand)) => stand.as_ref().and_then(|(_, handle)| handle.clone()),
            // it panicked, and left no word
            Ok(Err(_)) => None,
            Err(_) => return None,
        };
        if handle.is_some() {
            self.known.lock().unwrap_or_else(PoisonError::into_inner).remove(url);
        }
        handle
    }

    fn find_or_begin(
        &self,
        url: &str,
        upload: impl Future<Output = Option<String>> + Send + 'static,
    ) -> Option<Upload> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, Upload { stand, .. }| match &*stand.borrow() {
            // a sender that is gone without a word panicked: it is tried again
            None => stand.has_changed().is_ok(),
            Some((ended, None)) => ended.elapsed() < FAILURE_KEPT,
            Some((ended, Some(_))) => ended.elapsed() < SUCCESS_KEPT,
        });
        if let Some(upload) = known.get(url) {
            return Some(upload.clone());
        }
        if known.len() >= KNOWN_MAX {
            return None;
        }
        let (tell, stand) = watch::channel(None);
        let begun = Upload { begun: Instant::now(), stand };
        known.insert(url.to_owned(), begun.clone());
        let room = Arc::clone(&self.room);
        tokio::spawn(async move {
            let _permit = room.acquire().await;
            let handle = upload.await;
            tell.send_replace(Some((Instant::now(), handle)));
        });
        Some(begun)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[tokio::test]
    async fn a_host_that_hangs_holds_a_batch_for_a_bounded_time_and_serves_a_later_one() {
        let uploads = Uploads { wait_max: Duration::from_millis(300), ..Uploads::default() };
        let (arrive, arrived) = tokio::sync::oneshot::channel();
        let begun = Instant::now();
        assert_eq!(uploads.handle("u", async { arrived.await.ok() }).await, None);
        assert!(begun.elapsed() >= uploads.wait_max);
        // the upload goes on: it is neither begun again nor waited for again
        let again = async { panic!("it goes on already") };
        let begun = Instant::now();
        assert_eq!(uploads.handle("u", again).await, None);
        assert!(begun.elapsed() < uploads.wait_max);
        arrive.send("late".to_owned()).unwrap();
        let mut handle = None;
        while handle.is_none() {
            tokio::task::yield_now().await;
            let again = async { panic!("it goes on already") };
            handle = uploads.handle("u", again).await;
        }
        assert_eq!(handle.unwrap(), "late");
        // who asks once more has no use for that one
        assert_eq!(uploads.handle("u", async { Some("new".to_owned()) }).await.unwrap(), "new");
    }

    #[tokio::test]
    async fn a_failure_is_remembered_and_a_panic_is_one() {
        let (uploads, tries) = (Uploads::default(), Arc::new(AtomicUsize::new(0)));
        for _ in 0..3 {
            let tries = Arc::clone(&tries);
            let fails = async move {
                tries.fetch_add(1, Ordering::Relaxed);
                None
            };
            assert_eq!(uploads.handle("u", fails).await, None);
        }
        assert_eq!(tries.load(Ordering::Relaxed), 1);
        assert_eq!(uploads.handle("v", async { panic!("an upload panics") }).await, None);
    }
}
