//! `draftsman sync` and `draftsman follow`, as programs that run Blueprints use them.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proto::v1;
use serde_json::Value;
use shared::ids::sha256_hex;
use tests::client::Client;
use tests::eventually::{eventually, eventually_now};
use tests::factory;
use tests::programs::{Finished, Process, Program, run};
use tests::redis_server::{Aof, RedisServer};
use tests::rig::Rig;
use tests::rng::SeededRng;

/// Another version of the Blueprint `id`.
fn version(document: &str, id: &str, n: usize) -> String {
    let (was, now) = (format!("sample {id}\n"), format!("sample {id} {n}\n"));
    document.replacen(&was, &now, 1)
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a plain path")
}

async fn sync_once(addr: &str, dir: &Path, args: &[&str]) -> Finished {
    let mut all = vec!["sync", text(dir), "--once", "--addr", addr];
    all.extend_from_slice(args);
    run(Program::Draftsman, &all, &[]).await
}

/// The SHA-256 of each file of a folder, by the name of the file.
fn files(dir: &Path) -> BTreeMap<String, String> {
    let Ok(entries) = std::fs::read_dir(dir) else {
        return BTreeMap::new();
    };
    let files = entries.filter_map(|entry| {
        let entry = entry.expect("an entry");
        let name = entry.file_name().into_string().expect("a plain name");
        let is_file = !name.starts_with('.');
        is_file.then(|| {
            (
                name,
                sha256_hex(&std::fs::read(entry.path()).expect("a file")),
            )
        })
    });
    files.collect()
}

async fn archive(client: &Client, id: &str) {
    let request = v1::ArchiveBlueprintRequest {
        blueprint_id: id.to_owned(),
    };
    let mut blueprints = client.blueprints.clone();
    blueprints
        .archive_blueprint(request)
        .await
        .expect("ArchiveBlueprint");
}

#[tokio::test]
async fn once_writes_the_present_versions_and_runs_the_command() {
    let rig = Rig::without_worker().await;
    let addr = format!("http://{}", rig.address);
    let a = rig.client.put(factory::small("team.a")).await.version;
    let b = rig.client.put(factory::small("team.b")).await.version;
    rig.client.put(factory::small("other")).await;
    let place = tempfile::tempdir().expect("a folder");
    let dir = place.path().join("blueprints");
    let log = place.path().join("log");
    let log_ids = format!(
        "echo \"$DRAFTSMAN_CHANGED|$DRAFTSMAN_REMOVED\" >> {}",
        text(&log)
    );
    let args = ["--pattern", "team.*", "-p", "nobody*", "--run", &log_ids];
    let done = sync_once(&addr, &dir, &args).await;
    assert_eq!(done.code, Some(0), "{done:?}");
    let both = [("team.a.yaml", a), ("team.b.yaml", b)].map(|(n, v)| (n.to_owned(), v));
    assert_eq!(files(&dir), BTreeMap::from(both.clone()));
    let logged = || std::fs::read_to_string(&log).expect("the log");
    assert_eq!(logged(), "team.a team.b|\n");

    // Only the difference is written. A changed file is restored, an archived one removed.
    std::fs::write(dir.join("team.a.yaml"), "torn").expect("a file");
    std::fs::write(dir.join("notes.yaml"), "mine").expect("a file");
    archive(&rig.client, "team.b").await;
    let kept = sync_once(&addr, &dir, &["-p", "team.*", "--keep"]).await;
    assert_eq!(kept.code, Some(0), "{kept:?}");
    assert!(dir.join("team.b.yaml").exists());
    let done = sync_once(&addr, &dir, &args).await;
    assert_eq!(done.code, Some(0), "{done:?}");
    let expected: Vec<String> = ["notes.yaml", "team.a.yaml"].map(str::to_owned).into();
    let found = files(&dir);
    assert_eq!(found.keys().cloned().collect::<Vec<_>>(), expected);
    assert_eq!(found["team.a.yaml"], both[0].1);
    assert!(logged().ends_with("team.a|team.b\n"), "{}", logged());

    let failed = sync_once(&addr, &dir, &["-p", "team.*", "--run", "exit 3"]).await;
    assert_eq!(failed.code, Some(1), "{failed:?}");
    assert!(failed.stderr.contains("the command failed"), "{failed:?}");
    let refused = sync_once(&addr, &dir, &["-p", "a/b"]).await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("patterns[0]"), "{refused:?}");
}

