//! What experiments are compared by: sums over the people of each arm, of a variant, of a country and
//! of a tag, as far as answers are known.

use std::collections::BTreeMap;

use futures_util::TryStreamExt;

use super::responses::engaged_in_time;
use super::row::from_row;
use super::{Doing, Reader, StoreError, json, micros, on, parsed};
use crate::model::content::Goal;
use crate::model::delivery::Arm;
use crate::model::time::Instant;

/// Sums of what was expected of people at one time, over some people of an arm.
#[derive(Debug, Clone, Copy, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct ExpectedSums {
    /// Over all.
    pub all: f64,
    /// Of squares, over all.
    pub all_squares: f64,
    /// Over those who were or will be sent to.
    pub reached: f64,
    /// Over those of them whose time to answer is over.
    pub known: f64,
    /// Of squares, over the same.
    pub known_squares: f64,
    /// Over those who engaged in time.
    pub engaged: f64,
}

/// What is known of an arm's people.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct ArmKnowledge {
    /// Which.
    pub arm: Arm,
    /// People in it.
    pub people: u64,
    /// Of them those of whom something was expected before the arm was drawn.
    pub expected: u64,
    /// Sent to, or still to be sent to.
    pub reached: u64,
    /// Of those, whose time to answer is over.
    pub known: u64,
    /// Of those engaged in time.
    pub engaged: u64,
    /// Expected at the control time.
    pub at_control_time: ExpectedSums,
    /// Expected at each person's best time.
    pub at_best: ExpectedSums,
    /// By day of UTC, counted from the epoch: people whose time to answer was over on it.
    pub known_on: Vec<(i64, u64)>,
}

/// A part of an arm.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct ArmPart {
    /// The variant, the country or the tag.
    pub of: String,
    /// Which arm.
    pub arm: Arm,
    /// People in it.
    pub people: u64,
    /// Sent to, or still to be sent to.
    pub reached: u64,
    /// Of those, whose time to answer is over.
    pub known: u64,
    /// Of those engaged in time.
    pub engaged: u64,
}

/// What arms, variants, countries and tags brought.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Experiment {
    /// By arm.
    pub arms: Vec<ArmKnowledge>,
    /// Of the explore arm, by variant: those who were sent to.
    pub variants: Vec<ArmPart>,
    /// By country of the recipient's file: both compared arms of the largest countries.
    pub countries: Vec<ArmPart>,
    /// The same by tag; none of campaigns that older versions closed.
    #[serde(default)]
    pub tags: Vec<ArmPart>,
}

/// Messages whose chance was forecast in one band, and whose time to be answered is over.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct BandCount {
    /// From so many [`BANDS`]ths of certainty on.
    pub band: u64,
    /// How many.
    pub messages: u64,
    /// Of them engaged in time.
    pub engaged: u64,
    /// The sum of their chances.
    pub forecast: f64,
}

/// How many bands of equal width chances are counted in.
pub const BANDS: u64 = 20;

impl BandCount {
    /// Adds what the same band of another arm or campaign brought.
    pub fn add(&mut self, other: &Self) {
        self.messages += other.messages;
        self.engaged += other.engaged;
        self.forecast += other.forecast;
    }
}

/// Sums by a country or a tag, of the personalized arm and of control.
#[derive(Default)]
struct Groups(BTreeMap<String, [Option<ArmPart>; 2]>);

impl Groups {
    fn add(&mut self, of: &str, sums: &ArmPart) {
        let arms = match self.0.get_mut(of) {
            Some(arms) => arms,
            None => self.0.entry(of.to_owned()).or_default(),
        };
        let new =
            || ArmPart { of: of.to_owned(), people: 0, reached: 0, known: 0, engaged: 0, ..*sums };
        let part = arms[usize::from(sums.arm == Arm::Control)].get_or_insert_with(new);
        part.people += sums.people;
        part.reached += sums.reached;
        part.known += sums.known;
        part.engaged += sums.engaged;
    }

    /// All arms of those with most people.
    fn largest(self, most: usize) -> Vec<ArmPart> {
        let mut groups: Vec<_> = self.0.into_values().collect();
        groups.sort_by_key(|arms| {
            std::cmp::Reverse(arms.iter().flatten().map(|part| part.people).sum::<u64>())
        });
        groups.into_iter().take(most).flatten().flatten().collect()
    }
}

