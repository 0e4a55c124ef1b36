//! Tokens of a few numbers that nobody can make without the key.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Bytes of a token's signature: nobody guesses 2^64 over a network.
const SIGNATURE: usize = 8;
/// The longest token, in letters.
const TOKEN_MAX: usize = 64;

/// The numbers, none below zero, and a keyed hash of them (HMAC-SHA256, RFC 2104, cut to 64 bits).
pub(super) fn make<const N: usize>(key: &[u8], numbers: [i64; N]) -> String {
    let mut bytes = Vec::with_capacity(24);
    for number in numbers {
        put_number(&mut bytes, number as u64);
    }
    let signature = sign(key, &bytes);
    bytes.extend_from_slice(&signature);
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The numbers of a token; `None` for one that was not made with this key, or of another count.
pub(super) fn read<const N: usize>(key: &[u8], token: &str) -> Option<[i64; N]> {
    if token.len() > TOKEN_MAX {
        return None;
    }
    let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
    let (signed, signature) = bytes.split_at_checked(bytes.len().checked_sub(SIGNATURE)?)?;
    let same = subtle::ConstantTimeEq::ct_eq(&sign(key, signed)[..], signature);
    if !bool::from(same) {
        return None;
    }
    let (mut rest, mut numbers) = (signed, [0; N]);
    for number in &mut numbers {
        *number = take_number(&mut rest)?;
    }
    rest.is_empty().then_some(numbers)
}

fn sign(key: &[u8], bytes: &[u8]) -> [u8; SIGNATURE] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(bytes);
    let full = mac.finalize().into_bytes();
    let mut cut = [0; SIGNATURE];
    cut.copy_from_slice(&full[..SIGNATURE]);
    cut
}

/// A number in as few bytes as it needs, seven bits in each (LEB128).
fn put_number(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn take_number(bytes: &mut &[u8]) -> Option<i64> {
    let mut number = 0_u64;
    for shift in (0..63).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return i64::try_from(number).ok();
        }
    }
    None
}
