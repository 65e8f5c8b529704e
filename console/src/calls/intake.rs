//! The connection to intake, and one method for each RPC that the console calls.

use std::time::Duration;

use proto::v1;
use proto::v1::blueprint_service_client::BlueprintServiceClient;
use proto::v1::enhance_log_service_client::EnhanceLogServiceClient;
use proto::v1::intake_service_client::IntakeServiceClient;
use proto::v1::setting_service_client::SettingServiceClient;
use tokio::time::timeout;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Response, Status, Streaming};

use crate::calls::Scope;
use crate::failure::Failure;

/// Time limit of a read.
const READ_WITHIN: Duration = Duration::from_secs(5);
/// Time limit of a write. Intake tries an orbit for up to four seconds before it writes it, and
/// waits for Redis for up to five.
const WRITE_WITHIN: Duration = Duration::from_secs(20);
/// Time limit of a preview, which lasts as long as its flow.
const PREVIEW_WITHIN: Duration = Duration::from_secs(150);
/// Largest accepted response: a Blueprint of 1 MiB as YAML and as JSON, escapes included.
const MAX_ANSWER_BYTES: usize = 16 << 20;

/// A connection to intake. It connects at the first call, and again after an interruption.
#[derive(Debug, Clone)]
pub(crate) struct Intake {
    channel: Channel,
    actor: Option<MetadataValue<Ascii>>,
}

/// The headers of a person's calls.
#[derive(Debug, Clone)]
struct Headers {
    authorization: Option<MetadataValue<Ascii>>,
    actor: Option<MetadataValue<Ascii>>,
}

impl Interceptor for Headers {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let metadata = request.metadata_mut();
        if let Some(value) = &self.authorization {
            metadata.insert("authorization", value.clone());
        }
        if let Some(value) = &self.actor {
            metadata.insert("draftsman-actor", value.clone());
        }
        Ok(request)
    }
}

type Calls = InterceptedService<Channel, Headers>;

impl Intake {
    /// `actor` is what an intake that authenticates nobody records as the author of writes.
    pub(crate) fn new(endpoint: &Endpoint, actor: Option<MetadataValue<Ascii>>) -> Self {
        Self {
            channel: endpoint.connect_lazy(),
            actor,
        }
    }

    /// Returns what asks intake with this token. A token that cannot be sent is unknown to intake.
    pub(crate) fn asker(&self, token: Option<&str>) -> Result<Asker, Failure> {
        let authorization = match token {
            None => None,
            Some(token) => {
                let value = format!("Bearer {token}").parse::<MetadataValue<Ascii>>();
                let mut value = value.map_err(|_| Failure::SignIn)?;
                // Keeps the token out of debug output.
                value.set_sensitive(true);
                Some(value)
            }
        };
        let headers = Headers {
            authorization,
            actor: self.actor.clone(),
        };
        let calls = InterceptedService::new(self.channel.clone(), headers);
        Ok(Asker {
            issues: IntakeServiceClient::new(calls.clone())
                .max_decoding_message_size(MAX_ANSWER_BYTES),
            blueprints: BlueprintServiceClient::new(calls.clone())
                .max_decoding_message_size(MAX_ANSWER_BYTES),
            settings: SettingServiceClient::new(calls.clone())
                .max_decoding_message_size(MAX_ANSWER_BYTES),
            log: EnhanceLogServiceClient::new(calls).max_decoding_message_size(MAX_ANSWER_BYTES),
        })
    }
}

/// Asks intake on behalf of one person. Cloning is cheap.
#[derive(Debug, Clone)]
pub(crate) struct Asker {
    issues: IntakeServiceClient<Calls>,
    blueprints: BlueprintServiceClient<Calls>,
    settings: SettingServiceClient<Calls>,
    log: EnhanceLogServiceClient<Calls>,
}

async fn within<T>(
    limit: Duration,
    call: impl Future<Output = Result<Response<T>, Status>>,
) -> Result<T, Failure> {
    match timeout(limit, call).await {
        Ok(answer) => Ok(answer?.into_inner()),
        Err(_) => Err(Failure::Away),
    }
}

macro_rules! rpcs {
    ($($name:ident = $client:ident($request:ident) -> $answer:ident within $limit:ident;)*) => {
        impl Asker {$(
            #[doc = concat!("Calls `", stringify!($name), "`.")]
            pub(crate) async fn $name(
                &self,
                request: v1::$request,
            ) -> Result<v1::$answer, Failure> {
                let mut client = self.$client.clone();
                within($limit, client.$name(request)).await
            }
        )*}
    };
}

