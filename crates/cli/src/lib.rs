//! What the `holdfast` command is made of.

pub mod flow;
