//! What the channel tells of templates, numbers and the account: keyed by what it speaks of.

use std::collections::BTreeMap;

use opportune::provider::{Incoming, Notice, Severity, TemplateCategory};

use crate::scene::*;

async fn read(changes: &[(&str, Value)]) -> Vec<Incoming> {
    let (_dir, store) = sqlite().await;
    let scene = Scene::new(store, 0, "").await;
    let mut told = Vec::new();
    for (field, value) in changes {
        let body = change(field, value.clone()).to_string();
        let signed = signature(&SecretValue::new(SECRET), body.as_bytes());
        let provider = &scene.ctx.providers[&name("wa")];
        told.extend(provider.receive(Some(&signed), body.as_bytes()).unwrap());
    }
    told
}

fn notices(told: &[Incoming]) -> Vec<&Notice> {
    told.iter().filter_map(notice).collect()
}

fn notice(told: &Incoming) -> Option<&Notice> {
    match told {
        Incoming::Notice(notice) => Some(notice),
        _ => None,
    }
}

/// What is left to be seen when each notice takes the place of its key.
fn open(told: &[Incoming]) -> BTreeMap<&str, &Notice> {
    let mut open = BTreeMap::new();
    for notice in notices(told) {
        if notice.clears() {
            open.remove(notice.key.as_str());
        } else {
            open.insert(notice.key.as_str(), notice);
        }
    }
    open
}

fn template(name: &str, more: Value) -> Value {
    let mut value = json!({ "message_template_id": 1, "message_template_name": name,
        "message_template_language": "pt_BR" });
    value.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    value
}

#[tokio::test]
async fn news_of_one_matter_never_hides_news_of_another() {
    let later = noon() + TimeDelta::days(1);
    let told = read(&[
        ("message_template_quality_update",
            template("spring_a", json!({ "previous_quality_score": "GREEN", "new_quality_score": "RED" }))),
        ("message_template_quality_update",
            template("spring_b", json!({ "previous_quality_score": "YELLOW", "new_quality_score": "GREEN" }))),
        ("account_update", json!({ "event": "ACCOUNT_RESTRICTION", "restriction_info": [
            { "restriction_type": "RESTRICTED_BIZ_INITIATED_MESSAGING", "expiration": later.timestamp() },
            { "restriction_type": "RESTRICTED_ADD_PHONE_NUMBER_ACTION", "expiration": later.timestamp().to_string() }] })),
        ("account_update", json!({ "event": "VOLUME_BASED_PRICING_TIER_UPDATE", "volume_tier_info":
            { "pricing_category": "UTILITY", "tier": "1:2", "region": "India" } })),
        ("message_template_status_update", template("spring_c", json!({ "event": "LIMIT_EXCEEDED" }))),
        ("message_template_status_update", template("spring_d", json!({ "event": "LOCKED" }))),
        ("template_category_update", template("order_a", json!({ "correct_category": "MARKETING",
            "new_category": "UTILITY", "category_update_timestamp": later.timestamp() }))),
        ("template_category_update", template("order_b",
            json!({ "previous_category": "MARKETING", "new_category": "UTILITY" }))),
    ])
    .await;
    let open = open(&told);
    let found = |severity: Severity, words: &[&str]| {
        let all = |n: &&&Notice| {
            n.severity == severity && words.iter().all(|word| n.what.as_str().contains(word))
        };
        open.values().filter(all).count() == 1
    };
    assert!(found(Severity::Warning, &["spring_a", "RED"]), "{open:?}");
    assert!(found(Severity::Stop, &["biz initiated messaging", "2027-03-03"]), "{open:?}");
    assert!(found(Severity::Warning, &["add phone number"]), "{open:?}");
    assert!(found(Severity::Info, &["UTILITY", "India", "1:2"]), "{open:?}");
    assert!(found(Severity::Warning, &["spring_c", "limit exceeded"]), "{open:?}");
    assert!(found(Severity::Warning, &["spring_d", "locked"]), "{open:?}");
    assert!(found(Severity::Warning, &["order_a", "will be MARKETING"]), "{open:?}");
    assert_eq!(open.len(), 7, "{open:?}");
    assert!(notices(&told).iter().all(|notice| notice.at == Some(noon())));
    let stop = open.values().find(|notice| notice.stops()).unwrap();
    assert_eq!(stop.until, Some(later));
    // in the store, too, each keeps its place
    on_both(async |store| {
        let scene = Scene::new(store, 0, "").await;
        receive::take(&scene.ctx, &name("wa"), told.clone()).await.unwrap();
        assert_eq!(scene.ctx.store.read().await.unwrap().alerts(noon()).await.unwrap().len(), 7);
    })
    .await;
}

