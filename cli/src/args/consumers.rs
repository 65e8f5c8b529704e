//! Arguments of the verbs for programs that run Blueprints.

use std::path::PathBuf;

use clap::Args;

/// Options of `follow`.
#[derive(Debug, Args)]
pub(crate) struct FollowArgs {
    /// Ids of Blueprints, or patterns: `*` matches any characters, `?` exactly one. At most 64.
    #[arg(value_name = "PATTERN", required = true)]
    pub(crate) patterns: Vec<String>,
    /// The channel to follow. Default: the head.
    #[arg(long, value_name = "CHANNEL")]
    pub(crate) channel: Option<String>,
}

/// Options of `sync`.
#[derive(Debug, Args)]
pub(crate) struct SyncArgs {
    /// The folder. Each Blueprint becomes the file `<blueprint_id>.yaml` with its canonical YAML. A
    /// file is replaced completely or not at all.
    #[arg(value_name = "DIR")]
    pub(crate) dir: PathBuf,
    /// Id of a Blueprint, or a pattern: `*` matches any characters, `?` exactly one. Can be given
    /// up to 64 times.
    #[arg(long = "pattern", short = 'p', value_name = "PATTERN", required = true)]
    pub(crate) patterns: Vec<String>,
    /// The channel to follow. Default: the head.
    #[arg(long, value_name = "CHANNEL")]
    pub(crate) channel: Option<String>,
    /// Command of the shell to run after the start and after each change. DRAFTSMAN_CHANGED and
    /// DRAFTSMAN_REMOVED have the ids, separated by spaces. Exit status 0 is reported as applied,
    /// any other as failed.
    #[arg(long, value_name = "COMMAND")]
    pub(crate) run: Option<String>,
    /// End once the folder is up to date, for init containers.
    #[arg(long)]
    pub(crate) once: bool,
    /// Keep the files of Blueprints that are archived or no longer in the channel.
    #[arg(long)]
    pub(crate) keep: bool,
    /// Name of this instance, for `consumers`. Default: the name of the machine.
    #[arg(long, value_name = "CONSUMER", env = "DRAFTSMAN_CONSUMER")]
    pub(crate) consumer: Option<String>,
}
