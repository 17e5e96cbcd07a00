//! Where patches are cut: grid, random, texture; and the local variance behind texture.
