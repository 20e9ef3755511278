//! Registration and log-in: what is checked of the frames, and which signatures must hold (protocol sections 3 and 5).

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use sealwire_protocol::frames::{Auth, ErrorFrame, Link, ManifestFrame, Register, WrapFrame};
use sealwire_protocol::signed::{AuthIn, Manifest, ManifestDevice, Purpose, WrapCert};
use sealwire_protocol::spki::Spki;
use sealwire_protocol::{DeviceId, ErrorCode, Kid, Username};
use sealwire_store::{Account, Created, Device, ManifestRecord, NewAccount, StoreError, WrapPut, WrapRecord};
use serde::Serialize;

use super::greeting::{Channel, Open};
use crate::node::Node;
use crate::verify::Check;

/// Who has logged in.
#[derive(Debug, Clone)]
pub(crate) struct LoggedIn {
    pub(crate) username: Username,
    pub(crate) device: DeviceId,
}

fn refuse(code: ErrorCode, text: &str) -> ErrorFrame {
    ErrorFrame::new(code, text)
}

pub(super) fn failed() -> ErrorFrame {
    refuse(ErrorCode::AuthFailed, "the log-in was not accepted; check name, device and clock")
}

/// Words for a store that does not answer.
pub(crate) fn store_unavailable(error: &StoreError) -> ErrorFrame {
    tracing::error!(%error, "the store did not answer");
    let text = "the server cannot reach its store now; send the same bytes again";
    ErrorFrame { retry_after_ms: Some(1_000), ..refuse(ErrorCode::StoreUnavailable, text) }
}

pub(super) fn busy() -> ErrorFrame {
    let text = "too many log-ins at once; try again";
    ErrorFrame { retry_after_ms: Some(1_000), ..refuse(ErrorCode::ServerBusy, text) }
}

/// Gives a store's answer its time limit.
pub(crate) async fn in_time<T>(
    node: &Node,
    answer: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    crate::in_time(node.settings.timing.store, answer).await
}

/// The bytes that a log-in signs.
struct Answer<'a> {
    purpose: Purpose,
    channel: &'a Channel,
    open: &'a Open,
    client_nonce: &'a [u8; 32],
}

impl Answer<'_> {
    fn to_bytes(&self, username: &Username, device: &DeviceId, dsk_kid: &Kid) -> Vec<u8> {
        let signed = AuthIn {
            purpose: self.purpose,
            origin: &self.channel.origin,
            channel_id: &self.channel.id,
            server_nonce: &self.open.nonce,
            client_nonce: self.client_nonce,
            expires_at: self.open.expires_at,
            username,
            device,
            dsk_kid,
        };
        signed.to_bytes()
    }
}

/// Checks a log-in. An unknown name costs the same work as a wrong signature, and is answered alike.
pub(crate) async fn log_in(node: &Node, channel: &Channel, open: &Open, auth: Auth) -> Result<LoggedIn, ErrorFrame> {
    let username = auth.username.parse::<Username>().ok();
    let account = account_of(node, username.as_ref()).await?;
    // A device that has no wrap key must link first.
    let listed = account.as_deref().and_then(|account| listed(account, &auth.device_id));
    let dsk = listed.filter(|(device, _)| device.wrap.is_some()).map(|(_, dsk)| dsk);
    let known = dsk.is_some();
    let key = dsk.unwrap_or_else(|| node.verifier.stranger());
    let name = username.unwrap_or_else(|| node.nobody.clone());
    let answer = Answer { purpose: Purpose::LogIn, channel, open, client_nonce: &auth.client_nonce.0 };
    let bytes = answer.to_bytes(&name, &auth.device_id, &key.kid());
    let check = Check { key, bytes, signature: auth.signature.0 };
    let good = node.verifier.count_good(vec![check]).await.map_err(|_| busy())? == 1;
    if known && good { Ok(LoggedIn { username: name, device: auth.device_id }) } else { Err(failed()) }
}

/// The account of whoever wants to be let in; an ill-formed name is nobody's.
async fn account_of(node: &Node, username: Option<&Username>) -> Result<Option<Arc<Account>>, ErrorFrame> {
    let Some(name) = username else { return Ok(None) };
    in_time(node, node.roster.find(name)).await.map_err(|error| store_unavailable(&error))
}

