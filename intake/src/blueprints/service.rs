//! `BlueprintService`: documents and their history.

use proto::v1;
use proto::v1::blueprint_service_server::BlueprintService;
use shared::blueprint::yaml::Format;
use shared::blueprint::{Blueprint, json, warnings};
use shared::domain::actor::Actor;
use shared::domain::version_selector::VersionSelector;
use shared::ids::{BlueprintId, VersionPrefix};
use shared::store::ArchiveOutcome;
use tonic::{Request, Response, Status, Streaming};

use crate::backend::Backend;
use crate::blueprints::convert::{commit_to_wire, expected_head, summary_to_wire};
use crate::blueprints::watch::{self, Hub};
use crate::blueprints::write::write;
use crate::blueprints::{channels, consumers, transfer, versions};
use crate::convert;
use crate::edge::auth_layer;
use crate::error::request_error::RequestError;
use crate::error::violations::Violations;
use crate::paging::PageQuery;
use crate::rpc::Rpc;
use crate::watching::lifetime::WatchLimits;

/// The service. Cloning is cheap; all clones share one hub.
#[derive(Clone)]
pub(crate) struct Blueprints {
    backend: Backend,
    hub: Hub,
    limits: WatchLimits,
}

/// Parses the format of a document.
pub(crate) fn document_format(given: i32) -> Result<Format, String> {
    match v1::DocumentFormat::try_from(given) {
        Ok(v1::DocumentFormat::Unspecified) => Ok(Format::Auto),
        Ok(v1::DocumentFormat::Yaml) => Ok(Format::Yaml),
        Ok(v1::DocumentFormat::Json) => Ok(Format::Json),
        Err(_) => Err(format!("{given} is not a DocumentFormat")),
    }
}

impl Blueprints {
    /// Creates the service over `backend`. The limits apply to watch streams.
    pub(crate) fn new(backend: Backend, hub: Hub, limits: WatchLimits) -> Self {
        Self {
            backend,
            hub,
            limits,
        }
    }

    pub(crate) async fn put(
        &self,
        request: v1::PutBlueprintRequest,
        author: &Actor,
    ) -> Result<v1::PutBlueprintResponse, RequestError> {
        let mut violations = Violations::default();
        let format = violations.check("format", document_format(request.format));
        let blueprint = format.and_then(|format| {
            violations.check("document", Blueprint::parse_as(&request.document, format))
        });
        let expected = violations.check(
            "expected_head",
            expected_head(request.expected_head.as_deref()),
        );
        let rationale = violations.check(
            "rationale",
            crate::blueprints::convert::rationale(request.rationale),
        );
        let (Some(blueprint), Some(expected), Some(rationale)) = (blueprint, expected, rationale)
        else {
            return Err(violations.into());
        };
        let store = self.backend.store()?;
        let written = write(store, &blueprint, expected, &rationale, author, None).await?;
        let (trial, trial_detail) = written.trial.into_wire();
        Ok(v1::PutBlueprintResponse {
            commit: Some(commit_to_wire(written.commit)),
            created: written.created,
            trial,
            trial_detail,
            warnings: warnings::of(blueprint.doc()),
        })
    }

    async fn get(
        &self,
        request: v1::GetBlueprintRequest,
    ) -> Result<v1::GetBlueprintResponse, RequestError> {
        let mut violations = Violations::default();
        let blueprint_id = violations.merge(convert::blueprint_id(&request.blueprint_id));
        let selector = violations.merge(convert::selector("selector", request.selector.as_ref()));
        let (Some(blueprint_id), Some(selector)) = (blueprint_id, selector) else {
            return Err(violations.into());
        };
        let shard = self.backend.store()?.of(&blueprint_id);
        let Some(found) = shard.blueprint(&blueprint_id, &selector).await? else {
            return Err(match selector {
                VersionSelector::Latest => RequestError::BlueprintNotFound(blueprint_id),
                VersionSelector::Channel(channel) => match shard.head_seq(&blueprint_id).await? {
                    None => RequestError::BlueprintNotFound(blueprint_id),
                    Some(_) => RequestError::ChannelNotFound {
                        blueprint_id,
                        channel,
                    },
                },
                _ => RequestError::VersionNotFound(blueprint_id),
            });
        };
        Ok(v1::GetBlueprintResponse {
            document_yaml: found.blueprint.canonical_yaml().to_string(),
            document_json: json::emit(found.blueprint.doc()),
            commit: Some(commit_to_wire(found.commit)),
        })
    }

    async fn list(
        &self,
        request: v1::ListBlueprintsRequest,
    ) -> Result<v1::ListBlueprintsResponse, RequestError> {
        let archived = request.include_archived;
        let query = PageQuery::parse(
            request.page_size,
            &request.page_token,
            &format!("blueprints {archived}"),
        )?
        .of_small_items();
        let store = self.backend.store()?;
        let (blueprints, next_page_token) = query
            .collect(summary_to_wire, |page| async move {
                Ok(store.list_blueprints(archived, &page).await?)
            })
            .await?;
        Ok(v1::ListBlueprintsResponse {
            blueprints,
            next_page_token,
        })
    }

