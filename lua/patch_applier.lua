-- Applies `$.patch` to the target, all of it or nothing; `worker/src/flow/bundled/apply.rs` says how.
-- Returns `{prev_hash, patch, new_bp_yaml, new_bp_json, new_hash, epoch_id}` or `{error = {axis, reason}}`.

return host.apply_patch(_CTX)