#[tokio::test]
async fn good_news_has_the_key_of_the_bad_news_that_it_answers() {
    let quality = |score: &str| template("a", json!({ "new_quality_score": score }));
    let status = |event: &str| template("a", json!({ "event": event }));
    let alert = |kind: &str, status: &str| {
        json!({ "entity_type": "BUSINESS", "entity_id": "506914307656634", "alert_info": {
            "alert_severity": "WARNING", "alert_status": status, "alert_type": kind,
            "alert_description": "d" } })
    };
    let number = |event: &str| json!({ "display_phone_number": "15550783881", "event": event });
    for (field, bad, good) in [
        ("message_template_quality_update", quality("RED"), quality("GREEN")),
        ("message_template_status_update", status("LOCKED"), status("APPROVED")),
        (
            "template_category_update",
            template("a", json!({ "previous_category": "UTILITY", "new_category": "MARKETING" })),
            template("a", json!({ "previous_category": "MARKETING", "new_category": "UTILITY" })),
        ),
        (
            "account_update",
            json!({ "event": "DISABLED_UPDATE", "ban_info": { "waba_ban_state": "DISABLE", "waba_ban_date": "x" } }),
            json!({ "event": "DISABLED_UPDATE", "ban_info": { "waba_ban_state": "REINSTATE" } }),
        ),
        (
            "account_update",
            json!({ "event": "ACCOUNT_RESTRICTION", "restriction_info": [{ "restriction_type": "RESTRICTED_BIZ_INITIATED_MESSAGING" }] }),
            json!({ "event": "ACCOUNT_RESTRICTION", "restriction_info": [] }),
        ),
        (
            "account_alerts",
            alert("INCREASED_CAPABILITIES_ELIGIBILITY_DENIED", "ACTIVE"),
            alert("INCREASED_CAPABILITIES_ELIGIBILITY_APPROVED", "NONE"),
        ),
        ("phone_number_quality_update", number("FLAGGED"), number("UNFLAGGED")),
        (
            "account_review_update",
            json!({ "decision": "REJECTED" }),
            json!({ "decision": "APPROVED" }),
        ),
    ] {
        let before = read(&[(field, bad.clone())]).await;
        assert!(!open(&before).is_empty(), "{field}: {bad}");
        let after = read(&[(field, bad), (field, good.clone())]).await;
        assert!(open(&after).is_empty(), "{field}: {good} leaves {:?}", open(&after));
    }
}

