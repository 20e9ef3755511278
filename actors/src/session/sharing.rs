//! What a session does with `presence`.

use sealwire_protocol::frames::{ErrorFrame, PresenceFrame, PresenceRequest, ServerFrame};
use sealwire_protocol::{ErrorCode, Username};
use sealwire_store::StoreError;

use super::socket::SessionContext;
use super::state::Stage;
use super::{Session, login};
use crate::node::Node;
use crate::quota::{Counted, User};

impl Session {
    pub(super) fn presence(&mut self, request: PresenceRequest, id: Option<String>, ctx: &mut SessionContext) {
        if request == PresenceRequest::default() {
            let text = "`presence` has `subscribe`, `unsubscribe` or `share`";
            return self.refuse(ErrorFrame { id, ..ErrorFrame::new(ErrorCode::BadRequest, text) });
        }
        let (added, removed) = (names(request.subscribe), names(request.unsubscribe));
        let most = self.node.settings.limits.presence_subscriptions;
        let Some(session) = self.authenticated() else { return };
        if !added.is_empty() && session.watching.count_with(&added, &removed) > most {
            let text = format!("one connection may watch {most} names");
            return self.refuse(ErrorFrame { id, ..ErrorFrame::new(ErrorCode::LimitExceeded, text) });
        }
        let Some(share) = request.share else { return self.watch(&added, &removed, id) };
        let (name, user, node) = (session.username.clone(), session.quota.clone(), self.node.clone());
        let keep = login::to_its_end(async move { change(&node, &user, &name, share).await });
        self.look_up(keep, ctx, move |session, kept, _| match kept {
            Ok(()) => session.watch(&added, &removed, id),
            Err(error) => session.turn_down(ErrorFrame { id, ..error }),
        });
    }

    fn watch(&mut self, added: &[Username], removed: &[Username], id: Option<String>) {
        let Some(session) = self.authenticated() else { return };
        let found: Vec<_> = added.iter().map(|name| (name.clone(), session.watching.add(name))).collect();
        removed.iter().for_each(|name| session.watching.remove(name));
        self.send(&ServerFrame::Presence(PresenceFrame { id, ..PresenceFrame::default() }));
        self.tell_presence(found);
    }

    /// Hands on who is here or not, as far as it is still wanted.
    pub(super) fn tell_presence(&self, news: impl IntoIterator<Item = (Username, bool)>) {
        let Stage::Authenticated(session) = &self.stage else { return };
        for (name, online) in news.into_iter().filter(|(name, _)| session.watching.has(name)) {
            let frame = PresenceFrame { id: None, username: Some(name), online: Some(online) };
            self.send(&ServerFrame::Presence(frame));
        }
    }
}

/// Shares presence from now on, or does no more. Written only where it differs; one change of an account at a time.
async fn change(node: &Node, user: &User, name: &Username, share: bool) -> Result<(), ErrorFrame> {
    let _turn = user.sharing.lock().await;
    let account = login::in_time(node, node.roster.find(name)).await;
    let account = account.map_err(|error| login::store_unavailable(&error))?;
    if account.is_none_or(|account| account.shares_presence != share) {
        user.lock().take(Counted::Sharing, node.clock.now()).map_err(|after| {
            let error = ErrorFrame::new(ErrorCode::RateLimited, "too many changes of who may see your presence");
            ErrorFrame { retry_after_ms: Some(after), ..error }
        })?;
        let kept = login::in_time(node, node.store.set_presence_shared(name, share)).await;
        node.changed(name);
        kept.map_err(|error| login::store_unavailable(&error))?;
    }
    node.watchers.share(name, share);
    Ok(())
}

/// Shows a device that has come by what its account says now: it may have changed between the reading and the coming.
pub(crate) async fn settle(node: &Node, user: &User, name: &Username) -> Result<(), StoreError> {
    let _turn = user.sharing.lock().await;
    let account = login::in_time(node, node.roster.find(name)).await?;
    node.watchers.share(name, account.is_some_and(|account| account.shares_presence));
    Ok(())
}

/// The names of a list. One that is ill-formed is nobody's and never online, so it is passed over.
fn names(list: Option<Vec<String>>) -> Vec<Username> {
    list.unwrap_or_default().iter().filter_map(|name| name.parse().ok()).collect()
}