/// Each person of an arm as numbers: `$2` is the goal, `$3` the time to answer, `$4` now. In doubt
/// may have been sent, and counts as still to come.
macro_rules! people {
    ($whose:expr) => {
        concat!(
            "(SELECT campaign, recipient, arm, variant,
            COALESCE(expected_control, 0.0) AS c, COALESCE(expected_best, 0.0) AS b,
            CASE WHEN expected_best IS NULL OR expected_control IS NULL THEN 0 ELSE 1 END AS told,
            CASE WHEN sent_at IS NOT NULL OR state IN ('planned', 'held', 'in_doubt')
                THEN 1 ELSE 0 END AS reached,
            CASE WHEN sent_at IS NOT NULL AND sent_at + $3 <= $4 THEN 1 ELSE 0 END AS known,
            CASE WHEN sent_at IS NOT NULL AND sent_at + $3 <= $4 AND ",
            engaged_in_time!(),
            " THEN 1 ELSE 0 END AS engaged
        FROM delivery WHERE ",
            $whose,
            " AND arm IS NOT NULL) AS person"
        )
    };
}

macro_rules! of_campaign {
    () => {
        "campaign = $1"
    };
}

/// Of a standing campaign's runs the first that each person is in: what was expected of later ones, and
/// what came of them, may be the first one's doing.
macro_rules! of_runs {
    () => {
        "campaign IN (SELECT id FROM campaign WHERE parent = $1 AND fallback_of IS NULL) AND NOT EXISTS (
            SELECT 1 FROM delivery AS before JOIN campaign AS run ON run.id = before.campaign
            WHERE before.recipient = delivery.recipient AND run.parent = $1
                AND run.fallback_of IS NULL
                AND before.arm IS NOT NULL AND before.campaign < delivery.campaign)"
    };
}

macro_rules! arms {
    () => {
        "SELECT arm, COUNT(*) AS people, SUM(told) AS expected, SUM(reached) AS reached,
        SUM(known) AS known, SUM(engaged) AS engaged,
        SUM(c) AS c_all, SUM(c * c) AS c_all_squares, SUM(c * reached) AS c_reached,
        SUM(c * known) AS c_known, SUM(c * c * known) AS c_known_squares,
        SUM(c * engaged) AS c_engaged,
        SUM(b) AS b_all, SUM(b * b) AS b_all_squares, SUM(b * reached) AS b_reached,
        SUM(b * known) AS b_known, SUM(b * b * known) AS b_known_squares,
        SUM(b * engaged) AS b_engaged
    FROM "
    };
}

/// The statements that sum up one campaign, or the runs of a standing one.
struct Statements {
    arms: &'static str,
    days: &'static str,
    variants: &'static str,
    groups: &'static str,
}

macro_rules! statements {
    ($whose:expr) => {
        Statements {
            arms: concat!(arms!(), people!($whose), " GROUP BY arm ORDER BY arm"),
            days: concat!(
                "SELECT arm, (sent_at + $2) / 86400000000, COUNT(*) FROM delivery WHERE ",
                $whose,
                " AND arm IS NOT NULL AND sent_at IS NOT NULL AND sent_at + $2 <= $3
                GROUP BY 1, 2 ORDER BY 1, 2"
            ),
            variants: concat!(
                "SELECT variant, arm, COUNT(*), SUM(reached), SUM(known), SUM(engaged) FROM ",
                people!($whose),
                " WHERE arm = 'explore' AND known = 1 AND variant IS NOT NULL
                GROUP BY variant, arm ORDER BY 1, 2"
            ),
            // people alike in country and tags; tags are a list in one column, so that they are told
            // apart here and not by the database
            groups: concat!(
                "SELECT COALESCE(r.country, ''), r.tags, arm, COUNT(*), SUM(reached), SUM(known),
                SUM(engaged) FROM ",
                people!($whose),
                " JOIN recipient r ON r.id = person.recipient
                WHERE arm IN ('personalized', 'control')
                GROUP BY COALESCE(r.country, ''), r.tags, arm"
            ),
        }
    };
}

const OF_CAMPAIGN: Statements = statements!(of_campaign!());
const OF_RUNS: Statements = statements!(of_runs!());

from_row! {
    struct Row {
        arm: String,
        people: i64,
        expected: i64,
        reached: i64,
        known: i64,
        engaged: i64,
        c_all: f64,
        c_all_squares: f64,
        c_reached: f64,
        c_known: f64,
        c_known_squares: f64,
        c_engaged: f64,
        b_all: f64,
        b_all_squares: f64,
        b_reached: f64,
        b_known: f64,
        b_known_squares: f64,
        b_engaged: f64,
    }
}

