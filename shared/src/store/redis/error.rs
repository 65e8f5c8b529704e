//! Errors of the store, and whether the call may have been executed nevertheless.

use thiserror::Error;

use crate::blueprint::DocumentError;
use crate::error::ErrorKind;
use crate::store::redis::finding::{Finding, sentences};

/// An error of the store.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The URL of Redis is invalid.
    #[error(
        "redis url cannot be used; expected redis://[user:password@]host:port[/db] or rediss://…"
    )]
    Url(#[source] redis::RedisError),
    /// Redis is unreachable, or a call returned no reply.
    #[error("redis call {call} failed")]
    Redis {
        /// The name of the call.
        call: &'static str,
        /// The error of Redis or of its client.
        #[source]
        source: redis::RedisError,
    },
    /// Redis is a replica. It rejects writes or loses them.
    #[error(
        "redis is a replica of {master}; waiting for it to become the master, or let {} name the master",
        crate::config::REDIS_URL
    )]
    Replica {
        /// The address of its master, `host:port`.
        master: String,
    },
    /// The call was executed but too few replicas have it yet. A failure of the master could lose
    /// it.
    #[error(
        "{call} was carried out, but only {reached} of {wanted} replicas have it; do they run, and follow the master?"
    )]
    NotReplicated {
        /// The name of the call.
        call: &'static str,
        /// The required number of replicas.
        wanted: u32,
        /// The number of replicas that have it.
        reached: u32,
    },
    /// Redis, or the user's access to it, does not meet the requirements.
    #[error("redis is not fit for use: {}", sentences(.0))]
    Unfit(Vec<Finding>),
    /// A script returned a result outside its contract.
    #[error("script {script} answered {got:?}, which is not in its contract")]
    Contract {
        /// The name of the script.
        script: &'static str,
        /// The returned value.
        got: String,
    },
    /// A stored form is damaged.
    #[error("stored {what} of {id} is damaged: {problem}")]
    Damaged {
        /// The kind of the stored form.
        what: &'static str,
        /// The id of the object.
        id: String,
        /// The description of the damage.
        problem: String,
    },
    /// A stored document does not match its version.
    #[error("stored document of blueprint {blueprint_id} is damaged")]
    Document {
        /// The id of the Blueprint.
        blueprint_id: String,
        /// The error in the document.
        #[source]
        source: DocumentError,
    },
    /// A selector without a matching version.
    #[error("no matching version of blueprint {blueprint_id} for {req}")]
    NoMatchingVersion {
        /// The id of the Blueprint.
        blueprint_id: String,
        /// The requirement.
        req: String,
    },
    /// A stored label is not a valid semver, and no valid label matches.
    #[error("invalid semver: label {label:?} of blueprint {blueprint_id}: {source}")]
    InvalidSemver {
        /// The id of the Blueprint.
        blueprint_id: String,
        /// The label.
        label: String,
        /// The error of the parser.
        #[source]
        source: semver::Error,
    },
    /// An invalid page cursor.
    #[error("page cursor {0:?} is not one of this list")]
    Cursor(String),
}

impl StoreError {
    /// Returns the error kind for the API layer.
    pub fn kind(&self) -> ErrorKind {
        match self {
            StoreError::Url(_) | StoreError::Cursor(_) => ErrorKind::InvalidInput,
            _ if self.is_retryable() => ErrorKind::Unavailable,
            StoreError::NoMatchingVersion { .. } => ErrorKind::NotFound,
            StoreError::InvalidSemver { .. } => ErrorKind::Precondition,
            StoreError::Redis { .. }
            | StoreError::Replica { .. }
            | StoreError::NotReplicated { .. }
            | StoreError::Unfit(_)
            | StoreError::Contract { .. }
            | StoreError::Damaged { .. }
            | StoreError::Document { .. } => ErrorKind::Internal,
        }
    }

    /// Returns true if the same call may succeed later: Redis is unavailable, loading, busy,
    /// read-only or full.
    pub fn is_retryable(&self) -> bool {
        match self {
            StoreError::Redis { source, .. } => self.certainly_not_executed() || is_broken(source),
            StoreError::Replica { .. } | StoreError::NotReplicated { .. } => true,
            _ => false,
        }
    }

    /// Returns true if Redis has no memory left for the call.
    pub(crate) fn is_full(&self) -> bool {
        matches!(self, StoreError::Redis { source, .. } if source.code() == Some("OOM"))
    }

    /// Returns true if Redis certainly did not execute the call (protocol, rule 8).
    pub fn certainly_not_executed(&self) -> bool {
        let StoreError::Redis { source, .. } = self else {
            return false;
        };
        const REFUSALS: [&str; 12] = [
            "NOSCRIPT",
            "LOADING",
            "BUSY",
            "READONLY",
            "NOREPLICAS",
            "OOM",
            "TRYAGAIN",
            "CLUSTERDOWN",
            "MOVED",
            "ASK",
            "MASTERDOWN",
            "MISCONF",
        ];
        source.is_connection_refusal() || source.code().is_some_and(|code| REFUSALS.contains(&code))
    }
}

/// Returns true if the connection is unusable: the state of its calls is unknown.
pub(crate) fn is_broken(error: &redis::RedisError) -> bool {
    error.is_io_error()
        || error.is_timeout()
        || error.is_connection_dropped()
        || error.is_unrecoverable_error()
        // A blocked call (a pop or WAIT) whose master became a replica.
        || error.code() == Some("UNBLOCKED")
}
