//! What is read of an answer: a bounded part, however much is sent.

use reqwest::Response;

/// The most of an answer that is read: none that is meant has more.
const ANSWER_MAX: usize = 64 * 1024;

/// The body of an answer; `None` when it broke off or is too large, whatever length it claims.
pub(super) async fn body(answer: Response) -> Option<Vec<u8>> {
    body_within(answer, ANSWER_MAX).await
}

/// The same, of an answer that may have so many bytes.
pub(super) async fn body_within(mut answer: Response, most: usize) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.ok()? {
        if body.len() + chunk.len() > most {
            return None;
        }
        body.extend_from_slice(&chunk);
    }
    Some(body)
}
