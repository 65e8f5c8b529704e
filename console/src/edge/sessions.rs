//! The people who signed in: their tokens, in memory only.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::calls::Scope;
use crate::edge::form_token;

/// How long a session lasts.
pub(crate) const LASTS: Duration = Duration::from_secs(12 * 3_600);
/// The number of sessions; the oldest makes room. Each belongs to a token that intake knows.
const MAX_SESSIONS: usize = 1_000;

/// A person who signed in.
pub(crate) struct Session {
    /// The token for intake.
    pub(crate) token: String,
    /// What the token allows, when the person signed in.
    pub(crate) scope: Scope,
    started: Instant,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Omits the token.
        f.debug_struct("Session")
            .field("scope", &self.scope)
            .finish_non_exhaustive()
    }
}

/// All sessions by the digest of their id, so that the time of a look-up says nothing of ids.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    open: Mutex<HashMap<[u8; 32], Arc<Session>>>,
}

fn key(id: &str) -> [u8; 32] {
    use sha2::{Digest, Sha256};
    Sha256::digest(id.as_bytes()).into()
}

impl Sessions {
    /// Starts a session and returns its id.
    pub(crate) fn start(&self, token: String, scope: Scope) -> Result<String, getrandom::Error> {
        let id = hex::encode(form_token::random()?);
        let now = Instant::now();
        let session = Session {
            token,
            scope,
            started: now,
        };
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|_, session| now.duration_since(session.started) < LASTS);
        if open.len() >= MAX_SESSIONS {
            let oldest = open.iter().min_by_key(|(_, session)| session.started);
            if let Some(oldest) = oldest.map(|(key, _)| *key) {
                open.remove(&oldest);
            }
        }
        open.insert(key(&id), Arc::new(session));
        Ok(id)
    }

    /// Returns the session with this id.
    pub(crate) fn find(&self, id: &str) -> Option<Arc<Session>> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let session = Arc::clone(open.get(&key(id))?);
        if session.started.elapsed() < LASTS {
            return Some(session);
        }
        open.remove(&key(id));
        None
    }

    /// Forgets a session.
    pub(crate) fn end(&self, id: &str) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.remove(&key(id));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_found_by_its_id_until_it_ends() {
        let sessions = Sessions::default();
        let id = sessions.start("a-token".into(), Scope::Submit).unwrap();
        assert_eq!(sessions.find(&id).unwrap().token, "a-token");
        assert!(sessions.find("other").is_none());
        sessions.end(&id);
        assert!(sessions.find(&id).is_none());
    }

    #[test]
    fn sessions_are_limited_and_the_oldest_makes_room() {
        let sessions = Sessions::default();
        let first = sessions.start("t".into(), Scope::Read).unwrap();
        let second = sessions.start("t".into(), Scope::Read).unwrap();
        for _ in 2..=MAX_SESSIONS {
            sessions.start("t".into(), Scope::Read).unwrap();
        }
        assert!(sessions.find(&first).is_none());
        assert!(sessions.find(&second).is_some());
    }

    #[test]
    fn a_session_of_twelve_hours_ago_is_forgotten() {
        let sessions = Sessions::default();
        let id = sessions.start("t".into(), Scope::Read).unwrap();
        // An `Instant` cannot lie before the start of the machine.
        let Some(started) = Instant::now().checked_sub(LASTS) else {
            return;
        };
        let old = Session {
            token: "t".into(),
            scope: Scope::Read,
            started,
        };
        sessions
            .open
            .lock()
            .unwrap()
            .insert(key(&id), Arc::new(old));
        assert!(sessions.find(&id).is_none());
    }
}
