//! What a slot and a variant are worth to a person.
//!
//! Value = P(goal within its time) − cost of an opt-out × P(opt-out), the chance averaged over the
//! local hours that the slot overlaps.

use super::eligibility::{Candidates, Cell, Ground, Standing};
use super::request::{Request, Setting};
use crate::model::campaign::Campaign;
use crate::model::preference::{Preference, WEEK_HOURS};

/// What one person's habits say of the variants of one menu.
pub(super) struct Worth {
    /// The chance of the goal by hour of the local week, one row a variant of the menu.
    chances: Vec<[f32; WEEK_HOURS]>,
    /// What the harm of each variant takes from its value.
    pub(super) harm: Vec<f32>,
    /// The chance of a reply to each variant.
    pub(super) reply: Vec<f32>,
}

impl Worth {
    fn new(
        campaign: &Campaign,
        menu: &[u16],
        preference: &Preference,
        opt_out_cost: f64,
        replies: bool,
    ) -> Self {
        let mut worth = Self { chances: Vec::new(), harm: Vec::new(), reply: Vec::new() };
        for (at, variant) in menu.iter().enumerate() {
            let content = &campaign.variants[*variant as usize].content;
            let same = menu[..at]
                .iter()
                .position(|other| campaign.variants[*other as usize].content == *content);
            if let Some(same) = same {
                worth.chances.push(worth.chances[same]);
                worth.harm.push(worth.harm[same]);
                worth.reply.extend(worth.reply.get(same).copied());
                continue;
            }
            worth.chances.push(preference.chances(content, campaign.goal, campaign.within));
            worth.harm.push((opt_out_cost * f64::from(preference.opt_out(content))) as f32);
            if replies {
                worth.reply.push(preference.reply_chance(content));
            }
        }
        worth
    }

    /// Asks the habits of one candidate of a request.
    pub(super) fn of(
        setting: &Setting<'_>,
        request: &Request<'_>,
        candidates: &Candidates,
        person: usize,
        standing: &Standing,
    ) -> Self {
        let menu = &candidates.menus[standing.menu as usize];
        let preference = (request.preference)(person);
        let replies = request.campaign.capacity.chats.is_some();
        Self::new(request.campaign, menu, &preference, setting.opt_out_cost, replies)
    }

    /// How many variants there are.
    pub(super) fn variants(&self) -> usize {
        self.harm.len()
    }

    /// The chance of the goal for a variant of the menu in a cell.
    pub(super) fn chance(&self, variant: usize, cell: &Cell) -> f32 {
        let chances = &self.chances[variant];
        match cell.hours[..] {
            [(hour, _)] => chances[hour],
            _ => cell.hours.iter().map(|(hour, share)| chances[*hour] * *share as f32).sum(),
        }
    }

    /// Chance less harm.
    pub(super) fn value(&self, variant: usize, cell: &Cell) -> f32 {
        self.chance(variant, cell) - self.harm[variant]
    }

    /// The best variant of the menu in a cell and its value; among equals the one at `turn`.
    pub(super) fn best(&self, cell: &Cell, turn: u32) -> (usize, f32) {
        let count = self.variants();
        let start = turn as usize % count;
        let mut best = (start, self.value(start, cell));
        for offset in 1..count {
            let variant = (start + offset) % count;
            let value = self.value(variant, cell);
            if value > best.1 {
                best = (variant, value);
            }
        }
        best
    }

    /// Whether any allowed slot is worth anything.
    pub(super) fn is_any_positive(&self, ground: &Ground) -> bool {
        let mut cells = ground.cells.iter();
        cells.any(|cell| (0..self.variants()).any(|variant| self.value(variant, cell) > 0.0))
    }
}
