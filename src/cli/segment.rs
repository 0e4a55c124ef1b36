//! `segment`: named audiences.

use clap::Subcommand;
use serde::Serialize;

use super::print::{Show, table};
use super::{BadInput, Env, actor};
use crate::model::ids::Name;
use crate::model::time::format_instant;
use crate::work::segments::{self, Segment, SegmentCount, SegmentError};

#[derive(clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Save an audience under a name, over one of the same name.
    Save {
        /// Its name.
        name: Name,
        /// Who is of it, in CEL: 'country == "BR" && sent > 3'.
        #[arg(long = "where", value_name = "EXPR")]
        expression: String,
    },
    /// Every named audience.
    List,
    /// Who is of it, in words of its expression.
    Show {
        /// Its name.
        name: Name,
    },
    /// How many people are of it, and what each clause leaves.
    Count {
        /// Its name.
        name: Name,
    },
    /// Delete it.
    Delete {
        /// Its name.
        name: Name,
    },
}

#[derive(Serialize)]
#[serde(transparent)]
struct Segments(Vec<Segment>);

impl Show for Segments {
    fn text(&self) -> String {
        let mut shown = table(&["segment", "saved", "where"]);
        for segment in &self.0 {
            let saved = format_instant(segment.saved_at);
            shown.add_row([segment.name.to_string(), saved, segment.expression.clone()]);
        }
        shown.to_string()
    }
}

impl Show for Segment {
    fn text(&self) -> String {
        let Self { name, expression, saved_at } = self;
        format!("{name}, saved at {}:\n{expression}", format_instant(*saved_at))
    }
}

impl Show for SegmentCount {
    fn text(&self) -> String {
        let mut shown = table(&["clause", "people left"]);
        shown.add_row(["everybody", &self.known.to_string()]);
        for clause in &self.clauses {
            shown.add_row([clause.clause.as_str(), &clause.left.to_string()]);
        }
        let (people, consented) = (self.people, self.consented);
        format!("{shown}\n{people} people, of them {consented} with consent.")
    }
}

pub(super) async fn run(args: Args, env: &Env) -> anyhow::Result<()> {
    let ctx = env.ctx().await?;
    let told = |error: SegmentError| match error {
        SegmentError::Store(error) => anyhow::Error::from(error),
        SegmentError::Learn(error) => error.into(),
        error => BadInput(error.to_string()).into(),
    };
    match args.verb {
        Verb::Save { name, expression } => {
            let saved = segments::save(&ctx, name, &expression, &actor()).await.map_err(told)?;
            env.printer.show(&saved)
        }
        Verb::List => env.printer.show(&Segments(segments::list(&ctx).await?)),
        Verb::Show { name } => env.printer.show(&segments::find(&ctx, &name).await.map_err(told)?),
        Verb::Count { name } => {
            env.printer.show(&segments::count(&ctx, &name).await.map_err(told)?)
        }
        Verb::Delete { name } => {
            let deleted = segments::delete(&ctx, &name, &actor()).await.map_err(told)?;
            env.printer.show(&deleted)
        }
    }
}
