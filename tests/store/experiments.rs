//! What off-policy estimates and experiments read.

use std::time::Duration;

use chrono::TimeDelta;
use opportune::model::action::{Action, DrawnAction};
use opportune::model::consent::ConsentChange;
use opportune::model::content::{Goal, Media};
use opportune::model::delivery::{Arm, Delivery, Expectation, Reason, State};
use opportune::model::ids::RecipientId;
use opportune::model::recipient::Profile;
use opportune::store::{Claim, Store};

use crate::support::{self, on_both};
use crate::{LENGTH, at, campaign, entry, key, message, people};

const WITHIN: Duration = Duration::from_hours(2);

/// A campaign whose people are of three arms in turn: all but the last are sent to at hour 2.
async fn sent_campaign(store: &Store, ids: &[RecipientId]) -> i64 {
    let arms = [Arm::Personalized, Arm::Control, Arm::Explore];
    sent_campaign_of(store, ids, arms).await
}

async fn sent_campaign_of(store: &Store, ids: &[RecipientId], arms: [Arm; 3]) -> i64 {
    let id = campaign(store).await;
    let of = |(index, recipient): (usize, &RecipientId)| {
        let mut planned = support::planned(*recipient, "plain", at(1), LENGTH);
        let arm = arms[index % 3];
        planned.arm = Some(arm);
        let at_control_time = 0.1 * (index + 1) as f64;
        planned.expectation = Some(Expectation { at_control_time, at_best: 2.0 * at_control_time });
        if let Some(choice) = planned.choice.as_mut() {
            choice.propensity = Some(0.25);
            let action = Action::of(10, Media::Text);
            let among = [(action, 1.0), (Action::of(130, Media::Text), 3.0)];
            choice.drawn = DrawnAction::new(action, among).filter(|_| arms[2] == arm);
        }
        planned
    };
    let deliveries: Vec<Delivery> = ids.iter().enumerate().map(of).collect();
    let mut tx = store.begin().await.unwrap();
    tx.put_decisions(id, &deliveries, LENGTH, at(0)).await.unwrap();
    let claim = Claim { lease: "mine".to_owned(), until: at(9) };
    let due = tx.claim(id, &claim, (at(2), at(2)), ids.len() - 1, LENGTH).await.unwrap();
    let settled: Vec<_> = due.iter().map(|due| support::sent(due.recipient, 1, at(2))).collect();
    tx.settle(id, &claim, &settled, at(2)).await.unwrap();
    tx.commit().await.unwrap();
    id
}

#[tokio::test]
async fn only_what_was_drawn_or_imported_with_its_chance_counts_as_randomized() {
    for arm in [Arm::Explore, Arm::Thompson] {
        drawn_messages_count_as_randomized(arm).await;
    }
}

async fn drawn_messages_count_as_randomized(arm: Arm) {
    on_both(async |store| {
        let ids = people(&store, 7).await;
        let mut tx = store.begin().await.unwrap();
        let mut unknown = message(2);
        unknown.propensity = None;
        tx.add_messages(&[(ids[0], message(1)), (ids[1], unknown)], at(0)).await.unwrap();
        tx.commit().await.unwrap();
        sent_campaign_of(&store, &ids, [Arm::Personalized, Arm::Control, arm]).await;
        let (mut imported, mut ours) = (Vec::new(), Vec::new());
        let take = |found: opportune::store::RandomizedMessage| {
            if found.is_ours { ours.push(found) } else { imported.push(found) }
        };
        store.read().await.unwrap().each_randomized_message(take).await.unwrap();
        assert_eq!(imported.len(), 1);
        assert_eq!((imported[0].row.recipient, imported[0].drawn.as_ref()), (ids[0], None));
        // the third and the sixth drew
        ours.sort_by_key(|found| found.row.recipient);
        let drawn: Vec<RecipientId> = ours.iter().map(|found| found.row.recipient).collect();
        assert_eq!(drawn, [ids[2], ids[5]]);
        let drawn = ours[0].drawn.as_ref().unwrap();
        assert_eq!((drawn.action, drawn.among[0].1), (Action::of(10, Media::Text), 0.25));
    })
    .await;
}

