//! The WhatsApp channel against a stand-in for the Graph API that speaks as the vendor documents
//! it: what goes out, what each answer means, what comes back.

#[path = "../support/graph.rs"]
mod graph;
#[path = "../support/mod.rs"]
mod support;

mod answers;
mod canary;
mod charges;
mod consequences;
mod ends;
mod inbound;
mod independent;
mod isolation;
mod late_answers;
mod limits;
mod names;
mod notices;
mod opt_outs;
mod order;
mod outgoing;
mod refusals;
mod replies;
mod scene;
mod statuses;
mod templates;
