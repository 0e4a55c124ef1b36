//! Templates are read from the account, held against campaigns, and shown as they read.

use opportune::work::{check, preview, templates};

use crate::scene::*;

const ACCOUNT: &str = "business_account_id = \"102290129340398\"\n";

fn template(name: &str, language: &str, status: &str, components: Value) -> Value {
    json!({ "name": name, "language": language, "status": status, "category": "MARKETING",
            "components": components, "id": "1" })
}

fn account() -> Vec<Value> {
    let body =
        json!({ "type": "BODY", "text": "Oi {{1}}!", "example": { "body_text": [["Ana"]] } });
    let buttons = json!({ "type": "BUTTONS", "buttons": [
        { "type": "QUICK_REPLY", "text": "Quero" }, { "type": "URL", "text": "Ver", "url": "https://a.example" } ] });
    let footer = json!({ "type": "FOOTER", "text": "Loja" });
    let image = json!({ "type": "HEADER", "format": "IMAGE" });
    vec![
        template("promo", "en", "APPROVED", json!([body])),
        template("promo", "pt_BR", "APPROVED", json!([body, footer, buttons])),
        template("picture", "pt_BR", "PAUSED", json!([image, body])),
        // what cannot be read is passed over, and the rest is read
        json!({ "name": 7, "language": {} }),
        template("other", "es", "APPROVED", json!([body])),
    ]
}

/// A campaign with one variant of a template.
fn file(template: &str, more: &str) -> String {
    format!(
        "name = \"next\"\nprovider = \"wa\"\n{FALLBACK}[window]\nstart = 2027-03-03T09:00:00\n\
         end = 2027-03-05T20:00:00\n[[variant]]\nname = \"v\"\nmedia = \"text\"\ntemplate = \"{template}\"\n{more}"
    )
}

const ONE: &str = "parameters = [\"{{name}}\"]\ndefaults = { name = \"Ana\" }\n";

#[tokio::test]
async fn a_check_tells_what_does_not_fit_the_account_s_templates() {
    on_both(async |store| {
        let scene = Scene::new(store, 2, ACCOUNT).await;
        let warnings = async |template: &str, more: &str| {
            let checked = check::check(&scene.ctx, &file(template, more)).await.unwrap();
            checked.warnings
        };
        // an account that does not answer keeps nobody from checking
        let told = warnings("promo", ONE).await;
        assert!(
            told.len() == 1 && told[0].contains("could not be read: the account answers 403"),
            "{told:?}"
        );
        scene.graph.templates(Some(account()));
        assert_eq!(warnings("promo", ONE).await, Vec::<String>::new());
        for (template, more, wanted) in [
            ("absent", ONE, "variant v: template absent is not in the account"),
            ("other", ONE, "template other is not in the account in pt_BR; it has es"),
            ("promo", "", "template promo (pt_BR) takes 1 parameters, not 0"),
            ("picture", ONE, "template picture (pt_BR) is paused in the account"),
            ("picture", ONE, "has a header of image; the variant is text"),
        ] {
            let told = warnings(template, more).await;
            assert!(told.iter().any(|told| told.contains(wanted)), "{wanted}: {told:?}");
        }
        // a word of the channel has it read anew
        scene.graph.templates(Some(Vec::new()));
        assert_eq!(warnings("promo", ONE).await, Vec::<String>::new());
        let value = json!({ "event": "PAUSED", "message_template_name": "promo",
            "message_template_language": "pt_BR", "reason": "NONE" });
        webhook(&scene.ctx, &change("message_template_status_update", value)).await;
        let told = warnings("promo", ONE).await;
        assert!(told.iter().any(|told| told.contains("promo is not in the account")), "{told:?}");
        // and time does
        scene.graph.templates(Some(account()));
        scene.advance(TimeDelta::minutes(61));
        templates::read_all(&scene.ctx).await.unwrap();
        assert!(
            warnings("promo", ONE).await.iter().all(|told| !told.contains("not in the account"))
        );
    })
    .await;
}

#[tokio::test]
async fn a_preview_shows_the_template_s_own_text() {
    on_both(async |store| {
        let scene = Scene::new(store, 1, ACCOUNT).await;
        scene.graph.templates(Some(account()));
        let row =
            scene.ctx.store.read().await.unwrap().campaign(&name("c")).await.unwrap().unwrap();
        templates::read_all(&scene.ctx).await.unwrap();
        let shown = preview::of(&scene.ctx, &row.campaign, None).await.unwrap();
        assert_eq!(shown[0].text.as_deref(), Some("Oi Ana!"));
        assert_eq!(shown[0].footer.as_deref(), Some("Loja"));
        assert_eq!(shown[0].buttons, ["Quero", "Ver"]);
    })
    .await;
}
