//! Runs a script of the store without its typed function, with arguments that the function never
//! sends.

use redis::ToRedisArgs;
use serde_json::Value;
use shared::ids::BlueprintId;
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
    args: &[impl ToRedisArgs],
) -> Result<Vec<redis::Value>, StoreError> {
    let all = script::all();
    let script = all.into_iter().find(|script| script.name() == name);
    let mut eval = redis::cmd("EVAL");
    eval.arg(script.expect("a script").source());
    eval.arg(keys.len()).arg(keys);
    for arg in args {
        eval.arg(arg);
    }
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
    args: &[impl ToRedisArgs],
) -> Result<String, StoreError> {
    let answer = answer(store, name, keys, args).await?;
    let outcome = answer.into_iter().next().expect("an outcome");
    Ok(redis::from_redis_value(outcome).expect("an outcome is text"))
}

/// As [`outcome`], for a script of an issue (see `include/keys.lua`). `holder` is the worker whose
/// list is meant; `own` has the script's other fields.
///
/// # Errors
/// As [`outcome`].
pub async fn outcome_for(
    store: &Shard,
    name: &str,
    issue: &IssueRef,
    holder: &str,
    own: Value,
) -> Result<String, StoreError> {
    let (blueprint, head) = (&issue.blueprint_id, issue.issue_id.as_str());
    outcome_of_queue(store, name, blueprint, head, holder, own).await
}

/// As [`outcome_for`], for a queue that can be empty: '-' then replaces the id of its head.
///
/// # Errors
/// As [`outcome`].
pub async fn outcome_of_queue(
    store: &Shard,
    name: &str,
    blueprint: &BlueprintId,
    head: &str,
    holder: &str,
    own: Value,
) -> Result<String, StoreError> {
    let mut arg = own;
    arg["blueprint_id"] = blueprint.as_str().into();
    arg["issue_id"] = head.into();
    arg["holder"] = holder.into();
    let arg = rmp_serde::to_vec(&arg).expect("JSON has the types of MessagePack");
    let keys = [store.keys().backlog(blueprint)];
    outcome(store, name, &keys, &[&arg]).await
}