#[tokio::test]
async fn an_experiment_is_summed_up_as_far_as_answers_are_known() {
    on_both(async |store| {
        let ids = people(&store, 7).await;
        let id = sent_campaign(&store, &ids).await;
        let sums = async |hour| {
            let mut reader = store.read().await.unwrap();
            reader.experiment(id, Goal::Read, WITHIN, at(hour), 9).await.unwrap()
        };
        let young = sums(3).await;
        let of = |arm| young.arms.iter().find(|of| of.arm == arm).unwrap();
        let personalized = of(Arm::Personalized);
        assert_eq!((personalized.people, personalized.reached, personalized.known), (3, 3, 0));
        assert!(personalized.known_on.is_empty());
        let known = sums(4).await;
        let of = |arm| known.arms.iter().find(|of| of.arm == arm).unwrap();
        let personalized = of(Arm::Personalized);
        // the last is still to be sent to
        assert_eq!((personalized.people, personalized.reached, personalized.known), (3, 3, 2));
        assert_eq!((personalized.expected, personalized.engaged), (3, 0));
        let day = (at(4).timestamp() / 86_400, 2);
        assert_eq!(personalized.known_on, [day]);
        let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-9, "{a}, not {b}");
        near(personalized.at_control_time.all, 0.1 + 0.4 + 0.7);
        near(personalized.at_best.known, 2.0 * (0.1 + 0.4));
        near(personalized.at_best.known_squares, 0.04 + 0.64);
        assert_eq!(known.variants.len(), 1);
        assert_eq!((known.variants[0].of.as_str(), known.variants[0].known), ("plain", 2));
        // whose arm was drawn stays in it, whatever refuses them later, and so does the forecast
        let refused = Delivery {
            state: State::Refused,
            reason: Reason::NoConsent,
            arm: None,
            choice: None,
            expectation: None,
            recipient: ids[6],
        };
        let mut tx = store.begin().await.unwrap();
        tx.put_decisions(id, &[refused], LENGTH, at(5)).await.unwrap();
        tx.commit().await.unwrap();
        let after = sums(6).await;
        let personalized = after.arms.iter().find(|of| of.arm == Arm::Personalized).unwrap();
        assert_eq!((personalized.people, personalized.reached), (3, 2));
        near(personalized.at_control_time.all, 1.2);
    })
    .await;
}

#[tokio::test]
async fn a_large_country_and_a_large_tag_are_told_with_both_of_their_arms() {
    on_both(async |store| {
        // personalized are the first, fourth and seventh, control the second and fifth
        let rows = [
            ("BR", &["a", "vip"][..]),
            ("BR", &["vip"]),
            ("BR", &["vip"]),
            ("BR", &["vip"]),
            ("PT", &["a"]),
            ("", &[]),
            ("PT", &[]),
        ];
        let profile = |(country, tags): &(&str, &[&str])| Profile {
            country: country.parse().ok(),
            tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
            ..Profile::default()
        };
        let rows: Vec<_> =
            (rows.iter().enumerate()).map(|(n, row)| (key(n), profile(row))).collect();
        let mut tx = store.begin().await.unwrap();
        let added = tx.put_recipients(&rows).await.unwrap();
        tx.commit().await.unwrap();
        let ids: Vec<RecipientId> = added.into_iter().map(|(id, _)| id).collect();
        let id = sent_campaign(&store, &ids).await;
        let mut reader = store.read().await.unwrap();
        let told = async |reader: &mut opportune::store::Reader, most| {
            let sums = reader.experiment(id, Goal::Read, WITHIN, at(4), most).await.unwrap();
            [sums.countries, sums.tags].map(|parts| {
                let row = |part: opportune::store::ArmPart| {
                    (part.of, part.arm, part.people, part.reached, part.known)
                };
                parts.into_iter().map(row).collect::<Vec<_>>()
            })
        };
        let of = |name: &str, arm, people, known| (name.to_owned(), arm, people, people, known);
        let [countries, tags] = told(&mut reader, 1).await;
        assert_eq!(countries, [of("BR", Arm::Personalized, 2, 2), of("BR", Arm::Control, 1, 1)]);
        assert_eq!(tags, [of("vip", Arm::Personalized, 2, 2), of("vip", Arm::Control, 1, 1)]);
        let [countries, tags] = told(&mut reader, 9).await;
        // the seventh is still to be sent to
        let smaller = [of("PT", Arm::Personalized, 1, 0), of("PT", Arm::Control, 1, 1)];
        assert_eq!(countries[2..], smaller);
        assert_eq!(tags[2..], [of("a", Arm::Personalized, 1, 1), of("a", Arm::Control, 1, 1)]);
    })
    .await;
}

