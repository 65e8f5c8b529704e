//! Arguments of the verbs on a whole store.

use std::path::PathBuf;

use clap::Args;

/// Options of `backup`.
#[derive(Debug, Args)]
pub(crate) struct BackupArgs {
    /// The file to create; it must not exist. It appears only when it is complete.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
}

/// Options of `restore`.
#[derive(Debug, Args)]
pub(crate) struct RestoreArgs {
    /// A file written by `backup`.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Read the whole file, verify every version in it, and write nothing. Needs no intake.
    #[arg(long)]
    pub(crate) check: bool,
    /// Accept a store that has other Blueprints or settings. They are kept. A Blueprint or setting
    /// that is in both with different contents is an error, and nothing is written then.
    #[arg(long, conflicts_with = "check")]
    pub(crate) merge: bool,
}
