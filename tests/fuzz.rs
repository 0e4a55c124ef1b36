//! Hostile input: bodies, signatures, CSV and TOML that were damaged by chance never do more than be
//! refused.
//!
//! Each target runs for `FUZZ_SECONDS` (one by default; ten minutes by hand: `FUZZ_SECONDS=600 cargo
//! test --test fuzz`) on a small corpus of good inputs, from `FUZZ_SEED`. A failure prints the input.

use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

use chrono::{TimeZone, Utc};
use opportune::config::{Config, EXAMPLE, SecretValue};
use opportune::files::{self, Activity, FileRows, Messages, Recipients};
use opportune::model::campaign::Campaign;
use opportune::model::recipient::{Address, Locale};
use opportune::model::time::{format_instant, is_placeholder_date, parse_instant};
use opportune::provider::{self, Rejected, signature};
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// What parsers have stumbled over before.
const ODD: [&[u8]; 16] = [
    b"\0",
    b"\xff\xfe",
    b"\"",
    b"\\u0000",
    b"{",
    b"}",
    b"[[",
    b"-1",
    b"9223372036854775808",
    b"1e999",
    b"null",
    b"\r\n",
    b",,,,",
    b"{{",
    b"\xe2\x80\xae",
    b"+00000000000000000",
];

/// A good input with some of its bytes changed, lost, doubled or mixed with another's.
fn damaged(corpus: &[&[u8]], rng: &mut ChaCha8Rng) -> Vec<u8> {
    let mut input = corpus.choose(rng).unwrap().to_vec();
    for _ in 0..rng.gen_range(1..8) {
        let at = rng.gen_range(0..=input.len());
        let end = (at + rng.gen_range(0..40)).min(input.len());
        match rng.gen_range(0..6) {
            0 => drop(input.drain(at..end)),
            1 => {
                let piece = input[at..end].to_vec();
                let to = rng.gen_range(0..=input.len());
                input.splice(to..to, piece);
            }
            2 if at < input.len() => input[at] = rng.r#gen(),
            3 => {
                let other = corpus.choose(rng).unwrap();
                let from = rng.gen_range(0..=other.len());
                input.splice(at..end, other[from..].iter().take(40).copied());
            }
            _ => drop(input.splice(at..end, ODD.choose(rng).unwrap().iter().copied())),
        }
    }
    input
}

/// So many inputs are tried on the slowest machine.
const RUNS_MIN: u64 = 20;

/// Runs a target on damaged inputs until its time is over.
fn fuzz(corpus: &[&[u8]], target: impl Fn(&[u8])) {
    let variable = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let seed = variable("FUZZ_SEED").unwrap_or(1);
    let time = Duration::from_secs(variable("FUZZ_SECONDS").unwrap_or(1));
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let begun = Instant::now();
    let mut runs = 0_u64;
    while begun.elapsed() < time || runs < RUNS_MIN {
        let input = damaged(corpus, &mut rng);
        let done = catch_unwind(AssertUnwindSafe(|| target(&input)));
        assert!(
            done.is_ok(),
            "run {runs} of FUZZ_SEED={seed}: {:?}",
            input.escape_ascii().to_string()
        );
        runs += 1;
    }
    println!("{runs} runs");
}

