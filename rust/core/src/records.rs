//! Records of a patch set as columns.
