//! Which variants each person can be given.

use std::collections::BTreeMap;

use super::request::{AudienceMember, Request};
use crate::model::campaign::MissingParameter;
use crate::model::delivery::Reason;
use crate::model::recipient::Locale;

/// The variants that each person can be given, or why there is none.
pub(super) fn variant_lists(
    request: &Request<'_>,
    threads: usize,
) -> Vec<Result<Vec<u16>, Reason>> {
    let mut by_locale: BTreeMap<Option<&Locale>, Vec<usize>> = BTreeMap::new();
    for person in request.people {
        by_locale
            .entry(person.locale)
            .or_insert_with(|| request.campaign.variants_for(person.locale));
    }
    let variant_list = |person: &AudienceMember<'_>| {
        if !person.consented {
            return Err(Reason::NoConsent);
        }
        if person.held_out {
            return Err(Reason::Holdout);
        }
        if !person.has_address {
            return Err(Reason::NoAddress);
        }
        if person.bad_address {
            return Err(Reason::BadAddress);
        }
        if person.suppressed {
            return Err(Reason::Suppressed);
        }
        if person.shares_address {
            return Err(Reason::SameAddress);
        }
        if person.forbidden {
            return Err(Reason::ProviderForbids);
        }
        if !person.permitted {
            return Err(Reason::NoPermit);
        }
        let fit = &by_locale[&person.locale];
        if fit.is_empty() {
            let parked = request.campaign.variants.iter().any(|variant| variant.parked);
            return Err(if parked { Reason::TemplateRefused } else { Reason::NoTranslation });
        }
        let media = |index: &usize| request.campaign.variants[*index].content.media;
        if !fit.iter().any(|index| person.wishes.allow_media(media(index))) {
            return Err(Reason::Unwanted);
        }
        let complete = |index: &&usize| -> Result<(), MissingParameter> {
            request.campaign.variants[**index].render(person.attributes, str::to_owned).map(drop)
        };
        let wanted = fit.iter().filter(|index| person.wishes.allow_media(media(index)));
        let variant_list: Vec<u16> =
            wanted.filter(|index| complete(index).is_ok()).map(|index| *index as u16).collect();
        if variant_list.is_empty() { Err(Reason::MissingParameter) } else { Ok(variant_list) }
    };
    super::parallel::parallel_map(request.people.len(), threads, |range| {
        request.people[range].iter().map(variant_list).collect::<Vec<_>>()
    })
    .into_iter()
    .flatten()
    .collect()
}
