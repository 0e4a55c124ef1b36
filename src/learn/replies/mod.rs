//! What people answer with: intent and language of short texts, and what follows from them.
//!
//! A text is seen twice: as its letters, and as the concepts that its words stand for, which all
//! languages share. Pieces of it (runs of characters, words, pairs of words) and combinations of its
//! concepts are hashed into a sparse row, on which a multinomial logistic regression is trained by
//! `AdaGrad` (Duchi, Hazan and Singer 2011). It is our own few lines: linfa's regression takes dense
//! rows, of which the pieces here would fill 20 GB, and a few thousand columns, which would fit, cost
//! accuracy.

pub(super) mod classifier;
pub(super) mod clusters;
mod concepts;
pub(super) mod consequence;
mod examples;
mod row;
#[cfg(test)]
mod tests;
mod text;
