//! A page for somebody who signed in: the head line, and what is allowed to be in it.

use maud::{Markup, html};

use super::frame::frame;
use super::visitor::Visitor;
use crate::work::tokens::Scope;

/// The pages of the head line, and the scope that each needs.
const SITE: [(&str, &str, Scope); 7] = [
    ("/", "Now", Scope::Read),
    ("/campaigns", "Campaigns", Scope::Read),
    ("/calendar", "Calendar", Scope::Read),
    ("/insights", "Insights", Scope::Read),
    ("/experiments", "Experiments", Scope::Read),
    ("/replies", "Replies", Scope::People),
    ("/settings", "Settings", Scope::Read),
];

/// A page for somebody who signed in; `path` is the entry of the head line that it belongs to.
pub(super) fn page(visitor: &Visitor, path: &str, title: &str, body: &Markup) -> Markup {
    let allowed = SITE.iter().filter(|(_, _, scope)| visitor.may(*scope));
    let head = html! {
        nav.site aria-label="Site" {
            b { "opportune" }
            @for (to, name, _) in allowed {
                a href=(to) aria-current=[(*to == path).then_some("page")] { (name) }
            }
            @if visitor.may(Scope::People) {
                form action="/people" method="get" role="search" {
                    input type="search" name="id" placeholder="find a person by id"
                        aria-label="Find a person by id" required;
                }
            }
            form.end action="/logout" method="post" {
                (visitor.form_key())
                button.plain type="submit" { "Sign out " (visitor.name()) }
            }
        }
    };
    frame(title, &head, body)
}
