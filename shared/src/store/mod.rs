//! What is stored and how. The only engine is Redis; see [`redis`].

pub mod redis;

pub use self::redis::acceptance::{CancelOutcome, SubmitOutcome};
pub use self::redis::archive::ArchiveOutcome;
pub use self::redis::audit::Repaired;
pub use self::redis::blueprints::{ExpectedHead, PutOutcome, StoredBlueprint};
pub use self::redis::connection::{ConnectionId, Link, PopLink};
pub use self::redis::error::StoreError;
pub use self::redis::events::{CancelStream, EventStream, IssueEvent, IssueSteps, News};
pub use self::redis::issues::{IssueFilter, Page, PageRequest};
pub use self::redis::orbit_use::OrbitUse;
pub use self::redis::places::PlaceOutcome;
pub use self::redis::previews::{
    MAX_WAITING_PREVIEWS, PreviewRequestOutcome, PreviewSight, PreviewTicket,
};
pub use self::redis::queue::{
    ClaimOutcome, Claimed, Company, Decision, Head, IssueRef, Lease, NextClaim, SettleOutcome,
    Settlement,
};
pub use self::redis::recovery::{PromoteOutcome, ReapOutcome, ReturnOutcome};
pub use self::redis::release::{Release, ReleaseOutcome};
pub use self::redis::seed::Seed;
pub use self::redis::server_check::Finding;
pub use self::redis::setting_check::{Follower, SettingFault};
pub use self::redis::settings::{DeleteSettingOutcome, PutSettingOutcome};
pub use self::redis::sights::{IssueSight, Sights};
pub use self::redis::stats::{QueueStats, WorkerStats};
pub use self::redis::steps::{CostOutcome, PaidStep, RememberOutcome};
pub use self::redis::transfer::{Import, ImportOutcome, StageOutcome};
pub use self::redis::workers::Beat;
pub use self::redis::{Shard, Store};
