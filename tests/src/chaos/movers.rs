//! Random moves of channels and heads, and Blueprints that are archived and return.

use std::time::Duration;

use proto::v1;
use proto::v1::blueprint_service_client::BlueprintServiceClient;
use tokio::sync::watch;
use tokio::time::sleep;
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::chaos::load::{Load, N_BLUEPRINTS, blueprint_id, is_passing};
use crate::chaos::stage::N_INTAKES;
use crate::factory;
use crate::rng::SeededRng;

/// The Blueprints without issues, which can be archived.
const LIVE: [&str; 3] = ["live-0", "live-1", "live-2"];
const CHANNELS: [&str; 2] = ["production", "staging"];

impl Load {
    /// Makes one move after the other. Each may be refused, and an unanswered one may have
    /// happened.
    pub(super) async fn mover(self, part: u64, stopped: watch::Receiver<bool>) {
        let mut rng = SeededRng::part(self.seed, part);
        let mut edit = 0;
        while !*stopped.borrow() {
            sleep(Duration::from_millis(20 + rng.roll(150) as u64)).await;
            edit += 1;
            let blueprints = BlueprintServiceClient::new(self.stage.channel(rng.roll(N_INTAKES)));
            let mark = format!("{part}-{edit}");
            match self.make_move(blueprints, &mut rng, &mark).await {
                Ok(()) => self.stage.tally.loaded("moves of Blueprints and channels"),
                Err(status) if is_passing(&status) => {}
                Err(status) if is_refusal(&status) => self.stage.tally.loaded("moves refused"),
                Err(status) => self.problem(format!("a move was answered {status}")),
            }
        }
    }

    async fn make_move(
        &self,
        mut blueprints: BlueprintServiceClient<Channel>,
        rng: &mut SeededRng,
        edit: &str,
    ) -> Result<(), Status> {
        let live = LIVE[rng.roll(LIVE.len())].to_owned();
        let any = rng.roll(N_BLUEPRINTS + LIVE.len());
        let any = LIVE
            .get(any)
            .map_or_else(|| blueprint_id(any - LIVE.len()), |id| (*id).to_owned());
        let channel = CHANNELS[rng.roll(CHANNELS.len())].to_owned();
        match rng.roll(12) {
            0 => {
                let blueprint_id = live;
                let request = v1::ArchiveBlueprintRequest { blueprint_id };
                blueprints.archive_blueprint(request).await?;
            }
            1 | 2 => {
                let blueprint_id = live;
                let request = v1::UnarchiveBlueprintRequest { blueprint_id };
                blueprints.unarchive_blueprint(request).await?;
            }
            3 | 4 => {
                let (was, now) = (
                    format!("sample {live}\n"),
                    format!("sample {live} {edit}\n"),
                );
                let request = v1::PutBlueprintRequest {
                    document: factory::small(&live).replacen(&was, &now, 1),
                    ..Default::default()
                };
                blueprints.put_blueprint(request).await?;
            }
            5 => {
                let request = v1::DeleteChannelRequest {
                    blueprint_id: any,
                    channel,
                    ..Default::default()
                };
                blueprints.delete_channel(request).await?;
            }
            _ => return self.set_channel(blueprints, rng, any, channel).await,
        }
        Ok(())
    }

    /// Moves a channel to one of the newest versions; half of the calls expect the revision that
    /// they have read.
    async fn set_channel(
        &self,
        mut blueprints: BlueprintServiceClient<Channel>,
        rng: &mut SeededRng,
        blueprint_id: String,
        channel: String,
    ) -> Result<(), Status> {
        let request = v1::ListCommitsRequest {
            blueprint_id: blueprint_id.clone(),
            page_size: 20,
            ..Default::default()
        };
        let commits = blueprints.list_commits(request).await?.into_inner().commits;
        let Some(commit) = rng.pick(&commits) else {
            return Ok(());
        };
        let expected_revision = if rng.one_in(2) {
            let request = v1::ListChannelsRequest {
                blueprint_id: blueprint_id.clone(),
            };
            let channels = blueprints
                .list_channels(request)
                .await?
                .into_inner()
                .channels;
            let present = channels.iter().find(|present| present.name == channel);
            Some(present.map_or(0, |present| present.revision))
        } else {
            None
        };
        let request = v1::SetChannelRequest {
            blueprint_id,
            channel,
            version: commit.version,
            expected_revision,
            ..Default::default()
        };
        let answer = blueprints.set_channel(request).await?.into_inner();
        if answer.moved {
            self.note(|loaded| loaded.moved.extend(answer.channel));
        }
        Ok(())
    }
}

/// Whether the present state allows no such move.
fn is_refusal(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::Aborted | Code::FailedPrecondition | Code::NotFound
    )
}