#[tokio::test]
async fn a_running_sync_follows_moves_and_keeps_files_while_intake_is_away() {
    let mut rig = Rig::with_redis(RedisServer::start(Aof::Always)).await;
    let port = rig.address.rsplit(':').next().expect("a port").to_owned();
    let listen = format!("127.0.0.1:{port}");
    let addr = format!("http://{}", rig.address);
    rig.client.put(factory::small("a")).await;
    let dir = tempfile::tempdir().expect("a folder");
    let args = ["sync", text(dir.path()), "-p", "*", "--addr", &addr];
    let sync = Process::start(Program::Draftsman, &args, &[]);
    let until = async |version: String| {
        eventually_now("the file has the version", || {
            let found = files(dir.path());
            let has = found.get("a.yaml") == Some(&version);
            has.then_some(()).ok_or_else(|| format!("{found:?}"))
        })
        .await;
    };
    until(rig.client.head("a").await.commit.expect("a commit").version).await;
    let second = rig.client.put(version(&factory::small("a"), "a", 2)).await;
    until(second.version.clone()).await;

    rig.intake.kill();
    sync.until_logged("STALE").await;
    until(second.version).await;
    rig.restart_intake_with(&[("DRAFTSMAN_LISTEN", &listen)])
        .await;
    let third = rig.client.put(version(&factory::small("a"), "a", 3)).await;
    until(third.version).await;
    sync.until_logged("up to date again").await;
    // One process uses a folder.
    let other = sync_once(&addr, dir.path(), &["-p", "*"]).await;
    assert_eq!(other.code, Some(1), "{other:?}");
    assert!(
        other.stderr.contains("another `draftsman sync`"),
        "{other:?}"
    );
}

