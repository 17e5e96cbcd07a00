//! Where patches are cut: grid, random, texture; and the local variance behind texture.
//!
//! # The generator
//!
//! A sample depends on a seed and a key (the image's name), not on what was sampled before. The state is the
//! first 8 bytes, little-endian, of SHA-256 over the seed as 8 little-endian bytes followed by the key in UTF-8.
//! Each draw is one step of SplitMix64 (Steele, Lea and Flood, 2014): add `0x9E3779B97F4A7C15` to the state `z`, then
//! `z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9`, `z = (z ^ (z >> 27)) * 0x94D049BB133111EB`, `z ^ (z >> 31)`.

use std::collections::{BinaryHeap, HashSet};

use sha2::{Digest, Sha256};

use crate::view::View;

mod variance;
pub use crate::tile::grid;
pub use variance::{Moments, local_variance};

/// SplitMix64, started from a seed and a key.
#[derive(Clone, Debug)]
pub struct Generator(u64);

impl Generator {
    /// The generator of `seed` and `key`.
    pub fn new(seed: u64, key: &str) -> Self {
        let digest = Sha256::new().chain_update(seed.to_le_bytes()).chain_update(key.as_bytes()).finalize();
        let mut start = [0; 8];
        start.copy_from_slice(&digest[..8]);
        Self(u64::from_le_bytes(start))
    }
    /// The next 64 bits.
    #[inline]
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
    /// A whole number below `bound`, which is not 0, each as likely as the others: draws at or above the largest
    /// multiple of `bound` are drawn again, others are taken modulo `bound`.
    #[inline]
    pub fn below(&mut self, bound: u64) -> u64 {
        // 2^64 mod bound draws are too many.
        let surplus = (u64::MAX % bound + 1) % bound;
        loop {
            let draw = self.draw();
            if draw <= u64::MAX - surplus {
                return draw % bound;
            }
        }
    }
    /// A number in (0, 1]: the upper 53 bits plus one, times 2^-53.
    #[inline]
    pub fn unit(&mut self) -> f64 {
        ((self.draw() >> 11) + 1) as f64 * (1.0 / 9_007_199_254_740_992.0)
    }
}

/// `n` distinct top-left corners (y, x) of patches of `size`, each set as likely as any other, in the order of rows.
///
/// Corners are numbered row by row, and `n` of them are chosen by Floyd's algorithm (Bentley and Floyd, 1987). All of
/// them if there are at most `n`; none if the patch does not fit.
pub fn random(
    height: usize,
    width: usize,
    size: (usize, usize),
    n: usize,
    seed: u64,
    key: &str,
) -> Vec<(usize, usize)> {
    let (rows, columns) = crate::tile::grid_shape(height, width, size, (1, 1));
    let Some(count) = rows.checked_mul(columns).filter(|&count| count > n) else {
        return grid(height, width, size, (1, 1));
    };
    let mut generator = Generator::new(seed, key);
    let mut chosen = HashSet::with_capacity(n);
    for last in count - n..count {
        let position = generator.below(last as u64 + 1) as usize;
        if !chosen.insert(position) {
            chosen.insert(last);
        }
    }
    corners(chosen.into_iter().collect(), columns)
}

fn corners(mut positions: Vec<usize>, columns: usize) -> Vec<(usize, usize)> {
    positions.sort_unstable();
    positions.into_iter().map(|position| (position / columns, position % columns)).collect()
}

/// A place in the order of choice: by class, then by key, then by position.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Candidate {
    flat: bool,
    key: f64,
    position: usize,
}

impl Eq for Candidate {}

impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Candidate {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.flat.cmp(&other.flat).then(self.key.total_cmp(&other.key)).then(self.position.cmp(&other.position))
    }
}

/// `n` distinct top-left corners (y, x) of patches of `size`, drawn one after another with a probability proportional
/// to the patch's [`local_variance`], in the order of rows.
///
/// Each position, row by row, draws `u` in (0, 1] and gets the key `-ln(u) / variance`; the `n` smallest keys are
/// chosen (Efraimidis and Spirakis, 2006), the earlier position where keys are equal. Positions without variance
/// (or whose variance is not a number) come after all others, in the order of `-ln(u)`. All positions if there are at
/// most `n`; none if the patch does not fit.
pub fn texture<T: Moments>(
    view: &View<'_, T>,
    size: (usize, usize),
    n: usize,
    seed: u64,
    key: &str,
) -> Vec<(usize, usize)> {
    let (rows, columns) = crate::tile::grid_shape(view.height(), view.width(), size, (1, 1));
    if rows.checked_mul(columns).is_none_or(|count| count <= n) {
        return grid(view.height(), view.width(), size, (1, 1));
    }
    choose(&variance::map(view, size), columns, n, seed, key)
}

fn choose(variances: &[f64], columns: usize, n: usize, seed: u64, key: &str) -> Vec<(usize, usize)> {
    let mut generator = Generator::new(seed, key);
    let mut chosen: BinaryHeap<Candidate> = BinaryHeap::with_capacity(n + 1);
    for (position, &variance) in variances.iter().enumerate() {
        let u = generator.unit();
        let flat = variance.is_nan() || variance <= 0.0;
        let weight = if flat { 1.0 } else { variance };
        let full = chosen.len() >= n;
        // -ln(u) >= 1 - u, so most positions are out without a logarithm.
        let out = |last: &Candidate| (flat & !last.flat) || (flat == last.flat && (1.0 - u) / weight > last.key);
        if full && chosen.peek().is_none_or(out) {
            continue;
        }
        chosen.push(Candidate { flat, key: -u.ln() / weight, position });
        if full {
            chosen.pop();
        }
    }
    corners(chosen.into_iter().map(|candidate| candidate.position).collect(), columns)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splitmix_follows_the_published_sequence() {
        // The first outputs from state 0, as in the reference implementation's own test values (prng.di.unimi.it).
        let mut generator = Generator(0);
        let drawn: Vec<u64> = (0..3).map(|_| generator.draw()).collect();
        assert_eq!(drawn, [0xE220_A839_7B1D_CDAF, 0x6E78_9E6A_A1B9_65F4, 0x06C4_5D18_8009_454F]);
    }

    #[test]
    fn unit_stays_above_zero_and_reaches_one() {
        assert_eq!(((u64::MAX >> 11) + 1) as f64 * (1.0 / 9_007_199_254_740_992.0), 1.0);
        let mut generator = Generator::new(1, "unit");
        assert!((0..10_000).map(|_| generator.unit()).all(|u| u > 0.0 && u <= 1.0));
    }

    #[test]
    fn skipping_logarithms_changes_nothing() {
        let variances: Vec<f64> = (0..500).map(|i| f64::from((i * 37) % 11) * 0.25).collect();
        for n in [0, 1, 7, 100, 450, 499] {
            let mut generator = Generator::new(9, "k");
            let mut all: Vec<Candidate> = variances
                .iter()
                .enumerate()
                .map(|(position, &v)| {
                    let flat = v <= 0.0;
                    Candidate { flat, key: -generator.unit().ln() / if flat { 1.0 } else { v }, position }
                })
                .collect();
            all.sort();
            let expected = corners(all[..n].iter().map(|candidate| candidate.position).collect(), 25);
            assert_eq!(choose(&variances, 25, n, 9, "k"), expected);
        }
    }
}
