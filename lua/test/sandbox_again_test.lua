-- Runs after `sandbox_test` has set the global `leftover`, possibly on the same interpreter.
assert(leftover == nil)
leftover = true
return true
