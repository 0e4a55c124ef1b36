//! What a campaign brought: engagement by arm, what the experiment shows, everybody by state.

use serde::Serialize;

use super::Ctx;
use super::experiment::ExperimentResult;
use super::interval::Interval;
use super::sums::{Counted, FailureCount, Sums, sums};
use crate::model::campaign::Campaign;
use crate::model::content::Goal;
use crate::model::delivery::Arm;
use crate::model::ids::Name;
use crate::model::time::Instant;
use crate::store::{ArmCount, BANDS, BandCount, CampaignRow, SpendSums, StateCount, StoreError};

/// What a campaign brought.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Results {
    /// Its name.
    pub name: Name,
    /// What counts as engagement.
    pub goal: Goal,
    /// When this was summed up: of a large campaign a moment ago.
    #[schema(value_type = String, format = DateTime)]
    pub counted_at: Instant,
    /// Within how many hours after sending.
    pub within_hours: f64,
    /// By arm of the experiment.
    pub arms: Vec<ArmResult>,
    /// How right forecasts were: messages whose time to be answered is over, by the chance that was
    /// forecast of each when it was planned, in bands of equal width.
    pub calibration: Vec<CalibrationBand>,
    /// Engagement of the personalized arm minus the control's, of people assigned, once answers of
    /// both are known. The 95 % interval holds over all days on which somebody looks.
    pub lift: Option<Interval>,
    /// The same, adjusted by what was forecast of each person before; narrower.
    pub lift_adjusted: Option<Interval>,
    /// Where the campaign has arms.
    pub experiment: Option<ExperimentResult>,
    /// People by state and reason.
    pub states: Vec<StateCount>,
    /// People who failed or were refused by the channel's codes, most first.
    pub failures: Vec<FailureCount>,
    /// What the messages cost, where prices are known.
    pub spend: Option<SpendResult>,
    /// What other channels took over, by provider; these people are not counted once more above.
    pub fallbacks: Vec<FallbackResult>,
}

/// What one channel took over where the one before it did not deliver.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct FallbackResult {
    /// The provider.
    pub provider: Name,
    /// People who came to it.
    pub people: u64,
    /// Of them sent to.
    pub sent: u64,
    /// Of those reached.
    pub delivered: u64,
    /// Of those engaged in time.
    pub engaged: u64,
    /// People by state and reason.
    pub states: Vec<StateCount>,
    /// What the messages cost, where prices are known.
    pub spend: Option<SpendResult>,
}

impl FallbackResult {
    /// In a sentence.
    pub fn sentence(&self) -> String {
        let Self { provider, people, sent, delivered, engaged, spend, .. } = self;
        let spend = spend.as_ref().map(|of| format!(" {}", of.sentence())).unwrap_or_default();
        format!(
            "Fallback to {provider}: {people} people came to it, {sent} sent, {delivered} known \
             delivered, {engaged} engaged in time.{spend}"
        )
    }
}

/// What messages were expected to cost, and what was charged for them.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct SpendResult {
    /// ISO 4217.
    pub currency: String,
    /// Messages that went out.
    pub messages: u64,
    /// What they were expected to cost when they were planned.
    pub expected: f64,
    /// Those of which the channel told how it charges.
    pub charged_messages: u64,
    /// What these were expected to cost.
    pub expected_of_charged: f64,
    /// What these came to, by what the channel told and the tariff of that day.
    pub charged: f64,
}

impl SpendResult {
    /// In a sentence.
    pub fn sentence(&self) -> String {
        let Self { currency, messages, expected, charged_messages, expected_of_charged, charged } =
            self;
        let told = if *charged_messages == 0 {
            "; what was charged is not told yet".to_owned()
        } else {
            format!(
                "; charged {charged:.2} {currency} for {charged_messages} of them, where \
                 {expected_of_charged:.2} was expected"
            )
        };
        format!("Spend: {expected:.2} {currency} expected for {messages} messages{told}.")
    }
}

impl Results {
    /// What columns of a table of the arms are called.
    pub fn columns(&self) -> [String; 9] {
        let goal = format!("{} within {} h", self.goal, self.within_hours);
        [
            "arm",
            "people",
            "sent",
            "delivered",
            &goal,
            "of people assigned, 95 %",
            "of messages sent, 95 %",
            "forecast",
            "opted out",
        ]
        .map(str::to_owned)
    }
}

/// Messages whose chance was forecast in one band.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct CalibrationBand {
    /// The least chance of the band.
    pub from: f64,
    /// Where the next band begins.
    pub to: f64,
    /// How many messages.
    pub messages: u64,
    /// Their mean chance of engagement, as forecast.
    pub forecast: f64,
    /// Of them engaged in time.
    pub engaged: u64,
    /// The same as a share, with a 95 % interval.
    pub engagement: Interval,
}

impl From<BandCount> for CalibrationBand {
    fn from(count: BandCount) -> Self {
        let BandCount { band, messages, engaged, forecast } = count;
        Self {
            from: band as f64 / BANDS as f64,
            to: (band + 1) as f64 / BANDS as f64,
            messages,
            forecast: forecast / messages.max(1) as f64,
            engaged,
            engagement: Interval::of_share(engaged, messages),
        }
    }
}

