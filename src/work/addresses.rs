//! Where a provider writes to a person: people have an address, and may have one of their own on a channel.

use std::borrow::Cow;

use crate::config::ProviderConfig;
use crate::model::delivery::Reason;
use crate::model::recipient::{Address, Profile};

/// A person's address with a provider: the attribute's that the settings name, else the person's, where it
/// is one of the channel's. Else why there is none.
pub(super) fn address_with<'p>(
    provider: &ProviderConfig,
    profile: &'p Profile,
) -> Result<Cow<'p, Address>, Reason> {
    let channel = provider.kind.channel();
    let attribute = provider.address_attribute.as_ref();
    if let Some(own) = own_address(attribute, profile) {
        let address = own.parse::<Address>().map_err(|_| Reason::BadAddress)?;
        let is_good = address.is_good_for(channel);
        return if is_good { Ok(Cow::Owned(address)) } else { Err(Reason::BadAddress) };
    }
    match &profile.address {
        Some(address) if address.is_good_for(channel) => Ok(Cow::Borrowed(address)),
        // a telephone number is no bad mail address, but none
        Some(_) if attribute.is_none() => Err(Reason::BadAddress),
        _ => Err(Reason::NoAddress),
    }
}

/// What an attribute holds of a person, if anything.
fn own_address<'p>(attribute: Option<&String>, profile: &'p Profile) -> Option<&'p str> {
    let own = profile.attributes.get(attribute?)?.trim();
    (!own.is_empty()).then_some(own)
}
