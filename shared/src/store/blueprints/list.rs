//! Lists Blueprints in pages, sorted by id, with one call per shard.

use std::collections::HashMap;

use futures::future::join_all;

use crate::domain::commit::BlueprintSummary;
use crate::ids::BlueprintId;
use crate::store::blueprints::read::read_summary;
use crate::store::codec::paging::{Page, PageRequest};
use crate::store::redis::error::StoreError;
use crate::store::redis::script;
use crate::store::redis::shard::Shard;
use crate::store::redis::store::Store;

/// The maximum number of Blueprints read for one page. If more are archived in a row, the page ends
/// early, which bounds the time in Redis.
const LOOKED_AT_PER_PAGE: usize = 1_000;

impl Shard {
    /// Returns Blueprints sorted by id. A page can be incomplete and still have a next one.
    ///
    /// # Errors
    /// [`StoreError`] if Redis is unavailable or a stored form is damaged.
    pub async fn list_blueprints(
        &self,
        include_archived: bool,
        page: &PageRequest,
    ) -> Result<Page<BlueprintSummary>, StoreError> {
        let from = match &page.after {
            None => "-".to_owned(),
            Some(id) => format!("({id}"),
        };
        let keys = [self.keys.blueprints(), self.keys.blueprint_prefix()];
        let mut reply = self
            .handle
            .script(&script::LIST_BLUEPRINTS, &keys, |call| {
                call.arg(&from).arg(page.size);
                call.arg(u8::from(include_archived)).arg(LOOKED_AT_PER_PAGE);
            })
            .await?;
        if reply.outcome() != "page" {
            return Err(reply.unknown());
        }
        let next: String = reply.take()?;
        let mut items = Vec::new();
        while !reply.is_empty() {
            let name: String = reply.take()?;
            let fields: HashMap<String, String> = reply.take_fields()?;
            let id = BlueprintId::parse(&name).map_err(|_| StoreError::Cursor(name.clone()))?;
            items.push(read_summary(&id, &fields)?);
        }
        Ok(Page {
            items,
            next: (!next.is_empty()).then_some(next),
        })
    }
}

impl Store {
    /// Returns a page of all shards as [`Shard::list_blueprints`].
    ///
    /// # Errors
    /// As [`Shard::list_blueprints`].
    pub async fn list_blueprints(
        &self,
        include_archived: bool,
        page: &PageRequest,
    ) -> Result<Page<BlueprintSummary>, StoreError> {
        if let [shard] = self.shards() {
            return shard.list_blueprints(include_archived, page).await;
        }
        let reading = self.shards().iter();
        let reading = reading.map(|shard| shard.list_blueprints(include_archived, page));
        let (mut items, mut certain): (Vec<BlueprintSummary>, Option<String>) = (Vec::new(), None);
        for part in join_all(reading).await {
            let part = part?;
            items.extend(part.items);
            // A shard that stopped early may have more items right after its cursor. Items behind
            // it are uncertain.
            certain = match (certain, part.next) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            };
        }
        items.sort_by(|a, b| a.blueprint_id.cmp(&b.blueprint_id));
        if let Some(certain) = &certain {
            items.retain(|item| item.blueprint_id.as_str() <= certain.as_str());
        }
        let mut next = certain;
        if items.len() > page.size {
            items.truncate(page.size);
            next = items.last().map(|last| last.blueprint_id.to_string());
        }
        Ok(Page { items, next })
    }
}
