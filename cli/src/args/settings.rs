//! Arguments of `setting`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::DocumentFormat;

/// The verbs of `setting`.
#[derive(Debug, Subcommand)]
pub(crate) enum SettingVerb {
    /// Print a setting, in the form that `setting put` reads.
    Get(SettingArg),
    /// Write a setting (YAML or JSON, with the field names of `setting get`).
    Put(SettingPutArgs),
    /// Change a setting in your editor.
    Edit(SettingEditArgs),
    /// List the settings by id.
    List,
    /// Delete a setting. `default` cannot be deleted.
    Delete(SettingArg),
    /// Use a language model to write the patches. The worker needs the key of the provider in its
    /// environment, such as `ANTHROPIC_API_KEY` or `OPENAI_API_KEY`.
    UseModel(UseModelArgs),
    /// Use another orbit at its latest version, such as the bundled enhance-repair.
    UseOrbit(UseOrbitArgs),
}

/// Selects a setting.
#[derive(Debug, Args)]
pub(crate) struct SettingArg {
    /// Id of the setting.
    #[arg(value_name = "SETTING")]
    pub(crate) setting_id: String,
}

/// Options of `setting put`.
#[derive(Debug, Args)]
pub(crate) struct SettingPutArgs {
    /// File of the setting. `-` reads standard input. The `id` in it selects the setting; its
    /// `revision`, `updated_by` and `updated_at` are ignored.
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

/// Options of `setting edit`.
#[derive(Debug, Args)]
pub(crate) struct SettingEditArgs {
    /// Id of the setting. The editor is the one of VISUAL, else of EDITOR, else vi.
    #[arg(value_name = "SETTING")]
    pub(crate) setting_id: String,
}

/// Options of `setting use-model`.
#[derive(Debug, Args)]
pub(crate) struct UseModelArgs {
    /// The model, such as anthropic/claude-sonnet-4-5, openai/gpt-4o or ollama/llama3.1. `none`:
    /// the spawner of the orbit writes the patches again.
    #[arg(value_name = "PROVIDER/MODEL|none")]
    pub(crate) model: String,
    /// Id of the setting to change.
    #[arg(long, value_name = "SETTING", default_value = "default")]
    pub(crate) setting: String,
}

/// Options of `setting use-orbit`.
#[derive(Debug, Args)]
pub(crate) struct UseOrbitArgs {
    /// Id of the orbit, such as enhance-default or enhance-repair.
    #[arg(value_name = "BLUEPRINT")]
    pub(crate) orbit: String,
    /// Id of the setting to change.
    #[arg(long, value_name = "SETTING", default_value = "default")]
    pub(crate) setting: String,
}
