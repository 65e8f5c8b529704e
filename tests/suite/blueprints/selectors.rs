//! The version that a selector chooses.

use proto::v1::version_selector::Selector;
use tests::rig::Rig;
use tonic::Code;

fn labelled(n: u32, label: &str) -> String {
    let metadata = if label.is_empty() {
        String::new()
    } else {
        format!("metadata: {{version_label: {label}}}\n")
    };
    format!("id: chosen\nflow: {{}}\nagents: []\nn: {n}\n{metadata}")
}

#[tokio::test]
async fn a_selector_chooses_by_head_content_or_label() {
    let rig = Rig::without_worker().await;
    let mut commits = Vec::new();
    let labels = [
        "1.0.0",
        "1.2.0",
        "",
        "2.0.0-rc.1",
        "1.2.0",
        "1.1.0",
        "1.2.0+build.7",
        "",
    ];
    for (n, label) in (0..).zip(labels) {
        commits.push(rig.client.put(labelled(n, label)).await);
    }
    let cases = [
        (None, 8),
        (Some(Selector::Latest(true)), 8),
        (Some(Selector::Fixed(commits[1].version.clone())), 2),
        (Some(Selector::SemverReq("=1.0.0".to_owned())), 1),
        (Some(Selector::SemverReq("<1.2".to_owned())), 6),
        (Some(Selector::SemverReq("^2.0.0-rc.0".to_owned())), 4),
        (Some(Selector::SemverReq("~1.1".to_owned())), 6),
    ];
    for (selector, seq) in cases {
        let answer = rig.client.select("chosen", selector.clone()).await;
        let answer = answer.unwrap_or_else(|status| panic!("{selector:?}: {status}"));
        let commit = answer.commit.expect("a commit");
        assert_eq!(commit, commits[seq - 1], "{selector:?}");
        assert!(
            answer
                .document_yaml
                .contains(&format!("\"n\": {}\n", seq - 1)),
            "{selector:?}"
        );
    }
    // With equal labels, the newest commit. (Semver does not define an order of labels that differ
    // only in build metadata.)
    let highest = rig
        .client
        .select("chosen", Some(Selector::SemverReq("1".to_owned())))
        .await
        .expect("GetBlueprint");
    assert!(matches!(highest.commit.expect("a commit").seq, 5 | 7));
}

#[tokio::test]
async fn a_selector_that_chooses_nothing_says_so() {
    let rig = Rig::without_worker().await;
    rig.client.put(labelled(0, "1.0.0")).await;
    rig.client.put("id: bare\nflow: {}\nagents: []\n").await;
    let unknown = "0".repeat(64);
    let cases = [
        (
            "chosen",
            Selector::SemverReq(">=3".to_owned()),
            Code::NotFound,
            "no matching version",
        ),
        (
            "bare",
            Selector::SemverReq("*".to_owned()),
            Code::NotFound,
            "no matching version",
        ),
        (
            "chosen",
            Selector::Fixed(unknown),
            Code::NotFound,
            "no such version",
        ),
        (
            "chosen",
            Selector::Fixed("abc".to_owned()),
            Code::InvalidArgument,
            "abc",
        ),
        (
            "chosen",
            Selector::SemverReq("banana".to_owned()),
            Code::InvalidArgument,
            "banana",
        ),
    ];
    for (blueprint_id, selector, code, word) in cases {
        let status = rig
            .client
            .select(blueprint_id, Some(selector.clone()))
            .await;
        let status = status.expect_err(&format!("{selector:?} of {blueprint_id} chooses nothing"));
        assert_eq!(status.code(), code, "{selector:?}: {status}");
        assert!(status.message().contains(word), "{selector:?}: {status}");
    }
}
