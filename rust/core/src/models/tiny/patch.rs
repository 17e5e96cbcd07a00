//! One patch pair through the network, and back.

use super::lanes::{Lanes, Line};
use super::pack::{LINES, Weights};
use super::scratch::{Scaling, Scratch};
use super::{backward, forward};
use crate::view::View;

/// The score of a patch pair, and, if `row` is given, its gradient by each parameter but the last in the kernels' order.
#[inline(always)]
pub(super) fn run<L: Lanes>(
    lanes: L,
    weights: &Weights,
    scaling: &Scaling,
    pair: [View<'_, u8>; 2],
    scratch: &mut Scratch,
    row: &mut Option<&mut [Line]>,
) -> f32 {
    let size = (pair[0].height(), pair[0].width());
    scratch.resize(size, size, row.is_some());
    forward::scale(lanes, scaling, pair, scratch);
    let mut totals = [[0.0; 16]; 2];
    forward::first_layer(lanes, weights, scratch, weights.norm.then_some(&mut totals));
    let scales = forward::first_two_layers(lanes, weights, scratch, (0, &totals), row.is_some());
    let means = forward::third_layer(lanes, weights, scratch, row.is_some());
    let score = score(weights, &means.0);
    if let Some(row) = row {
        backward::gradient(lanes, weights, scratch, &scales, means, &mut row[..LINES]);
    }
    score
}

/// The last layer: the score from the means of the third layer's outputs.
#[inline(always)]
pub(super) fn score(weights: &Weights, means: &[f64; 8]) -> f32 {
    let [_, linear] = weights.b3();
    let sum = linear.iter().zip(means).map(|(&w, mean)| f64::from(w) * mean).sum::<f64>();
    (sum + f64::from(weights.bias)) as f32
}
