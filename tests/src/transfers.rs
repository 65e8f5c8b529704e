//! Exports a Blueprint with its history, and imports it.

use futures::stream;
use proto::v1;
use tonic::Status;

use crate::client::Client;

/// Returns the export of a Blueprint as the messages of an import.
///
/// # Panics
/// If the export fails.
pub async fn export(client: &Client, id: &str) -> Vec<v1::ImportBlueprintRequest> {
    let request = v1::ExportBlueprintRequest {
        blueprint_id: id.to_owned(),
    };
    let answer = client.blueprints.clone().export_blueprint(request).await;
    let mut answer = answer.expect("ExportBlueprint").into_inner();
    let mut messages = Vec::new();
    while let Some(message) = answer.message().await.expect("a whole stream") {
        messages.push(v1::ImportBlueprintRequest {
            commit: message.commit,
            document_yaml: message.document_yaml,
            last: message.last,
            channel_move: message.channel_move,
            replace_bundled: false,
        });
    }
    messages
}

/// Imports these messages, and returns the head's commit.
///
/// # Errors
/// The refusal of intake.
pub async fn import(
    client: &Client,
    messages: Vec<v1::ImportBlueprintRequest>,
) -> Result<v1::Commit, Status> {
    let mut blueprints = client.blueprints.clone();
    let answer = blueprints.import_blueprint(stream::iter(messages)).await?;
    Ok(answer.into_inner().commit.expect("a commit"))
}
