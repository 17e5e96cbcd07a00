//! Images to patches and back.

/// Top left corners of the patches of `size` that fit on a grid, row by row.
pub fn grid(height: usize, width: usize, size: (usize, usize), stride: (usize, usize)) -> Vec<(usize, usize)> {
    let steps = |len: usize, size: usize, stride: usize| (0..len.saturating_sub(size - 1)).step_by(stride);
    steps(height, size.0, stride.0).flat_map(|y| steps(width, size.1, stride.1).map(move |x| (y, x))).collect()
}
