//! Media on their way to the channel: fetched into a file on disk, and posted from it piece by
//! piece, so that a large file takes no memory.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::{Body, Bytes, Frame, SizeHint};
use reqwest::header::CONTENT_TYPE;
use serde::Deserialize;
use tokio::fs::File;
use tokio::io::{AsyncRead, AsyncSeekExt, AsyncWriteExt, ReadBuf};
use url::Url;

use super::message;
use crate::config::SecretValue;
use crate::model::content::Media;
use crate::provider::answer;
use crate::provider::guard::Guard;

/// The largest document that the Cloud API takes.
const MEDIA_MAX: u64 = 100 * 1024 * 1024;
/// How long the channel may take to take a file in: 100 MiB at 1 MiB a second, and some.
const POST_TIMEOUT: Duration = Duration::from_mins(2);
/// What is read from disk at once.
const PIECE: usize = 64 * 1024;

#[derive(Deserialize)]
struct Uploaded {
    id: String,
}

/// Fetches files and hands them over.
#[derive(Clone)]
pub(super) struct Uploader {
    pub(super) client: reqwest::Client,
    pub(super) guard: Guard,
    /// Where files are posted to.
    pub(super) to: String,
    pub(super) token: SecretValue,
}

impl Uploader {
    /// The channel's id of the file at `url`, or why there is none.
    pub(super) async fn hand_over(&self, media: Media, url: &Url) -> Result<String, String> {
        let file = tokio::task::spawn_blocking(tempfile::tempfile).await;
        let file = file.map_err(|error| error.to_string())?;
        let mut file = File::from_std(file.map_err(|error| error.to_string())?);
        let fetched = self.guard.fetch(url, MEDIA_MAX, &mut file).await;
        let (length, kind) = fetched.map_err(|error| error.to_string())?;
        file.flush().await.map_err(|error| error.to_string())?;
        file.rewind().await.map_err(|error| error.to_string())?;
        let kind = kind.unwrap_or_else(|| default_kind(media).to_owned());
        let name = message::file_name(url.as_str()).unwrap_or_else(|| "file".to_owned());
        let (content_type, form) = Form::new(&kind, &name, file, length);
        let answer = self
            .client
            .post(&self.to)
            .timeout(POST_TIMEOUT)
            .bearer_auth(self.token.expose())
            .header(CONTENT_TYPE, content_type)
            .body(reqwest::Body::wrap(form))
            .send()
            .await
            .map_err(|error| error.without_url().to_string())?;
        let status = answer.status();
        let body = answer::body(answer).await.unwrap_or_default();
        match serde_json::from_slice::<Uploaded>(&body) {
            Ok(uploaded) if status.is_success() => Ok(uploaded.id),
            _ => Err(format!("the upload was answered with status {}", status.as_u16())),
        }
    }
}

fn default_kind(media: Media) -> &'static str {
    match media {
        Media::Image => "image/jpeg",
        Media::Video => "video/mp4",
        Media::Audio => "audio/mpeg",
        Media::Document => "application/pdf",
        Media::Text | Media::Carousel => "application/octet-stream",
    }
}

/// A form with one file (RFC 7578), read from disk while it is sent.
struct Form {
    head: Option<Bytes>,
    file: File,
    /// What is still to come of the file.
    left: u64,
    tail: Option<Bytes>,
}

impl Form {
    /// The form and its content type.
    fn new(kind: &str, name: &str, file: File, length: u64) -> (String, Self) {
        let boundary = format!("opportune-{:032x}", rand::random::<u128>());
        let plain = |text: &str| -> String {
            text.chars().filter(|c| !c.is_control() && *c != '"' && *c != '\\').collect()
        };
        let field = |name: &str, value: &str| {
            format!(
                "--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
            )
        };
        let head = format!(
            "{}{}--{boundary}\r\nContent-Disposition: form-data; name=\"file\"; \
             filename=\"{}\"\r\nContent-Type: {}\r\n\r\n",
            field("messaging_product", "whatsapp"),
            field("type", &plain(kind)),
            plain(name),
            plain(kind)
        );
        let tail = format!("\r\n--{boundary}--\r\n");
        let form = Self { head: Some(head.into()), file, left: length, tail: Some(tail.into()) };
        (format!("multipart/form-data; boundary={boundary}"), form)
    }
}

impl Body for Form {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        if let Some(head) = self.head.take() {
            return Poll::Ready(Some(Ok(Frame::data(head))));
        }
        if self.left == 0 {
            return Poll::Ready(self.tail.take().map(|tail| Ok(Frame::data(tail))));
        }
        let mut piece = vec![0; PIECE.min(usize::try_from(self.left).unwrap_or(PIECE))];
        let mut buffer = ReadBuf::new(&mut piece);
        match Pin::new(&mut self.file).poll_read(context, &mut buffer) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Err(error)) => return Poll::Ready(Some(Err(error))),
            Poll::Ready(Ok(())) => {}
        }
        let read = buffer.filled().len();
        if read == 0 {
            return Poll::Ready(Some(Err(std::io::ErrorKind::UnexpectedEof.into())));
        }
        piece.truncate(read);
        self.left -= read as u64;
        Poll::Ready(Some(Ok(Frame::data(piece.into()))))
    }

    fn size_hint(&self) -> SizeHint {
        let length = |bytes: &Option<Bytes>| bytes.as_ref().map_or(0, |bytes| bytes.len() as u64);
        SizeHint::with_exact(length(&self.head) + self.left + length(&self.tail))
    }
}
