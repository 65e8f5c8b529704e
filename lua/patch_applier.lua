-- Applies `$.patch` to the target, all of it or nothing; see `worker/src/flow/bundled/apply.rs`.
-- Returns `{prev_hash, patch, new_bp_*, new_hash, epoch_id}` or `{error = {axis, reason}}`.

return host.apply_patch(_CTX)