    async fn commits(
        &self,
        request: v1::ListCommitsRequest,
    ) -> Result<v1::ListCommitsResponse, RequestError> {
        let blueprint_id = &convert::blueprint_id(&request.blueprint_id)?;
        if !request.version_prefix.is_empty() {
            return self
                .commits_by_prefix(blueprint_id, &request.version_prefix)
                .await;
        }
        let author = convert::optional_actor("author", request.author.as_deref())?;
        let author = author.as_ref();
        let query = PageQuery::parse(
            request.page_size,
            &request.page_token,
            &format!("commits {blueprint_id} {} {author:?}", request.before_seq),
        )?;
        // A cursor is the number before which the next page begins.
        let first = (request.before_seq > 0).then(|| request.before_seq.to_string());
        let first = &first;
        let shard = self.backend.store()?.of(blueprint_id);
        let (commits, next_page_token) = query
            .collect(commit_to_wire, |mut page| async move {
                page.after = page.after.or_else(|| first.clone());
                let commits = shard.list_commits(blueprint_id, author, &page).await?;
                commits.ok_or_else(|| RequestError::BlueprintNotFound(blueprint_id.clone()))
            })
            .await?;
        Ok(v1::ListCommitsResponse {
            commits,
            next_page_token,
        })
    }

    async fn commits_by_prefix(
        &self,
        blueprint_id: &BlueprintId,
        prefix: &str,
    ) -> Result<v1::ListCommitsResponse, RequestError> {
        /// Most commits that an ambiguous prefix names.
        const MAX_NAMED: usize = 10;
        let prefix = VersionPrefix::parse(prefix)
            .map_err(|error| RequestError::field("version_prefix", error))?;
        let shard = self.backend.store()?.of(blueprint_id);
        let found = shard.commits_by_prefix(blueprint_id, &prefix, MAX_NAMED);
        let commits = found.await?;
        let commits =
            commits.ok_or_else(|| RequestError::BlueprintNotFound(blueprint_id.clone()))?;
        Ok(v1::ListCommitsResponse {
            commits: commits.into_iter().map(commit_to_wire).collect(),
            next_page_token: String::new(),
        })
    }

    async fn set_archived(
        &self,
        blueprint_id: &str,
        archived: bool,
    ) -> Result<v1::BlueprintSummary, RequestError> {
        let blueprint_id = convert::blueprint_id(blueprint_id)?;
        let shard = self.backend.store()?.of(&blueprint_id);
        match shard.set_archived(&blueprint_id, archived).await? {
            ArchiveOutcome::Done(summary) => Ok(summary_to_wire(summary)),
            ArchiveOutcome::Unknown => Err(RequestError::BlueprintNotFound(blueprint_id)),
            ArchiveOutcome::InUse(settings) => Err(RequestError::OrbitInUse {
                blueprint_id,
                settings,
            }),
        }
    }
}

#[tonic::async_trait]
impl BlueprintService for Blueprints {
    type ExportBlueprintStream = transfer::ExportStream;
    type WatchBlueprintsStream = watch::WatchStream;

    async fn put_blueprint(
        &self,
        request: Request<v1::PutBlueprintRequest>,
    ) -> Result<Response<v1::PutBlueprintResponse>, Status> {
        let author = auth_layer::actor(request.extensions());
        let put = self.put(request.into_inner(), &author);
        self.backend.answer(Rpc::PutBlueprint, put).await
    }

    async fn get_blueprint(
        &self,
        request: Request<v1::GetBlueprintRequest>,
    ) -> Result<Response<v1::GetBlueprintResponse>, Status> {
        self.backend
            .answer(Rpc::GetBlueprint, self.get(request.into_inner()))
            .await
    }

    async fn list_blueprints(
        &self,
        request: Request<v1::ListBlueprintsRequest>,
    ) -> Result<Response<v1::ListBlueprintsResponse>, Status> {
        self.backend
            .answer(Rpc::ListBlueprints, self.list(request.into_inner()))
            .await
    }

    async fn list_commits(
        &self,
        request: Request<v1::ListCommitsRequest>,
    ) -> Result<Response<v1::ListCommitsResponse>, Status> {
        self.backend
            .answer(Rpc::ListCommits, self.commits(request.into_inner()))
            .await
    }

    async fn diff_blueprint(
        &self,
        request: Request<v1::DiffBlueprintRequest>,
    ) -> Result<Response<v1::DiffBlueprintResponse>, Status> {
        let diff = async { versions::diff(self.backend.store()?, request.into_inner()).await };
        self.backend.answer(Rpc::DiffBlueprint, diff).await
    }

