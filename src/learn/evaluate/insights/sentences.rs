//! Figures in a marketer's words, and what follows from them.

use super::figures::{About, Compared, Family, Found, Insight, WORTH};
use super::looks::{DAYS, Time};
use super::portraits::{EVIDENCE_MIN, KEEPS, Portrait};
use super::shares::shares;
use crate::learn::evaluate::drift::{Drift, PartDrift, SEGMENT_MIN};
use crate::learn::infer::model::Model;
use crate::learn::statistics::estimate::{Estimate, Z};
use crate::model::part_of_day::{PARTS, best_part};
use crate::model::preference::WEEK_HOURS;

/// With fewer delivered messages a content cannot be judged: of a share of a fifth, so many leave an
/// interval of ± 5 points.
const MESSAGES_MIN: usize = 200;
/// As many tell an hour from an average one where a tenth is read within two hours, to ± 8 points.
const HOUR_MESSAGES: usize = 50;
const WITHIN_PERSON: &str = "each person's messages compared with the same person's others in the \
     same part of the day, so that who was sent what, and when, does not enter; errors by person and \
     by day of sending";
const WAITING: &str = "how often a waiting message was read in one hour or another, compared within \
     the same person and the same age of the message, so that the hours of sending do not enter; \
     errors by person and by day of sending";
const HALVES: &str = "people are told apart by one half of their history and compared by the other, in \
     turns; the size is the likeliest share, with the error of what each history tells";
const BESIDE: &str = "members beside everybody else, each compared with themselves as above";
const LATELY: &str = "the last four weeks beside what was expected from all before";

fn insight(about: About, text: String, size: usize, figure: Estimate) -> Insight {
    Insight {
        about,
        text,
        size,
        figure,
        sure: about != About::Unsure,
        advice: None,
        group: None,
        drawn: None,
        basis: None,
        looked_at: None,
        detectable: None,
    }
}

fn found(about: About, text: String, found: &Found, basis: &'static str) -> Insight {
    Insight {
        basis: Some(basis),
        looked_at: Some(found.looked_at),
        detectable: Some(found.detectable),
        ..insight(about, text, found.people, found.figure)
    }
}

/// `23 % (20–26 %)`.
fn percent(figure: Estimate) -> String {
    let [value, low, high] = [figure.value, figure.low, figure.high].map(|x| x * 100.0);
    format!("{value:.0} % ({low:.0}–{high:.0} %)")
}

/// `32 % more (+20 to +45 %)`.
fn change(figure: Estimate) -> String {
    let [value, low, high] = [figure.value, figure.low, figure.high].map(|x| 100.0 * (x - 1.0));
    let word = if value < 0.0 { "less" } else { "more" };
    format!("{:.0} % {word} often ({low:+.0} to {high:+.0} %)", value.abs())
}

/// When people are reached: everybody, then who is best reached when, then their chronotypes.
pub(super) fn reached(model: &Model, all: &Family, likelihoods: &[&Vec<f64>]) -> Vec<Insight> {
    let mut insights = Vec::new();
    for (part, (name, when, hours)) in PARTS.iter().enumerate() {
        let question = Compared::Time(Time::Part(part));
        let Some(figure) = all.found.iter().find(|f| f.question == question) else { continue };
        let text = format!(
            "People read what waits for them {} {when} ({hours}) than at other hours.",
            change(figure.figure)
        );
        insights.push(Insight {
            group: Some((*name).to_owned()),
            ..found(About::PartOfDay, text, figure, WAITING)
        });
    }
    insights.extend(best_reached(model, all, likelihoods));
    insights
}

