//! A plan in figures, for people: who is planned and refused, what it is worth, costs and brings,
//! and when it sends, against capacity.

use std::collections::BTreeMap;

use chrono::{NaiveDate, Timelike};

use super::print::{Show, table};
use crate::model::delivery::Reason;
use crate::plan::reason_sentence;
use crate::work::plan::Summary;
use crate::work::plan::campaign_plan::HourLoad;
use crate::work::plan::record::Expected;

/// The longest list of days.
const DAYS_MAX: usize = 31;

impl Show for Summary {
    fn text(&self) -> String {
        let mut text = format!(
            "{}: {} of {} people planned.\n\
             Value {:.3}. {}\n\
             Expected to engage: {}.",
            self.campaign,
            self.planned,
            self.people,
            self.value,
            self.certificate.statement,
            range(self.expected),
        );
        if self.at_control_time.mean > 0.0 {
            text.push_str(&format!(
                " The personalized: {}, at the control time {}.",
                range(self.personalized),
                range(self.at_control_time)
            ));
        }
        if let Some(of) = self.smallest_effect {
            text.push_str(&format!(
                "\nWith {} people personalized and {} in control, of whom {:.1} % engage, a difference \
                 of {:.1} points or more is found {:.0} times in 100, at 5 % false findings.",
                of.personalized,
                of.control,
                100.0 * of.engagement,
                100.0 * of.effect,
                100.0 * of.power
            ));
        }
        if let Some(replies) = self.replies {
            text.push_str(&format!("\nExpected replies: {replies:.0}."));
        }
        if let Some(spend) = &self.spend {
            text.push_str(&format!("\nExpected spend: {:.2} {}", spend.amount, spend.currency));
            let of = spend.budget.map(|budget| format!(" of {budget:.2}"));
            text.push_str(&(of.unwrap_or_default() + "."));
            if let Some(told) = spend.doubt() {
                text.push_str(&format!("\n{told}"));
            }
        }
        if !self.refused.is_empty() {
            let mut shown = table(&["refused", "people", ""]);
            for (reason, people) in &self.refused {
                let why = reason.parse().map_or("", |reason: Reason| reason_sentence(reason));
                shown.add_row([reason, people.to_string().as_str(), why]);
            }
            if let Some(column) = shown.column_mut(2) {
                column.set_cell_alignment(comfy_table::CellAlignment::Left);
            }
            text.push_str(&format!("\n{shown}"));
        }
        text + "\nPlanned sends by local hour:\n"
            + &bars(&self.by_local_hour)
            + "By UTC hour, as shares of its capacity (▁ little … █ full, · nothing):\n"
            + &days(&self.by_hour)
    }
}

fn range(expected: Expected) -> String {
    format!("{:.0} ({:.0} to {:.0})", expected.mean, expected.low, expected.high)
}

/// A line an hour, with a bar as long as its share.
fn bars(hours: &[u64; 24]) -> String {
    const WIDTH: u64 = 40;
    let most = hours.iter().copied().max().unwrap_or(0).max(1);
    let line = |(hour, count): (usize, &u64)| {
        let bar = "█".repeat((count * WIDTH / most) as usize);
        format!("{hour:02}:00 {count:>7} {bar}\n")
    };
    hours.iter().enumerate().filter(|(_, count)| **count > 0).map(line).collect()
}

/// A line a day: a block an hour, the day's messages, and its fullest hour against capacity.
fn days(hours: &[HourLoad]) -> String {
    let mut days: BTreeMap<NaiveDate, Vec<&HourLoad>> = BTreeMap::new();
    for hour in hours {
        days.entry(hour.start.date_naive()).or_default().push(hour);
    }
    let most = hours.iter().map(|hour| hour.planned + hour.reserved).max().unwrap_or(0);
    let mut text = String::from("                0     6     12    18\n");
    for (date, hours) in days.iter().take(DAYS_MAX) {
        let mut blocks = ['·'; 24];
        for hour in hours {
            let room = hour.capacity.unwrap_or(most).max(1);
            blocks[hour.start.hour() as usize] = block(hour.planned + hour.reserved, room);
        }
        let sum: u64 = hours.iter().map(|hour| hour.planned).sum();
        let share = |hour: &HourLoad| {
            let taken = hour.planned + hour.reserved;
            taken as f64 / hour.capacity.unwrap_or(most).max(1) as f64
        };
        let fullest = hours.iter().max_by(|a, b| share(a).total_cmp(&share(b)));
        let fullest = fullest.map(|hour| {
            let taken = hour.planned + hour.reserved;
            let of = hour.capacity.map(|most| format!(" of {most}")).unwrap_or_default();
            format!("fullest {:02}:00 {taken}{of}", hour.start.hour())
        });
        let blocks: String = blocks.iter().collect();
        let day = date.format("%a %Y-%m-%d");
        text.push_str(&format!("{day}  {blocks} {sum:>8}  {}\n", fullest.unwrap_or_default()));
    }
    if days.len() > DAYS_MAX {
        text.push_str(&format!(
            "and {} more days; --capacity writes them all\n",
            days.len() - DAYS_MAX
        ));
    }
    text
}

fn block(taken: u64, room: u64) -> char {
    const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    match taken {
        0 => '·',
        taken => BLOCKS[(taken * 8).div_ceil(room).clamp(1, 8) as usize - 1],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_show_each_hour_against_its_capacity() {
        let load = |hour: &str, planned, capacity| HourLoad {
            start: format!("2026-12-0{hour}:00:00Z").parse().unwrap(),
            capacity,
            reserved: 0,
            planned,
            price: 0.0,
        };
        let hours = [
            load("1T09", 10, Some(10)),
            load("1T10", 5, Some(10)),
            load("1T23", 1, Some(10)),
            load("2T00", 3, None),
        ];
        insta::assert_snapshot!(days(&hours), @r"
                        0     6     12    18
        Tue 2026-12-01  ·········█▄············▁       16  fullest 09:00 10 of 10
        Wed 2026-12-02  ▃·······················        3  fullest 00:00 3
        ");
    }
}
