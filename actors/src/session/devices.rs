//! What a session does with the list of an account's devices and with their wrap keys: `devices` and `rotate` (protocol
//! sections 3, 5 and 6).

use sealwire_protocol::frames::{Devices, DevicesAnswer, Done, ErrorFrame, ManifestFrame, Rotate, ServerFrame};
use sealwire_protocol::signed::{Manifest, ManifestDevice, ManifestError};
use sealwire_protocol::spki::Spki;
use sealwire_protocol::{DeviceId, ErrorCode, Username};
use sealwire_store::{Account, Extended, ManifestChange, ManifestRecord};

use super::login::{self, busy, in_time, key_invalid, store_unavailable};
use super::socket::SessionContext;
use super::{Event, Session};
use crate::node::Node;
use crate::quota::Counted;
use crate::verify::Check;

/// How many links a `manifest_conflict` carries at most.
const LINKS: usize = 50;

/// Who asks for a change: a device that is logged in, or somebody who has nothing but the identity key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    Device(DeviceId),
    Stranger,
}

/// What a manifest has done.
struct Changed {
    /// The newest version.
    version: u64,
    /// The device that asked was removed by it.
    removes_asker: bool,
}

impl Session {
    pub(super) fn devices(&mut self, devices: Devices, id: Option<String>, ctx: &mut SessionContext) {
        let own = self.authenticated().map(|session| (session.username.clone(), session.device));
        let name = match whose(own.as_ref().map(|(name, _)| name), devices.username.as_deref()) {
            Ok(name) => name,
            Err(what) => {
                return self.refuse(ErrorFrame { id, ..ErrorFrame::new(ErrorCode::BadRequest, what) });
            }
        };
        if !self.take_share(Counted::Devices, "too many changes of the account's devices", id.as_ref()) {
            return;
        }
        let by = own.map_or(By::Stranger, |(_, device)| By::Device(device));
        let node = self.node.clone();
        let change = login::to_its_end(async move { change(&node, name, &devices.manifest, by).await });
        self.look_up(change, ctx, move |session, outcome, _| match outcome {
            Ok(Changed { version, removes_asker }) => {
                session.send(&ServerFrame::Devices(DevicesAnswer { id, version }));
                if removes_asker {
                    session.inbox.tell(Event::Revoked);
                }
            }
            Err(error) => session.turn_down(ErrorFrame { id, ..error }),
        });
    }

    pub(super) fn rotate(&mut self, rotate: Rotate, id: Option<String>, ctx: &mut SessionContext) {
        if !self.take_share(Counted::Rotation, "too many new wrap keys", id.as_ref()) {
            return;
        }
        let Some(session) = self.authenticated() else { return };
        let (name, device, node) = (session.username.clone(), session.device, self.node.clone());
        let put = login::to_its_end(async move { replace_wrap(&node, &name, device, &rotate).await });
        self.look_up(put, ctx, move |session, outcome, _| match outcome {
            Ok(()) => session.send(&ServerFrame::Rotate(Done { id })),
            Err(error) => session.refuse(ErrorFrame { id, ..error }),
        });
    }
}

/// The account that a `devices` is about; `None` for an ill-formed name, which nobody has.
fn whose(own: Option<&Username>, named: Option<&str>) -> Result<Option<Username>, &'static str> {
    match (own, named) {
        (None, None) => Err("before the log-in `devices` needs `username`"),
        (None, Some(name)) => Ok(name.parse().ok()),
        (Some(own), Some(name)) if name != own.as_str() => {
            Err("`username` names another account than the one that is logged in")
        }
        (Some(own), _) => Ok(Some(own.clone())),
    }
}

fn not_signed(by: By) -> ErrorFrame {
    match by {
        By::Device(_) => key_invalid("the manifest's signature does not hold"),
        By::Stranger => login::failed(),
    }
}