const STATUSES: &[u8] = br#"{"object":"whatsapp_business_account","entry":[{"id":"1","time":1750030073,"changes":[{"field":"messages","value":{"messaging_product":"whatsapp","metadata":{"display_phone_number":"1","phone_number_id":"1"},"statuses":[{"id":"wamid.1","status":"failed","timestamp":"1750030073","recipient_id":"16505551234","biz_opaque_callback_data":"c:1#1","errors":[{"code":131049,"title":"t","error_data":{"details":"d"}}]}]}}]}]}"#;
const WORDS: &[u8] = br#"{"entry":[{"changes":[{"field":"messages","value":{"messages":[{"from":"1","id":"w","timestamp":"1","type":"text","text":{"body":"stop"},"context":{"id":"x"}},{"from":"1","id":"v","timestamp":2,"interactive":{"list_reply":{"id":"7","title":"L"}}},{"user_id":"BR.1","id":"u","timestamp":"3","reaction":{"message_id":"x","emoji":"a"}}]}},{"field":"user_preferences","value":{"user_preferences":[{"wa_id":"1","category":"marketing_messages","value":"stop","timestamp":1}]}}]}]}"#;
const NEWS: &[u8] = br#"{"entry":[{"time":1,"changes":[{"field":"message_template_status_update","value":{"event":"PAUSED","message_template_name":"n","message_template_language":"pt_BR"}},{"field":"phone_number_quality_update","value":{"event":"ONBOARDING","max_daily_conversations_per_business":"TIER_2K"}},{"field":"business_capability_update","value":{"max_daily_conversation_per_phone":-1}},{"field":"account_alerts","value":{"alert_type":"x"}}]}]}"#;
const LOOSE: &[u8] = br#"{"entry":[{"time":"1750030073","changes":[{"field":"messages","value":{"contacts":[{"wa_id":"1","user_id":"GB.1"}],"statuses":[{"id":"w","status":"failed","timestamp":1750030073000,"errors":[{"code":"131050","title":null}]}],"messages":[{"id":"e","timestamp":"1750030073","type":"edit","from":"1","edit":{"message":{"type":"image","image":{"caption":"STOP"}}}},{"id":"g","from":"1","type":"text","group_id":"x","text":{"body":"hi"}}]}},{"field":"user_preferences","value":{"user_preferences":[{"wa_id":"1","value":"signup","signup_id":"2"}]}},{"field":"account_update","value":{"event":"ACCOUNT_RESTRICTION","restriction_info":[{"restriction_type":"RESTRICTED_BIZ_INITIATED_MESSAGING","expiration":1750030073}]}},{"field":"template_category_update","value":{"message_template_name":"n","correct_category":"MARKETING","new_category":"UTILITY","category_update_timestamp":1}},{"field":"account_alerts","value":{"entity_type":"BUSINESS","entity_id":1,"alert_info":{"alert_type":"X_DENIED","alert_severity":"CRITICAL"}}}]}]}"#;
const UPDATES: &[u8] = br#"{"updates":[{"message":"c:1","event":"converted","at":"2027-03-01T15:04:05Z","amount":1.5,"currency":"EUR"},{"provider_message":"x","event":"failed","at":"2027-03-01T15:04:05+01:00","code":"1"}]}"#;

const REPORT: &[u8] = b"From: a@b.example\r\nMIME-Version: 1.0\r\nContent-Type: multipart/report; boundary=X\r\n\r\n--X\r\nContent-Type: message/delivery-status\r\n\r\nAction: failed\r\nStatus: 5.1.1\r\n\r\n--X\r\nContent-Type: message/rfc822\r\n\r\nMessage-ID: <YzoxIzE.00@b.example>\r\n\r\nhi\r\n--X--\r\n";
const PAGE: &[u8] = br#"{"object":"page","entry":[{"id":"1","messaging":[{"sender":{"id":"42"},"timestamp":1750030073000,"message":{"mid":"m","text":"STOP","quick_reply":{"payload":"P"},"reply_to":{"mid":"n"}}},{"sender":{"id":"42"},"optin":{"type":"notification_messages","topic":"t","notification_messages_token":"k","token_expiry_timestamp":1750030073000}},{"delivery":{"mids":["m"]}},{"sender":{"id":"42"},"read":{"watermark":1750030073000}}],"changes":[{"field":"marketing_message_delivery_failed","value":{"marketing_message_tracking_id":"x","error":{"code":1}}}]}]}"#;
const WECHAT: &[u8] = b"<xml><FromUserName><![CDATA[o1]]></FromUserName><CreateTime>1750030073</CreateTime><MsgType>event</MsgType><Event>subscribe_msg_popup_event</Event><E><List><TemplateId>t</TemplateId><SubscribeStatusString>accept</SubscribeStatusString></List><List><MsgID>1</MsgID><ErrorCode>43101</ErrorCode></List></E></xml>";

fn providers()
-> std::collections::BTreeMap<opportune::model::ids::Name, std::sync::Arc<dyn provider::Provider>> {
    let dir = tempfile::TempDir::new().unwrap();
    let secret = dir.path().join("secret");
    std::fs::write(&secret, "s").unwrap();
    let file = secret.display();
    let text = format!(
        "[provider.wa]\nkind = \"whatsapp\"\nphone_number_id = \"1\"\ntoken = {{ file = \"{file}\" }}\n\
         app_secret = {{ file = \"{file}\" }}\nverify_token = {{ file = \"{file}\" }}\n\
         [provider.mail]\nkind = \"smtp\"\nurl = \"smtp://127.0.0.1\"\nfrom = \"a@b.example\"\n\
         secret = {{ file = \"{file}\" }}\n\
         [provider.page]\nkind = \"messenger\"\npage_id = \"1\"\ntoken = {{ file = \"{file}\" }}\n\
         app_secret = {{ file = \"{file}\" }}\n\
         [provider.wx]\nkind = \"wechat\"\napp_id = \"1\"\nservice = \"mini\"\n\
         app_secret = {{ file = \"{file}\" }}\nverify_token = {{ file = \"{file}\" }}\n\
         [provider.shop]\nkind = \"http\"\nurl = \"http://127.0.0.1/\"\nsecret = {{ file = \"{file}\" }}\n"
    );
    let config = Config::parse(&text, Path::new("x")).unwrap();
    provider::from_config(&config.providers, &config.outbound).unwrap()
}

