//! What the search of hyper-parameters tries, and in which order.

use crate::learn::population::hyper_parameters::HyperParameters;
use crate::learn::population::shrinkage::UNBOUNDED;

/// Sets one of them.
pub(in crate::learn) type Setter = fn(&mut HyperParameters, f32);

/// A step of the search is taken for a gain of so many standard errors: some thirty are tried, and
/// at one standard error five of them would be taken by chance.
pub(in crate::learn) const ERRORS: f64 = 2.0;

/// What the search tries, in this order; each value is tried in place of the best so far.
/// Days come before the weekend: while days are free, they stand in for it.
pub(in crate::learn) const SEARCH: &[(Setter, &[f32])] = &[
    (|h, x| h.classes = x as usize, &[6.0, 24.0]),
    (|h, x| h.half_life = x, &[1000.0, 500.0, 250.0]),
    (|h, x| h.presence_weight = x, &[0.5, 0.2]),
    (|h, x| h.shared = x, &[1.0]),
    (|h, x| h.person.hour.concentration = x, &[20.0, 80.0, 10.0, 160.0]),
    (|h, x| h.person.fine.concentration = x, &[40.0, 160.0, 20.0, UNBOUNDED]),
    (|h, x| h.person.day.concentration = x, &[150.0, 500.0, 15.0]),
    (|h, x| h.person.weekend.concentration = x, &[10.0, 150.0, 3.0]),
    (|h, x| h.person.part.concentration = x, &[40.0, 400.0, 15.0]),
    (|h, x| h.person.cell.concentration = x, &[300.0, 100.0]),
    (|h, x| h.person.cell.bandwidth = x, &[2.5]),
    (|h, x| h.person.hour.bandwidth = x, &[1.5, 0.7]),
    (|h, x| h.sharpness = x, &[0.9, 0.8, 1.1]),
    (|h, x| h.class.cell.concentration = x, &[1600.0, 400.0]),
];
