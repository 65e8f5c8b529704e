//! `GetActivity`: figures of the decisions in equal parts of a window.

use proto::v1;
use shared::domain::activity::{Activity, Level, MAX_BUCKETS};

use crate::backend::Backend;
use crate::convert;
use crate::error::request_error::RequestError;

/// The window and the parts of a request without them, in seconds.
const DEFAULT_WINDOW_SECS: u64 = 3_600;
const DEFAULT_BUCKET_SECS: u64 = 60;

/// A valid window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Window {
    level: Level,
    bucket_secs: u64,
    n_buckets: u64,
}

impl Window {
    fn parse(window_secs: u64, bucket_secs: u64) -> Result<Window, RequestError> {
        let or = |given: u64, default| if given == 0 { default } else { given };
        let bucket_secs = or(bucket_secs, DEFAULT_BUCKET_SECS);
        let window_secs = or(window_secs, DEFAULT_WINDOW_SECS);
        let level = Level::of_bucket(bucket_secs).ok_or_else(|| {
            let problem = format!("is {bucket_secs}; it must be a multiple of 60");
            RequestError::field("bucket_secs", problem)
        })?;
        let window = |problem: String| Err(RequestError::field("window_secs", problem));
        if window_secs > level.kept_secs() {
            return window(format!(
                "is {window_secs}; figures in parts of {bucket_secs} seconds are kept for {} seconds",
                level.kept_secs()
            ));
        }
        let n_buckets = window_secs.div_ceil(bucket_secs);
        if n_buckets > MAX_BUCKETS {
            return window(format!(
                "has {n_buckets} parts of {bucket_secs} seconds; the limit is {MAX_BUCKETS}"
            ));
        }
        Ok(Window {
            level,
            bucket_secs,
            n_buckets,
        })
    }
}

/// Answers a request.
pub(super) async fn get(
    backend: &Backend,
    request: v1::GetActivityRequest,
) -> Result<v1::GetActivityResponse, RequestError> {
    let blueprint = convert::blueprint_filter(request.blueprint_id.as_deref())?;
    let window = Window::parse(request.window_secs, request.bucket_secs)?;
    let store = backend.store()?;
    // Decisions have the time of Redis.
    let now_secs = store.home().server_ms().await? / 1_000;
    let last = now_secs / window.bucket_secs;
    let first = (last + 1).saturating_sub(window.n_buckets);
    let (from, to) = (first * window.bucket_secs, (last + 1) * window.bucket_secs);
    let parts = store
        .activity(window.level, from, to, blueprint.as_ref())
        .await?;
    let per_bucket = window.bucket_secs / window.level.part_secs();
    let buckets = (first..=last).map(|bucket| {
        let range = bucket * per_bucket..(bucket + 1) * per_bucket;
        bucket_to_wire(
            bucket * window.bucket_secs,
            parts.range(range).map(|(_, part)| part),
        )
    });
    Ok(v1::GetActivityResponse {
        buckets: buckets.collect(),
    })
}

/// Returns the sum of some parts.
fn bucket_to_wire<'a>(
    start_secs: u64,
    parts: impl Iterator<Item = &'a Activity>,
) -> v1::ActivityBucket {
    let mut bucket = v1::ActivityBucket {
        start: Some(convert::timestamp(start_secs * 1_000)),
        ..Default::default()
    };
    let mut tokens = std::collections::BTreeMap::<&str, (u64, u64)>::new();
    for part in parts {
        bucket.applied += part.applied;
        bucket.denied += part.denied;
        bucket.failed += part.failed;
        bucket.cancelled += part.cancelled;
        bucket.declined += part.declined;
        bucket.timed += part.timed;
        bucket.total_wait_ms += part.total_wait_ms;
        bucket.total_run_ms += part.total_run_ms;
        for (axis, n) in &part.denials_by_axis {
            *bucket.denials_by_axis.entry(axis.clone()).or_default() += n;
        }
        for (model, (input, output)) in &part.tokens_by_model {
            let sum = tokens.entry(model).or_default();
            *sum = (sum.0 + input, sum.1 + output);
        }
    }
    let tokens = tokens
        .into_iter()
        .map(|(model, (input, output))| v1::ModelTokens {
            model: model.to_owned(),
            input_tokens: input,
            output_tokens: output,
        });
    bucket.tokens_by_model = tokens.collect();
    bucket
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_those_that_are_kept() {
        let parsed = |window, bucket| Window::parse(window, bucket).ok();
        let n = |window, bucket| parsed(window, bucket).map(|window| window.n_buckets);
        assert_eq!(n(0, 0), Some(60));
        assert_eq!(n(3_600, 60), Some(60));
        assert_eq!(n(61, 60), Some(2));
        assert_eq!(n(8 * 86_400, 3_600), Some(192));
        assert_eq!(n(400 * 86_400, 86_400), Some(400));
        for (window, bucket) in [
            (3_600, 90),
            (9 * 86_400, 3_600),
            (401 * 86_400, 86_400),
            (8 * 86_400, 60),
        ] {
            assert_eq!(parsed(window, bucket), None, "{window} {bucket}");
        }
    }
}
