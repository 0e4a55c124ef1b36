//! Who asks: tokens, and how often wrong ones may be tried.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant as Stopwatch};

use crate::store::StoreError;
use crate::work::Ctx;
use crate::work::tokens::{self, Token};

/// Wrong tokens that one address may try in a minute.
const WRONG_MAX: u32 = 20;
/// For how long they are counted.
const WINDOW: Duration = Duration::from_mins(1);
/// Addresses and tokens that are remembered; beyond, all are forgotten.
const REMEMBERED_MAX: usize = 10_000;

/// Where a request comes from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer(pub(super) IpAddr);

/// Why nobody is let in.
pub(super) enum Denied {
    /// No such token is in use.
    Unknown,
    /// Too many wrong ones came from there; how long to wait.
    TooMany(Duration),
    /// The store failed.
    Store(StoreError),
}

/// Looks tokens up, and counts wrong ones by where they come from.
#[derive(Default)]
pub(super) struct Access {
    hasher: RandomState,
    counted: Mutex<Counted>,
}

#[derive(Default)]
struct Counted {
    wrong: HashMap<IpAddr, (u32, Stopwatch)>,
    /// Hashes of tokens that were good: an address that others abuse does not shut them out.
    good: HashSet<u64>,
}

impl Counted {
    /// How long an address has to wait.
    fn wait(&self, peer: IpAddr) -> Option<Duration> {
        let (count, since) = self.wrong.get(&peer)?;
        let left = WINDOW.checked_sub(since.elapsed())?;
        (*count >= WRONG_MAX).then_some(left)
    }

    fn note_wrong(&mut self, peer: IpAddr) {
        if self.wrong.len() >= REMEMBERED_MAX {
            self.wrong.clear();
        }
        let (count, since) = self.wrong.entry(peer).or_insert((0, Stopwatch::now()));
        if since.elapsed() >= WINDOW {
            (*count, *since) = (0, Stopwatch::now());
        }
        *count += 1;
    }
}

impl Access {
    /// The token with a secret, if it is in use.
    pub(super) async fn token(
        &self,
        ctx: &Ctx,
        peer: IpAddr,
        secret: &str,
    ) -> Result<Token, Denied> {
        let hash = self.hasher.hash_one(secret);
        {
            let counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(wait) = counted.wait(peer).filter(|_| !counted.good.contains(&hash)) {
                return Err(Denied::TooMany(wait));
            }
        }
        let found = tokens::find(ctx, secret).await.map_err(Denied::Store)?;
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(token) = found else {
            // who says nothing guesses nothing
            if !secret.is_empty() {
                counted.note_wrong(peer);
            }
            return Err(Denied::Unknown);
        };
        if counted.good.len() >= REMEMBERED_MAX {
            counted.good.clear();
        }
        counted.good.insert(hash);
        Ok(token)
    }
}
