//! What is observed of people: packed evidence, the messages and events in it, what receipts tell,
//! and the exposure under which a person was watched.

pub(in crate::learn) mod evidence;
pub(in crate::learn) mod exposure;
pub(in crate::learn) mod hash;
pub(in crate::learn) mod observation_buffer;
pub(in crate::learn) mod observations;
pub(in crate::learn) mod observed;
pub(in crate::learn) mod receipts;
pub(in crate::learn) mod sample;
pub(in crate::learn) mod subject;
pub(in crate::learn) mod week_hours;