    async fn revert_blueprint(
        &self,
        request: Request<v1::RevertBlueprintRequest>,
    ) -> Result<Response<v1::RevertBlueprintResponse>, Status> {
        let author = auth_layer::actor(request.extensions());
        let revert = async {
            let store = self.backend.store()?;
            versions::revert(store, request.into_inner(), &author).await
        };
        self.backend.answer(Rpc::RevertBlueprint, revert).await
    }

    async fn archive_blueprint(
        &self,
        request: Request<v1::ArchiveBlueprintRequest>,
    ) -> Result<Response<v1::ArchiveBlueprintResponse>, Status> {
        let archive = async {
            let blueprint = self.set_archived(&request.get_ref().blueprint_id, true);
            Ok(v1::ArchiveBlueprintResponse {
                blueprint: Some(blueprint.await?),
            })
        };
        self.backend.answer(Rpc::ArchiveBlueprint, archive).await
    }

    async fn unarchive_blueprint(
        &self,
        request: Request<v1::UnarchiveBlueprintRequest>,
    ) -> Result<Response<v1::UnarchiveBlueprintResponse>, Status> {
        let unarchive = async {
            let blueprint = self.set_archived(&request.get_ref().blueprint_id, false);
            Ok(v1::UnarchiveBlueprintResponse {
                blueprint: Some(blueprint.await?),
            })
        };
        self.backend
            .answer(Rpc::UnarchiveBlueprint, unarchive)
            .await
    }

    async fn export_blueprint(
        &self,
        request: Request<v1::ExportBlueprintRequest>,
    ) -> Result<Response<Self::ExportBlueprintStream>, Status> {
        let export = async {
            let store = self.backend.store()?;
            transfer::export(store, &request.get_ref().blueprint_id).await
        };
        self.backend.answer(Rpc::ExportBlueprint, export).await
    }

    async fn import_blueprint(
        &self,
        request: Request<Streaming<v1::ImportBlueprintRequest>>,
    ) -> Result<Response<v1::ImportBlueprintResponse>, Status> {
        let importer = auth_layer::actor(request.extensions());
        let import = async {
            let store = self.backend.store()?;
            transfer::import(store, request.into_inner(), &importer).await
        };
        self.backend.answer(Rpc::ImportBlueprint, import).await
    }

    async fn set_channel(
        &self,
        request: Request<v1::SetChannelRequest>,
    ) -> Result<Response<v1::SetChannelResponse>, Status> {
        let actor = auth_layer::actor(request.extensions());
        let set =
            async { channels::set(self.backend.store()?, request.into_inner(), &actor).await };
        self.backend.answer(Rpc::SetChannel, set).await
    }

    async fn delete_channel(
        &self,
        request: Request<v1::DeleteChannelRequest>,
    ) -> Result<Response<v1::DeleteChannelResponse>, Status> {
        let actor = auth_layer::actor(request.extensions());
        let delete =
            async { channels::delete(self.backend.store()?, request.into_inner(), &actor).await };
        self.backend.answer(Rpc::DeleteChannel, delete).await
    }

    async fn list_channels(
        &self,
        request: Request<v1::ListChannelsRequest>,
    ) -> Result<Response<v1::ListChannelsResponse>, Status> {
        let list = async { channels::list(self.backend.store()?, request.into_inner()).await };
        self.backend.answer(Rpc::ListChannels, list).await
    }

    async fn list_channel_moves(
        &self,
        request: Request<v1::ListChannelMovesRequest>,
    ) -> Result<Response<v1::ListChannelMovesResponse>, Status> {
        let list =
            async { channels::list_moves(self.backend.store()?, request.into_inner()).await };
        self.backend.answer(Rpc::ListChannelMoves, list).await
    }

    async fn report_version(
        &self,
        request: Request<v1::ReportVersionRequest>,
    ) -> Result<Response<v1::ReportVersionResponse>, Status> {
        let report = async { consumers::report(self.backend.store()?, request.into_inner()).await };
        self.backend.answer(Rpc::ReportVersion, report).await
    }

    async fn list_consumers(
        &self,
        request: Request<v1::ListConsumersRequest>,
    ) -> Result<Response<v1::ListConsumersResponse>, Status> {
        let list = async { consumers::list(self.backend.store()?, request.into_inner()).await };
        self.backend.answer(Rpc::ListConsumers, list).await
    }

    async fn watch_blueprints(
        &self,
        request: Request<v1::WatchBlueprintsRequest>,
    ) -> Result<Response<Self::WatchBlueprintsStream>, Status> {
        let limits = self.limits.clone();
        let watching = watch::watch(&self.hub, &self.backend, request.into_inner(), limits);
        self.backend.answer(Rpc::WatchBlueprints, watching).await
    }
}
