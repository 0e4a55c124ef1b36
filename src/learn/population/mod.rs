//! How people live: how the hazard of a read falls with age, what contents people like, and a
//! mixture of chronotypes from which each person's week is shrunk.

pub(in crate::learn) mod affinity;
pub(in crate::learn) mod age_decay;
pub(in crate::learn) mod backfitting;
pub(in crate::learn) mod change_point;
pub(in crate::learn) mod chronotype_names;
pub(in crate::learn) mod expectation_maximization;
pub(in crate::learn) mod hyper_parameters;
pub(in crate::learn) mod k_means;
pub(in crate::learn) mod mixture;
pub(in crate::learn) mod segments;
pub(in crate::learn) mod shrinkage;
