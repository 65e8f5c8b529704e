//! Runs a script of the store without its typed function, with arguments that the function never
//! sends.

use redis::Value;
use shared::store::redis::script;
use shared::store::{IssueRef, Shard, StoreError};

/// Returns the reply of the script `name`: its outcome, then its values.
///
/// # Errors
/// The error that Redis returns.
///
/// # Panics
/// If the script does not exist.
pub async fn answer(
    store: &Shard,
    name: &str,
    keys: &[String],
    args: &[&str],
) -> Result<Vec<Value>, StoreError> {
    let all = script::all();
    let script = all.into_iter().find(|script| script.name() == name);
    let mut eval = redis::cmd("EVAL");
    eval.arg(script.expect("a script").source());
    eval.arg(keys.len()).arg(keys).arg(args);
    store.handle().command("raw script", &eval).await
}

/// As [`answer`], without the values.
///
/// # Errors
/// As [`answer`].
///
/// # Panics
/// If the script does not exist, or its reply does not start with an outcome.
pub async fn outcome(
    store: &Shard,
    name: &str,
    keys: &[String],
    args: &[&str],
) -> Result<String, StoreError> {
    let answer = answer(store, name, keys, args).await?;
    let outcome = answer.into_iter().next().expect("an outcome");
    Ok(redis::from_redis_value(outcome).expect("an outcome is text"))
}

/// As [`outcome`], for a script whose arguments start with an issue's block. `holder` is the worker
/// whose list is meant; `args` follow the channels.
///
/// # Errors
/// As [`outcome`].
pub async fn outcome_for(
    store: &Shard,
    name: &str,
    issue: &IssueRef,
    holder: &str,
    args: &[&str],
) -> Result<String, StoreError> {
    let (blueprint, id) = (&issue.blueprint_id, &issue.issue_id);
    let keys = store.keys().issue_block(blueprint, id, holder);
    let head = [blueprint.as_str(), id.as_str(), "channel", "issue-channel"];
    outcome(store, name, &keys, &[&head, args].concat()).await
}
