//! The content of Redis, key by key, and the rules that the queue satisfies after every step.
//!
//! The rules are those of the documentation in the store's `queue/issue_block.rs`. They are checked
//! on raw keys without the store, so that a mistake in the store's readers cannot hide a mistake in
//! a script.

use std::collections::{BTreeMap, BTreeSet};

use shared::store::Shard;

/// The content of one key.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// A string.
    Text(String),
    /// A list from left to right, or a set in byte order.
    List(Vec<String>),
    /// A hash.
    Hash(BTreeMap<String, String>),
    /// A sorted set: member and score.
    Ranked(BTreeMap<String, String>),
}

/// Every key with its content. Equal dumps show that nothing has changed.
pub type Dump = BTreeMap<String, Content>;

/// Dumps the keys. ARGV 1: `all`, or `queue` for the keys that the rules need, which do not grow
/// with the decided issues. Returns one text instead of nested arrays, which the client parses much
/// more slowly.
const DUMP_SCRIPT: &str = "
local read = {
  string = function(key)
    local length = redis.call('STRLEN', key)
    return { length < 1000000 and redis.call('GET', key) or length .. ' bytes' }
  end,
  list = function(key) return redis.call('LRANGE', key, 0, -1) end,
  hash = function(key) return redis.call('HGETALL', key) end,
  zset = function(key) return redis.call('ZRANGE', key, 0, -1, 'WITHSCORES') end,
  set = function(key)
    local members = redis.call('SMEMBERS', key)
    table.sort(members)
    return members
  end,
}
local queue = { pending = 1, processing = 1, places = 1, backlog = 1, leases = 1, delayed = 1, waiting = 1, counts = 1,
  proposal = 1, in_review = 1, review_due = 1 }
local function wanted(key)
  if ARGV[1] == 'all' then return true end
  local name = string.match(key, '}:([%a_]+)')
  if name ~= 'issue' then return queue[name] end
  local state = redis.call('HGET', key, 'state')
  return state ~= 'applied' and state ~= 'rejected'
end
local dump = {}
for _, key in ipairs(redis.call('KEYS', '*')) do
  if wanted(key) then
    local kind = redis.call('TYPE', key).ok
    dump[key] = { kind, read[kind](key) }
  end
end
return cjson.encode(dump)";

async fn read(store: &Shard, what: &str) -> Dump {
    let mut eval = redis::cmd("EVAL");
    eval.arg(DUMP_SCRIPT).arg(0).arg(what);
    let answer = store.handle().command::<String>("dump", &eval).await;
    let rows: BTreeMap<String, (String, Vec<String>)> =
        serde_json::from_str(&answer.expect("Redis dumps its keys")).expect("a dump is JSON");
    let content = |kind: &str, values: Vec<String>| match kind {
        "string" => Content::Text(values.concat()),
        "list" | "set" => Content::List(values),
        "hash" => Content::Hash(pairs(values)),
        _ => Content::Ranked(pairs(values)),
    };
    rows.into_iter()
        .map(|(key, (kind, values))| (key, content(&kind, values)))
        .collect()
}

fn pairs(values: Vec<String>) -> BTreeMap<String, String> {
    let mut values = values.into_iter();
    std::iter::from_fn(|| Some((values.next()?, values.next()?))).collect()
}

/// The whole content of Redis.
///
/// # Panics
/// If Redis does not answer.
pub async fn dump(store: &Shard) -> Dump {
    read(store, "all").await
}

/// Checks the rules of the queues.
///
/// # Panics
/// If a rule is violated. The message has every violation and the content of the queues.
pub async fn audit(store: &Shard) {
    let dump = read(store, "queue").await;
    let found = violations(&dump);
    assert!(found.is_empty(), "{found:#?}\nin {dump:#?}");
}

/// All violations of the rules of the queue in the dump.
pub fn violations(dump: &Dump) -> Vec<String> {
    let queues = Queues::new(dump);
    let mut found = Vec::new();
    let named = queues.places.keys().chain(queues.waiting.keys());
    let blueprints: BTreeSet<&str> = named
        .map(String::as_str)
        .chain(queues.backlogs.keys().copied())
        .collect();
    for blueprint in blueprints {
        queues.check_queue(blueprint, &mut found);
    }
    queues.check_elements(&mut found);
    queues.check_issues(&mut found);
    queues.check_reviews(&mut found);
    found
}

/// A waiting issue: its id and its time of submission.
type Waiting<'a> = (&'a str, &'a str);

/// The parsed keys of the queue. A missing key is an empty one.
struct Queues<'a> {
    pending: &'a [String],
    processing: BTreeMap<&'a str, &'a [String]>,
    backlogs: BTreeMap<&'a str, Vec<Waiting<'a>>>,
    issues: BTreeMap<&'a str, &'a BTreeMap<String, String>>,
    places: &'a BTreeMap<String, String>,
    leases: &'a BTreeMap<String, String>,
    delayed: &'a BTreeMap<String, String>,
    waiting: &'a BTreeMap<String, String>,
    proposals: BTreeSet<&'a str>,
    in_review: &'a BTreeMap<String, String>,
    review_due: &'a BTreeMap<String, String>,
    n_pending: i64,
}

