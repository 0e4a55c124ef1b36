//! A placement: where an item went, and with which of its variants.

/// Not a slot: refused, or a class that a group lacks.
pub(in crate::plan) const NO_SLOT: u32 = u32::MAX;

/// A slot taken with a variant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::plan) struct Placement {
    /// The slot, or [`NO_SLOT`].
    pub(in crate::plan) slot: u32,
    /// The variant.
    pub(in crate::plan) variant: u32,
}

impl Placement {
    /// No placement.
    pub(in crate::plan) const REFUSED: Self = Self { slot: NO_SLOT, variant: 0 };
}