/// What one arm brought.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct ArmResult {
    /// Which.
    pub arm: Arm,
    /// People in it, sent to or not.
    pub people: u64,
    /// Of them sent to.
    pub sent: u64,
    /// Of them reached.
    pub delivered: u64,
    /// Of them engaged in time.
    pub engaged: u64,
    /// Of them opted out.
    pub opted_out: u64,
    /// Engaged among all people assigned to the arm, sent to or not, with a 95 % interval: what the
    /// arm brings. Arms are compared by it, since chance alone assigned people (intention to treat).
    pub engagement: Interval,
    /// Engaged among those sent to, with a 95 % interval: how well messages that went out did. Arms
    /// are not compared by it, since they differ in whom they reach.
    pub engagement_of_sent: Option<Interval>,
    /// The mean chance that was forecast for those sent to.
    pub forecast: Option<f64>,
}

/// Adds up what a campaign brought.
pub async fn results(ctx: &Ctx, row: &CampaignRow) -> Result<Results, StoreError> {
    let campaign = &row.campaign;
    let now = ctx.clock.now();
    let sums = sums(&mut ctx.store.read().await?, row, now, Counted::All).await?;
    let of_arm = |arm: &Arm| sums.arms.iter().find(|count| count.arm == *arm).map(arm_result);
    let arms: Vec<ArmResult> = Arm::ALL.iter().filter_map(of_arm).collect();
    let engagement = |wanted| {
        arms.iter().find(|a: &&ArmResult| a.arm == wanted && a.sent > 0).map(|a| a.engagement)
    };
    let experiment = sums.experiment.as_ref();
    let experiment = experiment.and_then(|sums| ExperimentResult::of(campaign, sums));
    let comparison = experiment.as_ref().and_then(ExperimentResult::lift);
    let lift = match (sums.experiment.is_some(), &comparison) {
        (true, comparison) => comparison.map(|lift| lift.difference),
        // an older version closed it: all was known then
        (false, _) => engagement(Arm::Personalized)
            .zip(engagement(Arm::Control))
            .map(|(personalized, control)| personalized.minus(control)),
    };
    let lift_adjusted = comparison.and_then(|lift| lift.adjusted);
    Ok(Results {
        name: campaign.name.clone(),
        goal: campaign.goal,
        counted_at: now,
        within_hours: campaign.within.as_secs_f64() / 3600.0,
        arms,
        calibration: sums.bands.into_iter().map(CalibrationBand::from).collect(),
        lift,
        lift_adjusted,
        experiment,
        states: sums.states,
        failures: sums.failures,
        spend: spend(ctx, campaign, sums.spend),
        fallbacks: fallbacks(ctx, row).await?,
    })
}

/// What each channel took over, in their order.
async fn fallbacks(ctx: &Ctx, row: &CampaignRow) -> Result<Vec<FallbackResult>, StoreError> {
    let mut reader = ctx.store.read().await?;
    let mut found: Vec<(CampaignRow, Sums)> = Vec::new();
    for part in reader.fallbacks_from(row).await? {
        let sums = sums(&mut reader, &part, ctx.clock.now(), Counted::All).await?;
        match found.iter_mut().find(|(of, _)| of.campaign.provider == part.campaign.provider) {
            Some((_, all)) => all.add(sums),
            None => found.push((part, sums)),
        }
    }
    let result = |(part, sums): (CampaignRow, Sums)| {
        let of_arms = |count: fn(&ArmCount) -> u64| sums.arms.iter().map(count).sum();
        FallbackResult {
            provider: part.campaign.provider.clone(),
            people: sums.states.iter().map(|count| count.people).sum(),
            sent: of_arms(|arm| arm.sent),
            delivered: of_arms(|arm| arm.delivered),
            engaged: of_arms(|arm| arm.engaged),
            spend: spend(ctx, &part.campaign, sums.spend),
            states: sums.states,
        }
    };
    Ok(found.into_iter().map(result).collect())
}

fn spend(ctx: &Ctx, campaign: &Campaign, sums: SpendSums) -> Option<SpendResult> {
    let provider = ctx.config.providers.get(&campaign.provider)?;
    let currency = provider.tariff.as_ref()?.currency.clone();
    let SpendSums { messages, expected, charged_messages, expected_of_charged, charged } = sums;
    (messages > 0).then_some(SpendResult {
        currency,
        messages,
        expected,
        charged_messages,
        expected_of_charged,
        charged,
    })
}

fn arm_result(count: &ArmCount) -> ArmResult {
    ArmResult {
        arm: count.arm,
        people: count.people,
        sent: count.sent,
        delivered: count.delivered,
        engaged: count.engaged,
        opted_out: count.opted_out,
        engagement: Interval::of_share(count.engaged, count.people),
        engagement_of_sent: (count.sent > 0).then(|| Interval::of_share(count.engaged, count.sent)),
        forecast: (count.sent > 0).then(|| count.forecast / count.sent as f64),
    }
}
