//! `consumers`.

use proto::v1::{Consumer, ConsumerStatus, ListConsumersRequest};
use serde_json::{Value, json};

use super::page_size;
use crate::args::{ConsumersArgs, Output};
use crate::client::{CliError, Client};
use crate::output;

/// Prints the instances that run Blueprints, with their last reports.
///
/// # Errors
/// Errors of intake or standard output.
pub(crate) async fn consumers(
    mut client: Client,
    args: ConsumersArgs,
    format: Output,
) -> Result<(), CliError> {
    let (mut consumers, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = ListConsumersRequest {
            blueprint_id: args.blueprint_id.clone(),
            page_size: page_size(usize::MAX),
            page_token,
        };
        let page = client.blueprints.list_consumers(request).await?;
        let page = page.into_inner();
        consumers.extend(page.consumers);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    if format == Output::Json {
        let consumers: Vec<_> = consumers.iter().map(consumer_json).collect();
        return Ok(output::json_document(&json!({ "consumers": consumers }))?);
    }
    let rows = consumers.iter().map(|consumer| {
        [
            consumer.blueprint_id.clone(),
            consumer.consumer_id.clone(),
            match consumer.channel.as_str() {
                "" => "-".to_owned(),
                channel => channel.to_owned(),
            },
            output::short(&consumer.version).to_owned(),
            status_name(consumer).to_owned(),
            if consumer.behind { "behind" } else { "" }.to_owned(),
            output::time(consumer.since.as_ref()),
            output::time(consumer.last_seen.as_ref()),
            output::brief(&consumer.message),
        ]
    });
    let header = [
        "BLUEPRINT",
        "CONSUMER",
        "CHANNEL",
        "VERSION",
        "STATUS",
        "",
        "SINCE",
        "LAST SEEN",
        "DETAIL",
    ];
    Ok(output::line(output::table(header, rows))?)
}

fn status_name(consumer: &Consumer) -> &'static str {
    match consumer.status() {
        ConsumerStatus::Unspecified => "unspecified",
        ConsumerStatus::Applying => "applying",
        ConsumerStatus::Applied => "applied",
        ConsumerStatus::Failed => "failed",
    }
}

fn consumer_json(consumer: &Consumer) -> Value {
    json!({
        "consumer_id": consumer.consumer_id,
        "blueprint_id": consumer.blueprint_id,
        "channel": consumer.channel,
        "version": consumer.version,
        "status": status_name(consumer),
        "message": consumer.message,
        "since": consumer.since.as_ref().map(ToString::to_string),
        "last_seen": consumer.last_seen.as_ref().map(ToString::to_string),
        "behind": consumer.behind,
    })
}
