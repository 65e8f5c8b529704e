//! Load that continues through failovers: each submitter repeats a call under the same id until it
//! is acknowledged.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use proto::v1;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::client::Client;
use crate::eventually::{eventually_now, within_wait_limit};

/// The number of target Blueprints.
pub const N_BLUEPRINTS: usize = 18;

/// Submitters, one for each Blueprint, that run until they are stopped.
#[derive(Debug)]
pub struct Load {
    submitters: JoinSet<Vec<String>>,
    n_acknowledged: Arc<AtomicUsize>,
    ending: watch::Sender<bool>,
}

impl Load {
    /// Starts submitting through `client`.
    pub fn start(client: &Client) -> Self {
        let (ending, ended) = watch::channel(false);
        let n_acknowledged = Arc::new(AtomicUsize::new(0));
        let mut submitters = JoinSet::new();
        for n in 0..N_BLUEPRINTS {
            let (client, ended) = (client.clone(), ended.clone());
            let counter = Arc::clone(&n_acknowledged);
            submitters.spawn(async move {
                let mut acknowledged = Vec::new();
                while !*ended.borrow() {
                    let id = format!("i-{n}-{}", acknowledged.len());
                    submit(&client, n, &id).await;
                    acknowledged.push(id);
                    counter.fetch_add(1, Ordering::Relaxed);
                }
                acknowledged
            });
        }
        Self {
            submitters,
            n_acknowledged,
            ending,
        }
    }

    /// Waits until at least `n` issues are acknowledged.
    ///
    /// # Panics
    /// If this does not happen within the wait limit.
    pub async fn until_acknowledged(&self, n: usize) {
        eventually_now(&format!("{n} issues are acknowledged"), || {
            match self.n_acknowledged.load(Ordering::Relaxed) {
                now if now >= n => Ok(()),
                now => Err(now.to_string()),
            }
        })
        .await;
    }

    /// Waits until `n` more issues are acknowledged.
    ///
    /// # Panics
    /// If this does not happen within the wait limit.
    pub async fn until_acknowledged_more(&self, n: usize) {
        let now = self.n_acknowledged.load(Ordering::Relaxed);
        self.until_acknowledged(now + n).await;
    }

    /// Stops the submitters and returns the acknowledged ids. Ids of one Blueprint are in order.
    ///
    /// # Panics
    /// If a submitter does not end.
    pub async fn end(self) -> Vec<String> {
        self.ending.send_replace(true);
        let all = within_wait_limit("the submitters end", self.submitters.join_all()).await;
        all.into_iter().flatten().collect()
    }
}

/// Submits until the issue is acknowledged.
async fn submit(client: &Client, n: usize, id: &str) {
    let request = v1::SubmitIssueRequest {
        blueprint_id: format!("bp-{n}"),
        intent: format!("tag t{id}"),
        issue_id: Some(id.to_owned()),
        ..Default::default()
    };
    while let Err(status) = client.intake.clone().submit_issue(request.clone()).await {
        assert_eq!(status.code(), tonic::Code::Unavailable, "{status:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // Limits the rate: failovers must meet load, but not saturation.
    tokio::time::sleep(Duration::from_millis(20)).await;
}
