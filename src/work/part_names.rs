//! What campaigns are called that belong to another: its runs, and what it falls back to.

use std::fmt::Display;

use crate::model::Invalid;
use crate::model::ids::Name;
use crate::store::StoreError;

/// How often a name is tried that somebody else has.
const NAMES_MAX: u32 = 100;

/// NAME.PART, then with a number behind it, for where a campaign of another kind is called so.
pub(super) fn part_names(
    of: &Name,
    part: impl Display,
) -> impl Iterator<Item = Result<Name, StoreError>> {
    (1..NAMES_MAX).map(move |count| {
        let again = if count == 1 { String::new() } else { format!(".{count}") };
        let name = format!("{of}.{part}{again}").parse();
        name.map_err(|cause| StoreError::Corrupt { table: "campaign", cause })
    })
}

/// All of them are taken.
pub(super) fn no_free_name(of: &Name) -> StoreError {
    let cause = Invalid::new("name", of, "free for what belongs to it");
    StoreError::Corrupt { table: "campaign", cause }
}
