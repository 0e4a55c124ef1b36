//! Named audiences: expressions in CEL (the Common Expression Language) over what is known of a person.
//!
//! Owns what an expression may name, what it may cost, and whether it holds for a person. An expression is
//! checked as a whole before it is asked of anybody: each name that does not exist is told with its place
//! and with what exists, and it is tried on an invented person, so that a wrong type shows at once. What
//! a person lacks (an attribute, say) makes the expression not hold for that person.
//!
//! *Invariant:* asking costs at most a fixed number of steps a person: expressions are short, and at
//! most one loop lies in another.

mod check;
mod facts;

use cel::{Context, ExecutionError, Program, Value};

pub use check::ExpressionError;
pub use facts::{Engagement, EventFacts, LearnedFacts, PersonFacts};

use check::Named;

/// What has to be known of people to ask an expression.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NeededFacts {
    /// What came of messages.
    pub engagement: bool,
    /// Events of these kinds.
    pub events: Vec<String>,
    /// What was learned.
    pub learned: bool,
}

impl NeededFacts {
    /// What both need.
    #[must_use]
    pub fn and(mut self, other: &Self) -> Self {
        self.engagement |= other.engagement;
        self.learned |= other.learned;
        self.events.extend(other.events.iter().cloned());
        self.events.sort();
        self.events.dedup();
        self
    }
}

/// A checked expression.
#[derive(Debug)]
pub struct Expression {
    program: Program,
    source: String,
    named: Named,
}

impl Expression {
    /// Reads and checks an expression.
    pub fn parse(source: &str) -> Result<Self, ExpressionError> {
        let (program, named) = check::compile(source)?;
        let parsed = Self { program, source: source.to_owned(), named };
        parsed.try_out()?;
        Ok(parsed)
    }

    /// The expression as it was written.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// What has to be known of people to ask it.
    pub fn needs(&self) -> NeededFacts {
        let named = |names: &[&str]| names.iter().any(|name| self.named.variables.contains(*name));
        NeededFacts {
            engagement: named(&facts::ENGAGEMENT),
            events: self.named.events.iter().cloned().collect(),
            learned: named(&facts::LEARNED),
        }
    }

    /// The parts that must all hold, as they were written; one, where the expression is no such chain.
    pub fn clauses(&self) -> Vec<&str> {
        check::clauses(&self.source)
    }

    /// What asks it of people at a time; one for each thread.
    pub fn asker(&self, now: crate::model::time::Instant) -> Asker<'_> {
        Asker { expression: self, context: facts::context(now) }
    }

    /// Asks it of an invented person who has everything, and of one who has nothing: types show at once.
    fn try_out(&self) -> Result<(), ExpressionError> {
        let now = chrono::DateTime::from_timestamp(1_800_000_000, 0).unwrap_or_default();
        let asker = self.asker(now);
        for person in facts::invented(now, &self.named.events) {
            match asker.evaluate(&person) {
                Ok(Value::Bool(_)) | Err(ExecutionError::NoSuchKey(_)) => {}
                Ok(other) => return Err(ExpressionError::NoTruth(other.type_of().to_string())),
                Err(error) => return Err(ExpressionError::Wrong(error.to_string())),
            }
        }
        Ok(())
    }
}

/// Asks one expression of people.
pub struct Asker<'e> {
    expression: &'e Expression,
    context: Context<'static, 'static>,
}