/// A device of an account, with its signing key.
pub(super) fn listed<'a>(account: &'a Account, id: &DeviceId) -> Option<(&'a Device, Spki)> {
    let device = account.devices.iter().find(|known| known.id == *id)?;
    Some((device, Spki::parse(&device.dsk).ok()?))
}

/// A frame as the store keeps it.
pub(super) fn document(frame: &impl Serialize) -> Bytes {
    serde_json::to_vec(frame).expect("frames have no failing Serialize").into()
}

/// The devices of a manifest as the store keeps them.
pub(super) fn signing_keys(manifest: &Manifest) -> Vec<(DeviceId, Bytes)> {
    manifest.devices.iter().map(|device| (device.id, Bytes::copy_from_slice(device.dsk.as_bytes()))).collect()
}

/// Runs something to its end also when the connection that asked for it goes: what was committed must be followed by what
/// it entails.
pub(crate) async fn to_its_end<T: Send + 'static>(
    work: impl Future<Output = Result<T, ErrorFrame>> + Send + 'static,
) -> Result<T, ErrorFrame> {
    tokio::spawn(work).await.unwrap_or_else(|error| {
        tracing::error!(%error, "a request was not carried out");
        Err(refuse(ErrorCode::Internal, ErrorCode::Internal.meaning()))
    })
}

/// A wrap key that a device is to have.
pub(super) struct NextWrap {
    cert: WrapCert,
    record: WrapRecord,
}

/// Reads the certificate of a device's next wrap key and checks all but its signature. The one that the device has
/// already is fine too: its answer may have been lost.
pub(super) fn next_wrap(
    account: &Account,
    device: &Device,
    frame: &WrapFrame,
    now: u64,
) -> Result<NextWrap, ErrorFrame> {
    let cert = wrap_cert(frame)?;
    let kid = cert.dwk.kid();
    let record = WrapRecord { seq: cert.seq, kid, document: document(frame) };
    let last = device.wrap.as_ref();
    if last.is_some_and(|last| last.seq == cert.seq && last.kid == kid) {
        return Ok(NextWrap { cert, record });
    }
    cert.check_seq(last.map_or(0, |last| last.seq)).map_err(key_invalid)?;
    cert.check_times(now).map_err(key_invalid)?;
    if kids_in_use(account).contains(&kid) {
        return Err(key_invalid("every use has a key of its own"));
    }
    Ok(NextWrap { cert, record })
}

/// The ids of all keys that an account is known to use, or to have used lately.
pub(super) fn kids_in_use(account: &Account) -> HashSet<Kid> {
    let of_device = |device: &Device| {
        let wraps = device.wrap.iter().map(|wrap| wrap.kid).chain(device.replaced.iter().map(|(kid, _)| *kid));
        std::iter::once(Kid::of(&device.dsk)).chain(wraps).collect::<Vec<_>>()
    };
    std::iter::once(Kid::of(&account.aik)).chain(account.devices.iter().flat_map(of_device)).collect()
}

impl NextWrap {
    /// Makes it the device's newest one, if the device has signed it.
    pub(super) async fn put(
        self,
        node: &Node,
        username: &Username,
        device: &DeviceId,
        dsk: Spki,
        frame: &WrapFrame,
    ) -> Result<(), ErrorFrame> {
        let bytes = self.cert.to_bytes(username, device);
        let check = Check { key: dsk, bytes, signature: frame.signature.0.clone() };
        if node.verifier.count_good(vec![check]).await.map_err(|_| busy())? == 0 {
            return Err(key_invalid("the wrap certificate's signature does not hold"));
        }
        let now = node.clock.now().wall;
        // However long it takes: the roster must not read what was before.
        let put = node.store.put_wrap(device, self.record, now).await;
        node.changed(username);
        match put.map_err(|error| store_unavailable(&error))? {
            WrapPut::Yes | WrapPut::Repeat => Ok(()),
            WrapPut::Old => Err(key_invalid("the device has a wrap key with the same or a higher `seq`")),
            WrapPut::Unknown => Err(failed()),
        }
    }
}

