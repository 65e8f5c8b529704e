//! Arguments of the verbs on Blueprints and their versions.

use std::path::PathBuf;

use clap::Args;

use super::DocumentFormat;
use super::lists::LimitArgs;

/// Options of `put`.
#[derive(Debug, Args)]
pub(crate) struct PutArgs {
    /// File of the document. `-` reads standard input. The document's `id` selects the Blueprint.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Refuse unless the head has this version: a version, its first digits, or the number of its
    /// commit.
    #[arg(long, value_name = "VERSION", conflicts_with = "new")]
    pub(crate) expected_head: Option<String>,
    /// Refuse if the Blueprint exists.
    #[arg(long)]
    pub(crate) new: bool,
    /// Format of the file. Default: JSON if it begins with `{` or `[`, else YAML.
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub(crate) format: Option<DocumentFormat>,
    /// Reason of the change, kept in the history.
    #[arg(long, value_name = "TEXT")]
    pub(crate) rationale: Option<String>,
}

/// Options of `get`.
#[derive(Debug, Args)]
pub(crate) struct GetArgs {
    /// Id of the Blueprint. Default: list all.
    #[arg(value_name = "BLUEPRINT")]
    pub(crate) blueprint_id: Option<String>,
    /// Print this version: a version, its first digits, or the number of its commit.
    #[arg(
        long,
        value_name = "VERSION",
        requires = "blueprint_id",
        conflicts_with_all = ["semver", "channel"]
    )]
    pub(crate) version: Option<String>,
    /// Print the version with the highest label that satisfies this requirement, such as `^1.2`.
    #[arg(
        long,
        value_name = "REQUIREMENT",
        requires = "blueprint_id",
        conflicts_with = "channel"
    )]
    pub(crate) semver: Option<String>,
    /// Print the version of this channel.
    #[arg(long, value_name = "CHANNEL", requires = "blueprint_id")]
    pub(crate) channel: Option<String>,
    /// Also list archived Blueprints.
    #[arg(long, conflicts_with = "blueprint_id")]
    pub(crate) archived: bool,
}

/// Options of `history`.
#[derive(Debug, Args)]
pub(crate) struct HistoryArgs {
    /// Id of the Blueprint.
    #[arg(value_name = "BLUEPRINT")]
    pub(crate) blueprint_id: String,
    /// List only commits of this actor.
    #[arg(long, value_name = "NAME")]
    pub(crate) actor: Option<String>,
    #[command(flatten)]
    pub(crate) limit: LimitArgs,
}

/// Options of `diff`.
#[derive(Debug, Args)]
pub(crate) struct DiffArgs {
    /// Id of the Blueprint.
    #[arg(value_name = "BLUEPRINT")]
    pub(crate) blueprint_id: String,
    /// The older version: a version, its first digits, or the number of its commit. Default: the
    /// one before TO.
    #[arg(value_name = "FROM")]
    pub(crate) from: Option<String>,
    /// The newer version. Default: the newest.
    #[arg(value_name = "TO")]
    pub(crate) to: Option<String>,
    /// Print an RFC 6902 patch instead of a unified diff.
    #[arg(long)]
    pub(crate) patch: bool,
}

/// Options of `revert`.
#[derive(Debug, Args)]
pub(crate) struct RevertArgs {
    /// Id of the Blueprint.
    #[arg(value_name = "BLUEPRINT")]
    pub(crate) blueprint_id: String,
    /// The version to restore: a version, its first digits, or the number of its commit.
    #[arg(value_name = "VERSION")]
    pub(crate) version: String,
    /// Reason of the change, kept in the history.
    #[arg(long, value_name = "TEXT")]
    pub(crate) rationale: Option<String>,
}

/// Selects a Blueprint.
#[derive(Debug, Args)]
pub(crate) struct BlueprintArg {
    /// Id of the Blueprint.
    #[arg(value_name = "BLUEPRINT")]
    pub(crate) blueprint_id: String,
}

/// Options of `export`.
#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// Id of the Blueprint.
    #[arg(value_name = "BLUEPRINT")]
    pub(crate) blueprint_id: String,
    /// The file to create; it must not exist. Default: standard output.
    #[arg(short = 'o', long = "out", value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
}

/// Options of `import`.
#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// A file written by `export`.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
}