const TABLE: &str = "delivery";

type PartRow = (String, String, i64, i64, i64, i64);
/// The same, with the tags behind the country.
type GroupRow = (String, String, String, i64, i64, i64, i64);

fn part((of, arm, people, reached, known, engaged): PartRow) -> Result<ArmPart, StoreError> {
    Ok(ArmPart {
        of,
        arm: parsed(TABLE, &arm)?,
        people: people as u64,
        reached: reached as u64,
        known: known as u64,
        engaged: engaged as u64,
    })
}

impl Reader {
    /// Sums up an experiment. An answer is known once its time is over; the `most` largest countries
    /// and as many tags are told.
    pub async fn experiment(
        &mut self,
        campaign: i64,
        goal: Goal,
        within: std::time::Duration,
        now: Instant,
        most: usize,
    ) -> Result<Experiment, StoreError> {
        self.sums_of(&OF_CAMPAIGN, campaign, (goal, within, now), most).await
    }

    /// The same over the runs of a standing campaign, in which each person counts once.
    pub async fn experiment_of_runs(
        &mut self,
        standing: i64,
        goal: Goal,
        within: std::time::Duration,
        now: Instant,
        most: usize,
    ) -> Result<Experiment, StoreError> {
        self.sums_of(&OF_RUNS, standing, (goal, within, now), most).await
    }

    async fn sums_of(
        &mut self,
        of: &Statements,
        campaign: i64,
        (goal, within, now): (Goal, std::time::Duration, Instant),
        most: usize,
    ) -> Result<Experiment, StoreError> {
        const DOING: &str = "sum up an experiment";
        let (goal, within, now) = (goal.as_str(), within.as_micros() as i64, micros(now));
        let rows: Vec<Row> = on!(self, |db| sqlx::query_as(of.arms)
            .bind(campaign)
            .bind(goal)
            .bind(within)
            .bind(now)
            .fetch_all(db)
            .await)
        .doing(DOING)?;
        let days: Vec<(String, i64, i64)> = on!(self, |db| sqlx::query_as(of.days)
            .bind(campaign)
            .bind(within)
            .bind(now)
            .fetch_all(db)
            .await)
        .doing(DOING)?;
        // a campaign's file bounds its variants
        let variants: Vec<PartRow> = on!(self, |db| sqlx::query_as(of.variants)
            .bind(campaign)
            .bind(goal)
            .bind(within)
            .bind(now)
            .fetch_all(db)
            .await)
        .doing(DOING)?;
        let (mut countries, mut tags) = (Groups::default(), Groups::default());
        on!(self, |db| {
            let mut rows = sqlx::query_as::<_, GroupRow>(of.groups)
                .bind(campaign)
                .bind(goal)
                .bind(within)
                .bind(now)
                .fetch(db);
            while let Some(row) = rows.try_next().await.doing(DOING)? {
                let (country, of_tags, arm, people, reached, known, engaged) = row;
                let sums = part((country, arm, people, reached, known, engaged))?;
                if !sums.of.is_empty() {
                    countries.add(&sums.of, &sums);
                }
                let of_tags: Vec<String> = json("recipient", &of_tags)?;
                for tag in &of_tags {
                    tags.add(tag, &sums);
                }
            }
        });
        let arm = |row: Row| {
            let known_on = days.iter().filter(|(arm, ..)| *arm == row.arm);
            Ok(ArmKnowledge {
                arm: parsed(TABLE, &row.arm)?,
                people: row.people as u64,
                expected: row.expected as u64,
                reached: row.reached as u64,
                known: row.known as u64,
                engaged: row.engaged as u64,
                at_control_time: ExpectedSums {
                    all: row.c_all,
                    all_squares: row.c_all_squares,
                    reached: row.c_reached,
                    known: row.c_known,
                    known_squares: row.c_known_squares,
                    engaged: row.c_engaged,
                },
                at_best: ExpectedSums {
                    all: row.b_all,
                    all_squares: row.b_all_squares,
                    reached: row.b_reached,
                    known: row.b_known,
                    known_squares: row.b_known_squares,
                    engaged: row.b_engaged,
                },
                known_on: known_on.map(|(_, day, people)| (*day, *people as u64)).collect(),
            })
        };
        Ok(Experiment {
            arms: rows.into_iter().map(arm).collect::<Result<_, StoreError>>()?,
            variants: variants.into_iter().map(part).collect::<Result<_, StoreError>>()?,
            countries: countries.largest(most),
            tags: tags.largest(most),
        })
    }
}