/// Checks the first log-in of a device and stores its first wrap key. Whoever is not listed is answered like a wrong
/// signature, after the same work.
pub(crate) async fn link(node: &Node, channel: &Channel, open: &Open, link: &Link) -> Result<LoggedIn, ErrorFrame> {
    let username = link.username.parse::<Username>().ok();
    let account = account_of(node, username.as_ref()).await?;
    let listed = account.as_deref().and_then(|account| Some((account, listed(account, &link.device_id)?)));
    let key = listed.as_ref().map_or_else(|| node.verifier.stranger(), |(_, (_, dsk))| dsk.clone());
    let name = username.unwrap_or_else(|| node.nobody.clone());
    let answer = Answer { purpose: Purpose::Link, channel, open, client_nonce: &link.client_nonce.0 };
    let bytes = answer.to_bytes(&name, &link.device_id, &key.kid());
    let check = Check { key, bytes, signature: link.signature.0.clone() };
    let good = node.verifier.count_good(vec![check]).await.map_err(|_| busy())? == 1;
    let Some((account, (device, dsk))) = listed.filter(|_| good) else { return Err(failed()) };
    let next = next_wrap(account, device, &link.wrap, node.clock.now().wall)?;
    if device.wrap.as_ref().is_some_and(|wrap| wrap.kid != next.record.kid) {
        return Err(key_invalid("this device has been linked with another wrap key; log in with `auth`"));
    }
    next.put(node, &name, &link.device_id, dsk, &link.wrap).await?;
    Ok(LoggedIn { username: name, device: link.device_id })
}

/// A registration whose form is right.
struct Checked {
    username: Username,
    aik: Spki,
    dsk: Spki,
    manifest: Manifest,
    wrap: WrapCert,
}

pub(super) fn key_invalid(error: impl std::fmt::Display) -> ErrorFrame {
    refuse(ErrorCode::KeyInvalid, &error.to_string())
}

fn check_form(register: &Register, now: u64) -> Result<Checked, ErrorFrame> {
    let invalid = |text: &str| refuse(ErrorCode::UsernameInvalid, text);
    let username: Username =
        register.username.parse().map_err(|error: sealwire_protocol::ids::IdError| invalid(&error.to_string()))?;
    if username.is_reserved() {
        return Err(invalid("this name is reserved; choose another"));
    }
    let aik = Spki::parse(&register.aik.0).map_err(key_invalid)?;
    let manifest = manifest(&register.manifest)?;
    manifest.check_shape().map_err(key_invalid)?;
    if manifest.version != 1 {
        return Err(key_invalid("the manifest of a registration has version 1"));
    }
    let device = manifest.device(&register.device_id);
    let dsk = device.ok_or_else(|| key_invalid("the manifest does not list the device"))?.dsk.clone();
    let wrap = wrap_cert(&register.wrap)?;
    wrap.check_seq(0).map_err(key_invalid)?;
    wrap.check_times(now).map_err(key_invalid)?;
    check_distinct(&aik, &manifest, &wrap)?;
    Ok(Checked { username, aik, dsk, manifest, wrap })
}

/// One key per use (section 2).
fn check_distinct(aik: &Spki, manifest: &Manifest, wrap: &WrapCert) -> Result<(), ErrorFrame> {
    let mut kids: Vec<Kid> = manifest.devices.iter().map(|device| device.dsk.kid()).collect();
    kids.extend([aik.kid(), wrap.dwk.kid()]);
    kids.sort();
    if kids.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(key_invalid("every use has a key of its own"));
    }
    Ok(())
}

pub(super) fn manifest(frame: &ManifestFrame) -> Result<Manifest, ErrorFrame> {
    let device = |device: &sealwire_protocol::frames::ManifestDeviceFrame| {
        let dsk = Spki::parse(&device.dsk.0)?;
        Ok(ManifestDevice { id: device.id, dsk, added_at: device.added_at, capabilities: device.capabilities })
    };
    let devices: Result<Vec<_>, sealwire_protocol::spki::KeyError> = frame.devices.iter().map(device).collect();
    Ok(Manifest {
        version: frame.version,
        prev_hash: frame.prev_hash.0,
        issued_at: frame.issued_at,
        devices: devices.map_err(key_invalid)?,
    })
}

