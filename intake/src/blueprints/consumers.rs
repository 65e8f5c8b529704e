//! Consumers: their reports and their list.

use proto::v1;
use shared::domain::consumer::{Consumer, ConsumerReport, ConsumerStatus, MAX_MESSAGE_BYTES};
use shared::ids::{ConsumerId, Version};
use shared::store::{ReportOutcome, Store};

use crate::convert::{self, text, timestamp};
use crate::error::request_error::RequestError;
use crate::error::violations::Violations;
use crate::paging::PageQuery;

/// Implements `ReportVersion`.
///
/// # Errors
/// A field is invalid, the Blueprint, the channel or the version is not found, or the Blueprint has
/// too many consumers.
pub(crate) async fn report(
    store: &Store,
    request: v1::ReportVersionRequest,
) -> Result<v1::ReportVersionResponse, RequestError> {
    let report = parse(request)?;
    let outcome = store.of(&report.blueprint_id).report_version(&report);
    let outcome = outcome.await?;
    let blueprint_id = report.blueprint_id;
    match (outcome, report.channel) {
        (ReportOutcome::Reported, _) => Ok(v1::ReportVersionResponse {}),
        (ReportOutcome::UnknownChannel, Some(channel)) => Err(RequestError::ChannelNotFound {
            blueprint_id,
            channel,
        }),
        (ReportOutcome::UnknownBlueprint | ReportOutcome::UnknownChannel, _) => {
            Err(RequestError::BlueprintNotFound(blueprint_id))
        }
        (ReportOutcome::UnknownVersion, _) => Err(RequestError::VersionNotInHistory {
            blueprint_id,
            version: report.version,
        }),
        (ReportOutcome::TooManyConsumers, _) => Err(RequestError::TooManyConsumers(blueprint_id)),
    }
}

fn parse(request: v1::ReportVersionRequest) -> Result<ConsumerReport, RequestError> {
    let mut violations = Violations::default();
    let status = match request.status() {
        v1::ConsumerStatus::Unspecified => Err("is not APPLYING, APPLIED or FAILED"),
        v1::ConsumerStatus::Applying => Ok(ConsumerStatus::Applying),
        v1::ConsumerStatus::Applied => Ok(ConsumerStatus::Applied),
        v1::ConsumerStatus::Failed => Ok(ConsumerStatus::Failed),
    };
    let consumer_id = violations.check("consumer_id", ConsumerId::parse(&request.consumer_id));
    let blueprint_id = violations.merge(convert::blueprint_id(&request.blueprint_id));
    let channel = match request.channel.as_str() {
        "" => Some(None),
        name => violations
            .merge(convert::channel("channel", name))
            .map(Some),
    };
    let version = violations.check("version", Version::parse(&request.version));
    let status = violations.check("status", status);
    let message = match request.message.len() {
        0..=MAX_MESSAGE_BYTES => Ok(request.message),
        n => Err(format!(
            "has {n} bytes; the limit is {MAX_MESSAGE_BYTES} (1 KiB)"
        )),
    };
    let message = violations.check("message", message);
    match (consumer_id, blueprint_id, channel, version, status, message) {
        (
            Some(consumer_id),
            Some(blueprint_id),
            Some(channel),
            Some(version),
            Some(status),
            Some(message),
        ) => Ok(ConsumerReport {
            consumer_id,
            blueprint_id,
            channel,
            version,
            status,
            message,
        }),
        _ => Err(violations.into()),
    }
}

/// Implements `ListConsumers`.
///
/// # Errors
/// A field is invalid.
pub(crate) async fn list(
    store: &Store,
    request: v1::ListConsumersRequest,
) -> Result<v1::ListConsumersResponse, RequestError> {
    let blueprint = convert::blueprint_filter(request.blueprint_id.as_deref())?;
    let query = PageQuery::parse(
        request.page_size,
        &request.page_token,
        &format!("consumers {blueprint:?}"),
    )?;
    let blueprint = blueprint.as_ref();
    let (consumers, next_page_token) = query
        .of_small_items()
        .collect(consumer_to_wire, |page| async move {
            Ok(store.list_consumers(blueprint, &page).await?)
        })
        .await?;
    Ok(v1::ListConsumersResponse {
        consumers,
        next_page_token,
    })
}

fn consumer_to_wire(consumer: Consumer) -> v1::Consumer {
    let report = consumer.report;
    let status = match report.status {
        ConsumerStatus::Applying => v1::ConsumerStatus::Applying,
        ConsumerStatus::Applied => v1::ConsumerStatus::Applied,
        ConsumerStatus::Failed => v1::ConsumerStatus::Failed,
    };
    v1::Consumer {
        consumer_id: report.consumer_id.to_string(),
        blueprint_id: report.blueprint_id.to_string(),
        channel: text(report.channel),
        version: report.version.to_string(),
        status: status.into(),
        message: report.message,
        since: Some(timestamp(consumer.since_ms)),
        last_seen: Some(timestamp(consumer.last_seen_ms)),
        behind: consumer.behind,
    }
}
