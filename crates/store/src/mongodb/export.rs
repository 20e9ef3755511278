//! Reading the whole database out as of one moment, beside the servers that use it.
//!
//! All reads belong to one snapshot session, so they see what a majority had when the first one began. MongoDB keeps that for five
//! minutes by default; whoever takes longer is refused, and what was read until then is thrown away.

use std::collections::BTreeSet;
use std::time::Duration;

use async_trait::async_trait;
use mongodb::bson::{RawDocument, RawDocumentBuf, doc};
use mongodb::error::Result;
use mongodb::options::ReadConcern;
use mongodb::{ClientSession, SessionCursor};

use super::schema::Collections;
use super::value::Fields;
use super::{accounts, backups, error, expiry, mailboxes};
use crate::dump::{BATCH_BYTES, BATCH_PIECES, Export, Piece, WholeAccount};
use crate::{Notice, StoreError};

/// The history that a snapshot needs is gone.
const SNAPSHOT_TOO_OLD: i32 = 239;

/// A database that is being read out.
pub(super) struct MongoExport {
    on: Collections,
    session: ClientSession,
    patience: Duration,
    /// The collection that is being read.
    stage: usize,
    cursor: Option<SessionCursor<RawDocumentBuf>>,
}

#[derive(Debug, Clone, Copy)]
enum Stage {
    Accounts,
    Links,
    Backups,
    Missed,
    Notices,
    Mail,
}

const STAGES: [Stage; 6] = [Stage::Accounts, Stage::Links, Stage::Backups, Stage::Missed, Stage::Notices, Stage::Mail];

impl MongoExport {
    pub(super) async fn open(on: Collections, patience: Duration) -> std::result::Result<Self, StoreError> {
        let session = on.client.start_session().snapshot(true).await.map_err(error::running)?;
        let mut export = Self { on, session, patience, stage: 0, cursor: None };
        // The moment is that of the first read.
        let cursor = super::in_time(patience, export.cursor_of(STAGES[0])).await?;
        export.cursor = Some(cursor);
        Ok(export)
    }

    async fn cursor_of(&mut self, stage: Stage) -> Result<SessionCursor<RawDocumentBuf>> {
        let find = match stage {
            Stage::Accounts => self.on.accounts.find(doc! {}),
            Stage::Links => self.on.manifests.find(doc! {}),
            Stage::Backups => self.on.backups.find(doc! {}),
            Stage::Missed => self.on.devices.find(doc! { "missed": { "$gt": 0_i64 } }),
            Stage::Notices => self.on.notices.find(doc! {}).sort(doc! { "_id": 1 }),
            Stage::Mail => self.on.mail.find(doc! {}).hint(expiry::in_order_of_arrival()),
        };
        find.read_concern(ReadConcern::snapshot()).session(&mut self.session).await
    }

    async fn step(&mut self) -> Result<Vec<Piece>> {
        let (mut pieces, mut size) = (Vec::new(), 0);
        while pieces.len() < BATCH_PIECES && size < BATCH_BYTES {
            let Some(stage) = STAGES.get(self.stage).copied() else { break };
            let mut cursor = match self.cursor.take() {
                Some(cursor) => cursor,
                None => self.cursor_of(stage).await?,
            };
            if cursor.advance(&mut self.session).await? {
                let piece = read(stage, cursor.current())?;
                self.cursor = Some(cursor);
                size += piece.size();
                pieces.push(piece);
            } else {
                self.stage += 1;
            }
        }
        Ok(pieces)
    }
}

#[async_trait]
impl Export for MongoExport {
    async fn next(&mut self) -> std::result::Result<Vec<Piece>, StoreError> {
        let patience = self.patience;
        match tokio::time::timeout(patience, self.step()).await {
            Ok(Err(error)) if error::has_code(&error, SNAPSHOT_TOO_OLD) => Err(StoreError::Unavailable(
                "it took longer than MongoDB keeps the history of a moment. Raise the server parameter \
                 minSnapshotHistoryWindowInSeconds (300 by default) on all members, and try again"
                    .to_owned(),
            )),
            Ok(outcome) => outcome.map_err(error::running),
            Err(_) => Err(StoreError::Unavailable(format!("MongoDB has not answered within {patience:?}"))),
        }
    }
}

fn read(stage: Stage, found: &RawDocument) -> Result<Piece> {
    let fields = Fields(found);
    Ok(match stage {
        Stage::Accounts => Piece::Account(Box::new(account(found)?)),
        Stage::Links => Piece::Link { username: fields.username("account")?, link: accounts::read_manifest(fields)? },
        Stage::Backups => Piece::Backups { username: fields.username("_id")?, backups: backups::read_whole(fields)? },
        Stage::Missed => Piece::Missed { device: fields.device("_id")?, copies: fields.number("missed")? },
        Stage::Notices => {
            let notice = Notice { device: fields.device("device")?, message_id: fields.message("message")? };
            Piece::Notice { notice, made_at: fields.number("made_at")? }
        }
        Stage::Mail => Piece::Mail(mailboxes::read(found)?),
    })
}

fn account(found: &RawDocument) -> Result<WholeAccount> {
    let fields = Fields(found);
    let whole = accounts::read(found)?;
    let listed: BTreeSet<_> = whole.account.devices.iter().map(|device| device.id).collect();
    let removed: BTreeSet<_> = whole.ids.into_iter().filter(|id| !listed.contains(id)).collect();
    Ok(WholeAccount {
        account: whole.account,
        created_at: fields.number("created_at")?,
        deleted_at: if whole.deleted { Some(fields.number("deleted_at")?) } else { None },
        removed: removed.into_iter().collect(),
    })
}
