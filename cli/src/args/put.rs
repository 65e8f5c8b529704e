//! Options of `put`, and the formats of files.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use proto::v1;
use shared::blueprint::yaml::Format;

/// The format of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum DocumentFormat {
    /// YAML, flow style included.
    Yaml,
    /// JSON.
    Json,
}

/// Options of `put`.
#[derive(Debug, Args)]
pub(crate) struct PutArgs {
    /// File of the document. `-` reads standard input. The document's `id` selects the Blueprint.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Refuse unless the head has this version.
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

impl DocumentFormat {
    /// Returns the format for intake.
    pub(crate) fn to_wire(given: Option<Self>) -> v1::DocumentFormat {
        match given {
            None => v1::DocumentFormat::Unspecified,
            Some(Self::Yaml) => v1::DocumentFormat::Yaml,
            Some(Self::Json) => v1::DocumentFormat::Json,
        }
    }

    /// Returns the format for reading a file locally.
    pub(crate) fn to_reader(given: Option<Self>) -> Format {
        match given {
            None => Format::Auto,
            Some(Self::Yaml) => Format::Yaml,
            Some(Self::Json) => Format::Json,
        }
    }
}
