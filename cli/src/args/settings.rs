//! Options of `setting put`.

use std::path::PathBuf;

use clap::Args;

use super::DocumentFormat;

/// Options of `setting put`.
#[derive(Debug, Args)]
pub(crate) struct SettingPutArgs {
    /// File of the setting. `-` reads standard input. The `id` in it selects the setting; its
    /// `revision` is ignored.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Format of that file. Default: JSON if it begins with `{` or `[`, else YAML.
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub(crate) format: Option<DocumentFormat>,
    /// File of a Blueprint to write first, as the orbit of the setting.
    #[arg(long, value_name = "FILE")]
    pub(crate) orbit: Option<PathBuf>,
    /// Format of the orbit's file. Default: JSON if it begins with `{` or `[`, else YAML.
    #[arg(long, value_enum, value_name = "FORMAT", requires = "orbit")]
    pub(crate) orbit_format: Option<DocumentFormat>,
    /// Refuse unless the stored setting has this revision. 0: the setting must not exist.
    #[arg(long, value_name = "N")]
    pub(crate) expected_revision: Option<u64>,
    /// Allow a setting without `verifier_axes`: every patch of the spawner is committed unverified.
    #[arg(long)]
    pub(crate) no_verification: bool,
}