/// The proof that WeChat puts into the query: the SHA-1 of `1`, `2` and the secret.
const IN_QUERY: &str = "signature=474106801d0ac8ce595ac854bc2db276301bc415&timestamp=1&nonce=2";

#[test]
fn webhook_bodies_are_read_or_refused() {
    let providers = providers();
    fuzz(&[STATUSES, WORDS, NEWS, LOOSE, UPDATES, REPORT, PAGE, WECHAT], |body| {
        let signed = signature(&SecretValue::new("s"), body);
        for (name, provider) in &providers {
            let proof = if name.as_str() == "wx" { IN_QUERY } else { &signed };
            match provider.receive(Some(proof), body) {
                Ok(told) => assert!(told.len() <= 1000),
                Err(rejected) => assert!(matches!(rejected, Rejected::Body(_)), "{rejected}"),
            }
        }
    });
}

#[test]
fn a_stop_word_is_found_in_any_text_or_not_and_alone() {
    use provider::stop_word;
    let words = ["stop", "İPTAL", "Arre\u{302}t", "توقف", "\u{202a}STOP\u{202c}", "acha!"];
    let corpus: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
    fuzz(&corpus, |bytes| {
        let text = String::from_utf8_lossy(bytes);
        let found = stop_word(&text);
        // signs around it change nothing; words beside it make it a sentence
        if text.len() < 1000 {
            assert_eq!(stop_word(&format!("\u{200b}«{text}»! ")), found, "{text:?}");
        }
        if found.is_some() {
            assert_eq!(stop_word(&format!("please do not {text} my order")), None, "{text:?}");
        }
        if found.as_ref().is_some_and(provider::StopWord::is_plain) {
            assert!(found.is_some_and(|word| word.applies(None, &[])));
        }
    });
}

#[test]
fn no_signature_but_the_right_one_is_taken() {
    let providers = providers();
    let right = signature(&SecretValue::new("s"), STATUSES);
    fuzz(&[right.as_bytes(), b"sha256=", b"sha1=00"], |given| {
        let Ok(given) = std::str::from_utf8(given) else { return };
        for provider in providers.values() {
            let taken = provider.receive(Some(given), STATUSES);
            assert!(given == right || taken == Err(Rejected::Signature), "{given:?}");
        }
    });
}

#[test]
fn history_files_are_read_or_refused() {
    let people = b"recipient,address,time_zone,locale,country,opted_in_at,opt_in_source,tags,attr_name\nr1,+5511987654321,America/Sao_Paulo,pt_BR,BR,2026-03-01T12:00:00Z,web form,a|b,\"An\"\"a\"\n";
    let messages = b"message,recipient,campaign,media,style,sent_at,delivered_at,read_at,amount,currency,propensity\nm1,r1,c,image,product,2026-09-01T13:00:00Z,2026-09-01T13:00:04Z,2026-09-01T19:12:40+02:00,1.5,EUR,0.25\n";
    let activity = b"recipient,at,kind\nr1,2026-09-01T13:00:00Z,session\n";
    let dir = tempfile::TempDir::new().unwrap();
    let path = dir.path().join("history.csv");
    let now = Utc.with_ymd_and_hms(2026, 12, 1, 0, 0, 0).unwrap();
    fuzz(&[people, messages, activity], |bytes| {
        std::fs::File::create(&path).unwrap().write_all(bytes).unwrap();
        let open = || files::open(&path).unwrap();
        if let Ok(mut rows) = FileRows::<Recipients>::new(open()) {
            while let Ok(Some(_)) = rows.next(now) {}
        }
        if let Ok(mut rows) = FileRows::<Messages>::new(open()) {
            while let Ok(Some(_)) = rows.next(now) {}
        }
        if let Ok(mut rows) = FileRows::<Activity>::new(open()) {
            while let Ok(Some(_)) = rows.next(now) {}
        }
    });
}

