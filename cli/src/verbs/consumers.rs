//! `consumers`.

use proto::v1::{Consumer, ConsumerStatus, ListConsumersRequest};
use serde_json::{Value, json};

use super::page_size;
use crate::args::{ConsumersArgs, Output};
use crate::client::{CliError, Client};
use crate::output::{self, Cell, Column, Paint, status_paint, time_json};

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
            Cell::from(&consumer.blueprint_id),
            Cell::from(&consumer.consumer_id),
            Cell::from(&consumer.channel),
            Cell::version(&consumer.version),
            Cell::from(status_name(consumer)).painted(status_paint(status_name(consumer))),
            Cell::from(if consumer.behind { "behind" } else { "" }).painted(Paint::Warn),
            Cell::time(consumer.since.as_ref()),
            Cell::time(consumer.last_seen.as_ref()),
            Cell::from(&consumer.message),
        ]
    });
    let columns = [
        Column::value("BLUEPRINT"),
        Column::value("CONSUMER"),
        Column::value("CHANNEL").omitted(4),
        Column::value("VERSION").omitted(3),
        Column::value("STATUS"),
        Column::value(""),
        Column::time("SINCE").omitted(5),
        Column::time("LAST SEEN").omitted(1),
        Column::text("DETAIL").omitted(2),
    ];
    Ok(output::list(
        columns,
        &rows.collect::<Vec<_>>(),
        "consumers",
    )?)
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
        "since": time_json(consumer.since.as_ref()),
        "last_seen": time_json(consumer.last_seen.as_ref()),
        "behind": consumer.behind,
    })
}
