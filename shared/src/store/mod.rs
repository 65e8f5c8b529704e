//! The store and its stored forms. The only engine is Redis; see [`redis`].

pub mod activity;
pub mod blueprints;
pub mod channels;
pub mod consumers;
pub mod events;
pub mod issues;
pub mod log;
pub mod previews;
pub mod queue;
pub mod redis;
pub mod reviews;
pub mod seed;
pub mod settings;
pub mod stats;
pub mod workers;

mod all_shards;
mod codec;

pub use self::activity::CountedDecisions;
pub use self::blueprints::archive::ArchiveOutcome;
pub use self::blueprints::heads::{HeadPointer, Heads, HeadsPage};
pub use self::blueprints::put::{ExpectedHead, PutOutcome};
pub use self::blueprints::put_orbit::OrbitUse;
pub use self::blueprints::read::StoredBlueprint;
pub use self::blueprints::transfer::{Import, ImportOutcome, StageOutcome};
pub use self::channels::delete::DeleteChannelOutcome;
pub use self::channels::set::{SetChannel, SetChannelOutcome};
pub use self::codec::paging::{Page, PageRequest};
pub use self::consumers::ReportOutcome;
pub use self::events::{CancelStream, EventStream, IssueEvent, IssueSteps, News, Topic};
pub use self::issues::read::IssueFilter;
pub use self::issues::revisions::{IssueRevision, IssueRevisions, REVISIONS_PER_CALL};
pub use self::log::LogFilter;
pub use self::previews::preview::{
    MAX_WAITING_PREVIEWS, PreviewRequestOutcome, PreviewStatus, PreviewTicket,
};
pub use self::queue::audit::Repaired;
pub use self::queue::cancel::CancelOutcome;
pub use self::queue::claim::{ClaimMode, ClaimOutcome, Claimed, Head};
pub use self::queue::issue_block::Lease;
pub use self::queue::promote::PromoteOutcome;
pub use self::queue::reap::ReapOutcome;
pub use self::queue::release::{Release, ReleaseOutcome};
pub use self::queue::return_element::ReturnOutcome;
pub use self::queue::settle::{NewProposal, NextClaim, SettleOutcome, Settlement};
pub use self::queue::step_cache::{CacheOutcome, CachedStep, CostOutcome};
pub use self::queue::submit::SubmitOutcome;
pub use self::queue::waiting::{PendingIssue, WaitingIssues};
pub use self::redis::error::StoreError;
pub use self::redis::finding::Finding;
pub use self::redis::handle::RedisHandle;
pub use self::redis::pop_handle::{ConnectionId, PopHandle};
pub use self::redis::shard::Shard;
pub use self::redis::store::Store;
pub use self::reviews::approve::ApproveOutcome;
pub use self::reviews::decline::DeclineOutcome;
pub use self::reviews::expire::ExpireOutcome;
pub use self::reviews::read::ProposalLookup;
pub use self::seed::Seed;
pub use self::settings::check::{CheckedOrbit, Follower, SettingFault};
pub use self::settings::records::{DeleteSettingOutcome, PutSettingOutcome};
pub use self::stats::{QueueStats, Warning, WorkerStats, memory_warning, unverified_warning};
pub use self::workers::agent_slots::SlotOutcome;
pub use self::workers::heartbeat::Beat;
pub use crate::domain::issue_ref::IssueRef;