#[tokio::test]
async fn a_template_tells_what_it_is_now_and_what_it_will_be() {
    let later = noon() + TimeDelta::days(1);
    let told = read(&[
        (
            "template_category_update",
            template(
                "order",
                json!({ "previous_category": "UTILITY", "new_category": "MARKETING" }),
            ),
        ),
        (
            "template_category_update",
            template(
                "soon",
                json!({ "correct_category": "MARKETING",
            "new_category": "UTILITY", "category_update_timestamp": later.timestamp() }),
            ),
        ),
        (
            "message_template_status_update",
            template(
                "hello",
                json!({ "event": "PAUSED", "reason": null,
            "other_info": { "title": "FIRST_PAUSE", "description": "x" } }),
            ),
        ),
        (
            "message_template_status_update",
            template("hello", json!({ "event": "APPROVED", "reason": null })),
        ),
    ])
    .await;
    let mut changes = told.iter().filter_map(|told| match told {
        Incoming::Category(change) => Some(change),
        _ => None,
    });
    let (now, soon) = (changes.next().unwrap(), changes.next().unwrap());
    assert_eq!((now.template.as_str(), now.category), ("order", TemplateCategory::Marketing));
    assert_eq!((now.announced, now.from, now.at), (false, None, Some(noon())));
    assert_eq!(now.language.as_ref().unwrap().to_string(), "pt_BR");
    assert_eq!((soon.announced, soon.from), (true, Some(later)));
    let states: Vec<_> = told
        .iter()
        .filter_map(|told| match told {
            Incoming::Template(change) => {
                Some((change.usable, change.reason.as_str(), change.alert_key()))
            }
            _ => None,
        })
        .collect();
    let key = "template:hello:pt_BR".to_owned();
    assert_eq!(states, [(false, "paused, first pause", key.clone()), (true, "approved", key)]);
}

#[tokio::test]
async fn limits_are_read_as_numbers_and_as_tiers() {
    for (told, limit) in [
        (json!({ "max_daily_conversation_per_phone": -1 }), Some(None)),
        (json!({ "max_daily_conversations_per_business": "TIER_UNLIMITED" }), Some(None)),
        (json!({ "max_daily_conversations_per_business": "TIER_2K" }), Some(Some(2000))),
        (json!({ "max_daily_conversations_per_business": "TIER_250" }), Some(Some(250))),
        (json!({ "max_daily_conversations_per_business": "10000" }), Some(Some(10_000))),
        (json!({ "max_daily_conversations_per_business": "TIER_NOT_SET" }), None),
        (json!({ "max_daily_conversations_per_business": null }), None),
    ] {
        let found = read(&[("business_capability_update", told.clone())]).await;
        let limits: Vec<_> = found
            .iter()
            .map(|told| match told {
                Incoming::UniquePerDay { limit, at } => (*limit, *at),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(
            limits,
            limit.into_iter().map(|l| (l, Some(noon()))).collect::<Vec<_>>(),
            "{told}"
        );
    }
}

#[tokio::test]
async fn a_restriction_that_has_an_end_is_over_by_itself() {
    on_both(async |store| {
        let scene = Scene::new(store, 2, "").await;
        let ctx = &scene.ctx;
        let restricted = |until: Instant| {
            let info = json!([{ "restriction_type": "RESTRICTED_BIZ_INITIATED_MESSAGING",
                "expiration": until.timestamp() }]);
            let value = json!({ "event": "ACCOUNT_RESTRICTION", "restriction_info": info });
            change("account_update", value)
        };
        let status = async || {
            let found = opportune::work::campaigns::status(ctx).await.unwrap();
            let paused = found.campaigns.iter().filter(|c| c.status == "paused").count();
            (found.alerts.len(), paused)
        };
        // one that is over already stops nobody
        webhook(ctx, &restricted(noon() - TimeDelta::hours(1))).await;
        assert_eq!(status().await, (0, 0));
        webhook(ctx, &restricted(noon() + TimeDelta::hours(24))).await;
        assert_eq!(status().await, (1, 1));
        scene.advance(TimeDelta::hours(23));
        assert_eq!(status().await, (1, 1));
        scene.advance(TimeDelta::hours(1));
        // whoever resumes decides that it goes on
        assert_eq!(status().await, (0, 1));
        // an announcement of what will be is not over when it begins
        let soon = json!({ "correct_category": "MARKETING", "new_category": "UTILITY",
            "category_update_timestamp": (noon() + TimeDelta::hours(25)).timestamp() });
        webhook(ctx, &change("template_category_update", template("order", soon))).await;
        scene.advance(TimeDelta::hours(2));
        assert_eq!(status().await, (1, 1));
    })
    .await;
}
