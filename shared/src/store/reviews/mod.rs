//! Reviews: a verified change waits for the decision of a person.
//!
//! # Who owns what
//!
//! `settle` makes a proposal: it stores the verified document with the head that it was verified
//! on, and takes the issue out of its queue. From then on no worker holds the issue. Only the
//! scripts of this module, and `cancel`, change it. Each ends the review and decides the issue in
//! one step, or returns the issue to its queue.
//!
//! # No stale approval
//!
//! A reviewer names the document and the head that they have seen. `approve` compares both with the
//! stored proposal, and the proposal's head with the present one. It commits the stored document in
//! the same step, so nothing can move in between. Otherwise nothing is committed.
//!
//! # Failures and their repair
//!
//! * The reply of `settle` is lost. The worker repeats the call with its token, and gets the state
//!   of the issue.
//! * The reply of `approve` or `decline` is lost. The caller repeats the call. An approval that
//!   was committed answers `again`, one that found another head answers `moved_head` again.
//! * Two reviewers decide at once. The second finds the issue decided.
//! * A worker dies while it verifies an issue again. The stored patch stays with the issue until
//!   the decision, so the next worker has it too.
//! * No worker runs when a proposal expires. An approval or a decline declines it first.

pub mod approve;
pub mod decline;
pub mod expire;
pub mod read;