rpcs! {
    submit_issue = issues(SubmitIssueRequest) -> SubmitIssueResponse within WRITE_WITHIN;
    get_issue = issues(GetIssueRequest) -> GetIssueResponse within READ_WITHIN;
    list_issues = issues(ListIssuesRequest) -> ListIssuesResponse within READ_WITHIN;
    cancel_issue = issues(CancelIssueRequest) -> CancelIssueResponse within WRITE_WITHIN;
    retry_issue = issues(RetryIssueRequest) -> RetryIssueResponse within WRITE_WITHIN;
    get_proposal = issues(GetProposalRequest) -> GetProposalResponse within READ_WITHIN;
    approve_issue = issues(ApproveIssueRequest) -> ApproveIssueResponse within WRITE_WITHIN;
    decline_issue = issues(DeclineIssueRequest) -> DeclineIssueResponse within WRITE_WITHIN;
    preview_issue = issues(PreviewIssueRequest) -> PreviewIssueResponse within PREVIEW_WITHIN;
    pause_queue = issues(PauseQueueRequest) -> PauseQueueResponse within WRITE_WITHIN;
    resume_queue = issues(ResumeQueueRequest) -> ResumeQueueResponse within WRITE_WITHIN;
    get_queue_stats = issues(GetQueueStatsRequest) -> GetQueueStatsResponse within READ_WITHIN;
    put_blueprint = blueprints(PutBlueprintRequest) -> PutBlueprintResponse within WRITE_WITHIN;
    get_blueprint = blueprints(GetBlueprintRequest) -> GetBlueprintResponse within READ_WITHIN;
    list_blueprints = blueprints(ListBlueprintsRequest) -> ListBlueprintsResponse within READ_WITHIN;
    list_commits = blueprints(ListCommitsRequest) -> ListCommitsResponse within READ_WITHIN;
    revert_blueprint = blueprints(RevertBlueprintRequest) -> RevertBlueprintResponse within WRITE_WITHIN;
    archive_blueprint = blueprints(ArchiveBlueprintRequest) -> ArchiveBlueprintResponse within WRITE_WITHIN;
    unarchive_blueprint = blueprints(UnarchiveBlueprintRequest) -> UnarchiveBlueprintResponse within WRITE_WITHIN;
    set_channel = blueprints(SetChannelRequest) -> SetChannelResponse within WRITE_WITHIN;
    list_channels = blueprints(ListChannelsRequest) -> ListChannelsResponse within READ_WITHIN;
    list_channel_moves = blueprints(ListChannelMovesRequest) -> ListChannelMovesResponse within READ_WITHIN;
    list_consumers = blueprints(ListConsumersRequest) -> ListConsumersResponse within READ_WITHIN;
    put_setting = settings(PutSettingRequest) -> PutSettingResponse within WRITE_WITHIN;
    get_setting = settings(GetSettingRequest) -> GetSettingResponse within READ_WITHIN;
    list_settings = settings(ListSettingsRequest) -> ListSettingsResponse within READ_WITHIN;
    get_log_entry = log(GetLogEntryRequest) -> GetLogEntryResponse within READ_WITHIN;
    get_activity = log(GetActivityRequest) -> GetActivityResponse within READ_WITHIN;
    list_log_entries = log(ListLogEntriesRequest) -> ListLogEntriesResponse within READ_WITHIN;
}

impl Asker {
    /// Opens the stream of an issue's states and steps.
    pub(crate) async fn watch_issue(
        &self,
        issue_id: String,
    ) -> Result<Streaming<v1::WatchIssueResponse>, Failure> {
        let request = v1::WatchIssueRequest {
            issue_id,
            include_steps: true,
            ..Default::default()
        };
        let mut client = self.issues.clone();
        within(READ_WITHIN, client.watch_issue(request)).await
    }

    /// Returns true if the Blueprint is archived. Only the stream of moves says so: it begins with
    /// the removal of what its consumer should no longer run.
    pub(crate) async fn is_archived(&self, blueprint_id: &str) -> Result<bool, Failure> {
        use v1::watch_blueprints_response::Event;
        let request = v1::WatchBlueprintsRequest {
            patterns: vec![blueprint_id.to_owned()],
            // A version that it does not have: the stream says what it has instead.
            known_versions: [(blueprint_id.to_owned(), "0".repeat(64))].into(),
            ..Default::default()
        };
        let mut client = self.blueprints.clone();
        let looking = async {
            let mut events = client.watch_blueprints(request).await?.into_inner();
            while let Some(message) = events.message().await? {
                match message.event {
                    Some(Event::Removal(removal)) => {
                        return Ok(removal.reason() == v1::RemovalReason::Archived);
                    }
                    Some(Event::Heartbeat(_)) => {}
                    Some(Event::Update(_) | Event::Synced(_)) | None => return Ok(false),
                }
            }
            Ok::<bool, Status>(false)
        };
        match timeout(READ_WITHIN, looking).await {
            // Intake has its maximum number of watches. Only a button depends on the answer.
            Ok(Err(status)) if status.code() == tonic::Code::ResourceExhausted => Ok(false),
            Ok(found) => Ok(found?),
            Err(_) => Err(Failure::Away),
        }
    }

    /// Returns the scope of the caller, found by a write that intake refuses from everybody: an
    /// empty document. `None` if intake does not know the token.
    pub(crate) async fn scope(&self) -> Result<Option<Scope>, Failure> {
        let request = v1::PutBlueprintRequest::default();
        let mut client = self.blueprints.clone();
        match timeout(READ_WITHIN, client.put_blueprint(request)).await {
            Ok(Ok(_)) => Err(Failure::Broken("intake accepted an empty document")),
            Ok(Err(status)) => match Failure::from(status.clone()) {
                Failure::Away => Err(Failure::Away),
                _ => Ok(Scope::of_answer(&status)),
            },
            Err(_) => Err(Failure::Away),
        }
    }
}
