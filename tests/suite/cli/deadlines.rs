//! No verb waits without end for an intake that has stopped.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;
use tests::eventually::{eventually_now, wait_limit};
use tests::factory;
use tests::programs::{Finished, Process, Program, Signal, run};
use tests::rig::Rig;

async fn draftsman(rig: &Rig, args: &[&str]) -> Finished {
    let addr = format!("http://{}", rig.address);
    run(Program::Draftsman, args, &[("DRAFTSMAN_ADDR", &addr)]).await
}

/// Every wait of this file ends long before the wait limit of a test, which is not below a minute.
#[tokio::test]
async fn calls_and_doctor_end_while_intake_is_stopped() {
    let rig = Rig::without_worker().await;
    rig.client.put(factory::small("team")).await;
    rig.intake.signal(Signal::Stop);
    for args in [
        &["get", "team"][..],
        &["stats"],
        &["submit", "team", "tag one"],
        &["setting", "list"],
        &["pause"],
    ] {
        let args: Vec<&str> = args.iter().copied().chain(["--timeout", "1s"]).collect();
        let ended = draftsman(&rig, &args).await;
        assert_eq!(ended.code, Some(1), "{args:?}: {ended:?}");
        let said = &ended.stderr;
        assert!(said.contains("did not answer in time"), "{args:?}: {said}");
        assert!(said.contains("`draftsman doctor`"), "{args:?}: {said}");
    }
    let doctor = draftsman(&rig, &["doctor", "--timeout", "1s", "--output", "json"]).await;
    assert_eq!(doctor.code, Some(1), "{doctor:?}");
    let json: Value = serde_json::from_str(&doctor.stdout).expect("JSON");
    let text = json.to_string();
    assert!(
        text.contains("GetQueueStats was not answered within 1 s"),
        "{text}"
    );
    assert!(text.contains("intake did not answer"), "{text}");
    // Without the option, a call ends after 10 s.
    let ended = draftsman(&rig, &["get", "team"]).await;
    assert!(ended.stderr.contains("did not answer in time"), "{ended:?}");
    rig.intake.signal(Signal::Continue);
    assert_eq!(draftsman(&rig, &["get", "team"]).await.code, Some(0));
}

#[tokio::test]
async fn watches_notice_an_intake_that_is_stopped() {
    let rig = Rig::without_worker().await;
    rig.client.put(factory::small("team")).await;
    rig.client.submit("team", "tag one").await;
    let addr = format!("http://{}", rig.address);
    let dir = tempfile::tempdir().expect("a folder");
    let folder = dir.path().to_str().expect("a plain path");
    let issue = rig.client.submit("team", "tag two").await.issue_id;
    let watching = [
        (vec!["follow", "*"], "team", "intake is unavailable"),
        (vec!["sync", folder, "-p", "*"], "team.yaml", "STALE"),
        (vec!["watch", &issue], "no worker", "intake is unavailable"),
        (
            vec!["submit", "team", "tag x"],
            "no worker",
            "intake is unavailable",
        ),
    ];
    let watching = watching.map(|(args, begun, noticed)| {
        let process = Process::start(Program::Draftsman, &args, &[("DRAFTSMAN_ADDR", &addr)]);
        (process, begun, noticed)
    });
    for (process, begun, _) in &watching {
        eventually_now("the watch has begun", || {
            let said = process.stdout();
            said.contains(begun).then_some(()).ok_or(said)
        })
        .await;
    }
    rig.intake.signal(Signal::Stop);
    // Pings every 10 s, of which one is answered within 5 s: below the wait limit of a test.
    assert!(wait_limit() >= Duration::from_secs(20));
    for (process, _, noticed) in &watching {
        process.until_logged(noticed).await;
    }
    rig.intake.signal(Signal::Continue);
    for (process, _, noticed) in &watching {
        let back = match *noticed {
            "STALE" => "up to date again",
            _ => "intake is available again",
        };
        process.until_logged(back).await;
    }
}

/// Forwards connections to an address until it is told to end each of them in order.
fn proxy(target: String, ends: Arc<AtomicBool>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let mut client = client.expect("a connection");
            let mut server = std::net::TcpStream::connect(&target).expect("the server");
            let (mut from, mut to) = (
                client.try_clone().expect("a handle"),
                server.try_clone().expect("a handle"),
            );
            std::thread::spawn(move || std::io::copy(&mut from, &mut to));
            let ends = Arc::clone(&ends);
            std::thread::spawn(move || {
                server
                    .set_read_timeout(Some(Duration::from_millis(20)))
                    .expect("a timeout");
                let mut bytes = [0; 4096];
                while !ends.load(Ordering::Relaxed) {
                    match server.read(&mut bytes) {
                        Ok(0) => break,
                        Ok(n) => {
                            if client.write_all(&bytes[..n]).is_err() {
                                break;
                            }
                        }
                        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                        Err(_) => break,
                    }
                }
                ends.store(false, Ordering::Relaxed);
                let _ = client.shutdown(std::net::Shutdown::Both);
                let _ = server.shutdown(std::net::Shutdown::Both);
            });
        }
    });
    address
}

#[tokio::test]
async fn a_stream_that_ends_is_told_even_if_the_next_one_begins_at_once() {
    let rig = Rig::without_worker().await;
    rig.client.put(factory::small("team")).await;
    let ends = Arc::new(AtomicBool::new(false));
    let addr = format!("http://{}", proxy(rig.address.clone(), Arc::clone(&ends)));
    let follow = Process::start(Program::Draftsman, &["follow", "*", "--addr", &addr], &[]);
    eventually_now("the watch has begun", || {
        let said = follow.stdout();
        said.contains("team").then_some(()).ok_or(said)
    })
    .await;
    ends.store(true, Ordering::Relaxed);
    follow.until_logged("intake is unavailable").await;
    follow.until_logged("intake is available again").await;
}
