//! What a marketer should know of the population, in plain words, computed, with sizes and ranges.
//!
//! Nothing is said of fewer than `SEGMENT_MIN` people, and nothing that the data leaves unsure.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Ctx;
use super::interval::Interval;
use super::learn::{InUse, LearnError, People};

/// Fewer people than this are nobody's business.
const SEGMENT_MIN: u64 = 20;
/// Observations below which a person's own habits are not counted as known.
const EVIDENCE_MIN: f64 = 5.0;
/// A weekend is two days of seven; more than this share of one's presence is a habit.
const WEEKEND_SHARE: f64 = 0.4;

/// One thing to know.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Insight {
    /// In plain words.
    pub text: String,
    /// People or messages it rests on.
    pub size: u64,
    /// The figure in it, with its 95 % interval.
    pub figure: Interval,
}

/// Computes what is sure.
pub async fn run(ctx: &Ctx) -> Result<Vec<Insight>, LearnError> {
    let people = People::load(ctx).await?;
    let model = InUse::load(ctx).await?;
    let mut insights = habits(ctx, &people, &model);
    insights.extend(contents(&ctx.store.engagement_by_content().await?));
    Ok(insights)
}

fn habits(ctx: &Ctx, people: &People, model: &InUse) -> Vec<Insight> {
    let mut types: BTreeMap<String, (u64, [f64; 24])> = BTreeMap::new();
    let (mut known, mut weekend) = (0, 0);
    for index in 0..people.recipients.len() {
        if people.evidence[index].is_empty() {
            continue;
        }
        let preference = model.preference(&people.subject(index, ctx.config.time_zone));
        if preference.evidence() < EVIDENCE_MIN {
            continue;
        }
        let presence = preference.presence();
        known += 1;
        weekend += u64::from(presence[120..].iter().sum::<f64>() > WEEKEND_SHARE);
        let of_type = types.entry(preference.chronotype().to_owned()).or_default();
        of_type.0 += 1;
        for (hour, share) in presence.iter().enumerate() {
            of_type.1[hour % 24] += share;
        }
    }
    let mut insights: Vec<Insight> = types
        .into_iter()
        .filter(|(_, (count, _))| *count >= SEGMENT_MIN && *count < known)
        .map(|(name, (count, hours))| {
            let figure = Interval::of_share(count, known);
            let best = (0..24).max_by(|a, b| hours[*a].total_cmp(&hours[*b])).unwrap_or(0);
            let share = figure.percent();
            let text = format!(
                "{share} of people are of the chronotype {name:?}; they are most present from \
                 {best:02}:00 to {:02}:00.",
                best + 1
            );
            Insight { text, size: count, figure }
        })
        .collect();
    insights.sort_by(|a, b| b.size.cmp(&a.size).then_with(|| a.text.cmp(&b.text)));
    if weekend >= SEGMENT_MIN {
        let figure = Interval::of_share(weekend, known);
        let share = figure.percent();
        let text = format!(
            "{share} of people are weekend people: Saturday and Sunday hold more than 40 % of their presence."
        );
        insights.push(Insight { text, size: weekend, figure });
    }
    insights
}

/// The content that is engaged with most, if it is surely more than the one engaged with least.
fn contents(rows: &[(String, u64, u64)]) -> Option<Insight> {
    let share = |row: &&(String, u64, u64)| Interval::of_share(row.2, row.1);
    let enough = || rows.iter().filter(|row| row.1 >= SEGMENT_MIN);
    let best = enough().max_by(|a, b| share(a).mean.total_cmp(&share(b).mean))?;
    let least = enough().min_by(|a, b| share(a).mean.total_cmp(&share(b).mean))?;
    let figure = share(&best).minus(share(&least));
    (figure.low > 0.0).then(|| Insight {
        text: format!(
            "Of delivered {} messages {} were read, clicked or answered, of {} messages {}.",
            best.0,
            share(&best).percent(),
            least.0,
            share(&least).percent()
        ),
        size: best.1 + least.1,
        figure,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_unsure_or_of_few_is_not_said() {
        let row = |name: &str, of, hits| (name.to_owned(), of, hits);
        assert_eq!(contents(&[row("text", 100, 50), row("image", 100, 55)]), None);
        assert_eq!(contents(&[row("text", 10, 0), row("image", 10, 10)]), None);
        assert_eq!(contents(&[row("text", 1000, 500)]), None);
        let sure = contents(&[row("text", 1000, 500), row("image", 1000, 600)]).unwrap();
        assert!(sure.text.starts_with("Of delivered image messages 60.0 %"), "{}", sure.text);
    }
}
