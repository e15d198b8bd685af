//! SET, HELP and ECHO: commands that need no batch and no instance.

pub(crate) mod echo;
pub(crate) mod help;
pub(crate) mod set;
