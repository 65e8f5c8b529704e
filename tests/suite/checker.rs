//! The checker is itself tested: for each rule, a damaged state that only that rule catches.

use proto::v1;
use tests::checker::{Attempts, Rule, Snapshot, assert_sound, violations};
use tests::factory;
use tests::rig::Rig;

async fn healthy() -> Snapshot {
    let rig = Rig::start().await;
    let mut ids = Vec::new();
    let mut watched = Vec::new();
    for blueprint_id in ["a", "b"] {
        rig.client.put(factory::small(blueprint_id)).await;
        for intent in [
            "tag one",
            "set prompt of agent agent-0 to Be brief.",
            "nobody understands this",
        ] {
            let issue = rig.client.submit(blueprint_id, intent).await;
            watched.push(rig.client.watch(&issue.issue_id).await);
            ids.push(issue.issue_id);
        }
    }
    let mut snapshot = assert_sound(&rig, &ids, Attempts::One).await;
    snapshot.watched = watched;
    snapshot
}

/// The rules that `damage` breaks.
fn broken(healthy: &Snapshot, damage: impl FnOnce(&mut Snapshot)) -> Vec<Rule> {
    let mut damaged = healthy.clone();
    damage(&mut damaged);
    let mut rules: Vec<Rule> = violations(&damaged, Attempts::One)
        .into_iter()
        .map(|v| v.rule)
        .collect();
    rules.dedup();
    rules
}

#[tokio::test]
async fn each_rule_catches_what_only_it_can() {
    let healthy = healthy().await;
    assert_eq!(violations(&healthy, Attempts::One), []);
    let (first, denied) = (
        healthy.acknowledged[0].clone(),
        healthy.acknowledged[2].clone(),
    );

    let lost_entry = broken(&healthy, |s| s.entries.retain(|e| e.issue_id != denied));
    assert_eq!(lost_entry, [Rule::Decided, Rule::Order][..lost_entry.len()]);
    assert_eq!(lost_entry[0], Rule::Decided);
    assert_eq!(
        broken(&healthy, |s| {
            let twice = s.entries.iter().find(|e| e.issue_id == denied).cloned();
            s.entries.extend(twice);
        }),
        [Rule::Decided]
    );
    assert_eq!(
        broken(&healthy, |s| {
            let entry = s
                .entries
                .iter_mut()
                .find(|e| e.issue_id == denied)
                .expect("an entry");
            entry.cause = "failed".to_owned();
        }),
        [Rule::Decided]
    );
    assert_eq!(
        broken(&healthy, |s| {
            let last = s
                .histories
                .get_mut("a")
                .and_then(|h| h.last_mut())
                .expect("a commit");
            last.issue_id.clear();
        }),
        [Rule::OneCommit]
    );
    assert_eq!(
        broken(&healthy, |s| {
            s.histories.get_mut("a").expect("a history")[1].parents = vec!["0".repeat(64)];
        }),
        [Rule::Chain]
    );
    assert_eq!(
        broken(&healthy, |s| {
            let key = ("a".to_owned(), s.histories["a"][1].version.clone());
            s.documents
                .get_mut(&key)
                .expect("a document")
                .yaml
                .push('\n');
        }),
        [Rule::Chain]
    );
    assert_eq!(
        broken(&healthy, |s| s
            .heads
            .get_mut("a")
            .expect("a head")
            .replace_range(..1, "x")),
        [Rule::Chain]
    );
    assert_eq!(broken(&healthy, |s| s.entries.swap(0, 1)), [Rule::Order]);
    assert_eq!(
        broken(&healthy, |s| {
            s.issues.get_mut(&first).expect("an issue").attempt = 2;
            s.entries
                .iter_mut()
                .find(|e| e.issue_id == first)
                .expect("an entry")
                .attempt = 2;
            s.watched.clear();
        }),
        [Rule::Order]
    );
    assert_eq!(
        broken(&healthy, |s| s
            .left
            .extend([("processing:w".to_owned(), 1)])),
        [Rule::Empty]
    );
    assert_eq!(
        broken(&healthy, |s| {
            let repeated = v1::Issue {
                state: v1::IssueState::Pending.into(),
                ..s.watched[0][0].clone()
            };
            s.watched[0].insert(0, repeated);
        }),
        [Rule::Watched]
    );
    assert_eq!(
        broken(&healthy, |s| {
            let entry = s
                .entries
                .iter_mut()
                .find(|e| e.issue_id == first)
                .expect("an entry");
            entry.patch_json =
                r#"[{"op":"add","path":"/metadata/tags/-","value":"other"}]"#.to_owned();
        }),
        [Rule::Fold]
    );
}
