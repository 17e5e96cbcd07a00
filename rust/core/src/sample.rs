//! Where patches are cut.

use crate::view::View;

/// stand-in
pub fn random(
    height: usize,
    width: usize,
    size: (usize, usize),
    n: usize,
    _seed: u64,
    _key: &str,
) -> Vec<(usize, usize)> {
    crate::tile::grid(height, width, size, (1, 1)).into_iter().take(n).collect()
}
/// stand-in
pub fn texture(view: &View<'_, u8>, size: (usize, usize), n: usize, seed: u64, key: &str) -> Vec<(usize, usize)> {
    random(view.height(), view.width(), size, n, seed, key)
}
