//! Certificates: how good the optimized part of a plan is, what exactly that is a proof of, and which
//! limits hold it back.

use std::fmt;

use crate::model::content::word_type;
use crate::model::time::Instant;

/// Value reached, and proof that no plan of the same messages under the same limits is worth more
/// than `bound`.
///
/// It is about the personalized arm within its share of capacity, given what campaigns of higher
/// priority and the other arms take. The bound is the Lagrangian dual's, at prices that are shown:
/// nothing that the plan may not do is left out of it, except what the fields below name.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each says what the bound leaves out")]
pub struct Certificate {
    /// Sum of the values of the personalized messages.
    pub value: f64,
    /// The Lagrangian dual's bound on it.
    pub bound: f64,
    /// Campaigns of one priority that were planned jointly: value and bound are of all of them.
    pub campaigns: u32,
    /// Whether there are other arms, whose messages and capacity it leaves out.
    pub has_other_arms: bool,
    /// Whether the bound lets a message be split between slots: where replies, a budget or limits
    /// over several slots bind, whole messages may not reach it.
    pub splits_messages: bool,
    /// Whether the bound leaves out frequency caps between campaigns that are planned jointly.
    pub ignores_joint_caps: bool,
    /// Whether the bound leaves out what messages of these campaigns change about each other.
    pub ignores_joint_fatigue: bool,
    /// Slots that were closed beforehand by rule, since their replies would come outside agents'
    /// hours.
    pub slots_closed: u32,
}

word_type! {
    /// A limit of a plan.
    LimitKind, "limit", "one of per_hour, agents, budget, per_second, unique_per_day" {
        /// The campaign's messages in an hour.
        PerHour = "per_hour",
        /// Replies that agents can take in an hour.
        Agents = "agents",
        /// The campaign's money.
        Budget = "budget",
        /// The provider's rate, in a slot.
        PerSecond = "per_second",
        /// The provider's people in a moving day.
        UniquePerDay = "unique_per_day",
    }
}

/// A limit that holds a plan back.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, utoipa::ToSchema)]
pub struct BindingLimit {
    /// Which.
    pub kind: LimitKind,
    /// From when on it counts; of the budget nothing.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub from: Option<Instant>,
    /// What one more message, reply or unit of money within it would be worth (its shadow price), in
    /// engagements.
    pub price: f64,
}

impl fmt::Display for BindingLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, unit) = match self.kind {
            LimitKind::PerHour => ("the campaign's messages an hour", "message"),
            LimitKind::Agents => ("the replies that agents can take in an hour", "reply"),
            LimitKind::Budget => ("the budget", "unit of money"),
            LimitKind::PerSecond => ("the provider's rate", "message"),
            LimitKind::UniquePerDay => ("the provider's people in 24 hours", "person"),
        };
        f.write_str(what)?;
        if let Some(from) = self.from {
            write!(f, ", from {}", from.format("%Y-%m-%d %H:%M UTC"))?;
        }
        write!(f, ": one more {unit} would bring {:.3} engagements", self.price)
    }
}

impl Certificate {
    /// What might be missing, as a share of the bound; 0 is proven optimal.
    pub fn gap(&self) -> f64 {
        // a millionth of an engagement in all is rounding
        const NOTHING: f64 = 1e-6;
        let missing = (self.bound - self.value - NOTHING).max(0.0);
        if missing > 0.0 { missing / self.bound } else { 0.0 }
    }

    /// What value and bound are of.
    pub fn covers(&self) -> &'static str {
        if self.has_other_arms { "personalized_arm" } else { "all_messages" }
    }

    /// Which limits the bound takes less strictly than the plan.
    pub fn relaxed(&self) -> Vec<&'static str> {
        let whole = self.splits_messages.then_some("whole_messages");
        let caps = self.ignores_joint_caps.then_some("caps_between_campaigns");
        let fatigue = self.ignores_joint_fatigue.then_some("fatigue_between_campaigns");
        whole.into_iter().chain(caps).chain(fatigue).collect()
    }

    /// What is proven, in sentences.
    pub fn statement(&self) -> String {
        let of = match (self.has_other_arms, self.campaigns > 1) {
            (false, false) => "the plan".to_owned(),
            (true, false) => "the personalized arm, within its share of the limits,".to_owned(),
            (false, true) => format!("the {} campaigns planned jointly", self.campaigns),
            (true, true) => format!(
                "the personalized arms of the {} campaigns planned jointly, within their share of \
                 the limits,",
                self.campaigns
            ),
        };
        let are = if self.campaigns > 1 { "are" } else { "is" };
        let mut text = format!(
            "By the values that chose it, {of} {are} worth {:.3}; no other choice of slots and \
             variants is worth more than {:.3} (gap {:.4} %).",
            self.value,
            self.bound,
            100.0 * self.gap()
        );
        let mut add = |more: &str| {
            text.push(' ');
            text.push_str(more);
        };
        if self.splits_messages {
            add(
                "That bound may split a message between slots, so whole messages need not reach it.",
            );
        }
        if self.ignores_joint_caps {
            add("It leaves out frequency caps between these campaigns.");
        }
        if self.ignores_joint_fatigue {
            add("It leaves out how their messages tire people for each other.");
        }
        if self.slots_closed > 0 {
            let closed = self.slots_closed;
            add(&format!(
                "{closed} slots are closed by rule: too many of their replies would come outside \
                 agents' hours."
            ));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_says_what_it_is_about_and_what_its_bound_relaxes() {
        let plain =
            Certificate { value: 99.0, bound: 100.0, campaigns: 1, ..Certificate::default() };
        assert_eq!((plain.covers(), plain.relaxed()), ("all_messages", vec![]));
        assert_eq!(
            plain.statement(),
            "By the values that chose it, the plan is worth 99.000; no other choice of slots and \
             variants is worth more than 100.000 (gap 1.0000 %)."
        );
        let all = Certificate {
            campaigns: 3,
            has_other_arms: true,
            splits_messages: true,
            ignores_joint_caps: true,
            ignores_joint_fatigue: true,
            slots_closed: 7,
            ..plain
        };
        assert_eq!(all.covers(), "personalized_arm");
        let relaxed = ["whole_messages", "caps_between_campaigns", "fatigue_between_campaigns"];
        assert_eq!(all.relaxed(), relaxed);
        let said = all.statement();
        for words in
            ["personalized arms of the 3", "split a message", "caps between", "tire", "7 slots"]
        {
            assert!(said.contains(words), "{said}");
        }
    }
}