fn best_reached(model: &Model, all: &Family, likelihoods: &[&Vec<f64>]) -> Vec<Insight> {
    let classes = model.population.chronotypes.len();
    let weeks: Vec<&[f32; WEEK_HOURS]> =
        (0..classes).map(|class| model.population.chronotypes.week(class)).collect();
    let part: Vec<usize> = weeks.iter().map(|week| best_part(week)).collect();
    let share = model.population.chronotypes.share();
    // a kind is a mixture of its chronotypes, as they are among all
    let kinds = |kind_of: &dyn Fn(usize) -> usize, count: usize| -> Vec<Estimate> {
        let mut whole = vec![1e-12; count];
        (0..classes).for_each(|class| whole[kind_of(class)] += share[class]);
        let row = |likelihoods: &&Vec<f64>| {
            let mut row = vec![0.0; count];
            for (class, likelihood) in likelihoods.iter().enumerate() {
                row[kind_of(class)] += share[class] * likelihood / whole[kind_of(class)];
            }
            row
        };
        let rows: Vec<Vec<f64>> = likelihoods.iter().map(row).collect();
        // as wide as all that is told at once asks for
        shares(&rows, Z + f64::ln(count.max(1) as f64).sqrt() / 2.0)
    };
    if likelihoods.len() < SEGMENT_MIN {
        return Vec::new();
    }
    let of_parts = kinds(&|class| part[class], PARTS.len());
    let of_classes = kinds(&|class| class, classes);
    let people = |figure: Estimate| (figure.value * likelihoods.len() as f64).round() as usize;
    let mut insights = Vec::new();
    for (at, (name, when, hours)) in PARTS.iter().enumerate() {
        let (figure, size) = (of_parts[at], people(of_parts[at]));
        let Some(picked) = all.more(Compared::Picked(at)).filter(|_| size >= SEGMENT_MIN) else {
            continue;
        };
        let text = format!(
            "{} of people, about {size} of {}, are best reached {when} ({hours}): they read what \
             waits {} then.",
            percent(figure),
            likelihoods.len(),
            change(picked.figure)
        );
        let apart = all.more(Compared::PickedBeside(at)).is_some();
        let advice = if apart {
            format!(
                "Leave {hours} within the windows of campaigns and the hour to the plan: one fixed hour \
                 elsewhere misses these people."
            )
        } else {
            format!("Let campaigns run {when}; that holds for most people, whoever they are.")
        };
        insights.push(Insight {
            size,
            figure,
            advice: Some(advice),
            group: Some((*name).to_owned()),
            ..found(About::PartOfDay, text, picked, HALVES)
        });
        for class in (0..classes).filter(|class| part[*class] == at && apart) {
            insights.extend(chronotype(model, class, of_classes[class], people(of_classes[class])));
        }
    }
    insights.extend(keepers(&weeks, all, likelihoods, &kinds));
    insights
}

fn chronotype(model: &Model, class: usize, figure: Estimate, size: usize) -> Option<Insight> {
    let (name, hour) = model.peaks().nth(class).filter(|_| size >= SEGMENT_MIN)?;
    let week = model.population.chronotypes.week(class);
    let text = format!(
        "{} of people are of the chronotype {name}: most present around {hour:02}:00.",
        percent(figure)
    );
    Some(Insight {
        group: Some(PARTS[best_part(week)].0.to_owned()),
        drawn: Some(draw(week)),
        basis: Some(HALVES),
        ..insight(About::Chronotype, text, size, figure)
    })
}

/// A day of 24 hours, from midnight on.
fn draw(week: &[f32; WEEK_HOURS]) -> String {
    const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let day: [f32; 24] = std::array::from_fn(|h| (0..7).map(|day| week[24 * day + h]).sum());
    let most = day.iter().copied().fold(f32::MIN_POSITIVE, f32::max);
    day.iter().map(|rate| BLOCKS[((rate / most * 8.0) as usize).min(7)]).collect()
}

/// How many people of some kinds there are, given the kind of each chronotype and how many kinds.
type Kinds<'k> = dyn Fn(&dyn Fn(usize) -> usize, usize) -> Vec<Estimate> + 'k;

/// People of the weekend, and of the working days.
fn keepers(
    weeks: &[&[f32; WEEK_HOURS]],
    all: &Family,
    likelihoods: &[&Vec<f64>],
    kinds: &Kinds<'_>,
) -> Vec<Insight> {
    let kind_of = |class: usize| {
        let weekend = weeks[class][120..].iter().sum::<f32>() / 48.0;
        let working = weeks[class][..120].iter().sum::<f32>() / 120.0;
        match weekend / working.max(f32::MIN_POSITIVE) {
            ratio if ratio > KEEPS => 0,
            ratio if ratio < 1.0 / KEEPS => 1,
            _ => 2,
        }
    };
    let sizes = kinds(&kind_of, 3);
    let told =
        [(true, "the weekend", "Saturday and Sunday"), (false, "working days", "Monday to Friday")];
    let mut insights = Vec::new();
    for ((weekend, name, days), figure) in told.into_iter().zip(sizes) {
        let size = (figure.value * likelihoods.len() as f64).round() as usize;
        let Some(keeps) = all.more(Compared::Keeps(weekend)).filter(|_| size >= SEGMENT_MIN) else {
            continue;
        };
        let text = format!(
            "{} of people, about {size}, are people of {name}: they read what waits {} from {days} \
             than on the other days.",
            percent(figure),
            change(keeps.figure)
        );
        let advice = if weekend {
            "Let the windows of campaigns hold a weekend: these people are hardly met without."
        } else {
            "These people need no weekend in the window: leave them the working days."
        };
        insights.push(Insight {
            size,
            figure,
            advice: Some(advice.to_owned()),
            group: Some(if weekend { "weekend" } else { "workdays" }.to_owned()),
            ..found(About::Weekend, text, keeps, HALVES)
        });
    }
    insights
}