fn wrap_cert(frame: &WrapFrame) -> Result<WrapCert, ErrorFrame> {
    let dwk = Spki::parse(&frame.dwk.0).map_err(key_invalid)?;
    Ok(WrapCert { seq: frame.seq, dwk, not_before: frame.not_before, not_after: frame.not_after })
}

/// Checks a registration and makes the account.
pub(crate) async fn register(
    node: &Node,
    channel: &Channel,
    open: &Open,
    register: Box<Register>,
) -> Result<LoggedIn, ErrorFrame> {
    let now = node.clock.now().wall;
    let checked = check_form(&register, now)?;
    let device = register.device_id;
    let manifest_bytes = checked.manifest.to_bytes(&checked.username, &checked.aik);
    let hash = Manifest::hash(&manifest_bytes);
    check_signatures(node, channel, open, &register, &checked, manifest_bytes).await?;
    let account = new_account(&register, &checked, hash, now);
    let created = in_time(node, node.store.create_account(account)).await.map_err(|error| store_unavailable(&error))?;
    match created {
        Created::Yes => {}
        Created::NameTaken => check_same(node, &checked, hash, &device).await?,
        Created::DeviceTaken => {
            return Err(key_invalid("a device id of the manifest belongs to another account; make a new one"));
        }
    }
    node.roster.forget(&checked.username);
    Ok(LoggedIn { username: checked.username, device })
}

async fn check_signatures(
    node: &Node,
    channel: &Channel,
    open: &Open,
    register: &Register,
    checked: &Checked,
    manifest_bytes: Vec<u8>,
) -> Result<(), ErrorFrame> {
    let answer = Answer { purpose: Purpose::Register, channel, open, client_nonce: &register.client_nonce.0 };
    let auth_bytes = answer.to_bytes(&checked.username, &register.device_id, &checked.dsk.kid());
    let wrap_bytes = checked.wrap.to_bytes(&checked.username, &register.device_id);
    let check = |key: &Spki, bytes, signature: &sealwire_protocol::base64::Blob| Check {
        key: key.clone(),
        bytes,
        signature: signature.0.clone(),
    };
    let checks = vec![
        check(&checked.dsk, auth_bytes, &register.signature),
        check(&checked.aik, manifest_bytes, &register.manifest.signature),
        check(&checked.dsk, wrap_bytes, &register.wrap.signature),
    ];
    match node.verifier.count_good(checks).await.map_err(|_| busy())? {
        0 => Err(failed()),
        1 => Err(key_invalid("the manifest's signature does not hold")),
        2 => Err(key_invalid("the wrap certificate's signature does not hold")),
        _ => Ok(()),
    }
}

fn new_account(register: &Register, checked: &Checked, hash: [u8; 32], now: u64) -> NewAccount {
    let wrap = WrapRecord { seq: checked.wrap.seq, kid: checked.wrap.dwk.kid(), document: document(&register.wrap) };
    NewAccount {
        username: checked.username.clone(),
        aik: Bytes::copy_from_slice(checked.aik.as_bytes()),
        manifest: ManifestRecord { version: 1, hash, document: document(&register.manifest) },
        devices: signing_keys(&checked.manifest),
        wrap: (register.device_id, wrap),
        created_at: now,
    }
}

/// Takes a registration that was made before with the same keys: the answer to the first time may have been lost.
async fn check_same(node: &Node, checked: &Checked, hash: [u8; 32], device: &DeviceId) -> Result<(), ErrorFrame> {
    let found = in_time(node, node.roster.find(&checked.username)).await;
    let found: Option<Arc<Account>> = found.map_err(|error| store_unavailable(&error))?;
    let same_keys = |account: &Arc<Account>| account.aik == checked.aik.as_bytes() && account.manifest.hash == hash;
    if let Some(account) = found.filter(same_keys)
        && account.devices.iter().any(|known| known.id == *device && known.wrap.is_some())
    {
        return Ok(());
    }
    Err(refuse(ErrorCode::UsernameTaken, "somebody has, or had, this name; choose another"))
}
