//! What can go wrong in the store, and whether it happened all the same.

use thiserror::Error;

use crate::blueprint::DocumentError;
use crate::error::ErrorKind;
use crate::store::redis::finding::{Finding, sentences};

/// An error of the store.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The URL of Redis is none.
    #[error(
        "redis url cannot be used; expected redis://[user:password@]host:port[/db] or rediss://…"
    )]
    Url(#[source] redis::RedisError),
    /// Redis could not be reached, or a call did not come back.
    #[error("redis call {call} failed")]
    Redis {
        /// Which call.
        call: &'static str,
        /// What Redis or its client said.
        #[source]
        source: redis::RedisError,
    },
    /// Redis is a replica: what is written there is lost, if it can be written at all.
    #[error(
        "redis is a replica of {master}; waiting for it to become the master, or let {} name the master",
        crate::config::REDIS_URL
    )]
    Replica {
        /// Its master, `host:port`.
        master: String,
    },
    /// It was carried out, and too few replicas have it yet: with the master it could be lost.
    #[error(
        "{call} was carried out, but only {reached} of {wanted} replicas have it; do they run, and follow the master?"
    )]
    NotReplicated {
        /// Which call.
        call: &'static str,
        /// How many were to have it.
        wanted: u32,
        /// How many have it.
        reached: u32,
    },
    /// Redis, or the access that it gives, is not what the programs need.
    #[error("redis is not fit for use: {}", sentences(.0))]
    Unfit(Vec<Finding>),
    /// A script answered something that its contract does not name.
    #[error("script {script} answered {got:?}, which is not in its contract")]
    Contract {
        /// Which script.
        script: &'static str,
        /// What it answered.
        got: String,
    },
    /// A stored form cannot be read.
    #[error("stored {what} of {id} is damaged: {problem}")]
    Damaged {
        /// Which form.
        what: &'static str,
        /// Whose.
        id: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A stored document does not match its version.
    #[error("stored document of blueprint {blueprint_id} is damaged")]
    Document {
        /// Whose.
        blueprint_id: String,
        /// What is wrong with it.
        #[source]
        source: DocumentError,
    },
    /// A selector that chooses nothing.
    #[error("no matching version of blueprint {blueprint_id} for {req}")]
    NoMatchingVersion {
        /// The Blueprint.
        blueprint_id: String,
        /// The requirement.
        req: String,
    },
    /// A stored label is no semver, and no valid one matches.
    #[error("invalid semver: label {label:?} of blueprint {blueprint_id}: {source}")]
    InvalidSemver {
        /// The Blueprint.
        blueprint_id: String,
        /// The label.
        label: String,
        /// Why it is none.
        #[source]
        source: semver::Error,
    },
    /// A page cursor that was not made here.
    #[error("page cursor {0:?} is not one of this list")]
    Cursor(String),
}

impl StoreError {
    /// The closed kind, for the edge.
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

    /// True if the same call may succeed later: Redis is away, loading, busy, read-only or full.
    pub fn is_retryable(&self) -> bool {
        match self {
            StoreError::Redis { source, .. } => self.certainly_not_executed() || is_broken(source),
            StoreError::Replica { .. } | StoreError::NotReplicated { .. } => true,
            _ => false,
        }
    }

    /// True if Redis has no memory left for the call.
    pub(crate) fn is_full(&self) -> bool {
        matches!(self, StoreError::Redis { source, .. } if source.code() == Some("OOM"))
    }

    /// True if Redis certainly did not carry the call out (protocol, rule 8).
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

/// True if the connection is to be given up: nothing certain is known of what it carried.
pub(crate) fn is_broken(error: &redis::RedisError) -> bool {
    error.is_io_error()
        || error.is_timeout()
        || error.is_connection_dropped()
        || error.is_unrecoverable_error()
        // A call that was blocked (a pop, WAIT) when its master became a replica.
        || error.code() == Some("UNBLOCKED")
}
