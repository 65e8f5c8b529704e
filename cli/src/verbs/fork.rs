//! `fork`: a new Blueprint from another one of the same store.

use std::sync::{Arc, Mutex};

use futures::stream;
use proto::v1::version_selector::Selector;
use proto::v1::{
    Commit, ExportBlueprintRequest, ExportBlueprintResponse, ImportBlueprintRequest,
    PutBlueprintRequest,
};
use serde_json::json;
use shared::blueprint::{Blueprint, Doc, yaml};
use shared::ids::BlueprintId;
use tonic::{Code, Streaming};

use super::renamed::Renamed;
use super::version_lookup::fetch;
use crate::args::{ForkArgs, Output};
use crate::client::{CliError, Client};
use crate::output;

/// Makes a new Blueprint with the history of another one, or with its present version. Channels are
/// not copied: who follows a channel must not run a copy unasked.
///
/// # Errors
/// Errors of intake or standard output; the new Blueprint does not exist then.
pub(crate) async fn fork(
    mut client: Client,
    args: ForkArgs,
    format: Output,
) -> Result<(), CliError> {
    let id = new_id(&args.new_id)?;
    let commit = if args.head_only {
        fork_head(&mut client, &args.blueprint_id, &id).await?
    } else {
        fork_history(&mut client, &args.blueprint_id, id).await?
    };
    if format == Output::Json {
        let value = json!({ "commit": output::commit_json(&commit) });
        return Ok(output::json_document(&value)?);
    }
    Ok(output::line(format_args!(
        "{}: {} of {}, the head is version {}",
        commit.blueprint_id,
        output::count(commit.seq, "commit"),
        args.blueprint_id,
        output::version(&commit.version)
    ))?)
}

/// Reads the id of a new Blueprint.
///
/// # Errors
/// [`CliError::NewId`].
pub(super) fn new_id(given: &str) -> Result<BlueprintId, CliError> {
    BlueprintId::parse(given).map_err(|error| CliError::NewId {
        given: given.to_owned(),
        problem: error.to_string(),
    })
}

async fn fork_head(client: &mut Client, from: &str, to: &BlueprintId) -> Result<Commit, CliError> {
    let found = fetch(client, from, Selector::Latest(true)).await?;
    let head = found.commit.ok_or(CliError::Answer { field: "commit" })?;
    let damaged = CliError::Answer {
        field: "document_yaml",
    };
    let Ok(blueprint) = Blueprint::parse(&found.document_yaml) else {
        return Err(damaged);
    };
    let members = blueprint.doc().as_object().into_iter().flatten();
    let doc = Doc::object(members.map(|(key, value)| match &**key {
        "id" => (key.clone(), Doc::Str(to.as_str().into())),
        _ => (key.clone(), value.clone()),
    }));
    let Ok(document) = yaml::emit(&doc) else {
        return Err(damaged);
    };
    let request = PutBlueprintRequest {
        document,
        expected_head: Some(String::new()),
        rationale: Some(format!("fork of {from} at version {}", head.version)),
        ..Default::default()
    };
    let exists = || CliError::NewId {
        given: to.to_string(),
        problem: "a Blueprint with this id exists".to_owned(),
    };
    let put = client.blueprints.put_blueprint(request).await;
    let answer = put.map_err(|status| match status.code() {
        Code::Aborted => exists(),
        _ => status.into(),
    })?;
    let answer = answer.into_inner();
    // A write accepts an unchanged document, whatever head is expected.
    if !answer.created {
        return Err(exists());
    }
    answer.commit.ok_or(CliError::Answer { field: "commit" })
}

async fn fork_history(
    client: &mut Client,
    from: &str,
    to: BlueprintId,
) -> Result<Commit, CliError> {
    let request = ExportBlueprintRequest {
        blueprint_id: from.to_owned(),
    };
    let export = client
        .blueprints
        .export_blueprint(request)
        .await?
        .into_inner();
    let failure = Arc::new(Mutex::new(None));
    let found = failure.clone();
    let copy = Copy {
        export,
        renamed: Renamed::to(to),
        held: None,
        is_over: false,
    };
    // After a failure the stream ends without its last message, so nothing is imported.
    let messages = stream::unfold(copy, move |mut copy| {
        let found = found.clone();
        async move {
            match copy.next().await {
                Ok(message) => message.map(|message| (message, copy)),
                Err(error) => {
                    *found.lock().expect("no holder of this lock panics") = Some(error);
                    None
                }
            }
        }
    });
    let answer = client.blueprints.import_blueprint(messages).await;
    if let Some(error) = failure
        .lock()
        .expect("no holder of this lock panics")
        .take()
    {
        return Err(error);
    }
    let commit = answer?.into_inner().commit;
    commit.ok_or(CliError::Answer { field: "commit" })
}

/// The messages of an import, from those of an export.
struct Copy {
    export: Streaming<ExportBlueprintResponse>,
    renamed: Renamed,
    /// The newest commit so far. Whether it is the last is known from the next message.
    held: Option<ImportBlueprintRequest>,
    is_over: bool,
}

impl Copy {
    async fn next(&mut self) -> Result<Option<ImportBlueprintRequest>, CliError> {
        while !self.is_over {
            let message = self.export.message().await?;
            let commit = message.filter(|message| message.commit.is_some());
            let Some(message) = commit else {
                // The first move of a channel, or the end of a history without channels.
                self.is_over = true;
                break;
            };
            let request = ImportBlueprintRequest {
                commit: message.commit,
                document_yaml: message.document_yaml,
                ..Default::default()
            };
            let renamed = self.renamed.message(request);
            let renamed = renamed.map_err(|_| CliError::Answer { field: "commit" })?;
            if let Some(previous) = self.held.replace(renamed) {
                return Ok(Some(previous));
            }
        }
        Ok(self.held.take().map(|newest| ImportBlueprintRequest {
            last: true,
            ..newest
        }))
    }
}