#[test]
fn settings_and_campaigns_are_read_or_refused() {
    let campaign = br#"name = "spring"
provider = "wa"
within = "2h"
[window]
start = 2026-12-01T09:00:00
end = 2026-12-07T21:00:00
time_zone = "recipient"
[audience]
tags = ["x"]
[[variant]]
name = "clip"
media = "video"
style = "product"
language = "pt_BR"
parameters = ["{{name}}"]
defaults = { name = "amigo" }
[capacity]
per_hour = 5000
agents = 10
chats_per_agent = 25
minutes_per_chat = 6
agent_hours = ["Mon-Fri 09:00-18:00"]
[arms]
personalized = 0.9
control = 0.1
control_time = "10:00"
"#;
    fuzz(&[campaign, EXAMPLE.as_bytes()], |bytes| {
        let text = String::from_utf8_lossy(bytes);
        let _ = Config::parse(&text, Path::new("x"));
        if let Ok(campaign) = Campaign::from_toml(&text) {
            for variant in &campaign.variants {
                let _ = variant.render(&std::collections::BTreeMap::new(), str::to_owned);
            }
        }
    });
}

#[test]
fn addresses_are_made_right_or_kept_and_a_channel_gets_numbers_alone() {
    let corpus: [&[u8]; 9] = [
        b"+44 07911 123456",
        b"https://wa.me/5511987654301?text=oi",
        b"+55 (11) 98765-4301",
        b"005511987654301",
        "\u{202a}＋５５１１９８７６５４３０１".as_bytes(),
        b"tel:+55-11-98765-4301;ext=1",
        b"5511987654301:2@s.whatsapp.net",
        b"=\"+5511987654301\"",
        b"5.51199E+12",
    ];
    let country = "BR".parse().unwrap();
    fuzz(&corpus, |bytes| {
        let text = String::from_utf8_lossy(bytes);
        for country in [None, Some(&country)] {
            let Ok(address) = Address::from_cell(&text, country) else { continue };
            assert_eq!(Address::from_cell(address.as_str(), country).as_ref(), Ok(&address));
            let Some(digits) = address.phone_digits() else { continue };
            assert!((7..=15).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit()));
        }
    });
}

#[test]
fn languages_are_read_or_refused_and_have_a_distance() {
    let corpus: [&[u8]; 10] = [
        b"en-US,en;q=0.9,pt;q=0.8",
        "\u{feff}ｐｔ\u{2011}BR".as_bytes(),
        b"pt_BR",
        b"zh-Hant-TW",
        b"sr-Latn-RS",
        b"es-419",
        b"zh-yue-HK",
        b"iw",
        b"de_DE.UTF-8@euro",
        b"en-US-u-hc-h12",
    ];
    let texts: Vec<Locale> =
        ["pt_BR", "zh_TW", "sr", "es_419", "he"].map(|text| text.parse().unwrap()).into();
    fuzz(&corpus, |bytes| {
        let Ok(locale) = String::from_utf8_lossy(bytes).parse::<Locale>() else { return };
        assert_eq!(locale.to_string().parse::<Locale>().as_ref(), Ok(&locale));
        for text in &texts {
            let _ = (text.distance(&locale), locale.distance(text));
        }
        assert!(locale.distance(&locale).is_some());
    });
}

#[test]
fn time_stamps_name_an_instant_or_are_refused() {
    let corpus: [&[u8]; 12] = [
        b"2025-12-31 02:00:00 PM +00:00",
        b"Wed Dec 31 2025 11:00:00 GMT-0300 (Brasilia Standard Time)",
        b"2025-12-31T15:00:00+01:00[Europe/Berlin]",
        b"'31-DEC-2025 24:00:00 +1",
        "\u{200b}２０２５/12/31\u{a0}14:00\u{202f}UTC".as_bytes(),
        b"2025-12-31T14:00:00Z",
        b"2025-12-31 14:00:00+00",
        b"2025-12-31T14:00:00.000+0530",
        b"9999-12-31T23:59:59-15:00",
        b"0000-00-00 00:00:00",
        b"Wed, 31 Dec 2025 14:00:00 +0000",
        b"262143-12-31T23:59:59,5Z",
    ];
    fuzz(&corpus, |bytes| {
        let text = String::from_utf8_lossy(bytes);
        let _ = is_placeholder_date(&text);
        if let Ok(at) = parse_instant("at", &text) {
            assert_eq!(parse_instant("at", &format_instant(at)), Ok(at));
        }
    });
}