#[tokio::test]
async fn a_sync_killed_at_any_moment_leaves_complete_files() {
    const N_KILLS: usize = 200;
    const IDS: [&str; 3] = ["a", "b", "c"];
    let rig = Rig::without_worker().await;
    let addr = format!("http://{}", rig.address);
    let versions = Arc::new(Mutex::new(HashSet::new()));
    for id in IDS {
        let first = rig.client.put(factory::hundred_kb(id)).await.version;
        versions.lock().expect("no panic").insert(first);
    }
    let mut writing = tokio::task::JoinSet::new();
    for id in IDS {
        let (client, versions) = (rig.client.clone(), Arc::clone(&versions));
        writing.spawn(async move {
            let document = factory::hundred_kb(id);
            for n in 0.. {
                // Known before it can be seen.
                let document = version(&document, id, n);
                let version = shared::blueprint::Blueprint::parse(&document).expect("a document");
                let version = version.version().to_string();
                versions.lock().expect("no panic").insert(version);
                client.put(document).await;
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
    }
    let dir = tempfile::tempdir().expect("a folder");
    let filled = sync_once(&addr, dir.path(), &["-p", "?"]).await;
    assert_eq!(filled.code, Some(0), "{filled:?}");
    let mut rng = SeededRng::new(11);
    let args = ["sync", text(dir.path()), "-p", "?", "--addr", &addr];
    let mut n_changed = 0;
    for n in 0..N_KILLS {
        let before = files(dir.path());
        let mut sync = Process::start(Program::Draftsman, &args, &[]);
        tokio::time::sleep(Duration::from_millis(rng.roll(120) as u64)).await;
        sync.kill();
        let after = files(dir.path());
        let names: Vec<&str> = after.keys().map(String::as_str).collect();
        assert_eq!(names, ["a.yaml", "b.yaml", "c.yaml"], "kill {n}");
        let known = versions.lock().expect("no panic");
        for (name, version) in &after {
            assert!(known.contains(version), "kill {n}: {name} is torn");
        }
        n_changed += usize::from(before != after);
    }
    assert!(
        n_changed > N_KILLS / 10,
        "only {n_changed} runs wrote a file"
    );
    writing.shutdown().await;
    let done = sync_once(&addr, dir.path(), &["-p", "?"]).await;
    assert_eq!(done.code, Some(0), "{done:?}");
    for id in IDS {
        let head = rig.client.head(id).await.commit.expect("a commit").version;
        assert_eq!(files(dir.path())[&format!("{id}.yaml")], head);
    }
}

#[tokio::test]
async fn a_rollback_reaches_a_consumer_at_once_and_its_reports_are_listed() {
    let rig = Rig::without_worker().await;
    let addr = format!("http://{}", rig.address);
    let first = rig.client.put(factory::small("a")).await.version;
    let second = rig.client.put(version(&factory::small("a"), "a", 2)).await;
    let set_channel = async |version: &str| {
        let request = v1::SetChannelRequest {
            blueprint_id: "a".to_owned(),
            channel: "production".to_owned(),
            version: version.to_owned(),
            ..Default::default()
        };
        let answer = rig.client.blueprints.clone().set_channel(request).await;
        answer.expect("SetChannel");
    };
    let reported = async |version: &str, status: v1::ConsumerStatus| {
        eventually("the report is listed", async || {
            let request = v1::ListConsumersRequest::default();
            let answer = rig.client.blueprints.clone().list_consumers(request).await;
            let consumers = answer.expect("ListConsumers").into_inner().consumers;
            let is_listed = matches!(&consumers[..], [one]
                if one.version == version && one.status() == status
                    && one.consumer_id == "c-1" && one.channel == "production");
            is_listed
                .then_some(())
                .ok_or_else(|| format!("{consumers:?}"))
        })
        .await;
    };
    set_channel(&second.version).await;
    let dir = tempfile::tempdir().expect("a folder");
    // Only the first version can be applied.
    let run = format!("sha256sum $DRAFTSMAN_DIR/a.yaml | grep -q {first}");
    let args = [
        "sync",
        text(dir.path()),
        "-p",
        "a",
        "--channel",
        "production",
        "--consumer",
        "c-1",
        "--run",
        &run,
        "--addr",
        &addr,
    ];
    let _sync = Process::start(Program::Draftsman, &args, &[]);
    reported(&second.version, v1::ConsumerStatus::Failed).await;
    let start = std::time::Instant::now();
    set_channel(&first).await;
    eventually_now("the file is rolled back", || {
        let found = files(dir.path());
        let has = found.get("a.yaml") == Some(&first);
        has.then_some(()).ok_or_else(|| format!("{found:?}"))
    })
    .await;
    let took = start.elapsed();
    assert!(took < Duration::from_secs(1), "{took:?}");
    reported(&first, v1::ConsumerStatus::Applied).await;
}

#[tokio::test]
async fn follow_prints_each_move() {
    let rig = Rig::without_worker().await;
    let addr = format!("http://{}", rig.address);
    let first = rig.client.put(factory::small("a")).await;
    let args = ["follow", "a", "b*", "--addr", &addr, "--output", "json"];
    let follow = Process::start(Program::Draftsman, &args, &[]);
    let lines = async |n: usize| {
        eventually_now(&format!("{n} lines"), || {
            let printed = follow.stdout();
            let lines = printed.lines().map(serde_json::from_str);
            let lines: Result<Vec<Value>, _> = lines.collect();
            match lines {
                Ok(lines) if lines.len() >= n => Ok(lines),
                _ => Err(printed),
            }
        })
        .await
    };
    let start = lines(2).await;
    assert_eq!(start[0]["update"]["commit"]["version"], first.version);
    assert!(start[1].get("synced").is_some(), "{start:?}");
    let second = rig.client.put(factory::small("b.2")).await;
    lines(3).await;
    archive(&rig.client, "a").await;
    let all = lines(4).await;
    assert_eq!(all[2]["update"]["commit"]["version"], second.version);
    let removal = serde_json::json!({ "blueprint_id": "a", "reason": "archived" });
    assert_eq!(all[3]["removal"], removal);
}

#[tokio::test]
async fn a_removal_before_a_crash_still_runs_the_command_in_an_empty_folder() {
    let rig = Rig::without_worker().await;
    let addr = format!("http://{}", rig.address);
    rig.client.put(factory::small("gone")).await;
    let place = tempfile::tempdir().expect("a folder");
    let (dir, log) = (place.path().join("blueprints"), place.path().join("log"));
    let run = format!(
        "echo \"$DRAFTSMAN_CHANGED|$DRAFTSMAN_REMOVED\" >> {}",
        text(&log)
    );
    let done = sync_once(&addr, &dir, &["-p", "gone"]).await;
    assert_eq!(done.code, Some(0), "{done:?}");
    archive(&rig.client, "gone").await;
    // The command outlives the process, so the removal does not count as applied.
    let wait = "while kill -0 $PPID 2>/dev/null; do sleep 0.1; done";
    let hanging = [
        "sync",
        text(&dir),
        "-p",
        "gone",
        "--addr",
        &addr,
        "--run",
        wait,
    ];
    let mut sync = Process::start(Program::Draftsman, &hanging, &[]);
    eventually_now("the file is removed", || {
        let found = files(&dir);
        let is_gone = found.is_empty() && sync.stdout().contains("removed");
        is_gone.then_some(()).ok_or_else(|| format!("{found:?}"))
    })
    .await;
    sync.kill();
    let done = sync_once(&addr, &dir, &["-p", "gone", "--run", &run]).await;
    assert_eq!(done.code, Some(0), "{done:?}");
    let logged = std::fs::read_to_string(&log).expect("the log");
    assert_eq!(logged, "|gone\n");
    // Once is enough.
    std::fs::remove_file(&log).expect("the log");
    let done = sync_once(&addr, &dir, &["-p", "gone", "--run", &run]).await;
    assert_eq!(done.code, Some(0), "{done:?}");
    let logged = std::fs::read_to_string(&log).unwrap_or_default();
    assert!(!logged.contains("gone"), "{logged}");
}
