//! Options of `put`, and the languages of files.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use proto::v1;
use shared::blueprint::yaml::Format;

/// The language of a file.
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
    /// The document; `-` reads standard input. Its own `id` says which Blueprint it is.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Refuse unless this is the version of the newest commit.
    #[arg(long, value_name = "VERSION", conflicts_with = "new")]
    pub(crate) expected_head: Option<String>,
    /// Refuse if the Blueprint is there already.
    #[arg(long)]
    pub(crate) new: bool,
    /// The language of the file; if not given, JSON if it begins with `{` or `[`, else YAML.
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub(crate) format: Option<DocumentFormat>,
    /// Why, for the history.
    #[arg(long, value_name = "TEXT")]
    pub(crate) rationale: Option<String>,
}

impl DocumentFormat {
    /// The format that intake reads by.
    pub(crate) fn to_wire(given: Option<Self>) -> v1::DocumentFormat {
        match given {
            None => v1::DocumentFormat::Unspecified,
            Some(Self::Yaml) => v1::DocumentFormat::Yaml,
            Some(Self::Json) => v1::DocumentFormat::Json,
        }
    }

    /// The format that a file is read by here.
    pub(crate) fn to_reader(given: Option<Self>) -> Format {
        match given {
            None => Format::Auto,
            Some(Self::Yaml) => Format::Yaml,
            Some(Self::Json) => Format::Json,
        }
    }
}
