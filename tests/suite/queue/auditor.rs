//! The auditor role of a worker: it repairs a queue that no worker would find again.

use proto::v1::IssueState;
use shared::store::redis::keys::Keys;
use tests::factory;
use tests::rig::Rig;

#[tokio::test]
async fn a_queue_that_redis_has_lost_goes_on() {
    let mut rig = Rig::without_worker().await;
    rig.client.put(factory::small("lost")).await;
    let issue = rig.client.submit("lost", "tag x").await;
    let keys = Keys::of_shard(0);
    let mut redis = rig.redis.connection().await;
    for list in [keys.pending(), keys.places()] {
        let removed: u64 = redis::cmd("DEL")
            .arg(list)
            .query_async(&mut redis)
            .await
            .expect("DEL");
        assert_eq!(removed, 1);
    }
    rig.add_worker(&[("DRAFTSMAN_METRICS_LISTEN", "127.0.0.1:0")]);
    let done = rig.client.decided(&issue.issue_id).await;
    assert_eq!((done.state(), done.attempt), (IssueState::Applied, 1));
    rig.workers[0].until_logged("has been corrected").await;
    assert_eq!(rig.counted("repaired").await, 1);
}
