//! The same problem for a solver of linear programs: the independent word on what is best.

use std::collections::BTreeMap;

use clarabel::algebra::CscMatrix;
use clarabel::solver::{
    DefaultSettingsBuilder, DefaultSolver, IPSolver, SolverStatus, SupportedConeT,
};

/// The most value that people can get who take at most one slot each: rows of person, slot and
/// value, and groups of slots that hold at most so many messages together.
pub(crate) fn best_value(rows: &[(usize, i64, f64)], groups: &[(Vec<i64>, f64)]) -> f64 {
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
    let settings = DefaultSettingsBuilder::default().verbose(false).build().unwrap();
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
    assert!(matches!(solver.solution.status, SolverStatus::Solved | SolverStatus::AlmostSolved));
    -solver.solution.obj_val
}