/// Adds a manifest to its account's chain and sends the devices away that it removes. A name that nobody has costs the
/// same work as a wrong signature and is answered alike.
///
/// A copy that was admitted by the old list and is on its way to the store, not to a session, while the device goes is
/// stored for nobody, at the worst: its mailbox is never read again, and expires.
async fn change(node: &Node, name: Option<Username>, frame: &ManifestFrame, by: By) -> Result<Changed, ErrorFrame> {
    let manifest = login::manifest(frame)?;
    manifest.check_shape().map_err(key_invalid)?;
    let account = match &name {
        Some(name) => in_time(node, node.store.account(name)).await.map_err(|error| store_unavailable(&error))?,
        None => None,
    };
    let aik = account.as_ref().and_then(|account| Spki::parse(&account.aik).ok());
    let aik = aik.unwrap_or_else(|| node.verifier.stranger());
    let name = name.unwrap_or_else(|| node.nobody.clone());
    let bytes = manifest.to_bytes(&name, &aik);
    let hash = Manifest::hash(&bytes);
    let check = Check { key: aik, bytes, signature: frame.signature.0.clone() };
    let good = node.verifier.count_good(vec![check]).await.map_err(|_| busy())? == 1;
    let Some(account) = account.filter(|_| good) else { return Err(not_signed(by)) };
    if manifest.version <= account.manifest.version {
        return match link(node, &name, manifest.version).await? {
            Some(held) if held == hash => Ok(Changed { version: account.manifest.version, removes_asker: false }),
            _ => Err(conflict(node, &account, manifest.version).await?),
        };
    }
    let newest = login::manifest(&read(&account.manifest)?)?;
    match manifest.follows(&newest, &account.manifest.hash) {
        Ok(()) => {}
        Err(ManifestError::Version | ManifestError::PrevHash) => {
            return Err(conflict(node, &account, manifest.version).await?);
        }
        Err(error) => return Err(key_invalid(error)),
    }
    check_keys(&manifest, &account)?;
    take_link(node, &account, &manifest)?;
    extend(node, &account, &manifest, hash, frame, by).await
}

/// A manifest that was read back from the store.
fn read(record: &ManifestRecord) -> Result<ManifestFrame, ErrorFrame> {
    serde_json::from_slice(&record.document).map_err(|error| {
        tracing::error!(%error, "the store holds a manifest that cannot be read");
        ErrorFrame::new(ErrorCode::Internal, ErrorCode::Internal.meaning())
    })
}

/// The hash of the link that the account has under a version.
async fn link(node: &Node, name: &Username, version: u64) -> Result<Option<[u8; 32]>, ErrorFrame> {
    let links = in_time(node, node.store.manifests(name, version.saturating_sub(1), 1)).await;
    let links = links.map_err(|error| store_unavailable(&error))?;
    Ok(links.first().filter(|link| link.version == version).map(|link| link.hash))
}

/// What is answered to a manifest that does not continue the chain: the links from its version on.
async fn conflict(node: &Node, account: &Account, version: u64) -> Result<ErrorFrame, ErrorFrame> {
    let since = version.min(account.manifest.version).saturating_sub(1);
    let links = in_time(node, node.store.manifests(&account.username, since, LINKS)).await;
    let links = links.map_err(|error| store_unavailable(&error))?;
    let text = "the account has another newest manifest than this one follows; `manifests` lists it";
    let frames: Result<Vec<_>, _> = links.iter().map(read).collect();
    Ok(ErrorFrame { manifests: Some(frames?), ..ErrorFrame::new(ErrorCode::ManifestConflict, text) })
}

/// One key per use (section 2): a new device's signing key is not in use anywhere else in the account.
fn check_keys(manifest: &Manifest, account: &Account) -> Result<(), ErrorFrame> {
    let mut in_use = login::kids_in_use(account);
    let listed = |id: &DeviceId| account.devices.iter().any(|device| device.id == *id);
    let new = manifest.devices.iter().filter(|device| !listed(&device.id));
    for device in new {
        if !in_use.insert(device.dsk.kid()) {
            return Err(key_invalid("every use has a key of its own"));
        }
    }
    Ok(())
}

