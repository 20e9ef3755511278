//! A piece as bytes: what lies in a dump, in postcard's encoding. A change here is a new version of the
//! [format](super::format).

use bytes::Bytes;
use sealwire_protocol::{DeviceId, Kid, MessageId, Username};
use serde::{Deserialize, Serialize};

use super::{Piece, WholeAccount};
use crate::{Account, BackupRecord, Device, Fingerprint, Mail, MailKey, ManifestRecord, Notice, WrapRecord};

#[derive(Serialize, Deserialize)]
pub(super) enum Row {
    Account(AccountRow),
    Link { username: Username, link: LinkRow },
    Backups { username: Username, backups: Vec<BackupRow> },
    Missed { device: [u8; 16], copies: u64 },
    Notice { device: [u8; 16], message: [u8; 16], made_at: u64 },
    Mail(MailRow),
}

#[derive(Serialize, Deserialize)]
pub(super) struct AccountRow {
    username: Username,
    aik: Bytes,
    manifest: LinkRow,
    devices: Vec<DeviceRow>,
    shares_presence: bool,
    created_at: u64,
    deleted_at: Option<u64>,
    removed: Vec<[u8; 16]>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct LinkRow {
    version: u64,
    hash: [u8; 32],
    document: Bytes,
}

#[derive(Serialize, Deserialize)]
struct DeviceRow {
    id: [u8; 16],
    dsk: Bytes,
    wrap: Option<WrapRow>,
    replaced: Vec<([u8; 32], u64)>,
    last_seen: u64,
}

#[derive(Serialize, Deserialize)]
struct WrapRow {
    seq: u64,
    kid: [u8; 32],
    document: Bytes,
}

#[derive(Serialize, Deserialize)]
pub(super) struct BackupRow {
    id: [u8; 32],
    data: Bytes,
    at: u64,
}

#[derive(Serialize, Deserialize)]
pub(super) struct MailRow {
    device: [u8; 16],
    from_device: [u8; 16],
    message: [u8; 16],
    from: Username,
    own: bool,
    order: u64,
    accepted_at: u64,
    header: u64,
    content: u64,
    shared: Bytes,
    wrap: Bytes,
}

/// The bytes of a piece.
pub(super) fn encode(piece: &Piece) -> Vec<u8> {
    postcard::to_allocvec(&Row::from(piece))
        .expect("a row has no part that cannot be written, and memory does not fail")
}

/// The piece of these bytes; `None` when they are not of one.
pub(super) fn decode(bytes: &[u8]) -> Option<Piece> {
    let (row, rest) = postcard::take_from_bytes::<Row>(bytes).ok()?;
    if rest.is_empty() { row.read() } else { None }
}

impl From<&Piece> for Row {
    fn from(piece: &Piece) -> Self {
        match piece {
            Piece::Account(whole) => Self::Account(AccountRow::from(&**whole)),
            Piece::Link { username, link } => Self::Link { username: username.clone(), link: link.into() },
            Piece::Backups { username, backups } => {
                Self::Backups { username: username.clone(), backups: backups.iter().map(BackupRow::from).collect() }
            }
            Piece::Missed { device, copies } => Self::Missed { device: *device.as_bytes(), copies: *copies },
            Piece::Notice { notice, made_at } => Self::Notice {
                device: *notice.device.as_bytes(),
                message: *notice.message_id.as_bytes(),
                made_at: *made_at,
            },
            Piece::Mail(mail) => Self::Mail(mail.into()),
        }
    }
}

impl Row {
    fn read(self) -> Option<Piece> {
        Some(match self {
            Self::Account(row) => Piece::Account(Box::new(row.read()?)),
            Self::Link { username, link } => Piece::Link { username, link: link.into() },
            Self::Backups { username, backups } => {
                Piece::Backups { username, backups: backups.into_iter().map(BackupRecord::from).collect() }
            }
            Self::Missed { device, copies } => Piece::Missed { device: device_id(device)?, copies },
            Self::Notice { device, message, made_at } => Piece::Notice {
                notice: Notice { device: device_id(device)?, message_id: MessageId::from_bytes(message).ok()? },
                made_at,
            },
            Self::Mail(row) => Piece::Mail(row.read()?),
        })
    }
}

fn device_id(bytes: [u8; 16]) -> Option<DeviceId> {
    DeviceId::from_bytes(bytes).ok()
}

impl From<&WholeAccount> for AccountRow {
    fn from(whole: &WholeAccount) -> Self {
        let WholeAccount { account, created_at, deleted_at, removed } = whole;
        Self {
            username: account.username.clone(),
            aik: account.aik.clone(),
            manifest: (&account.manifest).into(),
            devices: account.devices.iter().map(DeviceRow::from).collect(),
            shares_presence: account.shares_presence,
            created_at: *created_at,
            deleted_at: *deleted_at,
            removed: removed.iter().map(|id| *id.as_bytes()).collect(),
        }
    }
}

impl AccountRow {
    fn read(self) -> Option<WholeAccount> {
        let account = Account {
            username: self.username,
            aik: self.aik,
            manifest: self.manifest.into(),
            devices: self.devices.into_iter().map(DeviceRow::read).collect::<Option<_>>()?,
            shares_presence: self.shares_presence,
        };
        let removed = self.removed.into_iter().map(device_id).collect::<Option<_>>()?;
        Some(WholeAccount { account, created_at: self.created_at, deleted_at: self.deleted_at, removed })
    }
}

impl From<&ManifestRecord> for LinkRow {
    fn from(link: &ManifestRecord) -> Self {
        Self { version: link.version, hash: link.hash, document: link.document.clone() }
    }
}

impl From<LinkRow> for ManifestRecord {
    fn from(row: LinkRow) -> Self {
        Self { version: row.version, hash: row.hash, document: row.document }
    }
}

impl From<&Device> for DeviceRow {
    fn from(device: &Device) -> Self {
        Self {
            id: *device.id.as_bytes(),
            dsk: device.dsk.clone(),
            wrap: device.wrap.as_ref().map(WrapRow::from),
            replaced: device.replaced.iter().map(|(kid, at)| (kid.0, *at)).collect(),
            last_seen: device.last_seen,
        }
    }
}

impl DeviceRow {
    fn read(self) -> Option<Device> {
        Some(Device {
            id: device_id(self.id)?,
            dsk: self.dsk,
            wrap: self.wrap.map(WrapRecord::from),
            replaced: self.replaced.into_iter().map(|(kid, at)| (Kid(kid), at)).collect(),
            last_seen: self.last_seen,
        })
    }
}

impl From<&WrapRecord> for WrapRow {
    fn from(wrap: &WrapRecord) -> Self {
        Self { seq: wrap.seq, kid: wrap.kid.0, document: wrap.document.clone() }
    }
}

impl From<WrapRow> for WrapRecord {
    fn from(row: WrapRow) -> Self {
        Self { seq: row.seq, kid: Kid(row.kid), document: row.document }
    }
}

impl From<&BackupRecord> for BackupRow {
    fn from(backup: &BackupRecord) -> Self {
        Self { id: backup.id, data: backup.data.clone(), at: backup.at }
    }
}

impl From<BackupRow> for BackupRecord {
    fn from(row: BackupRow) -> Self {
        Self { id: row.id, data: row.data, at: row.at }
    }
}

impl From<&Mail> for MailRow {
    fn from(mail: &Mail) -> Self {
        Self {
            device: *mail.device.as_bytes(),
            from_device: *mail.key.from_device.as_bytes(),
            message: *mail.key.message_id.as_bytes(),
            from: mail.from.clone(),
            own: mail.own,
            order: mail.order,
            accepted_at: mail.accepted_at,
            header: mail.fingerprint.header,
            content: mail.fingerprint.content,
            shared: mail.shared.clone(),
            wrap: mail.wrap.clone(),
        }
    }
}

impl MailRow {
    fn read(self) -> Option<Mail> {
        let message_id = MessageId::from_bytes(self.message).ok()?;
        Some(Mail {
            device: device_id(self.device)?,
            key: MailKey { from_device: device_id(self.from_device)?, message_id },
            from: self.from,
            own: self.own,
            order: self.order,
            accepted_at: self.accepted_at,
            fingerprint: Fingerprint { header: self.header, content: self.content },
            shared: self.shared,
            wrap: self.wrap,
        })
    }
}