static NOTHING: BTreeMap<String, String> = BTreeMap::new();

impl<'a> Queues<'a> {
    fn new(dump: &'a Dump) -> Self {
        let mut queues = Self {
            pending: &[],
            processing: BTreeMap::new(),
            backlogs: BTreeMap::new(),
            issues: BTreeMap::new(),
            places: &NOTHING,
            leases: &NOTHING,
            delayed: &NOTHING,
            waiting: &NOTHING,
            proposals: BTreeSet::new(),
            in_review: &NOTHING,
            review_due: &NOTHING,
            n_pending: 0,
        };
        for (key, content) in dump {
            let name = key.rsplit_once("}:").map_or(key.as_str(), |(_, name)| name);
            let (name, id) = name.split_once(':').unwrap_or((name, ""));
            match (name, content) {
                ("pending", Content::List(items)) => queues.pending = items,
                ("processing", Content::List(items)) => {
                    queues.processing.insert(id, items);
                }
                ("backlog", Content::List(items)) => {
                    let apart = |item: &'a String| item.split_once('|').unwrap_or((item, ""));
                    queues
                        .backlogs
                        .insert(id, items.iter().map(apart).collect());
                }
                ("issue", Content::Hash(fields)) if !is_terminal(fields) => {
                    queues.issues.insert(id, fields);
                }
                ("places", Content::Hash(fields)) => queues.places = fields,
                ("counts", Content::Hash(fields)) => {
                    let count = fields.get("pending").map_or("0", String::as_str);
                    queues.n_pending = count.parse().unwrap_or(i64::MIN);
                }
                ("leases", Content::Ranked(scores)) => queues.leases = scores,
                ("delayed", Content::Ranked(scores)) => queues.delayed = scores,
                ("waiting", Content::Ranked(scores)) => queues.waiting = scores,
                ("in_review", Content::Ranked(scores)) => queues.in_review = scores,
                ("review_due", Content::Ranked(scores)) => queues.review_due = scores,
                ("proposal", Content::Hash(_)) => {
                    queues.proposals.insert(id);
                }
                _ => {}
            }
        }
        queues
    }

    fn backlog(&self, blueprint: &str) -> &[Waiting<'a>] {
        self.backlogs.get(blueprint).map_or(&[], Vec::as_slice)
    }

