//! The pages as requests see them: who is let in, what forms need, what is shown to whom.

use opportune::model::recipient::Profile;
use opportune::work::tokens::Scope;

use crate::{CAMPAIGN, Listener};

/// An answer: status, headers in lower case, body.
pub(crate) struct Answer(pub(crate) u16, String, pub(crate) String);

impl Listener {
    /// What a browser sends.
    pub(crate) async fn browse(
        &self,
        method: &str,
        path: &str,
        cookie: &str,
        form: Option<&str>,
    ) -> Answer {
        let body = form.unwrap_or_default();
        let head = form.map_or("", |_| "content-type: application/x-www-form-urlencoded\r\n");
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncookie: {cookie}\r\n\
             {head}content-length: {}\r\n\r\n{body}",
            body.len()
        );
        self.whole(request).await
    }

    async fn whole(&self, request: String) -> Answer {
        let answer = self.raw(request).await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        let status = head.split(' ').nth(1).map_or(0, |status| status.parse().unwrap());
        Answer(status, head.to_lowercase(), body.to_owned())
    }

    /// Signs in; the cookie, and the key of the visitor's forms.
    pub(crate) async fn sign_in(&self, name: &str, scopes: &[Scope]) -> (String, String) {
        let token = self.token(name, scopes).await;
        let form = format!("token={token}&next=%2F");
        let Answer(status, head, _) = self.browse("POST", "/login", "", Some(&form)).await;
        assert_eq!(status, 303, "{head}");
        let cookie = head.split("set-cookie: ").nth(1).unwrap().lines().next().unwrap();
        for part in ["httponly", "samesite=strict", "max-age="] {
            assert!(cookie.contains(part), "{cookie}");
        }
        let cookie = cookie.split(';').next().unwrap().to_owned();
        let Answer(_, _, page) = self.browse("GET", "/insights", &cookie, None).await;
        let key = page.split("name=\"form_key\" value=\"").nth(1);
        let key = key.map(|rest| rest.split('"').next().unwrap().to_owned());
        (cookie, key.unwrap_or_default())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_looks_without_signing_in_and_nothing_is_kept_on_the_way() {
    let listener = Listener::start().await;
    for path in ["/", "/campaigns", "/people/r1", "/settings", "/calendar", "/live/home"] {
        let Answer(status, head, _) = listener.browse("GET", path, "", None).await;
        assert!(status == 303 && head.contains("location: /login?next="), "{path} {head}");
    }
    let (cookie, _) = listener.sign_in("alice", &[Scope::Read]).await;
    let Answer(status, head, page) = listener.browse("GET", "/", &cookie, None).await;
    assert_eq!(status, 200, "{page}");
    for header in [
        "cache-control: private, no-store",
        "x-content-type-options: nosniff",
        "default-src 'none'",
        "frame-ancestors 'none'",
    ] {
        assert!(head.contains(header), "{header} is not in {head}");
    }
    assert!(!page.contains("style=") && !page.contains("<script>"), "{page}");
    // a cookie that somebody made up is none
    let Answer(status, ..) =
        listener.browse("GET", "/", "opportune_session=0123456789abcdef", None).await;
    assert_eq!(status, 303);
    // who signs out is out, whatever the browser keeps; so is whose token is taken back
    let (other, key) = listener.sign_in("bob", &[Scope::Read]).await;
    let out = format!("form_key={key}");
    assert_eq!(listener.browse("POST", "/logout", &other, Some(&out)).await.0, 303);
    assert_eq!(listener.browse("GET", "/", &other, None).await.0, 303);
    let alice = "alice".parse().unwrap();
    opportune::work::tokens::revoke(&listener.ctx, &alice, "test").await.unwrap();
    assert_eq!(listener.browse("GET", "/", &cookie, None).await.0, 303);
    listener.stop.send_replace(true);
}

#[tokio::test(flavor = "multi_thread")]
async fn forms_of_other_sites_and_of_tokens_without_the_scope_do_nothing() {
    let listener = Listener::start().await;
    let api = listener.token("robot", &[Scope::Submit]).await;
    assert_eq!(listener.call("POST", "/api/v1/campaigns", &api, CAMPAIGN).await.0, 201);
    let (operator, key) = listener.sign_in("op", &[Scope::Read, Scope::Operate]).await;
    let pause = "/campaigns/spring/pause";
    for form in ["", "form_key=", "form_key=00"] {
        assert_eq!(listener.browse("POST", pause, &operator, Some(form)).await.0, 403, "{form}");
    }
    let (reader, other) = listener.sign_in("reader", &[Scope::Read]).await;
    let form = format!("form_key={other}");
    assert_eq!(listener.browse("POST", pause, &reader, Some(&form)).await.0, 403);
    assert_eq!(listener.browse("POST", pause, &operator, Some(&form)).await.0, 403);
    let form = format!("form_key={key}");
    assert_eq!(listener.browse("POST", pause, &operator, Some(&form)).await.0, 303);
    let Answer(_, _, page) = listener.browse("GET", "/campaigns/spring", &operator, None).await;
    assert!(page.contains("paused") && page.contains("Resume"), "{page}");
    assert_eq!(listener.browse("POST", pause, &operator, Some(&form)).await.0, 409);
    // another site's page cannot sign somebody in either
    let token = listener.token("victim", &[Scope::Read]).await;
    let body = format!("token={token}");
    let forged = format!(
        "POST /login HTTP/1.1\r\nhost: localhost\r\norigin: https://evil.example\r\n\
         connection: close\r\ncontent-type: application/x-www-form-urlencoded\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    assert_eq!(listener.whole(forged).await.0, 403);
    listener.stop.send_replace(true);
}

#[tokio::test(flavor = "multi_thread")]
async fn single_persons_are_shown_to_whoever_may_see_them() {
    for listener in [Listener::start().await, Listener::on_postgres().await] {
        let address = "+5511987654321";
        let mut tx = listener.ctx.store.begin().await.unwrap();
        let profile = Profile { address: Some(address.parse().unwrap()), ..Profile::default() };
        tx.put_recipients(&[("a/b <i>".parse().unwrap(), profile)]).await.unwrap();
        tx.commit().await.unwrap();
        let (reader, _) = listener.sign_in("reader", &[Scope::Read]).await;
        let (support, _) = listener.sign_in("support", &[Scope::Read, Scope::People]).await;
        let person = "/people/a%2Fb%20%3Ci%3E";
        for path in [person, "/replies", "/people?id=x"] {
            assert_eq!(listener.browse("GET", path, &reader, None).await.0, 403, "{path}");
        }
        let Answer(status, _, page) = listener.browse("GET", person, &support, None).await;
        assert!(
            status == 200 && page.contains(address) && page.contains("a/b &lt;i&gt;"),
            "{page}"
        );
        let Answer(_, head, _) =
            listener.browse("GET", "/people?id=a%2Fb+%3Ci%3E", &support, None).await;
        assert!(head.contains("location: /people/a%2fb%20%3ci%3e"), "{head}");
        for path in ["/", "/campaigns", "/calendar", "/insights", "/experiments", "/settings"] {
            let Answer(status, _, page) = listener.browse("GET", path, &reader, None).await;
            assert_eq!(status, 200, "{path}");
            assert!(page.matches("<h1>").count() == 1 && !page.contains(address), "{path} {page}");
        }
        listener.stop.send_replace(true);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_campaigns_page_shows_its_limits_and_gives_out_everybody_as_a_file() {
    for listener in [Listener::start().await, Listener::on_postgres().await] {
        let api = listener.token("robot", &[Scope::Submit]).await;
        let text = CAMPAIGN.replace("[[variant]]", "[capacity]\nper_hour = 50\n[[variant]]");
        assert_eq!(listener.call("POST", "/api/v1/campaigns", &api, &text).await.0, 201);
        let (reader, _) = listener.sign_in("reader", &[Scope::Read]).await;
        let (support, _) = listener.sign_in("support", &[Scope::Read, Scope::People]).await;
        let file = "/campaigns/spring/export.csv";
        let Answer(_, _, page) = listener.browse("GET", "/campaigns/spring", &reader, None).await;
        for words in ["wait for another try", "of this campaign in this clock hour", ">50<"] {
            assert!(page.contains(words), "{words} is not in {page}");
        }
        assert!(!page.contains(file), "{page}");
        let Answer(_, _, page) = listener.browse("GET", "/campaigns/spring", &support, None).await;
        assert!(page.contains(file), "{page}");
        assert_eq!(listener.browse("GET", file, &reader, None).await.0, 403);
        let Answer(status, head, body) = listener.browse("GET", file, &support, None).await;
        assert_eq!(status, 200, "{head}");
        for header in ["text/csv", "attachment; filename=\"spring.csv\"", "no-store"] {
            assert!(head.contains(header), "{header} is not in {head}");
        }
        assert!(body.contains("message,recipient,address,state"), "{body}");
        listener.stop.send_replace(true);
    }
}
