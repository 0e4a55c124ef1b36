//! Hashes by which people are drawn and grouped: the same on every machine.

/// Steele, Lea and Flood's `SplitMix64` finalizer (2014).
pub(in crate::learn) fn mix(x: u64) -> u64 {
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}