#[tokio::test]
async fn signs_of_presence_are_counted_of_everybody_who_ever_consented() {
    on_both(async |store| {
        let ids = people(&store, 4).await;
        let granted = entry(ConsentChange::Granted, 0);
        let mut tx = store.begin().await.unwrap();
        for id in &ids[..3] {
            tx.append_consent(&[(*id, granted.clone())]).await.unwrap();
        }
        tx.append_consent(&[(ids[2], entry(ConsentChange::Withdrawn, 1))]).await.unwrap();
        let half = TimeDelta::minutes(30);
        let sign = |id, at, kind: &str| (id, at, kind.to_owned());
        let signs = [
            sign(ids[0], at(1), "purchase"),
            sign(ids[0], at(3), "purchase"),
            sign(ids[0], at(3) + half, "session"),
            sign(ids[1], at(3), "inbound"),
            sign(ids[2], at(3), "session"),
            sign(ids[3], at(3), "purchase"),
        ];
        tx.add_activity(&signs, at(4)).await.unwrap();
        tx.commit().await.unwrap();
        let mut found = Vec::new();
        let take = |key, purchases, signs| found.push((key, purchases, signs));
        store.read().await.unwrap().each_presence_since(at(2), at(4), take).await.unwrap();
        found.sort();
        assert_eq!(found, [(key(0), 1, 2), (key(1), 0, 0), (key(2), 0, 1)]);
    })
    .await;
}

#[tokio::test]
async fn who_is_planned_anew_keeps_the_chances_of_the_first_plan() {
    on_both(async |store| {
        let ids = people(&store, 1).await;
        let id = campaign(&store).await;
        let [early, late] = [10, 20].map(|hour| Action::of(hour, Media::Text));
        let plan = async |action, among: &[(Action, f64)]| {
            let mut planned = support::planned(ids[0], "plain", at(1), LENGTH);
            let drawn = DrawnAction::new(action, among.iter().copied());
            planned.choice.as_mut().unwrap().drawn = drawn;
            let mut tx = store.begin().await.unwrap();
            tx.put_decisions(id, &[planned], LENGTH, at(0)).await.unwrap();
            let row = tx.delivery(id, ids[0], LENGTH).await.unwrap().unwrap();
            tx.commit().await.unwrap();
            row.delivery.choice.unwrap().drawn
        };
        let first = plan(early, &[(early, 1.0), (late, 3.0)]).await.unwrap();
        assert_eq!((first.action, first.among[1]), (early, (late, 0.75)));
        // the morning has passed: it could have been drawn all the same
        let second = plan(late, &[(late, 1.0)]).await.unwrap();
        assert_eq!((second.action, &second.among), (late, &first.among));
        // what came to nothing and was moved is no draw, nor what the first plan did not know of
        assert_eq!(plan(late, &[]).await, None);
        let evening = Action::of(130, Media::Text);
        plan(early, &[(early, 1.0)]).await.unwrap();
        assert_eq!(plan(evening, &[(evening, 1.0)]).await, None);
    })
    .await;
}
