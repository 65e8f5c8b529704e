//! The formats of files.

use clap::ValueEnum;
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