/// Weekend and days, for everybody.
pub(super) fn days(all: &Family) -> Vec<Insight> {
    let told = |figure: &Found| {
        let Compared::Time(time) = figure.question else { return None };
        let more = figure.figure.value > 1.0;
        let (about, when, group, others) = match time {
            Time::Part(_) => return None,
            Time::Weekend => {
                (About::Weekend, "on weekends".to_owned(), "weekend", "on working days")
            }
            Time::Day(day) => (
                About::Day,
                format!("on {}s", DAYS[day]),
                DAYS[day],
                "at the same time of other days",
            ),
        };
        let text = format!(
            "People read what waits for them {} {when} than {others}.",
            change(figure.figure)
        );
        let advice = if more {
            format!("Let the windows of campaigns reach days {when}.")
        } else {
            format!(
                "A message {when} waits longer: where it must be read soon, send before or after."
            )
        };
        Some(Insight {
            advice: Some(advice),
            group: Some(group.to_owned()),
            ..found(about, text, figure, WAITING)
        })
    };
    all.found.iter().filter_map(told).collect()
}

/// Contents that people surely like better or worse than what else they are sent.
pub(super) fn tastes(model: &Model, all: &Family) -> Vec<Insight> {
    let told = |figure: &Found| {
        let Compared::Content(content) = figure.question else { return None };
        let content = model.contents.list().get(usize::from(content))?;
        let text = format!(
            "People engage with {content} {} than with what else they are sent at that time of day.",
            change(figure.figure)
        );
        let advice = if figure.figure.value > 1.0 {
            format!(
                "Give campaigns a variant with {content}; the plan gives it to those who like it."
            )
        } else {
            format!(
                "Give campaigns a variant beside {content}: most people leave it unread more often."
            )
        };
        Some(Insight { advice: Some(advice), ..found(About::Taste, text, figure, WITHIN_PERSON) })
    };
    all.found.iter().filter_map(told).collect()
}

/// Groups that differ from everybody else.
pub(super) fn of_groups(model: &Model, groups: &Family) -> Vec<Insight> {
    let told = |figure: &Found| {
        let group = figure.group.clone()?;
        let (about, what, advice) = match figure.question {
            Compared::Time(Time::Part(part)) => {
                let (_, when, hours) = PARTS[part];
                let advice = format!("Where a campaign is for {group} alone, mind {hours} first.");
                (About::PartOfDay, format!("what waits for them {when} ({hours})"), advice)
            }
            Compared::Time(_) => {
                let advice = format!("Where a campaign is for {group} alone, mind the weekend.");
                (About::Weekend, "what waits for them on weekends".to_owned(), advice)
            }
            Compared::Content(content) => {
                let content = model.contents.list().get(usize::from(content))?;
                let advice = if figure.figure.value > 1.0 {
                    format!("Campaigns for {group} want a variant with {content}.")
                } else {
                    format!("Campaigns for {group} want another variant beside {content}.")
                };
                (About::Taste, content.to_string(), advice)
            }
            _ => return None,
        };
        let text = format!(
            "People of {group} read {what} {} than others do, each compared with their own average.",
            change(figure.figure)
        );
        let advice = match about {
            About::PartOfDay | About::Weekend if figure.figure.value < 1.0 => None,
            _ => Some(advice),
        };
        Some(Insight { advice, group: Some(group), ..found(about, text, figure, BESIDE) })
    };
    groups.found.iter().filter_map(told).collect()
}

/// Says which groups were not looked at, of those large enough to be.
pub(super) fn left_out(looked_at: usize, groups: &[(String, usize)]) -> Option<Insight> {
    let (_, largest) = groups.first()?;
    let count = groups.len();
    let share = count as f64 / (looked_at + count) as f64;
    let figure = Estimate { value: share, low: share, high: share };
    let text = format!(
        "{count} smaller groups (countries, zones and tags), of at most {largest} people each, were not \
         looked at: only the {looked_at} largest are, since the more is looked at, the less is found."
    );
    Some(insight(About::Unsure, text, *largest, figure))
}

