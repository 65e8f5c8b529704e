//! Arguments of `context`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// The verbs of `context`.
#[derive(Debug, Subcommand)]
pub(crate) enum ContextVerb {
    /// Store --addr, --ca, --client-cert and --client-key under a name, and say where the token is.
    Add(ContextAddArgs),
    /// Use a context in every call that names no other address.
    Use(ContextUseArgs),
    /// List the contexts.
    List,
    /// Remove a context.
    Remove(ContextArg),
}

/// Options of `context add`.
#[derive(Debug, Args)]
pub(crate) struct ContextAddArgs {
    /// Name of the context: letters, digits, `.`, `_` and `-`.
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// File of the token. It is read at every call; the token itself is never stored.
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// Environment variable of the token. It is read at every call.
    #[arg(long, value_name = "VARIABLE", conflicts_with = "token_file")]
    pub(crate) token_env: Option<String>,
    /// Replace the context if it exists.
    #[arg(long)]
    pub(crate) replace: bool,
    /// Use the context from now on.
    #[arg(long = "use")]
    pub(crate) is_used: bool,
}

/// Options of `context use`.
#[derive(Debug, Args)]
pub(crate) struct ContextUseArgs {
    /// Name of the context.
    #[arg(value_name = "CONTEXT", required_unless_present = "none")]
    pub(crate) name: Option<String>,
    /// Use no context.
    #[arg(long, conflicts_with = "name")]
    pub(crate) none: bool,
}

/// Selects a context.
#[derive(Debug, Args)]
pub(crate) struct ContextArg {
    /// Name of the context.
    #[arg(value_name = "CONTEXT")]
    pub(crate) name: String,
}