    fn field(&self, issue: &str, name: &str) -> &'a str {
        let fields = self.issues.get(issue);
        fields
            .and_then(|f| f.get(name))
            .map(String::as_str)
            .unwrap_or_default()
    }

    /// Checks one Blueprint: its place, and the age of its oldest waiting issue.
    fn check_queue(&self, blueprint: &str, found: &mut Vec<String>) {
        let backlog = self.backlog(blueprint);
        let place = self.places.get(blueprint).map(String::as_str);
        let Some((head, _)) = backlog.first() else {
            if let Some(place) = place {
                found.push(format!("{blueprint} is {place} and its queue is empty"));
            }
            if self.waiting.contains_key(blueprint) {
                found.push(format!("{blueprint} is in waiting and its queue is empty"));
            }
            return;
        };
        let element = format!("{blueprint}/{head}");
        let in_pending = self.pending.iter().filter(|e| **e == element).count();
        let mut holders = Vec::new();
        for (worker, items) in &self.processing {
            holders.extend(items.iter().filter(|e| **e == element).map(|_| *worker));
        }
        let is_leased = self.leases.contains_key(&element);
        let is_delayed = self.delayed.contains_key(&element);
        let state = self.field(head, "state");
        let is_true = match place {
            Some("ready") => {
                in_pending + holders.len() == 1 && !is_leased && !is_delayed && state == "pending"
            }
            // A reaper may have emptied the list of a worker that it took for dead.
            Some("leased") => {
                in_pending == 0
                    && (holders.is_empty() || holders == [self.field(head, "worker_id")])
                    && is_leased
                    && !is_delayed
                    && state == "in_flight"
                    && !self.field(head, "token").is_empty()
            }
            Some("delayed") => {
                in_pending + holders.len() == 0 && !is_leased && is_delayed && state == "pending"
            }
            Some("parked") => {
                in_pending + holders.len() == 0 && !is_leased && !is_delayed && state == "pending"
            }
            _ => false,
        };
        if !is_true {
            found.push(format!(
                "the place of {element} is {place:?}; it is {state}, {in_pending} times in pending, \
                 in the lists of {holders:?}, leased: {is_leased}, delayed: {is_delayed}"
            ));
        }
        let oldest = backlog.get(usize::from(place == Some("leased")));
        let (expected, noted) = (oldest.map(|(_, at)| *at), self.waiting.get(blueprint));
        if noted.map(String::as_str) != expected {
            found.push(format!(
                "{blueprint} waits since {noted:?} and not {expected:?}"
            ));
        }
    }

    /// Checks that each element is where its queue's place says, and nowhere else.
    fn check_elements(&self, found: &mut Vec<String>) {
        let is_head_at = |element: &str, places: &[&str]| {
            let (blueprint, issue) = element.split_once('/').unwrap_or((element, ""));
            let place = self.places.get(blueprint).map_or("none", String::as_str);
            let head = self.backlog(blueprint).first();
            head.is_some_and(|(head, _)| *head == issue) && places.contains(&place)
        };
        let of_place = |name: &'static str, place: &'static str, elements: Vec<&'a String>| {
            let stray = elements
                .into_iter()
                .filter(move |e| !is_head_at(e, &[place]));
            stray
                .map(move |e| format!("{name} holds {e}, which is not the head of a {place} queue"))
        };
        found.extend(of_place("pending", "ready", self.pending.iter().collect()));
        found.extend(of_place("leases", "leased", self.leases.keys().collect()));
        found.extend(of_place(
            "delayed",
            "delayed",
            self.delayed.keys().collect(),
        ));
        for (worker, items) in &self.processing {
            for element in *items {
                let issue = element.split_once('/').map_or("", |(_, issue)| issue);
                // An element whose issue was decided after the pop stays there until it is claimed.
                let is_stale = !self.issues.contains_key(issue);
                if !is_stale && !is_head_at(element, &["ready", "leased"]) {
                    found.push(format!(
                        "the list of {worker} holds {element}, which is not free"
                    ));
                }
            }
        }
    }

    /// Checks that the undecided issues that are not in review equal the content of the backlogs,
    /// in the order in which they joined.
    fn check_issues(&self, found: &mut Vec<String>) {
        let mut queued = BTreeMap::new();
        for (blueprint, backlog) in &self.backlogs {
            if !backlog.is_sorted_by_key(|(_, at)| at.parse::<u64>().unwrap_or(0)) {
                found.push(format!("the queue of {blueprint} is not in order"));
            }
            for (at, (issue, joined)) in backlog.iter().enumerate() {
                if queued.insert(*issue, at).is_some() {
                    found.push(format!("{issue} is queued twice"));
                }
                let joined_at = match self.field(issue, "joined_at") {
                    "" => self.field(issue, "submitted_at"),
                    joined_at => joined_at,
                };
                let is_same =
                    self.field(issue, "blueprint_id") == *blueprint && joined_at == *joined;
                if !is_same {
                    found.push(format!(
                        "{issue} is in the queue of {blueprint} and does not belong there"
                    ));
                }
            }
        }
        for issue in self.issues.keys() {
            match (queued.get(issue), self.field(issue, "state")) {
                (Some(_), "pending") | (Some(0), "in_flight") | (None, "in_review") => {}
                (at, state) => found.push(format!("{issue} is {state}, queued at {at:?}")),
            }
        }
        let states = self.issues.keys().map(|id| self.field(id, "state"));
        let n_pending = states.filter(|state| *state == "pending").count();
        if i64::try_from(n_pending) != Ok(self.n_pending) {
            found.push(format!(
                "{n_pending} issues are pending, counted are {}",
                self.n_pending
            ));
        }
    }
}

impl Queues<'_> {
    /// Checks that exactly the issues in review are in the list of reviews, that only they can
    /// expire, and that exactly the undecided issues with a round have a proposal.
    fn check_reviews(&self, found: &mut Vec<String>) {
        for issue in self.issues.keys() {
            let is_in_review = self.field(issue, "state") == "in_review";
            if self.in_review.contains_key(*issue) != is_in_review {
                found.push(format!(
                    "{issue} is not where its state says: {is_in_review}"
                ));
            }
            let has_round = !self.field(issue, "round").is_empty();
            if self.proposals.contains(issue) != has_round {
                found.push(format!(
                    "{issue} has a round: {has_round}, and not a proposal"
                ));
            }
        }
        let due = self.review_due.keys();
        let due = due.filter_map(|e| e.split_once('/').map(|(_, issue)| issue));
        for issue in due.chain(self.in_review.keys().map(String::as_str)) {
            if self.field(issue, "state") != "in_review" {
                found.push(format!("{issue} is listed for review and is not in review"));
            }
        }
        for issue in &self.proposals {
            if !self.issues.contains_key(issue) {
                found.push(format!("{issue} is decided and has a proposal"));
            }
        }
    }
}

fn is_terminal(issue: &BTreeMap<String, String>) -> bool {
    let state = issue.get("state").map(String::as_str);
    matches!(state, Some("applied" | "rejected"))
}
