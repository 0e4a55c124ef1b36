//! Coarse actions: part of the day × workday or weekend × medium. What other policies would have
//! brought is asked at this grain, since finer actions leave a handful of matches.

use std::fmt;

use super::Invalid;
use super::content::Media;

/// Parts of a local week that actions tell apart: four of the day, on workdays and at the weekend.
pub const WEEK_PARTS: usize = 8;

/// When and with what somebody was written to, coarsely.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Action {
    /// Six hours each from midnight, first of workdays, then of the weekend.
    week_part: u8,
    /// The medium.
    pub media: Media,
}

/// The part of the week, below [`WEEK_PARTS`], that an hour of the local week lies in.
pub fn week_part(hour: usize) -> usize {
    hour % 24 / 6 + if hour / 24 >= 5 { WEEK_PARTS / 2 } else { 0 }
}

impl Action {
    /// Of a message in an hour of the local week, from Monday on.
    pub fn of(hour: usize, media: Media) -> Self {
        Self::in_part(week_part(hour), media)
    }

    /// Of a message in a part of the week.
    pub fn in_part(week_part: usize, media: Media) -> Self {
        assert!(week_part < WEEK_PARTS, "a week has no part {week_part}");
        Self { week_part: week_part as u8, media }
    }

    /// Its hours of the local week.
    pub fn hours(self) -> impl Iterator<Item = usize> {
        (0..168).filter(move |hour| week_part(*hour) == usize::from(self.week_part))
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = usize::from(self.week_part);
        let days = if part < WEEK_PARTS / 2 { "workdays" } else { "weekends" };
        let from = part % (WEEK_PARTS / 2) * 6;
        write!(f, "{} on {days} from {from} to {}", self.media, from + 6)
    }
}

/// What was drawn for a person, and the chance that each action had.
#[derive(Debug, Clone, PartialEq)]
pub struct DrawnAction {
    /// What was drawn.
    pub action: Action,
    /// The chance of each action that the person could have got; they sum to 1.
    pub among: Vec<(Action, f64)>,
}

impl DrawnAction {
    /// Of weights that need not sum to 1; `None` where what was drawn has none.
    pub fn new(action: Action, weights: impl IntoIterator<Item = (Action, f64)>) -> Option<Self> {
        let mut among: Vec<_> = weights.into_iter().filter(|(_, weight)| *weight > 0.0).collect();
        let total: f64 = among.iter().map(|(_, weight)| weight).sum();
        for (_, weight) in &mut among {
            *weight /= total;
        }
        among.sort_by_key(|(action, _)| *action);
        among.iter().any(|(of, _)| *of == action).then_some(Self { action, among })
    }
}

/// As the database has it: what was drawn, and each action with its chance.
impl DrawnAction {
    /// What was drawn, in one word.
    pub fn action_word(&self) -> String {
        word(self.action)
    }

    /// Among what.
    pub fn among_words(&self) -> String {
        let chances = self.among.iter();
        let words: Vec<String> =
            chances.map(|(of, chance)| format!("{}={chance:.7}", word(*of))).collect();
        words.join(" ")
    }

    /// Reads both back; `None` where what was drawn is not among the actions: these are of an earlier
    /// plan, which did not know of it.
    pub fn parse(action: &str, among: &str) -> Result<Option<Self>, Invalid> {
        let wrong = || Invalid::new("drawn", among, "actions with their chances");
        let chance = |text: &str| {
            let (of, chance) = text.split_once('=')?;
            let chance: f64 = chance.parse().ok()?;
            Some((parse_word(of)?, chance)).filter(|_| (0.0..=1.0).contains(&chance))
        };
        let drawn = parse_word(action).ok_or_else(|| Invalid::new("drawn", action, "an action"))?;
        let among: Option<Vec<_>> = among.split(' ').map(chance).collect();
        Ok(Self::new(drawn, among.ok_or_else(wrong)?))
    }
}

fn word(action: Action) -> String {
    format!("{}:{}", action.week_part, action.media)
}

fn parse_word(text: &str) -> Option<Action> {
    let (part, media) = text.split_once(':')?;
    let part: usize = part.parse().ok().filter(|part| *part < WEEK_PARTS)?;
    Some(Action::in_part(part, media.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_tell_parts_of_the_week_apart() {
        // Monday 05:00 and 06:00, Saturday 06:00
        let parts = [5, 6, 126].map(week_part);
        assert_eq!(parts, [0, 1, 5]);
        let action = Action::of(126, Media::Video);
        assert_eq!(action.to_string(), "video on weekends from 6 to 12");
        assert_eq!(action.hours().collect::<Vec<_>>().len(), 12);
        assert!((0..168).all(|hour| Action::of(hour, Media::Text).hours().any(|h| h == hour)));
    }

    #[test]
    fn what_was_drawn_comes_back_from_the_database() {
        let [text, image] = [Media::Text, Media::Image].map(|media| Action::of(30, media));
        let drawn = DrawnAction::new(image, [(image, 3.0), (text, 1.0), (text, 0.0)]).unwrap();
        let words = (drawn.action_word(), drawn.among_words());
        assert_eq!((&*words.0, &*words.1), ("1:image", "1:text=0.2500000 1:image=0.7500000"));
        assert_eq!(DrawnAction::parse(&words.0, &words.1), Ok(Some(drawn)));
        for (action, among) in
            [("", "1:image=1"), ("9:image", "1:image=1"), ("1:image", "1:image=2")]
        {
            assert!(DrawnAction::parse(action, among).is_err(), "{action} {among}");
        }
        assert_eq!(DrawnAction::parse("1:image", "1:text=1"), Ok(None));
    }
}
