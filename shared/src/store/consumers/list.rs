//! Lists consumers in pages, sorted by Blueprint and then by id.

use std::collections::HashMap;

use futures::future::join_all;
use redis::cmd;

use crate::domain::consumer::{CONSUMER_LIFETIME, Consumer};
use crate::ids::{BlueprintId, ConsumerId, Version};
use crate::store::codec;
use crate::store::codec::paging::{Page, PageRequest};
use crate::store::redis::error::StoreError;
use crate::store::redis::shard::Shard;
use crate::store::redis::store::Store;

/// The consumers of one Blueprint after a position.
struct Part {
    items: Vec<Consumer>,
    /// The last consumer that was read, if more follow.
    next: Option<ConsumerId>,
}

impl Store {
    /// Returns the last reports of the consumers of all Blueprints, or of one. Reports that are too
    /// old are omitted.
    ///
    /// # Errors
    /// [`StoreError::Cursor`] for an invalid cursor. [`StoreError`] if Redis is unavailable or a
    /// stored form is damaged.
    pub async fn list_consumers(
        &self,
        blueprint: Option<&BlueprintId>,
        page: &PageRequest,
    ) -> Result<Page<Consumer>, StoreError> {
        // A cursor is `<blueprint_id>/<consumer_id>` of the page's last item.
        let after = match &page.after {
            None => None,
            Some(cursor) => Some(place_of(cursor)?),
        };
        let mut blueprints = match blueprint {
            Some(id) => vec![id.clone()],
            None => self.consumed_blueprints().await?,
        };
        if let Some((id, _)) = &after {
            blueprints.retain(|other| other >= id);
        }
        let mut items: Vec<Consumer> = Vec::new();
        for (n, id) in blueprints.iter().enumerate() {
            let from = after.as_ref().filter(|(at, _)| at == id);
            let from = from.map(|(_, consumer)| consumer);
            let wanted = page.size - items.len();
            let mut part = self.of(id).consumers_of(id, from, wanted).await?;
            items.append(&mut part.items);
            let is_last = n + 1 == blueprints.len();
            let next = match (part.next, items.last()) {
                (Some(consumer), _) => Some(consumer),
                (None, Some(last)) if items.len() == page.size && !is_last => {
                    Some(last.report.consumer_id.clone())
                }
                _ => continue,
            };
            let next = next.map(|consumer| format!("{id}/{consumer}"));
            return Ok(Page { items, next });
        }
        Ok(Page { items, next: None })
    }

    /// Returns the Blueprints that may have reports, sorted by id.
    async fn consumed_blueprints(&self) -> Result<Vec<BlueprintId>, StoreError> {
        let reading = self.shards().iter().map(async |shard| {
            let mut read = cmd("ZRANGE");
            read.arg(shard.keys.consumed()).arg(0).arg(-1);
            let read = shard.handle.command("consumed blueprints", &read);
            read.await
        });
        let mut blueprints = Vec::new();
        for names in join_all(reading).await {
            let names: Vec<String> = names?;
            for name in names {
                let id = BlueprintId::parse(&name);
                blueprints.push(id.map_err(|e| codec::damaged("consumers", &name, e))?);
            }
        }
        blueprints.sort();
        Ok(blueprints)
    }
}

fn place_of(cursor: &str) -> Result<(BlueprintId, ConsumerId), StoreError> {
    let place = cursor.split_once('/').and_then(|(blueprint, consumer)| {
        let blueprint = BlueprintId::parse(blueprint).ok()?;
        Some((blueprint, ConsumerId::parse(consumer).ok()?))
    });
    place.ok_or_else(|| StoreError::Cursor(cursor.to_owned()))
}

impl Shard {
    /// Returns the consumers of a Blueprint after this one, sorted by id, at most `wanted`.
    async fn consumers_of(
        &self,
        id: &BlueprintId,
        after: Option<&ConsumerId>,
        wanted: usize,
    ) -> Result<Part, StoreError> {
        let mut pipeline = redis::pipe();
        pipeline.cmd("TIME");
        let seen = pipeline.cmd("ZRANGE").arg(self.keys.consumers_seen(id));
        seen.arg(0).arg(-1).arg("WITHSCORES");
        pipeline
            .cmd("HGET")
            .arg(self.keys.blueprint(id))
            .arg("version");
        type Read = ((u64, u64), Vec<(String, u64)>, Option<String>);
        let ((secs, micros), seen, head): Read =
            self.handle.pipeline("consumers", &pipeline).await?;
        let now = secs * 1_000 + micros / 1_000;
        let mut places = Vec::new();
        for (name, at) in seen {
            let age = u128::from(now.saturating_sub(at));
            if age < CONSUMER_LIFETIME.as_millis() {
                let consumer = ConsumerId::parse(&name);
                let consumer = consumer.map_err(|e| codec::damaged("consumers", &name, e))?;
                places.push((consumer, at));
            }
        }
        places.retain(|(consumer, _)| after.is_none_or(|after| consumer > after));
        places.sort();
        let has_more = places.len() > wanted;
        places.truncate(wanted);
        let next = places.last().filter(|_| has_more);
        let next = next.map(|(consumer, _)| consumer.clone());
        let items = self.reports_of(id, &places, head.as_deref()).await?;
        Ok(Part { items, next })
    }

    /// Returns the reports of these consumers, which were seen at these times.
    async fn reports_of(
        &self,
        id: &BlueprintId,
        places: &[(ConsumerId, u64)],
        head: Option<&str>,
    ) -> Result<Vec<Consumer>, StoreError> {
        if places.is_empty() {
            return Ok(Vec::new());
        }
        let names: Vec<&str> = places.iter().map(|(name, _)| name.as_str()).collect();
        let mut read = cmd("HMGET");
        read.arg(self.keys.consumers(id)).arg(&names);
        let reports: Vec<Option<String>> = self.handle.command("consumers", &read).await?;
        let channels = self.list_channels(id).await?.unwrap_or_default();
        let versions: HashMap<_, &Version> = channels
            .iter()
            .map(|channel| (&channel.name, &channel.version))
            .collect();
        let mut consumers = Vec::new();
        for ((name, at), text) in places.iter().zip(reports) {
            // Without a report, it was forgotten between the two reads.
            let Some(text) = text else { continue };
            let mut consumer = codec::consumer(id, name, *at, &text)?;
            let target = match &consumer.report.channel {
                None => head,
                Some(channel) => versions.get(channel).map(|version| version.as_str()),
            };
            consumer.behind = target != Some(consumer.report.version.as_str());
            consumers.push(consumer);
        }
        Ok(consumers)
    }
}
