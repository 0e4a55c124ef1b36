//! Cap conflicts: items that together may have only so many placements within a span.
//!
//! Prices know nothing of them, so the bound stands above what they allow. They are resolved after
//! the shortest paths: the placements of a group that are worth most stay.

use super::placement::{NO_SLOT, Placement};

/// At most so many placements within a span, seconds.
#[derive(Debug, Clone)]
pub(in crate::plan) struct SpanLimit {
    pub(in crate::plan) most: usize,
    pub(in crate::plan) span: i64,
    /// Which members' placements count.
    pub(in crate::plan) counts: Vec<bool>,
    /// The member whose placement alone is bound by it; `None` binds every one.
    pub(in crate::plan) whose: Option<usize>,
    /// Other placements that count: from when to when they may go, seconds since the epoch.
    pub(in crate::plan) taken: Vec<(i64, i64)>,
}

/// Items that bind each other.
#[derive(Debug, Clone)]
pub(in crate::plan) struct ConflictGroup {
    pub(in crate::plan) members: Vec<u32>,
    pub(in crate::plan) bounds: Vec<SpanLimit>,
}

/// All companies of a problem.
#[derive(Debug, Clone, Default)]
pub(in crate::plan) struct Conflicts {
    pub(in crate::plan) groups: Vec<ConflictGroup>,
    /// The group of each item, if any; empty where there are none.
    pub(in crate::plan) group_of: Vec<u32>,
    /// First and last second of each slot.
    pub(in crate::plan) spans: Vec<(i64, i64)>,
}

impl Conflicts {
    /// Notes the group of each item.
    pub(in crate::plan) fn of(
        items: usize,
        groups: Vec<ConflictGroup>,
        spans: Vec<(i64, i64)>,
    ) -> Self {
        let mut group_of = Vec::new();
        if !groups.is_empty() {
            group_of = vec![NO_SLOT; items];
            for (index, group) in groups.iter().enumerate() {
                for member in &group.members {
                    group_of[*member as usize] = index as u32;
                }
            }
        }
        Self { groups, group_of, spans }
    }

    /// Whether an item without a placement has none because another of its group has one.
    pub(in crate::plan) fn has_conflict(&self, item: u32, placements: &[Placement]) -> bool {
        let group = self.group_of.get(item as usize).filter(|group| **group != NO_SLOT);
        group.is_some_and(|group| {
            let members = &self.groups[*group as usize].members;
            members.iter().any(|member| placements[*member as usize].slot != NO_SLOT)
        })
    }

    /// Whether an item may take a slot beside what the others of its group hold.
    pub(in crate::plan) fn allow(&self, item: u32, slot: u32, placements: &[Placement]) -> bool {
        let group = self.group_of.get(item as usize).copied().unwrap_or(NO_SLOT);
        if group == NO_SLOT || slot == NO_SLOT {
            return true;
        }
        let ConflictGroup { members, bounds } = &self.groups[group as usize];
        let own = self.spans[slot as usize];
        bounds.iter().all(|bound| {
            let mut spans = bound.taken.clone();
            let mut counted = false;
            let mut bound_one = Some(own);
            for (index, (member, counts)) in members.iter().zip(&bound.counts).enumerate() {
                let held = placements[*member as usize].slot;
                let span = self.spans.get(held as usize).copied();
                if *member == item {
                    counted = *counts;
                } else {
                    spans.extend(span.filter(|_| *counts));
                    if bound.whose == Some(index) {
                        bound_one = span;
                    }
                }
            }
            // without a placement nothing is bound
            let Some(bound_one) = bound_one else { return true };
            !counted || fits(&spans, own, bound_one, bound)
        })
    }
}

/// Whether one more placement fits among others, wherever in its slot each may go: no run of too
/// many that holds it and the placement that is bound lies within the span.
fn fits(others: &[(i64, i64)], own: (i64, i64), bound_one: (i64, i64), bound: &SpanLimit) -> bool {
    // the ones that could lie within a span of it, earlier and later
    let near = |other: &&(i64, i64)| other.0 - own.1 < bound.span && own.0 - other.1 < bound.span;
    let mut all: Vec<(i64, i64)> = others.iter().filter(near).copied().collect();
    all.push(own);
    all.sort_unstable();
    let run = bound.most + 1;
    let at = |span| all.iter().position(|other| *other == span);
    let (Some(own), Some(bound_one)) = (at(own), at(bound_one)) else { return true };
    all.windows(run).enumerate().all(|(first, window)| {
        let holds = |at: usize| first <= at && at < first + run;
        !(holds(own) && holds(bound_one)) || window[run - 1].0 - window[0].1 >= bound.span
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_more_message_fits_only_where_no_span_holds_too_many() {
        let bound =
            |most, span| SpanLimit { most, span, counts: vec![], whose: None, taken: vec![] };
        let fits = |others: &[_], own, bound: &SpanLimit| fits(others, own, own, bound);
        let hour = |h: i64| (h * 3600, h * 3600 + 3599);
        // one a day: the next must begin a whole day after the other's last second
        assert!(!fits(&[hour(0)], hour(24), &bound(1, 86_400)));
        assert!(fits(&[hour(0)], hour(25), &bound(1, 86_400)));
        assert!(!fits(&[hour(30)], hour(10), &bound(1, 86_400)));
        // two a day
        assert!(fits(&[hour(0)], hour(2), &bound(2, 86_400)));
        assert!(!fits(&[hour(0), hour(8)], hour(2), &bound(2, 86_400)));
        assert!(fits(&[hour(0), hour(30)], hour(15), &bound(2, 86_400)));
    }

    #[test]
    fn a_bound_of_one_member_binds_only_what_comes_near_its_message() {
        let bound =
            SpanLimit { most: 1, span: 86_400, counts: vec![], whose: Some(1), taken: vec![] };
        let hour = |h: i64| (h * 3600, h * 3600 + 3599);
        let fits = |own| super::fits(&[hour(26), hour(60)], own, hour(26), &bound);
        assert!(!fits(hour(5)) && !fits(hour(49)));
        assert!(fits(hour(0)) && fits(hour(61)), "the message at 60 is another's");
    }
}
