//! Patch-set shards.
