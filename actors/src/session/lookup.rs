//! What a session does with a look-up of keys.

use sealwire_protocol::base64::Blob;
use sealwire_protocol::frames::{ErrorFrame, KeyQuery, Keys, ManifestFrame, ServerFrame};
use sealwire_protocol::{DeviceId, ErrorCode, Username};
use sealwire_store::StoreError;

use super::socket::SessionContext;
use super::{Session, admission, login};
use crate::metrics::Limit;
use crate::node::Node;

/// How many manifests one answer to `keys` or `backup` holds; with the largest backup it stays below 1 MiB.
const MANIFESTS: usize = 50;

impl Session {
    pub(super) fn keys(&mut self, query: &KeyQuery<'_>, id: Option<String>, ctx: &mut SessionContext) {
        let now = self.now();
        let Some(session) = self.authenticated() else { return };
        let unknown = ErrorFrame::new(ErrorCode::UnknownUser, "nobody has this name");
        let Ok(name) = query.username.parse::<Username>() else {
            return self.refuse(ErrorFrame { id, ..unknown });
        };
        let own = name == session.username;
        let taken = session.lookups.take(now.mono);
        let taken = taken.and_then(|()| if own { Ok(()) } else { session.quota.lock().name(&name, now) });
        if let Err(after) = taken {
            let error = ErrorFrame::new(ErrorCode::RateLimited, "too many look-ups of keys");
            return self.rate_limited(ErrorFrame { id, ..error }, after, Limit::Others);
        }
        let (node, since) = (self.node.clone(), query.since_version.unwrap_or(0));
        let read = async move { read_keys(&node, &name, since).await };
        self.look_up(read, ctx, move |session, found, _| match found {
            Ok(Some(keys)) => session.send(&ServerFrame::Keys(Box::new(Keys { id, ..keys }))),
            Ok(None) => session.refuse(ErrorFrame { id, ..unknown }),
            Err(error) => session.refuse(ErrorFrame { id, ..login::store_unavailable(&error) }),
        });
    }
}

/// The manifests of a chain after a version, oldest first, as many as one answer holds; and whether there are more.
pub(super) async fn read_links(
    node: &Node,
    name: &Username,
    since: u64,
) -> Result<(Vec<ManifestFrame>, bool), StoreError> {
    let mut links = login::in_time(node, node.store.manifests(name, since, MANIFESTS + 1)).await?;
    let more = links.len() > MANIFESTS;
    links.truncate(MANIFESTS);
    let frames: Result<_, _> = links.iter().map(|link| serde_json::from_slice(&link.document)).collect();
    let frames = frames.map_err(|error| StoreError::Damaged(format!("a manifest cannot be read: {error}")))?;
    Ok((frames, more))
}

async fn read_keys(node: &Node, name: &Username, since: u64) -> Result<Option<Keys>, StoreError> {
    let Some(account) = login::in_time(node, node.roster.find(name)).await? else { return Ok(None) };
    let (manifests, more) = read_links(node, name, since).await?;
    let connected = |device: &DeviceId| node.is_connected(device);
    let now = node.clock.now().wall;
    Ok(Some(Keys {
        id: None,
        username: name.clone(),
        aik: Blob(account.aik.to_vec()),
        manifests,
        more,
        devices: admission::receiving(&account, now, &connected).filter_map(admission::device_wrap).collect(),
    }))
}
