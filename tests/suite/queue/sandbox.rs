//! Scripts that try to escape, to hang, or to leave data behind. Their issue is decided in each
//! case, and the worker and its other issues are not affected.

use proto::v1::IssueState;
use tests::checker::{Attempts, assert_sound};
use tests::eventually::eventually;
use tests::factory;
use tests::judgement::assert_failed;
use tests::rig::Rig;

/// A single call that practically never ends.
const HANG_IN_C: &str = "return string.find(string.rep('a', 5000), string.rep('a-', 40) .. 'b')";

/// A worker with these axes and short leases. A worker that missed a few heartbeats would lose its
/// leases, and its issues would be attempted again.
async fn rig(axes: &[(&str, &str)]) -> (Rig, tempfile::TempDir) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let verifiers = dir.path().join("verifiers");
    std::fs::create_dir(&verifiers).expect("a directory");
    for (axis, source) in axes {
        std::fs::write(verifiers.join(format!("{axis}.lua")), source).expect("a script");
    }
    let mut rig = Rig::without_worker().await;
    add_worker(&mut rig, &dir);
    for id in ["target", "neighbour"] {
        rig.client.put(factory::small(id)).await;
    }
    (rig, dir)
}

fn add_worker(rig: &mut Rig, dir: &tempfile::TempDir) {
    let lua_dir = dir.path().to_str().expect("a plain path");
    rig.add_worker(&[
        ("DRAFTSMAN_LUA_DIR", lua_dir),
        ("DRAFTSMAN_LEASE_SECS", "2"),
    ]);
}

async fn use_axis(rig: &Rig, axis: &str, ttl_secs: u64) {
    // Without the check: the worker that has the script may not have registered yet.
    rig.write_setting(|s| {
        s.verifier_axes = vec![axis.to_owned()];
        s.ttl_secs = ttl_secs;
    })
    .await;
}

#[tokio::test]
async fn every_escape_and_every_hang_is_contained() {
    let hangs = [
        ("loop", "while true do end"),
        (
            "pcall",
            "while true do pcall(function() while true do end end) end",
        ),
        (
            "recursion",
            "local function f() pcall(f) return f() end return f()",
        ),
        (
            "handler",
            "while true do xpcall(error, function() while true do end end) end",
        ),
        (
            "comparator",
            "table.sort({3, 2, 1}, function() while true do end end)",
        ),
        (
            "callback",
            "return (('x'):gsub('x', function() while true do end end))",
        ),
        ("pattern", HANG_IN_C),
        (
            "caught_pattern",
            "while true do pcall(function() return string.find(string.rep('a', 5000), string.rep('a-', 40) .. 'b') end) end",
        ),
        (
            "copies",
            "local s = string.rep('x', 8 << 20) while true do local _ = s .. 'y' end",
        ),
        (
            "metered",
            "while true do host.log('debug', 'x') host.json_parse('[]') end",
        ),
    ];
    let errors = [
        (
            "coroutine",
            "coroutine.wrap(function() while true do end end)()",
            "coroutine",
        ),
        (
            "finalizer",
            "setmetatable({}, {__gc = function() while true do end end})",
            "setmetatable",
        ),
        ("to_close", "local x <close> = {} while true do end", "x"),
        (
            "memory",
            "local s = 'x' while true do s = s .. s end",
            "exceeded the memory limit of 96 MiB",
        ),
        (
            "text",
            "string.rep('x', 1 << 62)",
            "text.lua:1: resulting string too large",
        ),
        ("width", "string.format('%99999d', 1)", "invalid conversion"),
        (
            "shift",
            "table.move({}, 1, 1 << 60, 2)",
            "too many elements",
        ),
        ("loads", "load('return 1')()", "load"),
        ("files", "io.open('/etc/passwd')", "io"),
        (
            "time",
            "return {status = 'pass', evidence = os.time()}",
            "os",
        ),
        ("library", "string.rep = nil", "read-only"),
        (
            "metatable",
            "getmetatable('').__index = nil",
            "getmetatable",
        ),
        (
            "documents",
            "local text, kept = '[' .. ('[],'):rep(300000) .. '[]]', {} \
             while true do kept[#kept + 1] = host.json_parse(text) end",
            "memory",
        ),
    ];
    let mut axes: Vec<(&str, &str)> = hangs.to_vec();
    axes.extend(errors.iter().map(|(axis, source, _)| (*axis, *source)));
    let (rig, _dir) = rig(&axes).await;
    let mut ids = Vec::new();
    for (axis, words) in hangs
        .iter()
        .map(|(axis, _)| (*axis, "time limit"))
        .chain(errors.iter().map(|(axis, _, words)| (*axis, *words)))
    {
        // Longer than a lease, so that heartbeats are necessary.
        let ttl_secs = if words != "time limit" {
            60
        } else if axis == "pattern" {
            3
        } else {
            1
        };
        use_axis(&rig, axis, ttl_secs).await;
        let issue = rig.client.run("target", "tag x").await;
        let reason = assert_failed(&rig, &issue).await;
        assert!(reason.contains(words), "{axis}: {reason}");
        use_axis(&rig, "des", 60).await;
        let next = rig.client.run("neighbour", format!("tag {axis}")).await;
        assert_eq!(next.state(), IssueState::Applied, "after {axis}: {next:?}");
        ids.extend([issue.issue_id, next.issue_id]);
    }
    assert_eq!(rig.client.history("target").await.len(), 1);
    // Everything except a single call of a library function has stopped by itself.
    eventually("only the two patterns are stuck", async || {
        let log = rig.workers[0].stderr();
        let count = |words| log.matches(words).count();
        let n_stuck = count("a script does not stop") - count("a stuck script has ended");
        (n_stuck == 2).then_some(()).ok_or(log)
    })
    .await;
    assert_sound(&rig, &ids, Attempts::One).await;
}

