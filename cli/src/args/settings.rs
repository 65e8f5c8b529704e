//! The options of `setting put`.

use std::path::PathBuf;

use clap::Args;

use super::DocumentFormat;

/// Options of `setting put`.
#[derive(Debug, Args)]
pub(crate) struct SettingPutArgs {
    /// The setting; `-` reads standard input. Its own `id` says which one it is; its `revision` is not read.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// The language of that file; if not given, JSON if it begins with `{` or `[`, else YAML.
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub(crate) format: Option<DocumentFormat>,
    /// A Blueprint to be written first, as the setting's orbit.
    #[arg(long, value_name = "FILE")]
    pub(crate) orbit: Option<PathBuf>,
    /// The language of the orbit's file; if not given, JSON if it begins with `{` or `[`, else YAML.
    #[arg(long, value_enum, value_name = "FORMAT", requires = "orbit")]
    pub(crate) orbit_format: Option<DocumentFormat>,
    /// Refuse unless this is the stored revision; 0: unless there is no such setting.
    #[arg(long, value_name = "N")]
    pub(crate) expected_revision: Option<u64>,
    /// Leave its `verifier_axes` out on purpose: whatever the spawner proposes is committed.
    #[arg(long)]
    pub(crate) no_verification: bool,
}
