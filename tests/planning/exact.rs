//! The same problem for a solver of linear programs: the independent word on what is best.

use std::collections::BTreeMap;

use clarabel::algebra::CscMatrix;
use clarabel::solver::{
    DefaultSettingsBuilder, DefaultSolver, IPSolver, SolverStatus, SupportedConeT,
};

/// A person, a slot, and what it is worth to the person.
pub(crate) type Row = (usize, i64, f64);

/// Rows without those that no best solution holds, where each slot has a capacity and a price of its
/// own: a row that is worth less after its price than the person's best, by more than the prices'
/// bound lies above what some solution has `reached`. True of any prices that are not negative, since
/// such a problem has a best solution in whole messages.
pub(crate) fn hopeful(rows: &[Row], slots: &BTreeMap<i64, (f64, f64)>, reached: f64) -> Vec<Row> {
    let net = |(_, slot, value): &Row| value - slots[slot].1;
    let open = |row: &&Row| slots[&row.1].0 >= 1.0;
    let mut best: BTreeMap<usize, f64> = BTreeMap::new();
    for row in rows.iter().filter(open) {
        let best = best.entry(row.0).or_insert(0.0);
        *best = best.max(net(row));
    }
    assert!(slots.values().all(|(capacity, price)| *capacity >= 0.0 && *price >= 0.0));
    let rent: f64 = slots.values().map(|(capacity, price)| capacity * price).sum();
    let spare = best.values().sum::<f64>() + rent - reached;
    let keep = |row: &&Row| best[&row.0] - net(row) <= spare + 1e-9;
    rows.iter().filter(open).filter(keep).copied().collect()
}

/// The most value that people can get who take at most one slot each, in groups of slots that hold
/// at most so many messages together.
pub(crate) fn best_value(rows: &[Row], groups: &[(Vec<i64>, f64)]) -> f64 {
    best_within(rows, groups, f64::INFINITY).expect("the solver has all the time that it wants")
}

/// The same, or `None` where the solver has not ended after so many seconds.
pub(crate) fn best_within(rows: &[Row], groups: &[(Vec<i64>, f64)], seconds: f64) -> Option<f64> {
    let mut people = BTreeMap::new();
    for (person, _, _) in rows {
        let next = people.len();
        people.entry(*person).or_insert(next);
    }
    let mut groups_of: BTreeMap<i64, Vec<usize>> = BTreeMap::new();
    for (index, (slots, _)) in groups.iter().enumerate() {
        for slot in slots {
            groups_of.entry(*slot).or_default().push(index);
        }
    }
    let (n, m) = (rows.len(), people.len() + groups.len());
    let (mut starts, mut at, mut weights) = (vec![0], Vec::new(), Vec::new());
    for (column, (person, slot, _)) in rows.iter().enumerate() {
        at.push(people[person]);
        let groups = groups_of.get(slot).into_iter().flatten();
        at.extend(groups.map(|group| people.len() + group));
        weights.resize(at.len(), 1.0);
        at.push(m + column);
        weights.push(-1.0);
        starts.push(at.len());
    }
    let limits: Vec<f64> = (people.iter().map(|_| 1.0))
        .chain(groups.iter().map(|(_, most)| *most))
        .chain(rows.iter().map(|_| 0.0))
        .collect();
    let matrix = CscMatrix::new(m + n, n, starts, at, weights);
    let costs: Vec<f64> = rows.iter().map(|(_, _, value)| -value).collect();
    let mut settings = DefaultSettingsBuilder::default();
    let settings = settings.verbose(false).time_limit(seconds).build().unwrap();
    let mut solver = DefaultSolver::new(
        &CscMatrix::zeros((n, n)),
        &costs,
        &matrix,
        &limits,
        &[SupportedConeT::NonnegativeConeT(m + n)],
        settings,
    )
    .unwrap();
    solver.solve();
    match solver.solution.status {
        SolverStatus::Solved | SolverStatus::AlmostSolved => Some(-solver.solution.obj_val),
        SolverStatus::MaxTime => None,
        other => panic!("the solver ends with {other:?}"),
    }
}
