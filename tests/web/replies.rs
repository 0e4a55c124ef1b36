//! The inbox, as the API and the page show it.

use opportune::model::ids::RecipientId;
use opportune::model::recipient::Profile;
use opportune::model::reply::{Intent, JudgedText};
use opportune::store::NewReply;
use opportune::work::tokens::Scope;
use serde_json::json;

use crate::Listener;

impl Listener {
    pub(crate) async fn person(&self, key: &str) -> RecipientId {
        let mut tx = self.ctx.store.begin().await.unwrap();
        let people = [(key.parse().unwrap(), Profile::default())];
        let id = tx.put_recipients(&people).await.unwrap()[0].0;
        tx.commit().await.unwrap();
        id
    }

    /// A text of a person; its number.
    pub(crate) async fn reply(&self, recipient: RecipientId, text: &str, intent: Intent) -> i64 {
        let judged = JudgedText {
            intent,
            probability: 0.5,
            stop: if intent == Intent::Stop { 0.5 } else { 0.0 },
            language: "en",
            language_probability: 1.0,
        };
        let reply = NewReply {
            message: format!("wamid.{text}"),
            recipient,
            campaign: None,
            received_at: self.ctx.clock.now(),
            text: text.to_owned(),
            judged,
            needs_human: intent == Intent::Stop,
        };
        let mut tx = self.ctx.store.begin().await.unwrap();
        let new = tx.add_replies(&"console".parse().unwrap(), &[reply]).await.unwrap();
        tx.commit().await.unwrap();
        *new.values().next().unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn replies_are_listed_by_page_and_filter_shown_labelled_and_summed_up() {
    for listener in [Listener::start().await, Listener::on_postgres().await] {
        let (ana, ben) = (listener.person("ana").await, listener.person("ben").await);
        let first = listener.reply(ana, "when do you open?", Intent::Question).await;
        let stop = listener.reply(ben, "enough of this", Intent::Stop).await;
        let last = listener.reply(ana, "when do you open today?", Intent::Question).await;
        let people = listener.token("people", &[Scope::People]).await;
        let operate = listener.token("operate", &[Scope::Operate]).await;
        let ids = async |query: &str| -> Vec<i64> {
            let (status, answer) = listener.get(&format!("/replies{query}"), &people).await;
            assert_eq!(status, 200, "{answer}");
            let items = answer["items"].as_array().unwrap();
            items.iter().map(|item| item["id"].as_i64().unwrap()).collect()
        };
        assert_eq!(ids("").await, [last, stop, first]);
        assert_eq!(ids("?intent=question").await, [last, first]);
        assert_eq!(ids("?needs_human=true").await, [stop]);
        assert_eq!(ids("?since=2999-01-01T00:00:00Z").await, [0; 0]);
        assert_eq!(ids("?campaign=spring").await, [0; 0]);
        let (_, page) = listener.get("/replies?limit=2", &people).await;
        let next = page["next"].as_str().unwrap();
        assert_eq!(ids(&format!("?limit=2&cursor={next}")).await, [first]);
        for bad in ["?intent=maybe", "?cursor=x", "?limit=0", "?since=yesterday"] {
            assert_eq!(listener.get(&format!("/replies{bad}"), &people).await.0, 400, "{bad}");
        }
        let (_, shown) = listener.get(&format!("/replies/{stop}"), &people).await;
        assert_eq!(
            (&shown["recipient"], &shown["text"]),
            (&"ben".into(), &"enough of this".into())
        );
        assert_eq!((&shown["intent"], &shown["label"]), (&"stop".into(), &json!(null)));
        for absent in ["/replies/99", "/replies/x"] {
            assert_eq!(listener.get(absent, &people).await.0, 404, "{absent}");
        }
        let label = format!("/replies/{stop}/label");
        let told = json!({ "intent": "complaint" });
        assert_eq!(listener.post(&label, &people, told.clone()).await.0, 403);
        let (status, labelled) = listener.post(&label, &operate, told).await;
        assert_eq!((status, &labelled["label"]), (200, &"complaint".into()));
        assert_eq!(labelled["needs_human"], false);
        let (status, problem) = listener.post(&label, &operate, json!({ "intent": "maybe" })).await;
        assert_eq!(
            (status, &problem["errors"][0]["pointer"]),
            (422, &"/intent".into()),
            "{problem}"
        );
        let (_, digest) = listener.get("/replies/digest", &people).await;
        assert_eq!((&digest["replies"], &digest["needs_human"]), (&3.into(), &0.into()));
        assert_eq!(
            digest["intents"][0],
            json!({ "intent": "question", "replies": 2,
            "last_day": 2, "day_before": 0 })
        );
        assert_eq!(digest["questions"][0]["replies"], 2);
        listener.stop.send_replace(true);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_inbox_shows_what_needs_a_human_first_and_labels_without_script() {
    for listener in [Listener::start().await, Listener::on_postgres().await] {
        let ana = listener.person("ana").await;
        let stop = listener.reply(ana, "enough <b>of</b> this", Intent::Stop).await;
        listener.reply(ana, "lovely shop", Intent::Thanks).await;
        let scopes = [Scope::Read, Scope::People, Scope::Operate];
        let (cookie, key) = listener.sign_in("desk", &scopes).await;
        let (reader, reader_key) = listener.sign_in("reader", &scopes[..2]).await;
        let page = async |path: &str, cookie: &str| {
            let answer = listener.browse("GET", path, cookie, None).await;
            assert_eq!(answer.0, 200, "{}", answer.2);
            answer.2
        };
        let inbox = page("/replies", &cookie).await;
        let (waiting, all) = inbox.split_once("<h2>All</h2>").unwrap();
        assert!(waiting.contains("enough &lt;b&gt;of&lt;/b&gt; this"), "{waiting}");
        assert!(!waiting.contains("lovely shop") && all.contains("lovely shop"), "{all}");
        assert!(page("/", &cookie).await.contains("1 replies need a human"));
        let path = format!("/replies/{stop}/label");
        assert!(inbox.contains(&format!("action=\"{path}\"")), "{inbox}");
        assert!(!page("/replies", &reader).await.contains(&path));
        let filtered = page("/replies?intent=thanks&campaign=&since=", &cookie).await;
        assert!(!filtered.contains("enough &lt;b&gt;") && filtered.contains("lovely shop"));
        assert_eq!(listener.browse("GET", "/replies?intent=x", &cookie, None).await.0, 400);
        // the form needs its key and the scope
        let form = |key: &str| format!("form_key={key}&intent=stop");
        assert_eq!(listener.browse("POST", &path, &cookie, Some("intent=stop")).await.0, 403);
        assert_eq!(listener.browse("POST", &path, &reader, Some(&form(&reader_key))).await.0, 403);
        // what the person states goes with it, or is told to be no such word
        let stated =
            |days: &str| format!("{}&not_days={days}&only_dayparts=&only_media=", form(&key));
        let wrong = listener.browse("POST", &path, &cookie, Some(&stated("Someday"))).await;
        assert!(wrong.0 == 422 && wrong.2.contains("someday"), "{}", wrong.2);
        assert_eq!(listener.browse("POST", &path, &cookie, Some(&stated("Sun,+Sat"))).await.0, 303);
        let key_of = "ana".parse().unwrap();
        let stored = listener.ctx.store.read().await.unwrap().recipient(&key_of).await.unwrap();
        let wishes = stored.unwrap().profile.wishes;
        assert_eq!(wishes.to_string(), "not on Saturday, Sunday");
        let inbox = page("/replies", &cookie).await;
        assert!(inbox.contains("<b>stop</b> (labelled)"), "{inbox}");
        let mut reader = listener.ctx.store.read().await.unwrap();
        let ledger = reader.ledger(ana).await.unwrap();
        assert_eq!(ledger[0].source, "console reply, labelled");
        listener.stop.send_replace(true);
    }
}