/// Counts a link that does more than remove devices: a chain is kept, and read, for ever. One that only removes is never
/// refused, since a lost device must be; there are no more of them than devices were added.
fn take_link(node: &Node, account: &Account, manifest: &Manifest) -> Result<(), ErrorFrame> {
    let listed = |device: &ManifestDevice| account.devices.iter().any(|known| known.id == device.id);
    if manifest.devices.len() < account.devices.len() && manifest.devices.iter().all(listed) {
        return Ok(());
    }
    let user = node.quotas.of(&account.username);
    let taken = user.lock().take(Counted::Link, node.clock.now());
    taken.map_err(|after| {
        let error = ErrorFrame::new(ErrorCode::RateLimited, "too many manifests of this account in a day");
        ErrorFrame { retry_after_ms: Some(after), ..error }
    })
}

async fn extend(
    node: &Node,
    account: &Account,
    manifest: &Manifest,
    hash: [u8; 32],
    frame: &ManifestFrame,
    by: By,
) -> Result<Changed, ErrorFrame> {
    let change = ManifestChange {
        username: account.username.clone(),
        previous: manifest.prev_hash,
        manifest: ManifestRecord { version: manifest.version, hash, document: login::document(frame) },
        devices: login::signing_keys(manifest),
        at: node.clock.now().wall,
    };
    // However long it takes: a manifest that is committed after nobody waits for it would send nobody away.
    let extended = node.store.extend_manifest(change).await;
    node.changed(&account.username);
    let extended = extended.map_err(|error| {
        // Perhaps it has been committed all the same. Whoever comes back is checked again.
        account.devices.iter().filter_map(|device| node.directory.find(&device.id)).for_each(|s| s.tell(Event::Leave));
        store_unavailable(&error)
    });
    match extended? {
        Extended::Yes { removed } => {
            let asker = |id: &DeviceId| by == By::Device(*id);
            for id in removed.iter().filter(|id| !asker(id)) {
                if let Some(session) = node.directory.find(id) {
                    session.tell(Event::Revoked);
                }
            }
            Ok(Changed { version: manifest.version, removes_asker: removed.iter().any(asker) })
        }
        Extended::Repeat => Ok(Changed { version: manifest.version, removes_asker: false }),
        Extended::Conflict => Err(conflict(node, account, manifest.version).await?),
        Extended::DeviceTaken => {
            Err(key_invalid("a device id was removed before, or belongs to another account; make a new one"))
        }
        Extended::Unknown => Err(not_signed(by)),
    }
}

async fn replace_wrap(node: &Node, name: &Username, device: DeviceId, rotate: &Rotate) -> Result<(), ErrorFrame> {
    let account = in_time(node, node.store.account(name)).await.map_err(|error| store_unavailable(&error))?;
    let listed = account.as_ref().and_then(|account| Some((account, login::listed(account, &device)?)));
    let Some((account, (known, dsk))) = listed else {
        return Err(ErrorFrame::new(ErrorCode::NotAuthenticated, "this device is not in the account any more"));
    };
    let next = login::next_wrap(account, known, &rotate.wrap, node.clock.now().wall)?;
    next.put(node, name, &device, dsk, &rotate.wrap).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whose_devices_are_meant_is_named_before_the_log_in_only() {
        let [alice, bob]: [Username; 2] = ["alice", "bob"].map(|name| name.parse().unwrap());
        assert!(whose(None, None).is_err());
        assert_eq!(whose(None, Some("bob")), Ok(Some(bob)));
        assert_eq!(whose(None, Some("No Name")), Ok(None));
        assert_eq!(whose(Some(&alice), None), Ok(Some(alice.clone())));
        assert_eq!(whose(Some(&alice), Some("alice")), Ok(Some(alice.clone())));
        assert!(whose(Some(&alice), Some("bob")).is_err());
    }
}
