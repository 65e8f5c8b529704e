//! Options of the verbs about channels and consumers.

use clap::Args;

/// Options of `channels`.
#[derive(Debug, Args)]
pub(crate) struct ChannelsArgs {
    /// Id of the Blueprint. Default: all Blueprints.
    #[arg(value_name = "BLUEPRINT")]
    pub(crate) blueprint_id: Option<String>,
    /// Show the moves of the channels, newest first.
    #[arg(long)]
    pub(crate) moves: bool,
    /// Show only this channel.
    #[arg(long, value_name = "CHANNEL")]
    pub(crate) channel: Option<String>,
    /// Maximum number of moves of each Blueprint.
    #[arg(long, value_name = "N", default_value_t = 50, requires = "moves")]
    pub(crate) limit: usize,
    /// Show all moves.
    #[arg(long, requires = "moves", conflicts_with = "limit")]
    pub(crate) all: bool,
}

/// Options of `promote`.
#[derive(Debug, Args)]
pub(crate) struct PromoteArgs {
    /// Id of the Blueprint.
    #[arg(value_name = "BLUEPRINT")]
    pub(crate) blueprint_id: String,
    /// Name of the channel, such as production. Created if it does not exist.
    #[arg(value_name = "CHANNEL")]
    pub(crate) channel: String,
    /// The version to move to: a version, its first digits, or the number of its commit. Default:
    /// the head.
    #[arg(value_name = "VERSION")]
    pub(crate) version: Option<String>,
    /// Reason of the move, kept in the history of the channel.
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
    /// Move without a question.
    #[arg(long)]
    pub(crate) yes: bool,
}

/// Options of `rollback`.
#[derive(Debug, Args)]
pub(crate) struct RollbackArgs {
    /// Id of the Blueprint.
    #[arg(value_name = "BLUEPRINT")]
    pub(crate) blueprint_id: String,
    /// Name of the channel.
    #[arg(value_name = "CHANNEL")]
    pub(crate) channel: String,
    /// Reason of the move, kept in the history of the channel.
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
}

/// Options of `consumers`.
#[derive(Debug, Args)]
pub(crate) struct ConsumersArgs {
    /// Id of the Blueprint. Default: all Blueprints.
    #[arg(value_name = "BLUEPRINT")]
    pub(crate) blueprint_id: Option<String>,
}