#[tokio::test]
async fn others_go_on_while_a_script_hangs_in_c() {
    let stuck = format!(
        "if _CTX.issue.blueprint_id == 'neighbour' then return {{ status = 'pass', evidence = '' }} end {HANG_IN_C}"
    );
    let (rig, _dir) = rig(&[("stuck", &stuck)]).await;
    use_axis(&rig, "stuck", 5).await;
    let stuck = rig.client.submit("target", "tag x").await.issue_id;
    rig.until_in_flight(1).await;
    let mut ids = Vec::new();
    for n in 0..20 {
        let next = rig.client.run("neighbour", format!("tag t{n}")).await;
        assert_eq!(next.state(), IssueState::Applied, "{next:?}");
        ids.push(next.issue_id);
    }
    let issue = rig.client.decided(&stuck).await;
    assert!(assert_failed(&rig, &issue).await.contains("time limit"));
    // The author does not wait longer than that; the worker's log reports the end of the thread.
    rig.workers[0].until_logged("a script does not stop").await;
    ids.push(stuck);
    assert_sound(&rig, &ids, Attempts::One).await;
}

#[tokio::test]
async fn a_worker_with_too_many_stuck_scripts_ends_and_another_goes_on() {
    let (mut rig, dir) = rig(&[("stuck", HANG_IN_C)]).await;
    use_axis(&rig, "stuck", 1).await;
    let mut ids = Vec::new();
    for _ in 0..4 {
        let issue = rig.client.run("target", "tag x").await;
        assert!(assert_failed(&rig, &issue).await.contains("time limit"));
        ids.push(issue.issue_id);
    }
    let status = rig.workers[0].wait().await;
    assert_eq!(status.code(), Some(1));
    let log = rig.workers[0].stderr();
    assert!(
        log.contains("the worker exits and must be restarted"),
        "{log}"
    );
    // The worker has signed off: no lease of it has to expire.
    eventually("no worker is left", async || {
        let stats = rig.client.stats().await;
        (stats.in_flight == 0)
            .then_some(())
            .ok_or(format!("{stats:?}"))
    })
    .await;
    use_axis(&rig, "des", 60).await;
    add_worker(&mut rig, &dir);
    let next = rig.client.run("target", "tag x").await;
    assert_eq!(next.state(), IssueState::Applied, "{next:?}");
    ids.push(next.issue_id);
    assert_sound(&rig, &ids, Attempts::One).await;
}

#[tokio::test]
async fn nothing_leaks_from_one_run_to_the_next_and_results_are_the_same() {
    let leaky = "
        local before = tostring(leak) .. tostring(string.leak) .. tostring(host.leak) .. tostring(_CTX.leak)
        leak = 1
        pcall(function() string.leak = 1 end)
        pcall(function() host.leak = 1 end)
        pcall(function() _CTX.leak = 1 end)
        pcall(function() table.insert(string, 1) end)
        pcall(function() _ENV.string = nil end)
        return { status = 'pass', evidence = before .. tostring({}) .. string.format('%s', pcall) .. #string }";
    let (mut rig, dir) = rig(&[("leaky", leaky)]).await;
    add_worker(&mut rig, &dir);
    use_axis(&rig, "leaky", 60).await;
    for n in 0..8 {
        let issue = rig.client.run("target", format!("tag t{n}")).await;
        let entry = rig.client.entry(&issue.issue_id).await;
        let evidence = entry.verdicts.first().map(|v| v.detail.trim_matches('"'));
        assert_eq!(evidence, Some("nilnilnilniltablefunction0"), "{entry:?}");
    }
}