/// How habits moved in the last four weeks.
pub(super) fn moved(drift: &Drift) -> Vec<Insight> {
    let part = |part: &PartDrift| {
        let [value, low, high] = [0.0, -Z, Z].map(|errors| part.change + errors * part.error);
        (drift.people, Estimate { value, low, high })
    };
    let moved = drift.net_movers().map(|movers| (movers.people, movers.share));
    let figures = drift.parts.iter().map(part).chain(moved);
    let told = drift.words().into_iter().zip(figures);
    told.map(|(text, (size, figure))| Insight {
        basis: Some(LATELY),
        ..insight(About::Drift, text, size, figure)
    })
    .collect()
}

/// What the data leaves open, and what would settle it.
pub(super) fn unsure(model: &Model, all: &Family, portraits: &[Portrait]) -> Vec<Insight> {
    let mut insights = Vec::new();
    let mut unsure = |text: String, size: usize, figure: Estimate, looked_at, detectable| {
        let plain = insight(About::Unsure, text, size, figure);
        insights.push(Insight { looked_at, detectable, ..plain });
    };
    let nothing = Estimate { value: 1.0, low: 1.0, high: 1.0 };
    let missing = |kind: &str| all.detectable.get(kind).map(|ratio| 100.0 * (ratio - 1.0));
    let found = |is: &dyn Fn(&Compared) -> bool| all.found.iter().any(|f| is(&f.question));
    if !found(&|q| matches!(q, Compared::Picked(_) | Compared::Time(Time::Part(_)))) {
        let text = match missing("time") {
            Some(less) => format!(
                "When people are best reached is not known: in no part of the day are messages surely \
                 read more than in others. A difference of {less:.0} % would have been found 8 times in 10."
            ),
            None => "When people are best reached is not known: too few messages were read, or all \
                     were sent at one hour, which tells the hour and the age of a message not apart. \
                     An explore arm would tell."
                .to_owned(),
        };
        let detectable = all.detectable.get("time").copied();
        unsure(text, portraits.len(), nothing, Some(all.looked_at), detectable);
    }
    if !found(&|q| matches!(q, Compared::Content(_))) && model.contents.list().len() > 1 {
        let text = match missing("content") {
            Some(less) => format!(
                "What people like is not known: no content is surely engaged with more or less than \
                 what else the same person is sent. A difference of {less:.0} % (at least {:.0} %) \
                 would have been found 8 times in 10.",
                100.0 * WORTH
            ),
            None => {
                "What people like is not known: too few people were sent several contents at a \
                     like time of day. Give campaigns several variants and an explore arm."
                    .to_owned()
            }
        };
        let detectable = all.detectable.get("content").copied();
        unsure(text, portraits.len(), nothing, Some(all.looked_at), detectable);
    }
    let thin = portraits.iter().filter(|person| person.evidence < EVIDENCE_MIN).count();
    if thin >= SEGMENT_MIN {
        let figure = Estimate::share(thin, portraits.len());
        let text = format!(
            "Of {} of people with history fewer than {:.0} observations are known: their habits are \
             mostly those of people like them. Messages to them teach most.",
            percent(figure),
            EVIDENCE_MIN
        );
        unsure(text, thin, figure, None, None);
    }
    let messages: usize = portraits.iter().map(|person| person.messages).sum();
    if messages == 0 {
        return insights;
    }
    for (number, content) in (0u16..).zip(model.contents.list()) {
        let sent: usize = portraits.iter().filter_map(|person| person.sent.get(&number)).sum();
        if sent < MESSAGES_MIN {
            let text = format!(
                "Only {sent} messages with {content} were delivered: how it is liked is unsure until \
                 about {MESSAGES_MIN} are."
            );
            unsure(text, sent, Estimate::share(sent, messages), None, None);
        }
    }
    let mut hours = [0usize; WEEK_HOURS];
    for (hour, n) in portraits.iter().flat_map(|person| &person.came) {
        hours[*hour] += n;
    }
    let waking = |hour: usize| (8..22).contains(&(hour % 24));
    let blind = (0..WEEK_HOURS).filter(|h| waking(*h) && hours[*h] * WEEK_HOURS * 10 < messages);
    let blind = blind.count();
    if blind > 0 {
        let text = format!(
            "In {blind} of the 98 hours of a week between 8:00 and 22:00 hardly any message ever came: \
             what an hour is worth there is inferred from messages that waited. About {} messages of \
             an explore arm, {HOUR_MESSAGES} for each of these hours, would settle it.",
            blind * HOUR_MESSAGES
        );
        unsure(text, messages, Estimate::share(blind, 7 * 14), None, None);
    }
    insights
}