impl Asker<'_> {
    /// Whether it holds for a person; not for one who lacks what it asks for.
    pub fn holds(&self, person: &PersonFacts<'_>) -> bool {
        matches!(self.evaluate(person), Ok(Value::Bool(true)))
    }

    fn evaluate(&self, person: &PersonFacts<'_>) -> Result<Value, ExecutionError> {
        let mut scope = self.context.new_inner_scope();
        for name in &self.expression.named.variables {
            if let Some(value) = person.value(name, &self.expression.named.events) {
                scope.add_variable_from_value(name.as_str(), value);
            }
        }
        self.expression.program.execute(&scope)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::{RecipientId, RecipientKey};
    use crate::model::recipient::{Profile, Recipient};
    use crate::model::time::Instant;

    fn now() -> Instant {
        "2026-12-01T12:00:00Z".parse().unwrap()
    }

    fn person() -> Recipient {
        let attributes = [("city", "Recife"), ("age", "41")];
        let attributes = attributes.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Recipient {
            id: RecipientId(1),
            key: "r1".parse::<RecipientKey>().unwrap(),
            profile: Profile {
                tags: vec!["newsletter".to_owned(), "vip".to_owned()],
                attributes: attributes.into(),
                country: Some("BR".parse().unwrap()),
                locale: Some("pt_BR".parse().unwrap()),
                ..Profile::default()
            },
            consented: true,
        }
    }

    fn holds(expression: &str) -> bool {
        let recipient = person();
        let days = |days: i64| now() - chrono::TimeDelta::days(days);
        let engagement = Engagement {
            sent: 9,
            last_sent: Some(days(3)),
            read: 4,
            last_read: Some(days(40)),
            ..Engagement::default()
        };
        let bought = EventFacts { count: 2, last: Some(days(10)), next: None };
        let facts = PersonFacts {
            recipient: &recipient,
            country: Some("BR"),
            engagement,
            events: [("Order Completed".to_owned(), bought)].into(),
            learned: Some(LearnedFacts { best_daypart: "evening", chance: 0.4 }),
        };
        Expression::parse(expression).unwrap().asker(now()).holds(&facts)
    }

    #[test]
    fn what_is_known_of_a_person_can_be_asked() {
        for expression in [
            "country == \"BR\" && \"vip\" in tags",
            "attr.city == \"Recife\" && days_since(last_read) > 30",
            "has(attr.age) && int(attr.age) >= 18",
            "locale.startsWith(\"pt\") && consented",
            "sent > 5 && double(read) / double(sent) < 0.5",
            // never is longer ago than anything
            "days_since(last_click) > 1000 && last_click == null",
            "events[\"Order Completed\"].count >= 2 && days_since(events[\"Order Completed\"].last) < 30",
            "events.appointment.count == 0 && days_until(events.appointment.next) > 100",
            "best_daypart == \"evening\" && chance > 0.3",
            "tags.exists(tag, tag.startsWith(\"news\"))",
            "recipient in [\"r1\", \"r2\"] && hours_since(last_sent) > 70",
            "now > timestamp(\"2026-01-01T00:00:00Z\")",
            "country == \"PT\" || attr.city == \"Recife\"",
        ] {
            assert!(holds(expression), "{expression}");
        }
        // who lacks an attribute is none of those who have it
        assert!(!holds("attr.street != \"x\""));
        assert!(!holds("country == \"PT\""));
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place_and_what_exists() {
        for (expression, told) in [
            ("contry == \"BR\"", "line 1, column 1: there is no contry; there are "),
            (
                "country == \"BR\" &&\n  ags(1)",
                "line 2, column 3: there is no function ags; there are ",
            ),
            ("country ==", "line 1, column "),
            ("country", "it is a string, where true or false is wanted"),
            ("tags > 3", "'_>_' applied to '(list, int)'"),
            ("days_since(country) > 3", "days_since"),
            ("size(events) > 3", "column 6: events is followed by a kind"),
            ("", "line 1"),
            ("tags.all(a, tags.all(b, tags.all(c, a + b + c != \"x\")))", "more than two loops"),
        ] {
            let problem = Expression::parse(expression).unwrap_err().to_string();
            assert!(problem.contains(told), "{expression}: {problem}");
        }
        let long = format!("country == {:?}", "x".repeat(5000));
        assert!(
            Expression::parse(&long).unwrap_err().to_string().contains("longer than 2000 bytes")
        );
        for deep in ["(".repeat(900), "!".repeat(1900), "[".repeat(1900), "-".repeat(1500)] {
            assert!(Expression::parse(&deep).is_err());
        }
        let nested = format!("{}true{}", "true||(".repeat(100), ")".repeat(100));
        assert!(Expression::parse(&nested).is_err());
    }

    #[test]
    fn what_is_needed_is_what_is_named() {
        let needs = |text: &str| Expression::parse(text).unwrap().needs();
        assert_eq!(needs("country == \"BR\""), NeededFacts::default());
        assert!(needs("days_since(last_read) > 3").engagement);
        assert!(needs("chance > 0.1").learned);
        let events = needs("events.a.count > 0 && events[\"b c\"].count > 0").events;
        assert_eq!(events, ["a", "b c"]);
    }

    #[test]
    fn clauses_are_cut_where_all_must_hold() {
        let clauses = |text: &str| -> Vec<String> {
            let parsed = Expression::parse(text).unwrap();
            parsed.clauses().into_iter().map(str::to_owned).collect()
        };
        assert_eq!(
            clauses("country == \"BR\" && (sent > 1 && read > 1) && \"a && b\" in tags"),
            ["country == \"BR\"", "(sent > 1 && read > 1)", "\"a && b\" in tags"]
        );
        assert_eq!(clauses("sent > 1 && read > 1 || consented").len(), 1);
        assert_eq!(clauses("consented").len(), 1);
    }
}
