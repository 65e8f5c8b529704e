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
    /// Exit with 1 if the versions differ and 0 if not. The status of an error is then 2.
    #[arg(long)]
    pub(crate) exit_code: bool,
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
    /// A file written by `export`. `-` reads standard input.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Import the history as this Blueprint. Its versions then differ from those of the file, and
    /// its commits name no issues: their rationale does.
    #[arg(long = "as", value_name = "NEW_ID")]
    pub(crate) new_id: Option<String>,
}

/// Options of `fork`.
#[derive(Debug, Args)]
pub(crate) struct ForkArgs {
    /// Id of the Blueprint to copy.
    #[arg(value_name = "BLUEPRINT")]
    pub(crate) blueprint_id: String,
    /// Id of the new Blueprint. It must not exist.
    #[arg(value_name = "NEW_ID")]
    pub(crate) new_id: String,
    /// Begin a new history with the present version.
    #[arg(long)]
    pub(crate) head_only: bool,
}

/// Options of `edit`.
#[derive(Debug, Args)]
pub(crate) struct EditArgs {
    /// Id of the Blueprint. The editor is the one of VISUAL, else of EDITOR, else vi.
    #[arg(value_name = "BLUEPRINT")]
    pub(crate) blueprint_id: String,
    /// Reason of the change, kept in the history.
    #[arg(long, value_name = "TEXT")]
    pub(crate) rationale: Option<String>,
}
